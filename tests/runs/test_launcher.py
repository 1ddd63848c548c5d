from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from vae_explorer import workspace
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.cli import main
from vae_explorer.errors import LaunchError, ReadOnlyError, RunError, RunUnderWayError
from vae_explorer.runs import launcher
from vae_explorer.runs.launcher import (
    delete_training,
    finish_training,
    pause_training,
    restart_training,
    resume_training,
    start_training,
    stop_training,
)
from vae_explorer.runs.lock import LockOwner, lock_owner
from vae_explorer.runs.run import Run, list_runs
from vae_explorer.runs.status import RunStatus
from vae_explorer.training.snapshots import list_epochs, read_epochs
from vae_explorer.training.state import load_state, read_history
from vae_explorer.workspace import READ_ONLY

LONG = 4_000  # epochs: more than any test waits for
SECONDS = 120

Arguments = Callable[..., list[str]]


@pytest.fixture
def arguments(training_folder: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Arguments:
    """Return the options of a training on digits, by its name and epochs."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def build(name: str, epochs: int = LONG, *more: str) -> list[str]:
        given = ["--config", "small.json", "--epochs", str(epochs), "--root", str(data_root)]
        return [*given, "--precision", "float32", "--out", f"checkpoints/{name}", *more]

    return build


@pytest.fixture(autouse=True)
def leave_nothing_running(training_folder: Path) -> Iterator[None]:
    yield
    owner = lock_owner(workspace.RUNS)
    if owner is not None and owner.pid:
        with suppress(ProcessLookupError):
            os.kill(owner.pid, signal.SIGKILL)


def status_of(name: str) -> RunStatus:
    status = Run.named(name).read_status()
    assert status is not None
    return status


def wait_for(name: str, is_so: Callable[[RunStatus], bool]) -> RunStatus:
    end = time.monotonic() + SECONDS
    while not is_so(status := status_of(name)):
        assert time.monotonic() < end, status
        time.sleep(0.02)
    return status


def wait_for_end(name: str) -> RunStatus:
    return wait_for(name, lambda status: not status.is_alive)


def test_a_training_lives_on_its_own_and_is_published(arguments: Arguments) -> None:
    assert start_training(arguments("one", 3, "--keep-epochs")) == "one"
    pid = status_of("one").pid
    assert os.getsid(pid) == pid != os.getsid(0)
    status = wait_for_end("one")
    assert (status.phase, status.epoch) == ("finished", 3)
    assert list(list_checkpoints()[0]) == ["one"]
    assert list_epochs(workspace.RUNS / "one") == [1, 2, 3]
    assert read_epochs(workspace.RUNS / "one", latest=True).numbers.tolist() == [3]
    assert "Saved checkpoints/one" in (workspace.RUNS / "one" / "log.txt").read_text()


def test_a_second_start_is_told_which_one_runs(arguments: Arguments) -> None:
    start_training(arguments("one"))
    with pytest.raises(RunUnderWayError, match="The run one is training"):
        start_training(arguments("two"))
    with pytest.raises(RunUnderWayError, match="The run one is training"):
        start_training(arguments("one"))
    with pytest.raises(RunUnderWayError, match="The run one is training"):
        delete_training("one")
    assert [run.name for run in list_runs()] == ["one"]
    assert sorted(path.name for path in workspace.RUNS.iterdir()) == [".lock", "one"]


@pytest.mark.parametrize("names", [("one", "two"), ("same", "same")])
def test_of_two_starts_at_the_same_moment_one_runs(
    arguments: Arguments, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = launcher.lock_owner
    owners = iter([None, None])  # both look before either runs
    monkeypatch.setattr(launcher, "lock_owner", lambda root: next(owners, None) or look(root))

    def start(name: str) -> str | RunUnderWayError:
        try:
            return start_training(arguments(name))
        except RunUnderWayError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(start, names))
    (winner,) = [result for result in results if isinstance(result, str)]
    (refused,) = [result for result in results if isinstance(result, RunUnderWayError)]
    assert refused.run == winner
    assert lock_owner(workspace.RUNS) == LockOwner(winner, status_of(winner).pid)
    assert [run.name for run in list_runs()] == [winner]


def test_what_the_command_refuses_is_said_and_leaves_nothing(arguments: Arguments) -> None:
    with pytest.raises(LaunchError, match=r"no model 'x'\. Available"):
        start_training([*arguments("one")[2:], "--model", "x"])
    with pytest.raises(LaunchError, match="not a valid name"):
        start_training(["--out", "checkpoints/.."])
    assert list_runs() == []
    assert [path.name for path in workspace.RUNS.iterdir()] in ([], [".lock"])


def test_paused_and_resumed_equals_uninterrupted(arguments: Arguments, data_root: Path) -> None:
    start_training(arguments("paused", 20))
    wait_for("paused", lambda status: status.epoch >= 2)
    pause_training("paused")
    status = wait_for_end("paused")
    assert (status.phase, status.requested_action) == ("paused", "")
    assert load_state(workspace.RUNS / "paused").step == status.step
    assert len(read_history(workspace.RUNS / "paused")) < 20
    resume_training("paused")
    assert wait_for_end("paused").phase == "finished"

    assert main(["train", *arguments("through", 20)]) == 0
    weights = [
        Path("checkpoints", name, "model.safetensors").read_bytes()
        for name in ("paused", "through")
    ]
    assert weights[0] == weights[1]
    one, other = (read_history(workspace.RUNS / name) for name in ("paused", "through"))
    assert [replace(e, seconds=0) for e in one] == [replace(e, seconds=0) for e in other]


def test_stopped_it_publishes_the_best_so_far(arguments: Arguments) -> None:
    start_training(arguments("stopped"))
    wait_for("stopped", lambda status: status.epoch >= 2)
    stop_training("stopped")
    status = wait_for_end("stopped")
    assert status.phase == "finished"
    history = read_history(workspace.RUNS / "stopped")
    assert load_checkpoint("stopped").history["epoch"].tolist() == [e.epoch for e in history]
    best = min(history, key=lambda epoch: epoch.validation_loss)
    assert f"Model saved (best epoch: {best.epoch})" in status.message


def test_stopped_before_the_first_epoch_it_says_so_and_can_go_on(arguments: Arguments) -> None:
    start_training(arguments("early", LONG, "--batch-size", "1"))
    stop_training("early")
    status = wait_for_end("early")
    assert status.epoch == 0
    assert status.phase == "paused"
    assert "No epoch" in status.message
    assert not Path("checkpoints/early").exists()
    resume_training("early")
    assert status_of("early").is_alive


@pytest.mark.parametrize("wait", ["at once", "an epoch"])
def test_killed_it_is_named_and_goes_on(arguments: Arguments, wait: str) -> None:
    start_training(arguments("killed"))
    if wait == "an epoch":
        wait_for("killed", lambda status: status.epoch >= 2)
    os.kill(status_of("killed").pid, signal.SIGKILL)
    status = wait_for("killed", lambda status: "ran out of memory" in status.message)
    assert (status.phase, status.failure) == ("interrupted", "memory")
    done = len(read_history(workspace.RUNS / "killed"))
    assert (f"Progress up to epoch {done} is saved" if done else "starts over") in status.message
    assert list_checkpoints() == ({}, {})
    resume_training("killed")
    wait_for("killed", lambda status: status.epoch > done)
    assert [e.epoch for e in read_history(workspace.RUNS / "killed")][: done + 1] == list(
        range(1, done + 2)
    )


def test_the_system_may_ask_it_to_end(arguments: Arguments) -> None:
    start_training(arguments("asked"))
    wait_for("asked", lambda status: status.epoch >= 1)
    os.kill(status_of("asked").pid, signal.SIGTERM)
    assert wait_for_end("asked").phase == "paused"


def test_a_dead_run_is_finished_or_begun_anew(arguments: Arguments) -> None:
    start_training(arguments("one"))
    wait_for("one", lambda status: status.epoch >= 1)
    os.kill(status_of("one").pid, signal.SIGKILL)
    wait_for_end("one")
    restart_training("one", "--lr", "0.001")
    status = wait_for("one", lambda status: status.epoch >= 1)
    assert "--lr=0.001" in status.arguments
    pause_training("one")
    wait_for_end("one")
    finish_training("one")
    assert wait_for_end("one").phase == "finished"
    assert load_checkpoint("one").card.train.learning_rate == 0.001
    delete_training("one")
    assert list_runs() == []
    assert list(list_checkpoints()[0]) == ["one"]


def test_what_does_not_train_cannot_be_paused(training_folder: Path) -> None:
    paused = RunStatus(name="one", phase="paused", arguments=(), out="checkpoints/one")
    Run.named("one").write_status(paused)
    for ask in (pause_training, stop_training):
        with pytest.raises(RunError, match="is not training"):
            ask("one")
        with pytest.raises(RunError, match=r"run '\.\./one' no longer exists"):
            ask("../one")
    assert not (workspace.RUNS / "one" / "request").exists()


def test_a_copy_for_looking_refuses_all(
    training_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run.named("one").write_status(RunStatus(name="one", phase="paused", arguments=(), out="x"))
    before = sorted(workspace.RUNS.rglob("*"))
    monkeypatch.setenv(READ_ONLY, "1")
    with pytest.raises(ReadOnlyError):
        start_training(["--out", "checkpoints/two"])
    for refused in (
        pause_training,
        stop_training,
        resume_training,
        finish_training,
        restart_training,
        delete_training,
    ):
        with pytest.raises(ReadOnlyError):
            refused("one")
    assert sorted(workspace.RUNS.rglob("*")) == before
