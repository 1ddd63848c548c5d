from __future__ import annotations

import errno
import json
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vae_explorer.cli import main
from vae_explorer.data import DatasetError, ImageDataset, prepare
from vae_explorer.errors import NotANumberError, RunError, RunUnderWayError
from vae_explorer.runs import reporter
from vae_explorer.runs.lock import LockOwner, hold_lock, lock_owner
from vae_explorer.runs.reporter import CURVE_POINTS, RunReporter, StepTimings, report_run
from vae_explorer.runs.run import REQUEST, Run, list_runs
from vae_explorer.runs.status import RunStatus, classify_failure, find_option
from vae_explorer.training.state import StepMetrics, read_history
from vae_explorer.ui.train.progress import describe_progress

RUN = Run(Path("runs/small"))
SMALL = ["train", "--config", "small.json", "--epochs", "2", "--out", "checkpoints/small"]


@pytest.fixture
def status() -> RunStatus:
    """A training half-way, as its process would write it."""
    return RunStatus(
        name="small", phase="training", arguments=("--out", "x"), out="x", pid=1, epoch=1, epochs=2
    )


def step(number: int, loss: float = 1.0) -> StepMetrics:
    return StepMetrics(number, 1000, *(torch.tensor(x) for x in (loss, loss - 0.5, 0.5)))


# The lock


def test_the_lock_names_who_holds_it_and_keeps_the_next_out(tmp_path: Path) -> None:
    assert lock_owner(tmp_path) is None
    with hold_lock(tmp_path / "first"):
        assert lock_owner(tmp_path) == LockOwner("first", os.getpid())
        refused = pytest.raises(RunUnderWayError, match="The run first is training")
        with refused as caught, hold_lock(tmp_path / "second"):
            pass
        assert caught.value.run == "first"
    assert lock_owner(tmp_path) is None
    with hold_lock(tmp_path / "a"):  # a shorter name than before leaves nothing of it behind
        assert lock_owner(tmp_path) == LockOwner("a", os.getpid())


# Reading


def test_a_status_is_read_as_it_was_written(tmp_path: Path, status: RunStatus) -> None:
    done = replace(status, phase="finished", curve_step=(1, 2), curve_loss=(0.5, float("nan")))
    Run(tmp_path / "small").write_status(done)
    again = Run(tmp_path / "small").read_status()
    assert again is not None
    assert repr(again) == repr(done)
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["status.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"name": 3}', '{"name": "x", "phase": "y"', "\x00"]
)
def test_what_is_no_status_is_not_listed(tmp_path: Path, status: RunStatus, text: str) -> None:
    Run(tmp_path / "good").write_status(replace(status, phase="paused"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "status.json").write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".deleted").mkdir()
    Run(tmp_path / ".deleted").write_status(status)
    assert [run.name for run in list_runs(tmp_path)] == ["good"]


def test_a_status_without_a_process_is_interrupted(tmp_path: Path, status: RunStatus) -> None:
    run = tmp_path / "small"
    Run(run).write_status(status)
    found = Run(run).read_status()
    assert found is not None
    assert (found.phase, found.failure) == ("interrupted", "killed")
    assert "starts over" in found.message
    with hold_lock(run):
        alive = Run(run).read_status()
        assert alive is not None
        assert alive.is_alive
    with hold_lock(tmp_path / "other"):  # another one's life is no proof of this one's
        found = Run(run).read_status()
        assert found is not None
        assert found.phase == "interrupted"


