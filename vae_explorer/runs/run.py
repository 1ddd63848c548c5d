"""Training runs: the folder `runs/<name>/`, and what can be read from it and done to it.

| file | content |
|---|---|
| `config.json`, `state.safetensors` | see `vae_explorer.training.state` |
| `epochs/` | see `vae_explorer.training.snapshots` |
| `status.json` | `RunStatus`, written by the training process about once a second |
| `request` | "pause" or "stop", written by whoever requests it |
| `exit.json` | exit code of a process that was killed |
| `log.txt` | output of the process, if the app started it |
| `published` | empty; the best epoch was published as a checkpoint |
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from vae_explorer import workspace
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.checkpoints.storage import has_card
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.errors import CheckpointError, RunError, RunUnderWayError
from vae_explorer.runs.lock import LockOwner, lock_owner
from vae_explorer.runs.status import RunStatus, diagnose_exit
from vae_explorer.training.state import (
    EpochMetrics,
    RunState,
    load_config,
    load_state,
    read_history,
    save_config,
)
from vae_explorer.workspace import atomic_write, remove_folder

STATUS, REQUEST, EXIT, LOG, STATE, PUBLISHED = (
    "status.json",
    "request",
    "exit.json",
    "log.txt",
    "state.safetensors",
    "published",
)
LOW_DISK_SPACE = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Run:
    """A training run on disk.

    Reads the folder anew at each call: another process may be training in it.
    """

    path: Path

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the run of this name in `workspace.RUNS`, whether or not it exists."""
        return cls(workspace.RUNS / name)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def log(self) -> Path:
        """File of the process's output."""
        return self.path / LOG

    # Configuration and state

    def load_config(self) -> tuple[ModelConfig, TrainConfig]:
        """Read the configurations; raises as `training.state.load_config` does."""
        return load_config(self.path)

    def save_config(self, model: ModelConfig, train: TrainConfig) -> None:
        """Write the configurations."""
        save_config(self.path, model, train)

    def load_state(self) -> RunState:
        """Read weights, counters and history; raises as `training.state.load_state` does."""
        return load_state(self.path)

    def read_history(self) -> list[EpochMetrics]:
        """Return the saved epochs; raises as `training.state.read_history` does."""
        return read_history(self.path)

    @property
    def can_resume(self) -> bool:
        """Whether there is a saved state to resume from."""
        status = self._read_status_file()
        return status is not None and status.begun and (self.path / STATE).is_file()

    @property
    def is_published(self) -> bool:
        """Whether the best epoch was published as a checkpoint."""
        return (self.path / PUBLISHED).exists()

    def mark_published(self) -> None:
        """Record that the best epoch was published."""
        (self.path / PUBLISHED).touch()

    def describe_progress_kept(self) -> str:
        """Describe in a sentence how much of the run is saved."""
        try:
            epochs = len(self.read_history()) if self.can_resume else 0
        except RunError:
            epochs = 0
        if epochs:
            return f"Progress up to epoch {epochs} is saved."
        return "No epoch was finished, so training starts over."

    # Status, lock and requests

    def read_status(self) -> RunStatus | None:
        """Return the status, checked against the lock; None where no training has written one.

        A status that says "training" without a living process is returned as "interrupted".
        """
        owner = self.lock_owner  # before the file: a process that ends now has written its last
        status = self._read_status_file()
        if status is None:
            return None
        if owner is not None:
            if owner.pid != status.pid:  # it has just begun
                status = replace(status, phase="preparing", failure="", message="")
            return replace(status, requested_action=self.requested_action)
        if status.is_alive and self.lock_owner is None:  # nor did it begin between the two looks
            failure, message = diagnose_exit(
                self._read_exit_code(status.pid),
                disk_is_full=shutil.disk_usage(self.path).free < LOW_DISK_SPACE,
                can_resume=self.can_resume,
                progress_kept=self.describe_progress_kept(),
            )
            return replace(status, phase="interrupted", failure=failure, message=message)
        return status

    def write_status(self, status: RunStatus) -> None:
        """Write the status in one rename."""
        with atomic_write(self.path / STATUS) as partial:
            partial.write_text(json.dumps(status.to_dict()), encoding="utf-8")

    @property
    def lock_owner(self) -> LockOwner | None:
        """The process that trains this run now; None if there is none."""
        owner = lock_owner(self.path.parent)
        return owner if owner is not None and owner.run == self.name else None

    @property
    def requested_action(self) -> str:
        """What the run is requested to do: "pause", "stop" or an empty string."""
        try:
            return (self.path / REQUEST).read_text(encoding="utf-8")
        except OSError:
            return ""

    def request_action(self, action: str) -> None:
        """Request that the training process saves and ends: "pause", or publishes too: "stop"."""
        with atomic_write(self.path / REQUEST) as partial:
            partial.write_text(action, encoding="utf-8")

    def clear_request(self) -> None:
        """Withdraw the requested action, or note that it is done."""
        (self.path / REQUEST).unlink(missing_ok=True)

    def write_exit_code(self, pid: int, code: int) -> None:
        """Record how a process ended that was killed."""
        (self.path / EXIT).write_text(json.dumps({"pid": pid, "code": code}), encoding="utf-8")

    def _read_exit_code(self, pid: int) -> int | None:
        try:
            exit_ = json.loads((self.path / EXIT).read_text(encoding="utf-8"))
            return int(exit_["code"]) if exit_["pid"] == pid else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _read_status_file(self) -> RunStatus | None:
        try:
            values = json.loads((self.path / STATUS).read_text(encoding="utf-8"))
            return replace(RunStatus.from_dict(values), name=self.name)
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    # Changes to the folder

    def ensure_replaceable(self, *, restart: bool) -> None:
        """Refuse to replace an unfinished run, unless it is to be restarted.

        Raises
        ------
        RunError
            If there is an unfinished run, and `restart` is False.
        """
        if (self.path / STATE).exists() and not (restart or self.is_published):
            raise RunError(
                f"The run {self.name} is unfinished, in {self.path}. Continue it with "
                "--resume, or discard it with --restart."
            )

    def clear(self, *, restart: bool) -> None:
        """Delete what an earlier run left, except log, status and request.

        Those three belong to the new run, which has begun.

        Raises
        ------
        RunError
            As `ensure_replaceable` does.
        """
        self.ensure_replaceable(restart=restart)
        (self.path / STATE).unlink(missing_ok=True)  # first: without it, the rest is no run
        for path in self.path.iterdir() if self.path.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (LOG, REQUEST, STATUS):
                path.unlink()

    def reconcile_published(self, out: Path) -> bool:
        """Finish a run that was killed between publishing and recording that.

        Returns
        -------
        bool
            Whether `out` holds this run's checkpoint, and the run had not recorded it.
        """
        status = self.read_status()
        if status is None or status.phase == "finished" or not has_card(out):
            return False
        losses = [metrics.validation_loss for metrics in self.read_history()]
        try:
            published = load_checkpoint(out).history["validation_loss"].tolist()
        except (CheckpointError, KeyError):
            return False
        if not losses or losses != published:
            return False
        self.mark_published()
        self.write_status(replace(status, phase="finished", failure="", message="Model saved."))
        return True

    def delete(self) -> None:
        """Delete the folder; a published checkpoint stays.

        Raises
        ------
        RunUnderWayError
            If the run is training.
        """
        if owner := self.lock_owner:
            raise RunUnderWayError(owner.run, owner.pid)
        remove_folder(self.path)

    def remove_if_unused(self) -> None:
        """Delete the folder if no training has begun in it."""
        if not (self.path / STATUS).exists() and {p.name for p in self.path.iterdir()} <= {
            LOG,
            EXIT,
        }:
            with suppress(OSError):  # another process may have begun there
                self.log.unlink(missing_ok=True)
                (self.path / EXIT).unlink(missing_ok=True)
                self.path.rmdir()


def list_runs(root: Path | None = None) -> list[RunStatus]:
    """Return the statuses of all runs in a folder: those training first, then the latest first.

    Parameters
    ----------
    root : Path, optional
        `workspace.RUNS` by default.
    """
    root = workspace.RUNS if root is None else root
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    found = [Run(folder).read_status() for folder in folders if folder.name[0] != "."]
    runs = [status for status in found if status is not None]
    return sorted(runs, key=lambda status: (not status.is_alive, -status.updated))


def find_run(name: str) -> Run:
    """Return an existing run by name, and never a folder elsewhere.

    Raises
    ------
    RunError
        If there is none of that name.
    """
    root = workspace.RUNS
    folders = {path.name: path for path in root.iterdir()} if root.is_dir() else {}
    if name not in folders or not (folders[name] / STATUS).is_file():
        raise RunError(f"The run {name!r} no longer exists. Choose another one.")
    return Run(folders[name])
