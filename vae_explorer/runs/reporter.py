"""A training says how it goes: it holds the lock, and writes its status to the end."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from vae_explorer.config import TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.errors import TrainingError
from vae_explorer.runs.arguments import list_arguments
from vae_explorer.runs.lock import hold_lock
from vae_explorer.runs.status import (
    REQUEST,
    Fault,
    Phase,
    RunStatus,
    count_system_kills,
    describe_fault,
    find_fault,
    keeps,
    read_request,
    read_status,
    write_status,
)
from vae_explorer.training.batches import split_rows
from vae_explorer.training.state import EpochMetrics, StepMetrics, read_history

EVERY = 1.0  # seconds between two writings
WINDOW = 30  # writings over which the speed is taken
CURVE_POINTS = 400
FORWARD_SHARE = 1 / 3
"""Share of a training step's time that a forward pass takes; the backward pass takes the rest."""


class StepTimings:
    """Measures how long steps and the ends of epochs take, to estimate the time left.

    Parameters
    ----------
    evaluation_steps : float
        Expected duration of an epoch's end, such as the validation, in units of a step. It is
        used until the first epoch has ended.
    """

    def __init__(self, evaluation_steps: float = 0.0) -> None:
        self._evaluation_steps = evaluation_steps
        self._latest: float | None = None
        self._step_seconds, self._steps = 0.0, 0
        self._epoch_end_seconds: float | None = None

    def end_step(self, now: float) -> None:
        """Note the end of a step; the first one, which includes loading, is not timed."""
        if self._latest is not None:
            self._step_seconds += now - self._latest
            self._steps += 1
        self._latest = now

    def end_epoch(self, now: float) -> None:
        """Note that an epoch was validated and saved."""
        if self._latest is not None:
            self._epoch_end_seconds = now - self._latest
        self._latest = now

    def seconds_left(self, steps: int, epochs: int) -> float | None:
        """Estimate the duration of so many steps and ends of epochs; None before the second step.

        The evaluation after the last epoch is not included.
        """
        if not self._steps:
            return None
        step = self._step_seconds / self._steps
        epoch_end = self._epoch_end_seconds
        if epoch_end is None:
            epoch_end = self._evaluation_steps * step
        return steps * step + epochs * epoch_end


