from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.session import Open, Session, read_floats
from vae_explorer import workspace
from vae_explorer.cli import main
from vae_explorer.config import ModelConfig
from vae_explorer.errors import RunError, RunUnderWayError
from vae_explorer.runs.lock import hold_lock
from vae_explorer.runs.run import Run
from vae_explorer.runs.status import RunStatus
from vae_explorer.training.snapshots import read_epochs
from vae_explorer.training.state import read_history
from vae_explorer.ui.train import run_panel
from vae_explorer.workspace import READ_ONLY

PAGE, DIGITS = "train", "digits-vae-2d"
VIEW = "watching-one"


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, data_root: Path, tiny_vae_config: ModelConfig
) -> Path:
    """A folder with `runs/one`, finished after two epochs, and `checkpoints/one`."""
    folder = tmp_path_factory.mktemp("finished")
    values = {"model": tiny_vae_config.to_dict(), "train": {"dataset": "digits", "epochs": 2}}
    (folder / "small.json").write_text(json.dumps(values))
    before = Path.cwd()
    os.chdir(folder)
    try:
        options = ["--config", "small.json", "--keep-epochs", "--root", str(data_root)]
        assert main(["train", *options, "--out", "checkpoints/one"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(finished: Path, open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`runs/one` where the app looks, and its checkpoint beside others."""
    shutil.copytree(finished / "runs", tmp_path / "runs")
    shelf = tmp_path / "checkpoints"
    shutil.copytree(workspace.CHECKPOINTS, shelf)
    shutil.copytree(finished / "checkpoints" / "one", shelf / "one")
    monkeypatch.setattr(workspace, "CHECKPOINTS", shelf)
    return workspace.RUNS / "one"


def put(run: Path, **changes: object) -> RunStatus:
    """Have a run stand otherwise."""
    status = Run(run).read_status()
    assert status is not None
    changed = replace(status, **changes)
    Run(run).write_status(changed)
    return changed


def buttons(session: Session) -> list[str]:
    return [button.label for button in session.app.button]


def said(session: Session) -> str:
    boxes = (session.app.info, session.app.warning, session.app.error, session.app.success)
    return "\n".join(box.value for kind in boxes for box in kind).replace("\\", "")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Collect what would be started."""
    collected: list[Sequence[str]] = []

    def start(arguments: Sequence[str]) -> str:
        collected.append(list(arguments))
        return "one"

    monkeypatch.setattr("vae_explorer.runs.launcher.start_training", start)
    monkeypatch.setattr(run_panel, "start_training", start)
    return collected


# Watching


def test_a_finished_run_shows_its_curves_map_and_pictures(run: Path, open_app: Open) -> None:
    session = open_app(PAGE, run="one")
    data = session.view(VIEW)
    history = read_history(run)
    assert data["curves"]["epochs"] == [1, 2]
    assert data["curves"]["validation"]["kl"] == [epoch.validation_kl for epoch in history]
    assert data["curves"]["train"]["loss"] == [epoch.train_loss for epoch in history]
    kept = read_epochs(run, latest=True)
    points = read_floats(data["map"]["points"]).reshape(-1, 2)
    np.testing.assert_allclose(points, kept.z_mean[-1], atol=1e-6)
    assert data["map"]["labels"] == kept.labels.tolist()
    assert (data["epoch"], data["strip"]["count"], data["share"]) == (2, 12, 1.0)
    assert re.search(r"Model saved \(best epoch: [12]\)", said(session))
    assert "--config small.json \\\n  --keep-epochs \\\n  --out checkpoints/one" in session.words


@pytest.mark.parametrize(
    ("active", "beta", "words"),
    [
        (0.0, 1.0, "Too few epochs: the model still outputs the average image."),
        (0.0, 4.0, "too large a β: the model still outputs the average image."),
        (1.0, 1.0, ""),
    ],
)
def test_a_model_without_active_dimensions_is_explained(
    run: Path, open_app: Open, active: float, beta: float, words: str
) -> None:
    path = workspace.CHECKPOINTS / "one" / "card.json"
    card = json.loads(path.read_text())
    card["metrics"]["active_units"]["value"] = active
    card["train"]["beta"] = beta
    path.write_text(json.dumps(card))
    for page in ({"page": PAGE, "run": "one"}, {"page": "overview", "model": "one"}):
        shown = open_app(page.pop("page"), **page).words
        assert words in shown
        assert ("average image" in shown) == (active == 0)


def test_the_finished_model_is_opened_in_the_map(run: Path, open_app: Open) -> None:
    session = open_app(PAGE, run="one", model=DIGITS)
    session.click("Open in Latent map")
    assert session.widget("model").value == "one"
    assert "Latent map" in session.words
    assert session.link["model"] == "one"


def test_the_finished_model_s_epochs_are_played(run: Path, open_app: Open) -> None:
    session = open_app(PAGE, run="one", model=DIGITS)
    session.click("Open in Playback")
    session.app.switch_page("pages/playback.py").run()
    assert session.widget("played").value == "one"


def test_the_run_that_trains_is_shown_first_and_by_its_numbers(run: Path, open_app: Open) -> None:
    with hold_lock(run):
        put(
            run,
            phase="training",
            pid=os.getpid(),
            step=30,
            total_steps=90,
            epoch=1,
            epochs=3,
            images_per_second=2143.0,
            seconds_left=83.0,
        )
        session = open_app(PAGE)
        data = session.view(VIEW)
        assert data["said"] == "Epoch 2 of 3 · 2,140 images/s · about 1 min left"
        assert data["share"] == pytest.approx(1 / 3)
        session.click("Pause")
        assert (run / "request").read_text() == "pause"
        assert "Finishing the current step" in said(session)
        assert session.widget("Pause-one").disabled
    assert "run" not in session.link


def test_before_the_first_epoch_there_is_nothing_to_stop_for(run: Path, open_app: Open) -> None:
    with hold_lock(run):
        put(run, phase="training", pid=os.getpid(), epoch=0)
        session = open_app(PAGE)
        assert session.widget("Stop and save the model-one").disabled
        put(run, phase="training", epoch=1)
        session.run().click("Stop and save the model")
        assert (run / "request").read_text() == "stop"


def test_other_runs_are_listed_and_shown(run: Path, open_app: Open) -> None:
    other = Run(run).read_status()
    assert other is not None
    Run.named("two").write_status(replace(other, name="two", phase="paused", epoch=1))
    session = open_app(PAGE, run="one")
    (label,) = [label for label in buttons(session) if "paused" in label]
    session.click(label)
    assert session.link["run"] == "two"
    assert "watching-two" in session.views()


# Failures


@pytest.mark.parametrize(
    ("changes", "words", "button", "options"),
    [
        ({"phase": "paused"}, "continues exactly where it stopped", "Resume", ["--resume"]),
        ({"phase": "training"}, "process is no longer running", "Resume", ["--resume"]),
        (
            {"failure": "disk", "message": "The disk is full."},
            "disk is full",
            "Resume",
            ["--resume"],
        ),
        ({"failure": "data", "message": "No pictures."}, "No pictures", "Resume", ["--resume"]),
        (
            {"failure": "memory", "message": "Not enough memory."},
            "Not enough memory",
            "Restart with batch size 64",
            ["--batch-size", "64", "--restart"],
        ),
        (
            {"failure": "not_a_number", "message": "The loss became not a number."},
            "not a number",
            "Restart with learning rate 0.001",
            ["--lr", "0.001", "--restart"],
        ),
        (
            {"failure": "disk", "message": "The disk is full."},
            "disk is full",
            "Save the model",
            ["--resume", "--finish"],
        ),
    ],
)
def test_each_failure_has_its_sentence_and_the_button_that_helps(
    run: Path,
    open_app: Open,
    asked: list[Sequence[str]],
    changes: dict[str, str],
    words: str,
    button: str,
    options: list[str],
) -> None:
    put(run, **{"phase": "failed", "message": "", **changes})
    session = open_app(PAGE, run="one")
    assert words in said(session)
    session.click(button)
    (given,) = asked
    assert given[-len(options) :] == options
    assert "--out=checkpoints/one" in given


def test_a_run_that_never_began_is_tried_again_as_it_was(
    run: Path, open_app: Open, asked: list[Sequence[str]]
) -> None:
    status = put(run, phase="failed", failure="data", message="No pictures.", begun=False)
    session = open_app(PAGE, run="one").click("Try again")
    assert asked == [[*status.arguments, "--restart"]]
    assert VIEW in session.views()


def test_a_refusal_is_shown(run: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Sequence[str]) -> str:
        raise RunUnderWayError("two", 7)

    monkeypatch.setattr("vae_explorer.runs.launcher.start_training", refuse)
    put(run, phase="paused")
    session = open_app(PAGE, run="one").click("Resume")
    assert "The run two is training" in said(session)


def test_a_run_is_deleted_and_the_page_offers_a_new_one(run: Path, open_app: Open) -> None:
    session = open_app(PAGE, run="one")
    assert "finished model stays; delete it under Overview → Your models" in session.words
    session.click("Delete")
    assert not run.exists()
    assert "Start training" in buttons(session)
    assert Path("checkpoints/one/card.json").exists()


def test_a_run_that_is_gone_meanwhile_is_no_error(run: Path, open_app: Open) -> None:
    session = open_app(PAGE, run="one")
    shutil.rmtree(run)
    session.run()
    assert VIEW not in session.views()
    assert "Start training" in buttons(session)


# Starting


def test_start_runs_the_command_that_is_shown(
    run: Path, open_app: Open, asked: list[Sequence[str]]
) -> None:
    session = open_app(PAGE)
    (command,) = [code.value for code in session.app.code]
    session.click("Start training")
    words = command.replace("\\\n", "").split()
    assert words == ["python", "-m", "vae_explorer", "train", *asked[0]]
    assert VIEW in session.views()  # it is watched at once


def test_a_start_that_is_refused_says_why(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Sequence[str]) -> str:
        raise RunError("The run two is training.")

    monkeypatch.setattr(run_panel, "start_training", refuse)
    session = open_app(PAGE).click("Start training")
    assert "The run two is training" in said(session)


# For an audience


def test_a_copy_for_looking_shows_and_offers_nothing(
    run: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(run, phase="paused")
    monkeypatch.setenv(READ_ONLY, "1")
    session = open_app(PAGE, run="one")
    assert "training is turned off" in session.words
    assert set(buttons(session)) <= {"Reset", "Share"}
    assert VIEW in session.views()
    session.set(run=":new")
    assert "training is turned off" in said(session)
    assert set(buttons(session)) <= {"Reset", "Share"}
