from __future__ import annotations

import base64
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.support.checkpoints import put
from tests.support.session import Files, Open, Session
from vae_explorer.playback.recording import render_animation
from vae_explorer.training.snapshots import DECODER, read_epochs
from vae_explorer.ui.train import playback

PAGE = "playback"


@pytest.fixture
def kept(
    checkpoint_root: Path, with_snapshots: Path, kept_run: Path, shelf: Path, data_folder: Path
) -> Path:
    """A checkpoint that carries its epochs beside one that does not, and a run of two epochs."""
    put(checkpoint_root / "digits-vae-2d", shelf / "digits-vae-2d")
    shutil.copytree(with_snapshots, shelf / "with_snapshots")
    run = data_folder.parent / "runs" / "short"
    shutil.copytree(kept_run, run)
    (run / "epochs" / "0003.safetensors").unlink()
    return run


@pytest.fixture
def session(open_app: Open, kept: Path) -> Session:
    return open_app(PAGE, model="with_snapshots")


def read_points(recording: dict) -> np.ndarray:
    packed = np.frombuffer(base64.b64decode(recording["points"]), "<i2")
    count = len(base64.b64decode(recording["labels"])) // 2
    return recording["unit"] * packed.reshape(-1, count, 2)


def test_the_points_of_all_epochs_are_sent(session: Session, kept_run: Path) -> None:
    view, wanted = session.view("playback"), read_epochs(kept_run)
    (recording,) = view["recordings"]
    assert recording["numbers"] == [1, 2, 3]
    np.testing.assert_allclose(read_points(recording), wanted.points, atol=recording["unit"])
    assert recording["label_names"] == list(wanted.label_names)
    assert recording["grid"]["epochs"] == [1, 2, 3]
    assert recording["curves"]["epoch"] == [1, 2, 3]
    assert len(recording["frames"]) == 3


def test_another_training_sends_its_own(session: Session) -> None:
    before = session.view("playback")["recordings"][0]
    session.set(played="run:short")
    after = session.view("playback")["recordings"][0]
    assert (before["id"], before["numbers"]) != (after["id"], after["numbers"])
    assert after["numbers"] == [1, 2]
    assert session.link["played"] == "run:short"


def test_two_are_played_side_by_side(session: Session) -> None:
    session.set(beside="run:short")
    view = session.view("playback")
    assert [recording["numbers"] for recording in view["recordings"]] == [[1, 2, 3], [1, 2]]
    assert view["align"] == "epoch"
    session.set(by="share", follow=True)
    view = session.view("playback")
    assert (view["align"], view["follow"]) == ("share", True)


def test_a_model_without_epochs_leaves_the_choice_to_those_that_have(
    open_app: Open, kept: Path
) -> None:
    session = open_app(PAGE, model="digits-vae-2d")
    assert session.view("playback")["recordings"][0]["title"] != "digits-vae-2d"


def test_without_any_epochs_the_page_says_how_to_keep_them(open_app: Open) -> None:
    session = open_app(PAGE)
    assert "No model has saved epochs" in session.app.info[0].value
    assert "--keep-epochs" in session.words


def test_a_model_too_large_for_its_decoders_to_be_kept_is_played_without_a_grid(
    open_app: Open, kept: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "render_animation", partial(render_animation, frames=3))
    for path in (kept / "epochs").glob("0*.safetensors"):
        arrays = {n: a for n, a in load_file(path).items() if not n.startswith(DECODER)}
        save_file(arrays, path)
    session = open_app(PAGE, played="run:short")
    (recording,) = session.view("playback")["recordings"]
    assert recording["grid"] is None
    assert recording["numbers"] == [1, 2]
    assert "Without a decoded grid" in session.words
    session.click("Create animation")
    assert list(files) == ["short.webp"]


def test_a_damaged_run_is_told_of(open_app: Open, kept: Path) -> None:
    (kept / "epochs" / "0002.safetensors").write_bytes(b"no")
    session = open_app(PAGE, model="with_snapshots", beside="run:short")
    assert "0002.safetensors" in session.words
    assert len(session.view("playback")["recordings"]) == 1


def test_a_film_is_drawn_when_asked_for(
    session: Session, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "render_animation", partial(render_animation, frames=3))
    assert files == {}
    (button,) = (b for b in session.app.button if b.label == "Create animation")
    button.click().run()
    assert list(files) == ["with_snapshots.webp"]
