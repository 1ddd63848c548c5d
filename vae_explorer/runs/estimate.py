"""How long a training will take, from a few measured steps of that very model on this machine.

`measure` runs in a process of its own, as the training will:
``python -m vae_explorer.runs.estimate``
takes the two configurations as JSON, and writes what it measured. `estimate` then
counts: how many steps, epochs and pictures there are changes nothing about what was measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.device import keep_freed_memory
from vae_explorer.encodings import encode_dataset
from vae_explorer.errors import MeasuringError
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.latent.prior import CHOOSING_ROWS, COMPONENTS, ROWS, ROWS_PER_COLUMN, fit_prior
from vae_explorer.latent.statistics import TSNE_ROWS, embed
from vae_explorer.models import build_model, count_parameters
from vae_explorer.training.trainer import BATCH_NORM_IMAGES, VaeTrainer

WARM_STEPS = 3  # the first ones build what the others find built
MOST_STEPS = 12
LONGEST = 2.0  # seconds of steps; then enough of them were seen
_JUDGED = 256  # made pictures that are judged and evaluated
_PRIOR_ROWS = 2_500
_EMBEDDED = 300


@dataclass(frozen=True)
class Pace:
    """What was measured, in seconds."""

    start: float
    """From the process's beginning to its first step."""
    step: float
    """One of a full batch."""
    judged: float
    """A picture of those that are passed through the model at the end of an epoch."""
    encoded: float
    """A picture that is encoded once training is done."""
    evaluated: float
    """A held-out picture, by all metrics."""
    prior: float
    """The fitted prior, for one unit of `fitting_work`."""
    embedded: float
    """t-SNE, for one row; next to nothing where z has two dimensions."""


@dataclass(frozen=True)
class Estimate:
    """What a training is, in numbers that are known before it starts."""

    images: int
    """That are learnt from."""
    encoder_parameters: int
    decoder_parameters: int
    seconds_per_epoch: float
    evaluation_seconds: float
    """After the last epoch: the numbers of the card, the fitted prior, t-SNE."""
    seconds: float
    """All in all, from the command to the published model; without a download."""


def count_model(model: ModelConfig) -> tuple[int, int]:
    """Return the numbers of parameters of a model's encoder and decoder."""
    built = build_model(model)
    return count_parameters(built.encoder), count_parameters(built.decoder)


