"""How a training goes, as its process writes it to `runs/<name>/status.json`, and as it is read.

What is written is the process's word; what is read is checked against the lock that a training
holds while it lives: a status that says "training" with nobody behind it reads "interrupted".
"""

from __future__ import annotations

import errno
import json
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError

from vae_explorer import workspace
from vae_explorer.config import Config
from vae_explorer.data import DatasetError
from vae_explorer.errors import (
    CheckpointError,
    ConfigError,
    NotANumberError,
    RunError,
    TrainingError,
)
from vae_explorer.runs.arguments import command_line
from vae_explorer.runs.lock import find_holder
from vae_explorer.training.state import read_history
from vae_explorer.workspace import atomic_write

STATUS, REQUEST, EXIT, LOG, STATE = (
    "status.json",
    "request",
    "exit.json",
    "log.txt",
    "state.safetensors",
)
LITTLE_SPACE = 64 * 2**20  # bytes

Phase = Literal[
    "preparing", "training", "evaluating", "paused", "finished", "failed", "interrupted"
]
Fault = Literal["", "memory", "disk", "not_a_number", "data", "killed", "other"]
LIVE: tuple[Phase, ...] = ("preparing", "training", "evaluating")


@dataclass(frozen=True)
class RunStatus(Config):
    """Where a run stands."""

    name: str
    """Of its folder."""
    phase: Phase
    arguments: tuple[str, ...]
    """What stood behind `train` on the command line that began it."""
    out: str
    """Folder of the checkpoint that it publishes."""
    pid: int = 0
    """Of the process that wrote this."""
    started: float = 0.0
    """When the run began; seconds since 1970, as is the next."""
    updated: float = 0.0
    step: int = 0
    """Steps done, of `total_steps`."""
    total_steps: int = 0
    epoch: int = 0
    """Epochs done, of at most `epochs`."""
    epochs: int = 0
    images_per_second: float = 0.0
    """Over about the last half minute; 0 while it is not known."""
    seconds_left: float | None = None
    """Estimated time until the last epoch is over; None while it is unknown."""
    begun: bool = False
    """Whether what lies in the folder beside this is of this run, not of one before it."""
    fault: Fault = ""
    """Why it did not go on."""
    message: str = ""
    """The same in a sentence, or what became of it."""
    system_kills: int = -1
    """Processes that the system had ended for lack of memory when this one began; -1: unknown."""
    curve_step: tuple[int, ...] = ()
    """Steps at which the curves below have a point."""
    curve_loss: tuple[float, ...] = ()
    """Mean over the batches since the point before, in nats per image, as are the next two."""
    curve_reconstruction: tuple[float, ...] = ()
    curve_kl: tuple[float, ...] = ()
    asked: str = ""
    """What it was asked for and has not done yet: "pause", "stop" or nothing. Only when read."""

    def __post_init__(self) -> None:
        for name in ("name", "out", "message"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} must be text.")
        self.check_minimum(0, "step", "total_steps", "epoch", "epochs", "pid")

    @property
    def is_live(self) -> bool:
        """Whether its process lives."""
        return self.phase in LIVE

    @property
    def command(self) -> str:
        """The command line that began it."""
        return command_line(self.arguments)


def write_status(run: Path, status: RunStatus) -> None:
    """Write `status.json` in one rename."""
    with atomic_write(run / STATUS) as partial:
        partial.write_text(json.dumps(status.to_dict()), encoding="utf-8")


def read_status(run: Path) -> RunStatus | None:
    """Return where a run stands, or None where no training wrote it."""
    holder = find_holder(run.parent)  # before the file: what ends meanwhile has written its last
    status = _read(run)
    if status is None:
        return None
    if holder is not None and holder.run == run.name:
        if holder.pid != status.pid:  # it has just begun
            status = replace(status, phase="preparing", fault="", message="")
        return replace(status, asked=read_request(run))
    if status.is_live:
        again = find_holder(run.parent)  # unless it began between the two looks
        if again is None or again.run != run.name:
            return _explain_death(run, status)
    return status


def list_runs(root: Path | None = None) -> list[RunStatus]:
    """Return all runs in a folder, by default `RUNS`: running ones first, then the latest first."""
    root = workspace.RUNS if root is None else root
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    found = [read_status(folder) for folder in folders if folder.name[0] != "."]
    runs = [status for status in found if status is not None]
    return sorted(runs, key=lambda status: (not status.is_live, -status.updated))


