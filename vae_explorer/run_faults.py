"""What ends a training before its time, told by the error, and said in a sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import torch
from safetensors import SafetensorError

from vae_explorer.config import ConfigError
from vae_explorer.data import DatasetError
from vae_explorer.errors import CheckpointError, NotANumberError, RunError, TrainingError
from vae_explorer.run_status import Fault, keeps


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
