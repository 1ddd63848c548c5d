"""Status of a training run, its command line as text, and the classification of failures.

`vae_explorer.runs.run` reads and writes it, and checks it against the lock.
"""

from __future__ import annotations

import errno
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from safetensors import SafetensorError

from vae_explorer.config import Config, JsonValue
from vae_explorer.data import DatasetError
from vae_explorer.errors import (
    CheckpointError,
    ConfigError,
    NotANumberError,
    RunError,
    TrainingError,
)
from vae_explorer.installation import shell_command

Phase = Literal[
    "preparing", "training", "evaluating", "paused", "finished", "failed", "interrupted"
]
Failure = Literal["", "memory", "disk", "not_a_number", "data", "killed", "other"]

_ALIVE: tuple[Phase, ...] = ("preparing", "training", "evaluating")
_RENAMED = {"fault": "failure", "asked": "requested_action"}
_REMOVED = {"system_kills"}
_SIGKILLED = (-9, 137)
"""Exit codes of a process that was ended by SIGKILL, as Python and as a shell report it."""
_FORGOTTEN = {"--out", "--root", "--source", "--title", "--replace"}
"""Options that the folder of a run does not store."""


@dataclass(frozen=True)
class RunStatus(Config):
    """Content of `status.json`."""

    name: str
    """Of the run's folder."""
    phase: Phase
    arguments: tuple[str, ...]
    """Options of the `train` command that started the run."""
    out: str
    """Folder of the checkpoint that the run publishes."""
    pid: int = 0
    """Of the process that wrote this."""
    started: float = 0.0
    """When the run started; seconds since 1970, like `updated`."""
    updated: float = 0.0
    step: int = 0
    """Steps done, of `total_steps`."""
    total_steps: int = 0
    epoch: int = 0
    """Epochs done, of at most `epochs`."""
    epochs: int = 0
    images_per_second: float = 0.0
    """Mean over about the last half minute; 0 while unknown."""
    seconds_left: float | None = None
    """Estimated time until the last epoch is over; None while unknown."""
    begun: bool = False
    """Whether the other files in the folder belong to this run, not to one before it."""
    failure: Failure = ""
    """Why the run ended early; empty if it did not."""
    message: str = ""
    """The failure or the result, in a sentence."""
    curve_step: tuple[int, ...] = ()
    """Steps at which the curves below have a point."""
    curve_loss: tuple[float, ...] = ()
    """Mean over the batches since the previous point, in nats per image, like the next two."""
    curve_reconstruction: tuple[float, ...] = ()
    curve_kl: tuple[float, ...] = ()
    requested_action: str = ""
    """"pause", "stop" or empty: requested and not yet done. Set only when read from a run."""

    def __post_init__(self) -> None:
        for name in ("name", "out", "message"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} must be text.")
        self.check_minimum(0, "step", "total_steps", "epoch", "epochs", "pid")

    @classmethod
    def from_dict(cls, values: Mapping[str, JsonValue]) -> Self:
        """Build a status from `to_dict`'s output, also from that of earlier versions.

        Raises
        ------
        ConfigError
            As `Config.from_dict` does.
        """
        known = {_RENAMED.get(k, k): v for k, v in values.items() if k not in _REMOVED}
        if known.get("seconds_left") == -1:
            known["seconds_left"] = None
        return super().from_dict(known)

    @property
    def is_alive(self) -> bool:
        """Whether the run's process is alive."""
        return self.phase in _ALIVE

    @property
    def command(self) -> str:
        """The command line that started the run."""
        return command_line(self.arguments)

    @property
    def resume_arguments(self) -> list[str]:
        """The options of `train` that must be repeated to resume the run."""
        return resume_arguments(self.arguments)


# The command line of a run, as text


def command_line(arguments: Sequence[str]) -> str:
    """Return the shell command that trains with these options, one option a line."""
    lines = [shell_command("train", complete=True)]
    for word in arguments:
        option, _, value = word.partition("=")
        if not word.startswith("--"):
            lines[-1] += f" {_quote(word)}"
        elif value and not value.startswith("-"):
            lines.append(f"  {option} {_quote(value)}")
        else:
            lines.append(f"  {_quote(word)}")
    return " \\\n".join(lines)


def _quote(word: str) -> str:
    """Quote a word for a shell; in double quotes where a title has an apostrophe."""
    if "'" in word and not set('"$`\\!') & set(word):
        return f'"{word}"'
    return shlex.quote(word)


def resume_arguments(arguments: Sequence[str]) -> list[str]:
    """Return those options, written as ``--option=value``, that a resumed run needs again."""
    return [argument for argument in arguments if argument.partition("=")[0] in _FORGOTTEN]


def find_option(arguments: Sequence[str], option: str) -> str | None:
    """Return the value of an option, given as one word or as two; None where it is not given."""
    for index, word in enumerate(arguments):
        name, joined, value = word.partition("=")
        if name == option:
            return value if joined else next(iter(arguments[index + 1 :]), None)
    return None


# Failures


def classify_failure(error: BaseException) -> Failure:
    """Classify what ended a training, by the error and those that caused it."""
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


def describe_failure(error: BaseException, progress_kept: str) -> str:
    """Describe what ended a training, what is saved of it, and what helps.

    Parameters
    ----------
    error : BaseException
    progress_kept : str
        As `Run.describe_progress_kept` gives it.
    """
    failure = classify_failure(error)
    if failure == "memory":
        return (
            f"There was not enough memory for a training step. {progress_kept} Close other "
            "programs and resume, or restart with a smaller batch size."
        )
    if failure == "disk":
        return f"The disk is full. {progress_kept} Free some space, then resume."
    if isinstance(error, CheckpointError | ConfigError | DatasetError | RunError | TrainingError):
        return str(error)
    return (
        f"The training ended with an unexpected error, {type(error).__name__}: {error}. "
        f"{progress_kept}"
    )


def diagnose_exit(
    code: int | None, *, disk_is_full: bool, can_resume: bool, progress_kept: str
) -> tuple[Failure, str]:
    """Classify and describe the end of a process that reported no error.

    Parameters
    ----------
    code : int or None
        Exit code, as `subprocess` has it; None where nobody waited for the process.
    disk_is_full, can_resume : bool
    progress_kept : str
        As `Run.describe_progress_kept` gives it.
    """
    if code in _SIGKILLED:
        advice = "Resume it, or restart it" if can_resume else "Restart it"
        return "memory", (
            "The training process was killed, probably because the machine ran out of memory. "
            f"{progress_kept} {advice} with a smaller batch size."
        )
    if code is not None and code < 0:
        name = _signal_name(-code)
        return "killed", f"The training process was stopped by the signal {name}. {progress_kept}"
    if disk_is_full:
        return "disk", (
            f"The training process ended, and the disk is full. {progress_kept} "
            "Free some space before you resume."
        )
    return "killed", (
        "The training process is no longer running: it was killed, or the machine was shut down. "
        f"{progress_kept}"
    )


def is_killed(code: int) -> bool:
    """Whether an exit code is that of a process ended by a signal, so that it reported nothing."""
    return code < 0 or code in _SIGKILLED


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