def find_run(name: str, root: Path | None = None) -> Path:
    """Return a run's folder by name, and never one elsewhere.

    Raises
    ------
    RunError
        If there is none of that name.
    """
    root = workspace.RUNS if root is None else root
    folders = {path.name: path for path in root.iterdir()} if root.is_dir() else {}
    if name not in folders or not (folders[name] / STATUS).is_file():
        raise RunError(f"There is no run {name!r} any more. Choose another one.")
    return folders[name]


def can_resume(run: Path) -> bool:
    """Say whether there is a state to go on from; else the run begins anew."""
    status = _read(run)
    return status is not None and status.begun and (run / STATE).is_file()


def read_request(run: Path) -> str:
    """Return what a run is asked for: "pause", "stop" or nothing."""
    try:
        return (run / REQUEST).read_text(encoding="utf-8")
    except OSError:
        return ""


def count_system_kills() -> int:
    """Return how many processes the system has ended for lack of memory, or -1 if it won't say.

    Those of this container, where it has a count of its own.
    """
    for path in (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")):
        try:
            lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
            return next(int(value) for name, value in lines if name == "oom_kill")
        except (OSError, ValueError, StopIteration):
            continue
    return -1


def keeps(run: Path) -> str:
    """Say in a sentence what of a run is kept."""
    try:
        epochs = len(read_history(run)) if can_resume(run) else 0
    except RunError:
        epochs = 0
    if epochs:
        return f"All up to epoch {epochs} is kept."
    return "No epoch was finished, so it begins anew."


def _read(run: Path) -> RunStatus | None:
    try:
        values = json.loads((run / STATUS).read_text(encoding="utf-8"))
        return replace(RunStatus.from_dict(values), name=run.name)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _explain_death(run: Path, status: RunStatus) -> RunStatus:
    """Say what is known of a process that ended without a word."""
    try:
        left = json.loads((run / EXIT).read_text(encoding="utf-8"))
        known = left["pid"] == status.pid
        code, kills = (int(left["code"]), int(left["system_kills"])) if known else (None, -1)
    except (OSError, ValueError, KeyError, TypeError):
        code, kills = None, -1
    fault: Fault = "killed"
    # Counted at its end, or, where nobody was there to count, now, which may be much later.
    if 0 <= status.system_kills < (count_system_kills() if code is None else kills):
        fault = "memory"
        told = (
            "The system ran out of memory since this run began and ended a process: "
            f"{'perhaps' if code is None else 'most likely'} this one."
        )
    elif code == -9:
        told = "The training was killed (signal 9): by hand, or by a system short of memory."
    elif code is not None and code < 0:
        told = f"The training was ended by the signal {_name_signal(-code)}."
    elif shutil.disk_usage(run).free < LITTLE_SPACE:
        fault, told = "disk", "The training ended without a word, and the disk is full."
    else:
        told = (
            "The training's process is gone: it was killed, or the machine was turned off. "
            "Nothing says more."
        )
    return replace(status, phase="interrupted", fault=fault, message=f"{told} {keeps(run)}")


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def find_fault(error: BaseException) -> Fault:
    """Tell what ended a training, by the error and by those that caused it."""
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause).lower()
        if isinstance(cause, NotANumberError):
            return "not_a_number"
        if isinstance(cause, MemoryError | torch.OutOfMemoryError) or (
            isinstance(cause, RuntimeError)
            and ("not enough memory" in text or "can't allocate memory" in text)
        ):
            return "memory"
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return "disk"
        if isinstance(cause, SafetensorError) and "os error 28" in text:
            return "disk"
        if isinstance(cause, DatasetError):
            return "data"
        cause = cause.__cause__ or cause.__context__
    return "other"


def describe_fault(error: BaseException, run: Path) -> str:
    """Say what ended a training, what is kept of it, and what helps."""
    fault = find_fault(error)
    if fault == "memory":
        return (
            "There was not enough memory for a step. Close what else needs much of it and go on, "
            f"or start again with smaller batches. {keeps(run)}"
        )
    if fault == "disk":
        return f"The disk is full. Free some space, and go on. {keeps(run)}"
    if isinstance(error, CheckpointError | ConfigError | DatasetError | RunError | TrainingError):
        return str(error)
    return f"It ended with {type(error).__name__}, which was not foreseen: {error}. {keeps(run)}"