@pytest.mark.parametrize(
    ("exit_", "failure", "message"),
    [
        ({"pid": 1, "code": -9}, "memory", "probably because the machine ran out of memory"),
        ({"pid": 1, "code": 137}, "memory", "probably because the machine ran out of memory"),
        ({"pid": 1, "code": -9, "system_kills": 0}, "memory", "ran out of memory"),  # as it was
        ({"pid": 1, "code": -7}, "killed", "stopped by the signal SIGBUS"),
        ({"pid": 1, "code": -99}, "killed", "stopped by the signal 99"),
        ({"pid": 2, "code": -9}, "killed", "The training process is no longer running"),
        ({"code": -9}, "killed", "The training process is no longer running"),
    ],
)
def test_how_a_process_ended_is_diagnosed_by_its_exit_code(
    tmp_path: Path, status: RunStatus, exit_: dict[str, int], failure: str, message: str
) -> None:
    Run(tmp_path / "small").write_status(status)
    (tmp_path / "small" / "exit.json").write_text(json.dumps(exit_))
    found = Run(tmp_path / "small").read_status()
    assert found is not None
    assert (found.phase, found.failure) == ("interrupted", failure)
    assert message in found.message


def test_the_exit_code_of_a_killed_process_is_kept(tmp_path: Path, status: RunStatus) -> None:
    run = Run(tmp_path / "small")
    run.write_status(status)
    run.write_exit_code(status.pid, -9)
    found = run.read_status()
    assert found is not None
    assert found.message == (
        "The training process was killed, probably because the machine ran out of memory. "
        "No epoch was finished, so training starts over. Restart it with a smaller batch size."
    )


def test_a_status_of_an_earlier_version_is_read(status: RunStatus) -> None:
    values = replace(status, failure="disk", seconds_left=None).to_dict()
    values["fault"] = values.pop("failure")
    values["asked"] = values.pop("requested_action")
    values |= {"seconds_left": -1.0, "system_kills": 3}
    assert RunStatus.from_dict(values) == replace(status, failure="disk")


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--out=a/b", "--x"], "a/b"),
        (["--x", "--out", "a/b"], "a/b"),
        (["--out=a=b"], "a=b"),
        (["--outer=a", "--out"], None),
        ([], None),
    ],
)
def test_an_option_is_found_in_one_word_or_two(arguments: list[str], value: str | None) -> None:
    assert find_option(arguments, "--out") == value