def estimate(
    model: ModelConfig, config: TrainConfig, counts: Mapping[str, int], pace: Pace
) -> Estimate:
    """Say how long a training takes.

    Parameters
    ----------
    model, config : ModelConfig, TrainConfig
        The training; all its epochs are counted, whether or not it may stop early.
    counts : mapping of str to int
        Pictures of each split.
    pace : Pace
        What `measure` gave for that model, batch size and losses.
    """
    train = counts.get("train", 0)
    held_out = counts.get("test") or counts.get("val", 0)
    validated = round(train * config.validation_fraction)
    images = train - validated
    steps = max(1, images // min(config.batch_size, images)) if images else 0
    judged = validated + held_out * config.keep_epochs
    judged += min(BATCH_NORM_IMAGES, images) if model.normalization == "batch" else 0
    seconds_per_epoch = steps * pace.step + judged * pace.judged
    sides = 2 if config.mirror else 1
    evaluation = (
        sides * train * pace.encoded
        + held_out * pace.evaluated
        + fitting_work(train, model.latent_dim) * pace.prior
        + min(TSNE_ROWS, held_out) * pace.embedded
    )
    encoder, decoder = count_model(model)
    return Estimate(
        images=images,
        encoder_parameters=encoder,
        decoder_parameters=decoder,
        seconds_per_epoch=seconds_per_epoch,
        evaluation_seconds=evaluation,
        seconds=pace.start + config.epochs * seconds_per_epoch + evaluation,
    )


def measure(model: ModelConfig, config: TrainConfig, start: float = 0.0) -> Pace:
    """Time a few steps, and what comes after them, on made pictures.

    Parameters
    ----------
    start : float
        Seconds that went by before.

    Raises
    ------
    TrainingError, ConfigError
        If the training itself would raise it.
    """
    began = time.perf_counter()
    learnt = config.batch_size * (WARM_STEPS + MOST_STEPS)
    made = _make_pictures(model, learnt + _JUDGED)
    config = replace(
        config,
        dataset=made.name,
        epochs=1,
        adversarial_start=0.0,
        validation_fraction=_JUDGED / (learnt + _JUDGED),
        start_from="",
    )
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        trainer = VaeTrainer(model, config, made, Path(folder) / "run")
        steps = _time_steps(trainer, start + time.perf_counter() - began)
        trainer.steps_per_epoch = trainer.step  # as if the epoch were over
        epoch_end = _time(trainer.finish_epoch)
    judged = len(trainer.validation_rows) + _JUDGED * config.keep_epochs
    if model.normalization == "batch":
        judged += min(BATCH_NORM_IMAGES, len(trainer.train_rows))
    vae, rows = trainer.ema_model, made.rows("test")
    z = np.random.default_rng(0).standard_normal((_PRIOR_ROWS, model.latent_dim), np.float32)
    return Pace(
        start=steps.start,
        step=steps.step,
        judged=epoch_end / judged,
        encoded=_time(lambda: encode_dataset(vae, made, rows)) / len(rows),
        evaluated=_time(lambda: evaluate(vae, made)) / len(rows),
        prior=_time(lambda: fit_prior(z)) / fitting_work(len(z), model.latent_dim),
        embedded=_time(lambda: embed(z[:_EMBEDDED], 0)) / _EMBEDDED,
    )


def fitting_work(rows: int, latent_dim: int) -> float:
    """Return how much there is to do in `fit_prior`: rows times Gaussians, over all its fits."""
    chosen_by = min(rows, CHOOSING_ROWS)
    most = max(1.0, chosen_by / max(ROWS, ROWS_PER_COLUMN * latent_dim))
    counts = [count for count in COMPONENTS if count <= most]
    straightened = 2 * max(count for count in counts if count <= 10)
    return (sum(counts) + straightened) * chosen_by + counts[-1] * rows


class _Steps(NamedTuple):
    start: float
    step: float


def _time_steps(trainer: VaeTrainer, start: float) -> _Steps:
    """Do steps until enough were seen; return when the first was due, and what one takes."""
    began = time.perf_counter()
    times = []
    for _ in trainer.steps_of_epoch():
        float(trainer.loss_sums[0])  # waits for the device
        times.append(time.perf_counter() - began)
        if len(times) > WARM_STEPS + 1 and times[-1] - times[WARM_STEPS - 1] > LONGEST:
            break
    counted = times[WARM_STEPS - 1 :]
    # The median is what others on the machine, for a moment, change least.
    return _Steps(start + times[WARM_STEPS - 1], float(np.median(np.diff(counted))))


def _make_pictures(model: ModelConfig, train: int) -> ImageDataset:
    """Make pictures of noise to learn from, and some to hold out."""
    count = train + _JUDGED
    shape = (count, *model.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    split = np.array(["train"] * train + ["test"] * _JUDGED)
    name = "folder" if model.image_channels == 3 else "mnist"
    return ImageDataset(name, images, None, (), None, (), split, ())


def _time(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure what the argument names, and write a `Pace` as JSON."""
    asked = json.loads(sys.argv[1])
    model = ModelConfig.from_dict(asked["model"])
    # What importing took is part of a start, too.
    pace = measure(model, TrainConfig.from_dict(asked["train"]), time.process_time())
    print(json.dumps(asdict(pace)))


NICE = 5
"""How far it steps back behind the app: as far as a training does."""
_ROOT = Path(__file__).parents[2]


class Measured(NamedTuple):
    """What a pace depends on."""

    model: ModelConfig
    config: TrainConfig


def what_is_measured(
    model: ModelConfig, config: TrainConfig, counts: Mapping[str, int]
) -> Measured:
    """Return what the pace of a training depends on: without its epochs, seed and the like."""
    usual = TrainConfig(dataset=config.dataset)
    return Measured(
        model,
        replace(
            usual,
            batch_size=max(1, min(config.batch_size, counts.get("train", config.batch_size))),
            mirror=config.mirror,
            clip_norm=config.clip_norm,
            feature_network=config.feature_network,
            feature_weight=config.feature_weight,
            feature_layers=config.feature_layers,
            adversarial_weight=config.adversarial_weight,
            precision=config.precision,
            keep_epochs=config.keep_epochs,
        ),
    )


class Measurer:
    """Measures what is asked for, one after the other, and remembers it. For all sessions."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[Measured, Pace | MeasuringError] = {}
        self._running: tuple[Measured, subprocess.Popen[bytes]] | None = None

    def ask(self, wanted: Measured) -> Pace | None:
        """Return a pace, or None as long as it is being measured; never waits.

        Raises
        ------
        MeasuringError
            If it cannot be measured.
        """
        with self._lock:
            self._collect()
            if wanted not in self._known:
                if self._running is None:
                    self._start(wanted)
                return None
            found = self._known[wanted]
        if isinstance(found, MeasuringError):
            raise found
        return found

    def cancel(self, unwanted: Measured) -> None:
        """Stop measuring that, if it is what is being measured; who still waits asks again."""
        with self._lock:
            if self._running and self._running[0] == unwanted:
                self._running[1].kill()
                self._running[1].communicate()
                self._running = None

    def _start(self, wanted: Measured) -> None:
        asked = {"model": wanted.model.to_dict(), "train": wanted.config.to_dict()}
        process = subprocess.Popen(
            [sys.executable, "-m", "vae_explorer.runs.estimate", json.dumps(asked)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if hasattr(os, "setpriority"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        self._running = (wanted, process)

    def _collect(self) -> None:
        if self._running is None or self._running[1].poll() is None:
            return
        wanted, process = self._running
        self._running = None
        answer, said = process.communicate()
        try:
            self._known[wanted] = Pace(**json.loads(answer))
        except (ValueError, TypeError):
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            reason = last[0] if last else f"it ended with status {process.returncode}"
            self._known[wanted] = MeasuringError(f"The time cannot be measured: {reason}")


if __name__ == "__main__":
    main()
