"""Training of attribute classifiers: step, validation, degradation, and the best epoch's weights.

The loop and its state are those of `trainer.BaseTrainer`, so a training that is stopped at any
step and resumed ends with the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vae_explorer.classifiers.network import (
    IMAGE_CHANNELS,
    AttributeClassifier,
    ClassifierConfig,
    build_classifier,
)
from vae_explorer.config import TrainConfig
from vae_explorer.errors import RunError, TrainingError
from vae_explorer.random_streams import RandomStream, stream
from vae_explorer.training.batches import Rows, in_batches
from vae_explorer.training.state import (
    ClassifierEpoch,
    RunState,
    read_config,
    read_state,
    write_config,
)
from vae_explorer.training.trainer import VALIDATION_BATCH, BaseTrainer

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

WEIGHT_DECAY = 0.01
DEGRADED_SHARE = 0.5  # of the batches
BLUR = (0.2, 1.5)
"""Standard deviation of the blur in pixels, from and to."""
SCALE = (0.35, 1.0)
"""Side of the reduced image, as a share of the image's, from and to."""


class ClassifierTrainer(BaseTrainer[AttributeClassifier, ClassifierEpoch]):
    """The training of an attribute classifier by binary cross-entropy.

    Parameters
    ----------
    classifier_config, config : ClassifierConfig, TrainConfig
    dataset : ImageDataset
        With the classifier's attributes.
    run : Path
        Folder of the state.

    Raises
    ------
    TrainingError
        If the data set has other attributes or images of another shape.
    """

    losses = 1  # cross-entropy
    measures = 2  # cross-entropy and accuracy

    def __init__(
        self,
        classifier_config: ClassifierConfig,
        config: TrainConfig,
        dataset: ImageDataset,
        run: Path,
    ) -> None:
        self.attributes = _matching_attributes(classifier_config, dataset)
        super().__init__(
            build_classifier(classifier_config, config.seed),
            config,
            dataset,
            run,
            image_size=classifier_config.image_size,
            convolutional=True,
            metrics=ClassifierEpoch,
        )

    def create_optimizer(self) -> torch.optim.Optimizer:
        """Create an AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101)."""
        return torch.optim.AdamW(
            self.model.parameters(),
            lr=self.config.learning_rate,
            weight_decay=WEIGHT_DECAY,
            fused=self.device.type != "mps",
        )

    def train_step(self, rows: Rows) -> Tensor:
        """Minimise the cross-entropy on images that are flipped, and in part degraded."""
        images = self.flip_images(self.load_images(rows))  # (n, 3, height, width)
        generator = stream(self.config.seed, RandomStream.DEGRADATION, self.step)
        if generator.random() < DEGRADED_SHARE:
            images = degradation(images, generator)
        images = images.contiguous(memory_format=torch.channels_last)
        with self.forward_precision():
            logits = self.network(images)  # (n, attributes)
        loss = self.processes.weight * (cross_entropy(logits, self._targets(rows)) / len(rows))
        self.update_weights(loss)
        return loss.detach()[None]

    def validation_batches(self) -> Iterator[tuple[Rows, Tensor]]:
        """Yield rows (n,) and targets (n, attributes)."""
        for rows in in_batches(self.validation_rows, VALIDATION_BATCH):
            yield rows, self._targets(rows)

    def validation_step(self, rows: Rows, extra: Tensor) -> Tensor:
        """Return cross-entropy in nats and accuracy, summed over the images."""
        logits = self.ema_model(self.load_images(rows))
        correct = ((logits > 0) == (extra > 0.5)).float().mean(1).sum()
        return torch.stack([cross_entropy(logits, extra), correct])

    def epoch_metrics(self, losses: list[float], measures: list[float]) -> ClassifierEpoch:
        """Name the means: losses in nats per image, accuracy over images and attributes."""
        return ClassifierEpoch(
            epoch=len(self.history) + 1,
            train_loss=losses[0],
            validation_loss=measures[0],
            validation_accuracy=measures[1],
            seconds=self.seconds,
        )

    def best_epoch(self) -> ClassifierEpoch:
        """Return the epoch of the highest validation accuracy."""
        return best_of(self.history)

    def divergence_remedy(self) -> str:
        """Say what to try when the loss is not a number."""
        return "Start over with --restart and another --seed."

    def _targets(self, rows: Rows) -> Tensor:
        """Return the attributes of images as 0 and 1, float32 (n, attributes)."""
        return torch.from_numpy(self.attributes[rows]).to(self.device).float()


