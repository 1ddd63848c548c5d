"""Reporter of a training process: it holds the lock and writes the run's status."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from vae_explorer.config import TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.errors import TrainingError
from vae_explorer.runs.lock import hold_lock
from vae_explorer.runs.run import Run
from vae_explorer.runs.status import (
    Failure,
    Phase,
    RunStatus,
    classify_failure,
    describe_failure,
)
from vae_explorer.training.batches import split_rows
from vae_explorer.training.state import EpochMetrics, StepMetrics

EVERY = 1.0  # seconds between two writes
WINDOW = 30  # writes over which the speed is averaged
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


class RunReporter:
    """Writes the status of a run about once a second while it trains.

    Parameters
    ----------
    run : Run
    status : RunStatus
        Status before the first step.
    before : RunStatus, optional
        Status of a run in the same folder that this one replaces, once its data are prepared.
    silent : bool
        Whether this is not the main process, which alone reads and writes files.
    """

    def __init__(
        self,
        run: Run,
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
    def requested_action(self) -> str:
        """What the run is requested to do: "pause", "stop" or an empty string."""
        return "" if self.silent else self.run.requested_action

    def enter(self, phase: Phase, message: str = "") -> None:
        """Enter a phase; a requested action is done with that."""
        if not self.silent:
            self.run.clear_request()
        self._write(phase=phase, message=message)

    def check(self) -> None:
        """Interrupt the preparation if the run is requested to end; nothing is lost.

        Raises
        ------
        KeyboardInterrupt
            As Ctrl-C would.
        """
        if self.requested_action:
            raise KeyboardInterrupt

    def begin(self, dataset: ImageDataset, config: TrainConfig) -> None:
        """Record that the files in the folder belong to this run from now on."""
        rows, validation_rows = split_rows(dataset, config)
        self._batch_size = min(config.batch_size, len(rows))
        evaluated = len(validation_rows)
        if config.keep_epochs:
            evaluated += len(dataset.rows("test")) or len(dataset.rows("val"))
        self._timings = StepTimings(evaluated / self._batch_size * FORWARD_SHARE)
        if not self.silent:
            self._write(begun=True, epoch=len(self.run.read_history()))

    def pause(self) -> None:
        """Record that the state is saved and the process ends."""
        unfinished = self.requested_action == "stop"
        self.enter(
            "paused",
            "No epoch is finished yet, so there is no model to save." if unfinished else "",
        )

    def take_step(self, metrics: StepMetrics) -> None:
        """Record a step; about once a second, write the status."""
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
        """Record that an epoch is saved."""
        self._timings.end_epoch(time.monotonic())
        self._write(epoch=metrics.epoch)

    def _add_point(self, step: int) -> None:
        means = (self._sums / self._summed).tolist()
        self._sums, self._summed = torch.zeros(3), 0
        if not np.isfinite(means).all():  # the training raises soon; JSON has no NaN
            return
        steps = np.append(self.status.curve_step, step)
        drawn = (self.status.curve_loss, self.status.curve_reconstruction, self.status.curve_kl)
        curves = np.column_stack([np.array(drawn), means])
        if len(steps) > CURVE_POINTS:  # half as many, each of twice as many batches
            steps = steps[: len(steps) // 2 * 2].reshape(-1, 2)[:, 1]
            curves = curves[:, : 2 * len(steps)].reshape(3, -1, 2).mean(axis=2)
        self._draw(steps, curves)

    def _forget_after(self, step: int) -> None:
        """Cut the curves at the step that a killed run resumes from."""
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
            with suppress(OSError):  # a full disk: saving the next state raises
                self.run.write_status(self.status)

    def fail(self, error: BaseException) -> str:
        """Record the failure that ended the run, and return its description."""
        message = describe_failure(error, self.run.describe_progress_kept())
        self.end("failed", classify_failure(error), message)
        return message

    def end(self, phase: Phase, failure: Failure, message: str) -> None:
        """Record how the run ended early."""
        self.status = replace(self.status, phase=phase, failure=failure, message=message)
        if self._before is not None and not self.status.begun:  # the run before is still there
            self.status = replace(self._before, failure=failure, message=message)
        self._write()


@contextmanager
def report_run(
    run: Run,
    arguments: Sequence[str],
    *,
    out: Path,
    epochs: int,
    resume: bool = False,
    silent: bool = False,
) -> Iterator[RunReporter]:
    """Hold the lock and report, for the length of a training.

    Parameters
    ----------
    run : Run
    arguments : sequence of str
        Options of the `train` command.
    out : Path
        Folder of the checkpoint to publish.
    epochs : int
        Maximum number of epochs.
    resume : bool
        Whether an earlier training of the run is continued, and its status with it.
    silent : bool
        Whether this is not the main process: it takes no lock and writes nothing.

    Raises
    ------
    RunUnderWayError
        If another training runs.
    TrainingError
        If memory or disk space runs out.
    """
    before = None if silent else run.read_status()
    status = RunStatus(
        name=run.name,
        phase="preparing",
        arguments=tuple(arguments),
        out=str(out),
        pid=os.getpid(),
        started=time.time(),
    )
    if resume and before is not None:
        status = replace(
            before,
            phase="preparing",
            out=status.out,
            pid=status.pid,
            failure="",
            message="",
            requested_action="",
            images_per_second=0.0,
            seconds_left=None,
        )
    with nullcontext() if silent else hold_lock(run.path):
        reporter = RunReporter(run, replace(status, epochs=epochs), before=before, silent=silent)
        reporter.enter("preparing")
        try:
            yield reporter
        except KeyboardInterrupt:
            reporter.end(
                "paused",
                "",
                f"The training was stopped immediately. {run.describe_progress_kept()}",
            )
            raise
        except (MemoryError, OSError, RuntimeError, SafetensorError) as error:
            message = reporter.fail(error)
            if classify_failure(error) in ("memory", "disk"):
                raise TrainingError(message) from error
            raise
        finally:
            unexpected = sys.exception()
            if unexpected is not None and reporter.status.is_alive:  # an error of the program
                reporter.fail(unexpected)
            if not silent:
                run.clear_request()
