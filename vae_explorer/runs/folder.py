"""The folder of a run between two trainings: made room in, closed, deleted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.checkpoints.storage import has_card
from vae_explorer.errors import CheckpointError, RunError, RunUnderWayError
from vae_explorer.runs.lock import find_holder
from vae_explorer.runs.status import LOG, REQUEST, STATE, STATUS, read_status, write_status
from vae_explorer.training.state import read_history
from vae_explorer.workspace import remove_folder

PUBLISHED = "published"
"""An empty file in the folder of a run whose best epoch is a checkpoint."""


def refuse_unfinished(run: Path, *, restart: bool) -> None:
    """Let a run that is not finished be thrown away only where that is asked for.

    Raises
    ------
    RunError
        If there is such a run, and `restart` is False.
    """
    if (run / STATE).exists() and not (restart or (run / PUBLISHED).exists()):
        raise RunError(
            f"The run {run.name} is under way in {run}. Go on with --resume, "
            "or throw it away with --restart."
        )


def clear_run(run: Path, *, restart: bool) -> None:
    """Make room for a new run; its log and its status, which have just begun, stay.

    So does what it was asked for since then.

    Raises
    ------
    RunError
        As `refuse_unfinished` does.
    """
    refuse_unfinished(run, restart=restart)
    (run / STATE).unlink(missing_ok=True)  # first: without it, the rest is no run
    for path in run.iterdir() if run.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (LOG, REQUEST, STATUS):
            path.unlink()


def close_published(run: Path, out: Path) -> bool:
    """Note that a run is finished which was killed between publishing and saying so.

    Returns
    -------
    bool
        Whether `out` holds what this run gave, and nothing had said so.
    """
    status = read_status(run)
    if status is None or status.phase == "finished" or not has_card(out):
        return False
    losses = [metrics.validation_loss for metrics in read_history(run)]
    try:
        published = load_checkpoint(out).history["validation_loss"].tolist()
    except (CheckpointError, KeyError):
        return False
    if not losses or losses != published:
        return False
    (run / PUBLISHED).touch()
    write_status(run, replace(status, phase="finished", fault="", message="It was published."))
    return True


def delete_run(run: Path) -> None:
    """Delete a run's folder; what it published stays.

    Raises
    ------
    RunUnderWayError
        If it is training.
    """
    holder = find_holder(run.parent)
    if holder is not None and holder.run == run.name:
        raise RunUnderWayError(holder.run, holder.pid)
    remove_folder(run)