def test_a_full_disk_is_named(
    tmp_path: Path, status: RunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(tmp_path / "small").write_status(status)
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    found = Run(tmp_path / "small").read_status()
    assert found is not None
    assert found.failure == "disk"


# Writing


def test_the_time_left_is_that_of_the_steps_and_of_the_ends_of_epochs() -> None:
    timings = StepTimings(evaluation_steps=3)
    assert timings.seconds_left(steps=10, epochs=1) is None
    timings.end_step(100.0)  # the first one, which includes loading, is not timed
    assert timings.seconds_left(steps=10, epochs=1) is None
    timings.end_step(102.0)
    timings.end_step(104.0)
    assert timings.seconds_left(steps=10, epochs=5) == pytest.approx(10 * 2 + 5 * 3 * 2)
    timings.end_epoch(105.0)
    timings.end_step(107.0)
    assert timings.seconds_left(steps=10, epochs=5) == pytest.approx(10 * 2 + 5 * 1)


def test_the_time_left_is_known_within_five_seconds_of_the_first_steps(
    tmp_path: Path, status: RunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    report = RunReporter(Run(tmp_path / "r"), replace(status, epoch=0, epochs=10))
    for number in range(1, 50):
        report.take_step(step(number))
        if report.status.seconds_left is not None:
            break
        clock[0] += 0.25
    assert clock[0] - 50 <= 5
    assert report.status.seconds_left == pytest.approx(0.25 * (1000 - number))
    assert describe_progress(report.status).endswith("about 4 min left")
    written = Run(tmp_path / "r").read_status()
    assert written is not None
    assert written.seconds_left == report.status.seconds_left


def test_the_curve_is_thinned_and_stays_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "EVERY", 1e-9)
    status = RunStatus(name="r", phase="preparing", arguments=(), out="x")
    report = RunReporter(Run(tmp_path / "r"), status)
    count = 3 * CURVE_POINTS
    for number in range(1, count + 1):
        report.take_step(step(number, loss=float(number)))
    drawn = report.status
    assert CURVE_POINTS / 2 <= len(drawn.curve_step) <= CURVE_POINTS
    assert len(drawn.curve_loss) == len(drawn.curve_kl) == len(drawn.curve_step)
    assert list(drawn.curve_step) == sorted(drawn.curve_step)
    for at, loss in zip(drawn.curve_step, drawn.curve_loss, strict=True):
        assert at - 8 <= loss <= at  # the mean over the last few steps, up to this one
    assert drawn.step == count


def test_the_curve_forgets_what_is_done_again(tmp_path: Path, status: RunStatus) -> None:
    drawn = (1.0, 2.0, 3.0)
    before = replace(
        status,
        curve_step=(10, 20, 30),
        curve_loss=drawn,
        curve_reconstruction=drawn,
        curve_kl=drawn,
    )
    report = RunReporter(Run(tmp_path / "r"), before)
    report.take_step(step(21))
    assert report.status.curve_step == (10, 20)
    assert report.status.curve_kl == (1.0, 2.0)


def test_what_is_no_number_is_not_drawn(tmp_path: Path, status: RunStatus) -> None:
    report = RunReporter(Run(tmp_path / "r"), status)
    report.take_step(step(1))
    for number, loss in ((2, math.nan), (3, math.inf), (4, 5.0)):
        report._marks[-1] = (-math.inf, number)  # long ago: the next is written
        report.take_step(step(number, loss))
    json.dumps(report.status.curve_loss, allow_nan=False)
    assert report.status.curve_step == (4,)


def test_a_status_that_cannot_be_written_ends_no_training(
    tmp_path: Path, status: RunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    report = RunReporter(Run(tmp_path / "r"), status)
    monkeypatch.setattr(Run, "write_status", refuse)
    report.take_step(step(1))
    assert report.status.step == 1


def test_a_silent_report_writes_nothing(tmp_path: Path) -> None:
    run, out = Run(tmp_path / "r"), Path("checkpoints/r")
    with report_run(run, [], out=out, epochs=2, silent=True) as report:
        report.take_step(step(1))
        report.enter("evaluating")
        assert report.requested_action == ""
    assert list(tmp_path.iterdir()) == []


# Through the command line: failures


def train_small(data_root: Path, *options: str) -> int:
    return main([*SMALL, "--root", str(data_root), *options])


def test_a_run_that_went_through_says_so(training_folder: Path, data_root: Path) -> None:
    assert train_small(data_root) == 0
    status = RUN.read_status()
    assert status is not None
    assert (status.phase, status.epoch, status.epochs, status.step) == ("finished", 2, 2, 18)
    assert status.command.startswith("python -m vae_explorer train ")
    assert "--config small.json \\\n  --epochs 2 \\\n  --out checkpoints/small" in status.command
    assert lock_owner(Path("runs")) is None
    assert RUN.read_history() == RUN.load_state().history


def test_nothing_to_learn_from_leaves_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path / "never") == []


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (NotANumberError("x"), "not_a_number"),
        (DatasetError("x"), "data"),
        (RuntimeError("x"), "other"),
    ],
)
def test_failures_are_told_apart_also_behind_others(error: Exception, failure: str) -> None:
    assert classify_failure(error) == failure
    outer = RunError("it was not saved")
    outer.__cause__ = error
    assert classify_failure(outer) == failure


