"""Trainings as processes of their own, through the command line that a person would use.

They outlive whoever started them. Who may go on is settled by the lock that the process itself
takes, so that of two starts at the same moment one runs and the other is told which.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from vae_explorer import workspace
from vae_explorer.errors import LaunchError, RunError, RunUnderWayError
from vae_explorer.runs.arguments import keep_arguments
from vae_explorer.runs.folder import delete_run
from vae_explorer.runs.lock import find_holder
from vae_explorer.runs.status import (
    EXIT,
    LOG,
    REQUEST,
    STATUS,
    RunStatus,
    can_resume,
    count_system_kills,
    find_run,
    read_status,
)
from vae_explorer.workspace import atomic_write, check_name, refuse_when_read_only

START_SECONDS, END_SECONDS = 300, 10
NICE = 5
"""How far a training steps back behind the app, whose pages are to stay quick."""
_PACKAGE_ROOT = Path(__file__).parents[2]


def start_training(arguments: Sequence[str]) -> str:
    """Start `python -m vae_explorer train ...`; return once it has begun.

    Parameters
    ----------
    arguments : sequence of str
        What a person would type behind `train`.

    Returns
    -------
    str
        The run's name: of its folder in `runs/`.

    Raises
    ------
    RunUnderWayError
        If a training runs already; the message names it.
    LaunchError
        If the command refused; the message is what it said.
    ReadOnlyError
        In a copy that is for looking.
    """
    refuse_when_read_only("training")
    run = workspace.RUNS / _name_of(arguments)
    _refuse_while_another_runs()
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOG).open("ab") as log:
        said = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "vae_explorer", "train", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # no Ctrl-C and no closed terminal of the app reaches it
        )
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            priority = os.getpriority(os.PRIO_PROCESS, 0) + NICE
            os.setpriority(os.PRIO_PROCESS, process.pid, min(priority, 19))
    Thread(target=_note_exit, args=(process, run), daemon=True).start()
    _wait_for(process, run, said)
    return run.name


def resume_training(name: str) -> None:
    """Go on with a run where it stands, or begin it anew if nothing of it was saved.

    Raises
    ------
    RunError
        If there is no such run, and as `start_training` does.
    """
    status = _known(name)
    if can_resume(workspace.RUNS / name):
        start_training([*keep_arguments(status.arguments), "--resume"])
    else:
        start_training([*status.arguments, "--restart"])


def restart_training(name: str, *changes: str) -> None:
    """Throw a run's state away and begin it anew, with options that win over those it had.

    Raises
    ------
    RunError
        If there is no such run, and as `start_training` does.
    """
    start_training([*_known(name).arguments, *changes, "--restart"])


def finish_training(name: str) -> None:
    """Publish the best epoch of a run that does not train.

    Raises as `restart_training` does.
    """
    start_training([*keep_arguments(_known(name).arguments), "--resume", "--finish"])


def pause_training(name: str) -> None:
    """Ask a run to save after the step under way, and to end there; it can be resumed.

    Raises
    ------
    RunError, ReadOnlyError
        If it does not train; in a copy that is for looking.
    """
    _ask(name, "pause")


def stop_training(name: str) -> None:
    """Ask a run to end after the step under way, and to publish its best epoch so far.

    Without a finished epoch it is paused. Raises as `pause_training` does.
    """
    _ask(name, "stop")


def delete_training(name: str) -> None:
    """Delete a run's folder; what it published stays.

    Raises
    ------
    RunError, ReadOnlyError
        If there is no such run, or it is training; in a copy that is for looking.
    """
    refuse_when_read_only("deleting a run")
    delete_run(find_run(name))


def _refuse_while_another_runs() -> None:
    """Raise a `RunUnderWayError` for a training that runs; one at its very end is waited for."""
    end = time.monotonic() + END_SECONDS
    while holder := find_holder(workspace.RUNS):
        status = read_status(workspace.RUNS / holder.run)
        if status is None or status.is_live or time.monotonic() > end:
            raise RunUnderWayError(holder.run, holder.pid)
        time.sleep(0.05)


def _ask(name: str, request: str) -> None:
    refuse_when_read_only("pausing a training")
    run = find_run(name)
    holder = find_holder(workspace.RUNS)
    if holder is None or holder.run != name:
        raise RunError(f"The run {name} is not training, so there is nothing to end.")
    with atomic_write(run / REQUEST) as partial:
        partial.write_text(request, encoding="utf-8")


def _known(name: str) -> RunStatus:
    status = read_status(find_run(name))
    if status is None:
        raise RunError(f"There is no run {name!r} any more. Choose another one.")
    return status


def _name_of(arguments: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path())
    name = parser.parse_known_args(list(arguments))[0].out.name
    try:
        check_name(name)
    except ValueError as error:
        raise LaunchError(str(error)) from error
    return str(name)


def _python_path() -> str:
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(_PACKAGE_ROOT), before] if before else [str(_PACKAGE_ROOT)])


def _wait_for(process: subprocess.Popen[bytes], run: Path, said: int) -> None:
    """Return once the process has written its status; raise with its own words if it ended."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        ended = process.poll() is not None
        status = read_status(run)
        if (status is not None and status.pid == process.pid) or process.returncode == 0:
            return  # at once where all that was missing was the word that it is published
        if ended:
            break
        time.sleep(0.05)
    else:
        raise LaunchError(
            f"It has not begun within {START_SECONDS} s: this machine is very busy. It may still "
            "begin; look again in a minute."
        )
    with (run / LOG).open("rb") as log:
        log.seek(said)
        lines = log.read().decode(errors="replace").strip().splitlines()
    if not (run / STATUS).exists() and {path.name for path in run.iterdir()} <= {LOG, EXIT}:
        with suppress(OSError):  # another start may have begun there
            (run / LOG).unlink(missing_ok=True)
            (run / EXIT).unlink(missing_ok=True)
            run.rmdir()
    if holder := find_holder(workspace.RUNS):
        raise RunUnderWayError(holder.run, holder.pid)
    told = lines[-1].removeprefix("error: ") if lines else "It said nothing."
    raise LaunchError(told)


def _note_exit(process: subprocess.Popen[bytes], run: Path) -> None:
    """Wait for the process, and write how it ended, if it ended without a word."""
    code = process.wait()
    if code < 0:
        with suppress(OSError):
            end = {"pid": process.pid, "code": code, "system_kills": count_system_kills()}
            (run / EXIT).write_text(json.dumps(end), "utf-8")