def train_classifier(
    classifier_config: ClassifierConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    run: Path,
    *,
    resume: bool = False,
    on_step: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[ClassifierEpoch]:
    """Train an attribute classifier, epoch by epoch.

    Parameters
    ----------
    classifier_config, config : ClassifierConfig, TrainConfig
        What to build and how to train it. What concerns VAEs alone, such as `beta`, is not read.
    dataset : ImageDataset
        With attributes. Its train split is trained on, except for `config.validation_fraction`
        of it, which chooses the best epoch.
    run : Path
        Folder of the state, which is saved after every epoch.
    resume : bool
        Continue from the state in `run`.
    on_step : callable (step, total_steps), optional
        Called after every step.
    should_stop : callable
        Asked after every step; once it is true, the state is saved and the generator ends.

    Yields
    ------
    ClassifierEpoch
        After each epoch, once its state is on disk.

    Raises
    ------
    TrainingError
        If a loss is not a number (the last good state is kept), or the data does not fit.
    RunError
        If there is nothing in `run` to resume from.
    """
    trainer = ClassifierTrainer(classifier_config, config, dataset, run)
    if resume:
        trainer.load_state()

    def report_step(_losses: Tensor) -> None:
        if on_step is not None:
            on_step(trainer.step, trainer.total_steps)

    yield from trainer.train(report_step, should_stop)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy in nats, summed over images and attributes: a scalar.

    Parameters
    ----------
    logits, targets : Tensor, (n, attributes)
        Targets are 0 or 1.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum")


def degradation(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Blur a batch, reduce it and enlarge it again, so that a classifier relies on no fine detail.

    Parameters
    ----------
    images : Tensor, (n, channels, side, side)
        In [0, 1].
    generator : numpy.random.Generator
        Draws the width of the blur and the reduced side, one each for the batch.

    Returns
    -------
    Tensor, (n, channels, side, side)
        In [0, 1].
    """
    side, width = images.shape[-1], generator.uniform(*BLUR)
    reduced = max(1, round(side * generator.uniform(*SCALE)))
    # Blur and both resizings are linear and separable: one matrix for the height and the width.
    positions = torch.arange(side, device=images.device)
    blur = torch.softmax(-((positions[:, None] - positions) ** 2) / (2 * width**2), dim=1)
    small = F.interpolate(blur[None, None], (reduced, side), mode="bilinear", antialias=True)
    matrix = F.interpolate(small, (side, side), mode="bilinear")[0, 0]  # (side, side)
    return matrix @ images @ matrix.T


def best_of(history: Sequence[ClassifierEpoch]) -> ClassifierEpoch:
    """Return the first epoch of the highest validation accuracy; there must be an epoch."""
    return max(history, key=lambda each: each.validation_accuracy)


def load_best(run: Path) -> tuple[AttributeClassifier, list[ClassifierEpoch]]:
    """Return the EMA weights after a run's best epoch, in eval mode, and all its epochs.

    Raises
    ------
    RunError
        If no epoch was finished there, or the state cannot be read.
    """
    classifier_config, _ = load_config(run)
    state = load_state(run)
    if not state.history:
        raise RunError(f"No epoch of {run.name} is finished. Continue with --resume.")
    classifier = build_classifier(classifier_config)
    try:
        classifier.load_state_dict(state.best)
    except RuntimeError as error:
        raise RunError(
            f"The state of the run {run.name} belongs to another classifier ({error}). "
            "Start over with --restart."
        ) from error
    return classifier.eval().requires_grad_(False), state.history


def load_state(run: Path) -> RunState[ClassifierEpoch]:
    """Read the state of a classifier's run, also of earlier versions.

    Raises
    ------
    RunError
        If there is no state in the folder, or it cannot be read.
    """
    return read_state(run, ClassifierEpoch)


def save_config(run: Path, classifier_config: ClassifierConfig, train: TrainConfig) -> None:
    """Write the `config.json` of a classifier's run in one rename."""
    write_config(run, "network", classifier_config, train)


def load_config(run: Path) -> tuple[ClassifierConfig, TrainConfig]:
    """Read the `config.json` of a classifier's run.

    Raises
    ------
    RunError
        If the folder holds no run, or its configuration cannot be read.
    """
    return read_config(run, "network", ClassifierConfig)


def _matching_attributes(classifier_config: ClassifierConfig, dataset: ImageDataset) -> np.ndarray:
    """Return the attributes (images, attributes), if data set and classifier fit together."""
    if dataset.attributes is None or dataset.attribute_names != classifier_config.attributes:
        raise TrainingError(
            f"The attributes of {dataset.name} must be the classifier's, in the same order; found "
            f"{_first(dataset.attribute_names)} where the classifier has "
            f"{_first(classifier_config.attributes)}."
        )
    shape = (IMAGE_CHANNELS, classifier_config.image_size, classifier_config.image_size)
    if dataset.images.shape[1:] != shape:
        wanted, found = ("x".join(map(str, each)) for each in (shape, dataset.images.shape[1:]))
        raise TrainingError(
            f"The classifier takes images of {wanted}; those of {dataset.name} are {found}."
        )
    return dataset.attributes


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + f" ... ({len(names)})" if names else "none"