class RunReport:
    """The status of a run under way, written about once a second.

    Parameters
    ----------
    run : Path
        Its folder.
    status : RunStatus
        What is known before the first step.
    before : RunStatus, optional
        Of a run in the same folder that this one replaces, once its data are prepared.
    silent : bool
        Of a process that is not the main one: writes and asks nothing.
    """

    def __init__(
        self,
        run: Path,
        status: RunStatus,
        *,
        before: RunStatus | None = None,
        silent: bool = False,
    ) -> None:
        self.run, self.status, self.silent = run, status, silent
        self._before = before
        self._batch_size = 0
        self._sums, self._summed = torch.zeros(3), 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self._timings = StepTimings()

    @property
    def asked(self) -> str:
        """What the run is asked for: "pause", "stop" or nothing."""
        return "" if self.silent else read_request(self.run)

    def enter(self, phase: Phase, message: str = "") -> None:
        """Begin or end a part of the work; what was asked for is done with it."""
        if not self.silent:
            (self.run / REQUEST).unlink(missing_ok=True)
        self._write(phase=phase, message=message)

    def check(self) -> None:
        """End the preparations at once if the run is asked to end; nothing of it is lost.

        Raises
        ------
        KeyboardInterrupt
            As Ctrl-C would.
        """
        if self.asked:
            raise KeyboardInterrupt

    def begin(self, dataset: ImageDataset, config: TrainConfig) -> None:
        """Say that what lies in the folder is of this run from now on."""
        rows, validation_rows = split_rows(dataset, config)
        self._batch_size = min(config.batch_size, len(rows))
        evaluated = len(validation_rows)
        if config.keep_epochs:
            evaluated += len(dataset.rows("test")) or len(dataset.rows("val"))
        self._timings = StepTimings(evaluated / self._batch_size * FORWARD_SHARE)
        if not self.silent:
            self._write(begun=True, epoch=len(read_history(self.run)))

    def pause(self) -> None:
        """Say that the state is saved; with a word for who asked for more than there is."""
        unfinished = self.asked == "stop"
        self.enter("paused", "No epoch is finished yet: nothing to publish." if unfinished else "")

    def take_step(self, metrics: StepMetrics) -> None:
        """Note a step; once in a while, write where the training stands."""
        now = time.monotonic()
        if not self._marks:
            self._marks.append((now, metrics.step))
            self._forget_after(metrics.step)
            self._write(phase="training")
        self._timings.end_step(now)
        self.status = replace(self.status, step=metrics.step, total_steps=metrics.total_steps)
        parts = torch.stack([metrics.loss, metrics.reconstruction, metrics.kl])
        self._sums, self._summed = self._sums.to(parts.device) + parts, self._summed + 1
        if self.silent or now - self._marks[-1][0] < EVERY:
            return
        self._marks.append((now, metrics.step))
        since, past = self._marks[0]
        self._add_point(metrics.step)
        self._write(
            images_per_second=self._batch_size * (metrics.step - past) / (now - since),
            seconds_left=self._timings.seconds_left(
                steps=metrics.total_steps - metrics.step,
                epochs=self.status.epochs - self.status.epoch,
            ),
        )

    def take_epoch(self, metrics: EpochMetrics) -> None:
        """Note that an epoch is on disk."""
        self._timings.end_epoch(time.monotonic())
        self._write(epoch=metrics.epoch)

    def _add_point(self, step: int) -> None:
        means = (self._sums / self._summed).tolist()
        self._sums, self._summed = torch.zeros(3), 0
        if not np.isfinite(means).all():  # the training will say so; JSON cannot
            return
        steps = np.append(self.status.curve_step, step)
        drawn = (self.status.curve_loss, self.status.curve_reconstruction, self.status.curve_kl)
        curves = np.column_stack([np.array(drawn), means])
        if len(steps) > CURVE_POINTS:  # half as many, each of twice as many batches
            steps = steps[: len(steps) // 2 * 2].reshape(-1, 2)[:, 1]
            curves = curves[:, : 2 * len(steps)].reshape(3, -1, 2).mean(axis=2)
        self._draw(steps, curves)

    def _forget_after(self, step: int) -> None:
        """Cut off the curve what is done again, after a kill."""
        steps = np.array(self.status.curve_step, dtype=np.int64)
        drawn = (self.status.curve_loss, self.status.curve_reconstruction, self.status.curve_kl)
        self._draw(steps[steps < step], np.array(drawn)[:, steps < step])

    def _draw(self, steps: np.ndarray, curves: np.ndarray) -> None:
        loss, reconstruction, kl = (tuple(curve) for curve in curves.tolist())
        self.status = replace(
            self.status,
            curve_step=tuple(steps.astype(int).tolist()),
            curve_loss=loss,
            curve_reconstruction=reconstruction,
            curve_kl=kl,
        )

    def _write(self, **changes: object) -> None:
        self.status = replace(self.status, updated=time.time(), **changes)  # type: ignore[arg-type]
        if not self.silent:
            with suppress(OSError):  # a full disk: the next state's saving will tell
                write_status(self.run, self.status)

    def fail(self, error: BaseException) -> str:
        """Write what ended the run, and return it as a sentence."""
        message = describe_fault(error, self.run)
        self.end("failed", find_fault(error), message)
        return message

    def end(self, phase: Phase, fault: Fault, message: str) -> None:
        """Write how the run ended before its time."""
        self.status = replace(self.status, phase=phase, fault=fault, message=message)
        if self._before is not None and not self.status.begun:  # what was there is still there
            self.status = replace(self._before, fault=fault, message=message)
        self._write()


@contextmanager
def report_run(
    run: Path, args: argparse.Namespace, *, epochs: int, silent: bool = False
) -> Iterator[RunReport]:
    """Hold the lock and report, for the length of a training.

    Parameters
    ----------
    run : Path
        The run's folder.
    args : argparse.Namespace
        Of the command `train`.
    epochs : int
        That it goes on for, at most.
    silent : bool
        Of a process that is not the main one: it holds and writes nothing.

    Raises
    ------
    RunUnderWayError
        If another training runs.
    TrainingError
        For what ends a training without being an error of this package: no memory, a full disk.
    """
    before = None if silent else read_status(run)
    with nullcontext() if silent else hold_lock(run):
        first = _first_status(run, args, before if "resume" in vars(args) else None)
        report = RunReport(run, replace(first, epochs=epochs), before=before, silent=silent)
        report.enter("preparing")
        try:
            yield report
        except KeyboardInterrupt:
            report.end("paused", "", f"It was ended at once. {keeps(run)}")
            raise
        except (MemoryError, OSError, RuntimeError, SafetensorError) as error:
            message = report.fail(error)
            if find_fault(error) in ("memory", "disk"):
                raise TrainingError(message) from error
            raise
        finally:
            fault = sys.exception()
            if fault is not None and report.status.is_live:  # of the program
                report.fail(fault)
            if not silent:
                (run / REQUEST).unlink(missing_ok=True)


def _first_status(run: Path, args: argparse.Namespace, resumed: RunStatus | None) -> RunStatus:
    fresh = RunStatus(
        name=run.name,
        phase="preparing",
        arguments=list_arguments(args),
        out=str(args.out),
        pid=os.getpid(),
        started=time.time(),
        system_kills=count_system_kills(),
    )
    if resumed is None:
        return fresh
    return replace(
        resumed,
        phase="preparing",
        out=fresh.out,
        pid=fresh.pid,
        system_kills=fresh.system_kills,
        fault="",
        message="",
        asked="",
        images_per_second=0.0,
        seconds_left=None,
    )