def fill_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let so many states be saved, and none after them."""
    from safetensors.torch import save_file

    left = iter([True] * after)

    def save(tensors: object, path: Path, **options: object) -> None:
        if next(left, False):
            return save_file(tensors, path, **options)
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vae_explorer.training.state.save_file", save)


def test_a_full_disk_costs_no_state(
    training_folder: Path,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        fill_disk(patch, after=1)
        assert train_small(data_root) == 2
    assert (
        "The disk is full. Progress up to epoch 1 is saved. Free some space"
        in capsys.readouterr().err
    )
    status = RUN.read_status()
    assert status is not None
    assert (status.phase, status.failure) == ("failed", "disk")
    assert "Progress up to epoch 1 is saved" in status.message
    assert not list(RUN.path.glob("*.partial"))
    assert len(RUN.load_state().history) == 1
    assert main(["train", "--resume", "--out", "checkpoints/small", "--root", str(data_root)]) == 0
    status = RUN.read_status()
    assert status is not None
    assert (status.phase, status.failure, status.message) == (
        "finished",
        "",
        "Model saved (best epoch: 2).",
    )


def test_a_loss_that_is_no_number_is_told_from_other_failures(
    training_folder: Path, data_root: Path
) -> None:
    assert train_small(data_root, "--lr", "1e6", "--precision", "float32") == 2
    status = RUN.read_status()
    assert status is not None
    assert (status.phase, status.failure) == ("failed", "not_a_number")
    assert "lower learning rate" in status.message


def test_an_error_of_the_program_is_no_kill(
    training_folder: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("vae_explorer.cli.train._epoch_line", fail)
    with pytest.raises(KeyError):
        train_small(data_root)
    status = RUN.read_status()
    assert status is not None
    assert (status.phase, status.failure) == ("failed", "other")
    assert "KeyError" in status.message


def test_data_that_is_gone_is_named_and_the_run_before_stays(
    training_folder: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train_small(data_root) == 0

    def refuse(*_: object, **__: object) -> None:
        raise DatasetError("The pictures are gone.")

    with monkeypatch.context() as patch:
        patch.setattr("vae_explorer.cli.data.prepare", refuse)
        assert train_small(data_root, "--replace") == 2
        status = RUN.read_status()
        assert status is not None
        assert (status.phase, status.failure) == ("finished", "data")
        fresh = [*SMALL[:-1], "checkpoints/fresh"]
        assert main([*fresh, "--root", str(data_root)]) == 2
    status = Run(Path("runs/fresh")).read_status()
    assert status is not None
    assert (status.phase, status.failure, status.message) == (
        "failed",
        "data",
        "The pictures are gone.",
    )
    assert len(RUN.load_state().history) == 2


def test_a_second_training_on_the_command_line_is_refused_too(
    training_folder: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold_lock(Path("runs/first").absolute()):
        assert train_small(data_root) == 2
    assert "The run first is training" in capsys.readouterr().err
    assert list_runs() == []


def test_what_is_asked_for_while_it_begins_is_not_lost(
    training_folder: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare_while_somebody_asks(*given: Any, **options: Any) -> ImageDataset:
        (RUN.path / REQUEST).write_text("pause")
        return prepare(*given, **options)

    monkeypatch.setattr("vae_explorer.cli.data.prepare", prepare_while_somebody_asks)
    assert train_small(data_root) == 130
    status = RUN.read_status()
    assert status is not None
    assert (status.phase, status.epoch) == ("paused", 0)


# Killed between two writings


def test_killed_after_publishing_it_needs_nothing_more(
    training_folder: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_small(data_root) == 0
    finished = RUN.read_status()
    assert finished is not None
    RUN.write_status(replace(finished, phase="evaluating"))
    (RUN.path / "published").unlink()
    card = Path("checkpoints/small/card.json").read_bytes()
    assert main(["train", "--resume", "--out", "checkpoints/small", "--root", str(data_root)]) == 0
    assert "checkpoints/small is already saved" in capsys.readouterr().out
    assert Path("checkpoints/small/card.json").read_bytes() == card
    status = RUN.read_status()
    assert status is not None
    assert status.phase == "finished"


def test_finish_publishes_what_there_is(
    training_folder: Path,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = ["--root", str(data_root)]
    assert main([*SMALL, "--finish", *root]) == 2
    assert "add --resume" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        fill_disk(patch, after=1)
        assert train_small(data_root) == 2
    assert main(["train", "--resume", "--finish", "--out", "checkpoints/small", *root]) == 0
    history = Path("checkpoints/small/history.csv").read_text().splitlines()
    assert len(history) == 2  # the head, and one epoch


def test_a_run_is_deleted_whole_and_never_while_it_trains(
    tmp_path: Path, status: RunStatus
) -> None:
    Run(tmp_path / "small").write_status(status)
    with hold_lock(tmp_path / "small"), pytest.raises(RunUnderWayError):
        Run(tmp_path / "small").delete()
    Run(tmp_path / "small").delete()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
