"""Launcher of training processes: start, resume, pause, stop and delete runs.

A training is the command line's `train` in a process of its own, which outlives the app. The
process itself takes the lock, so of two that are started at the same moment one runs, and the
other is refused with the name of the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psutil

from vae_explorer import workspace
from vae_explorer.errors import LaunchError, RunError, RunUnderWayError
from vae_explorer.installation import APP, IS_INSTALLED, PROGRAM, given_options, program
from vae_explorer.runs.lock import lock_owner
from vae_explorer.runs.run import Run, find_run
from vae_explorer.runs.status import RunStatus, find_option, is_killed
from vae_explorer.workspace import check_name, refuse_when_read_only

START_SECONDS, END_SECONDS = 300, 10
NICE = 5
"""Added to the niceness of a training process, so that the app's pages stay responsive."""


def start_training(arguments: Sequence[str]) -> str:
    """Start the command `train` in a process of its own; return once it has begun.

    Parameters
    ----------
    arguments : sequence of str
        Options of `train`.

    Returns
    -------
    str
        Name of the run.

    Raises
    ------
    RunUnderWayError
        If a training runs already; the message names it.
    LaunchError
        If the command refused; the message is what it said.
    ReadOnlyError
        In a read-only copy.
    """
    refuse_when_read_only("training")
    run = Run.named(_run_name(arguments))
    _refuse_while_another_runs()
    run.path.mkdir(parents=True, exist_ok=True)
    with run.log.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "vae_explorer", *given_options(), "train", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_environment(), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # no Ctrl-C and no closed terminal of the app reaches it
        )
    _lower_priority(process.pid)
    Thread(target=_record_exit, args=(process, run), daemon=True).start()
    _wait_for_start(process, run, log_start)
    return run.name


def resume_training(name: str) -> None:
    """Resume a run from its saved state, or start it over if there is none.

    Raises
    ------
    RunError
        If there is no such run, and as `start_training` does.
    """
    status = _status_of(name)
    if Run.named(name).can_resume:
        start_training([*status.resume_arguments, "--resume"])
    else:
        start_training([*status.arguments, "--restart"])


def restart_training(name: str, *changes: str) -> None:
    """Discard a run's state and start it over, with options that override those it had.

    Raises
    ------
    RunError
        If there is no such run, and as `start_training` does.
    """
    start_training([*_status_of(name).arguments, *changes, "--restart"])


def finish_training(name: str) -> None:
    """Publish the best epoch of a run that is not training.

    Raises as `restart_training` does.
    """
    start_training([*_status_of(name).resume_arguments, "--resume", "--finish"])


def pause_training(name: str) -> None:
    """Request a run to save after the current step and to end; it can be resumed.

    Raises
    ------
    RunError, ReadOnlyError
        If it is not training; in a read-only copy.
    """
    _request(name, "pause")


def stop_training(name: str) -> None:
    """Request a run to end after the current step and to publish its best epoch so far.

    Without a finished epoch it is paused. Raises as `pause_training` does.
    """
    _request(name, "stop")


def delete_training(name: str) -> None:
    """Delete a run's folder; a published checkpoint stays.

    Raises
    ------
    RunError, ReadOnlyError
        If there is no such run, or it is training; in a read-only copy.
    """
    refuse_when_read_only("deleting a run")
    find_run(name).delete()


def _refuse_while_another_runs() -> None:
    """Raise a `RunUnderWayError` if a training runs; wait for one that is about to end."""
    end = time.monotonic() + END_SECONDS
    while owner := lock_owner(workspace.RUNS):
        status = Run.named(owner.run).read_status()
        if status is None or status.is_alive or time.monotonic() > end:
            raise RunUnderWayError(owner.run, owner.pid)
        time.sleep(0.05)


def _request(name: str, action: str) -> None:
    refuse_when_read_only("pausing a training")
    run = find_run(name)
    if run.lock_owner is None:
        raise RunError(f"The run {name} is not training, so there is nothing to stop.")
    run.request_action(action)


def _status_of(name: str) -> RunStatus:
    status = find_run(name).read_status()
    if status is None:
        raise RunError(f"The run {name!r} no longer exists. Choose another one.")
    return status


def _run_name(arguments: Sequence[str]) -> str:
    name = Path(find_option(arguments, "--out") or "").name
    try:
        check_name(name)
    except ValueError as error:
        raise LaunchError(str(error)) from error
    return name


def _environment() -> dict[str, str]:
    """Return what a process needs to import this package, and to name its own command as we do."""
    named = {PROGRAM: program()}
    if IS_INSTALLED:  # among the packages, which are found anyway
        return named
    before = os.environ.get("PYTHONPATH")
    return {**named, "PYTHONPATH": os.pathsep.join([str(APP), before] if before else [str(APP)])}


def _lower_priority(pid: int) -> None:
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            psutil.Process(pid).nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            psutil.Process(pid).nice(min(psutil.Process().nice() + NICE, 19))


def _wait_for_start(process: subprocess.Popen[bytes], run: Run, log_start: int) -> None:
    """Return once the process has written its status; raise its last line of output if it ended."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        ended = process.poll() is not None
        status = run.read_status()
        if (status is not None and status.pid == process.pid) or process.returncode == 0:
            return  # 0 at once: all that was missing was the record that the run is published
        if ended:
            break
        time.sleep(0.05)
    else:
        raise LaunchError(
            f"The training has not started within {START_SECONDS} s because this machine is very "
            "busy. It may still start: check again in a minute."
        )
    with run.log.open("rb") as log:
        log.seek(log_start)
        lines = log.read().decode(errors="replace").strip().splitlines()
    run.remove_if_unused()
    if owner := lock_owner(workspace.RUNS):
        raise RunUnderWayError(owner.run, owner.pid)
    raise LaunchError(
        lines[-1].removeprefix("error: ")
        if lines
        else "The training process ended without a message."
    )


def _record_exit(process: subprocess.Popen[bytes], run: Run) -> None:
    """Wait for the process, and record its exit code if it was killed."""
    code = process.wait()
    if is_killed(code):
        with suppress(OSError):
            run.write_exit_code(process.pid, code)
