"""Training a network of attributes: a generator of epochs; it never prints and never draws.

Each random number is a function of the seed and the step, so a run that is killed and resumed
ends with the same weights, bit for bit, as one that ran through.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from vae_explorer.classifiers.network import (
    IMAGE_CHANNELS,
    AttributeClassifier,
    ClassifierConfig,
    build_classifier,
)
from vae_explorer.config import TrainConfig
from vae_explorer.device import choose_device, prefers_bf16
from vae_explorer.errors import ConfigError, RunError, TrainingError
from vae_explorer.training.batches import mirrored, order_of_epoch, split_rows
from vae_explorer.training.optim import learning_rate, moving_average, read_moments, restore_moments
from vae_explorer.workspace import atomic_write

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

WEIGHT_DECAY = 0.01
DEGRADED_SHARE = 0.5  # of the batches
VALIDATION_BATCH = 256
FINITE_CHECK_EVERY = 50  # steps; each check waits for the device


def train_classifier(
    network: ClassifierConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    run: Path,
    *,
    resume: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[ClassifierEpoch]:
    """Train a network, epoch by epoch.

    Parameters
    ----------
    network, config : ClassifierConfig, TrainConfig
        What to build and how to train it. What concerns a VAE alone, such as `beta`, is not read.
    dataset : ImageDataset
        With attributes. Its train split is learnt from, less `config.validation_fraction` of it,
        by which the epoch is chosen.
    run : Path
        Folder of the state under way; it is saved there after every epoch.
    resume : bool
        Go on from the state in `run`.
    on_step : callable (step, total_steps), optional
        Called after every step.

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
    _check_data(network, dataset)
    trainer = _Trainer(network, config, dataset, run)
    if resume:
        trainer.load()
    while len(trainer.history) < config.epochs:
        for step in trainer.steps_of_epoch():
            if on_step is not None:
                on_step(step, trainer.total_steps)
        yield trainer.finish_epoch()


class _Trainer:
    """The state of one training and what is done to it: step, judge, save, load."""

    def __init__(
        self, network: ClassifierConfig, config: TrainConfig, dataset: ImageDataset, run: Path
    ) -> None:
        assert dataset.attributes is not None  # `_check_data` refuses others
        self.config, self.dataset, self.run = config, dataset, run
        self.attributes: np.ndarray = dataset.attributes
        self.device = choose_device()
        self.autocast = prefers_bf16(config, self.device)
        self.train_rows, self.validation_rows = split_rows(dataset, config)
        self.batch_size = min(config.batch_size, len(self.train_rows))
        self.steps_per_epoch = len(self.train_rows) // self.batch_size
        self.total_steps = self.steps_per_epoch * config.epochs
        self.model = build_classifier(network, config.seed).to(self.device)
        torch.nn.utils.convert_conv2d_weight_memory_format(self.model, torch.channels_last)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(config.weight_average))
        self.averaged = cast(AttributeClassifier, self.average.module).eval()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.learning_rate,
            weight_decay=WEIGHT_DECAY,
            fused=self.device.type != "mps",
        )
        self.history, self.best = list[ClassifierEpoch](), dict[str, Tensor]()
        self.loss, self.seconds = torch.zeros((), device=self.device), 0.0

    def steps_of_epoch(self) -> Iterator[int]:
        """Do the steps of one epoch; give the number of steps done since the first."""
        epoch = len(self.history)
        order = order_of_epoch(self.train_rows, self.config, epoch)
        self.model.train()
        self.loss, self.seconds = torch.zeros_like(self.loss), 0.0
        for index in range(self.steps_per_epoch):
            start, step = time.perf_counter(), epoch * self.steps_per_epoch + index
            self._step(step, order[index * self.batch_size : (index + 1) * self.batch_size])
            if step % FINITE_CHECK_EVERY == 0:
                self._check_finite(self.loss)
            self.seconds += time.perf_counter() - start
            yield step + 1

    def finish_epoch(self) -> ClassifierEpoch:
        """Judge the averaged weights on the validation rows, and save."""
        self._check_finite(self.loss)
        validation_loss, accuracy = self._validate()
        metrics = ClassifierEpoch(
            epoch=len(self.history) + 1,
            train_loss=float(self.loss) / self.steps_per_epoch,
            validation_loss=validation_loss,
            validation_accuracy=accuracy,
            seconds=self.seconds,
        )
        self.history.append(metrics)
        if metrics is best_of(self.history):
            self.best = {k: t.detach().clone() for k, t in self.averaged.state_dict().items()}
        groups = {
            "weights": self.model.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "optimizer": read_moments(self.optimizer),
        }
        save_state(self.run, groups, self.history)
        return metrics

    def load(self) -> None:
        """Take up the state that `finish_epoch` saved."""
        groups, self.history = load_state(self.run)
        self.model.load_state_dict(groups["weights"])
        self.average.load_state_dict(groups["average"])
        self.best = groups["best"]
        restore_moments(self.optimizer, groups["optimizer"])

    def _step(self, step: int, rows: np.ndarray) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.total_steps, self.config)
        images = mirrored(self._images(rows), self.config, step, len(rows))
        rng = np.random.default_rng([self.config.seed, 6, step])
        if rng.random() < DEGRADED_SHARE:
            images = degraded(images, rng)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            logits = self.model(images)
        loss = self._cross_entropy(logits, self._targets(rows)) / len(rows)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.loss += loss.detach()

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        """Mean loss, and mean accuracy, over the validation rows, in float32."""
        count = len(self.validation_rows)
        loss, right = torch.zeros(2, device=self.device)
        for start in range(0, count, VALIDATION_BATCH):
            rows = self.validation_rows[start : start + VALIDATION_BATCH]
            logits, targets = self.averaged(self._images(rows)), self._targets(rows)
            loss += self._cross_entropy(logits, targets)
            right += ((logits > 0) == (targets > 0.5)).float().mean(1).sum()
        self._check_finite(loss)  # also finds out what the epoch's last step has broken
        return float(loss) / count, float(right) / count

    def _images(self, rows: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(self.dataset.take(rows)).to(self.device)
        return pixels.float().div_(255)  # (n, channels, height, width)

    def _targets(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.attributes[rows]).to(self.device).float()

    @staticmethod
    def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum")

    def _check_finite(self, loss: Tensor) -> None:
        if torch.isfinite(loss):
            return
        done = len(self.history)
        kept = f"The state after epoch {done} is kept." if done else "No epoch was finished."
        raise TrainingError(
            f"The loss became not a number in epoch {done + 1}. {kept} "
            "Start it again with --restart and another --seed."
        )


def _check_data(network: ClassifierConfig, dataset: ImageDataset) -> None:
    if dataset.attribute_names != network.attributes:
        raise TrainingError(
            f"The attributes of {dataset.name} must be the network's, in one order; found "
            f"{_first(dataset.attribute_names)} where the network tells "
            f"{_first(network.attributes)}."
        )
    shape = (IMAGE_CHANNELS, network.image_size, network.image_size)
    if dataset.images.shape[1:] != shape:
        wanted, found = ("x".join(map(str, each)) for each in (shape, dataset.images.shape[1:]))
        raise TrainingError(
            f"The network learns from pictures of {wanted}; those of {dataset.name} are {found}."
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + f" ... ({len(names)})" if names else "none"


STATE = "state.safetensors"
CONFIG = "config.json"

TensorGroups = Mapping[str, Mapping[str, Tensor]]
"""Tensors by the name of their group, "weights" or another, and their own."""


@dataclass(frozen=True)
class ClassifierEpoch:
    """What one epoch gave; losses are in nats per image, summed over the attributes."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Cross-entropy over the epoch's batches, as the weights moved."""
    validation_loss: float
    """On the validation rows, by the averaged weights."""
    validation_accuracy: float
    """On the same, the mean over the attributes; the epoch where it is highest is published."""
    seconds: float
    """Wall time of the epoch's steps."""


def best_of(history: Sequence[ClassifierEpoch]) -> ClassifierEpoch:
    """Return the first epoch of the highest validation accuracy; there must be an epoch."""
    return max(history, key=lambda each: each.validation_accuracy)


def save_state(run: Path, groups: TensorGroups, history: Sequence[ClassifierEpoch]) -> None:
    """Write `state.safetensors` in one rename."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    metadata = {"history": json.dumps([asdict(each) for each in history])}
    with atomic_write(run / STATE) as partial:
        save_file(tensors, partial, metadata=metadata)


def load_state(run: Path) -> tuple[dict[str, dict[str, Tensor]], list[ClassifierEpoch]]:
    """Read what `save_state` wrote: the tensors by group and name, and the epochs.

    Raises
    ------
    RunError
        If there is no state in the folder, or none that can be read.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(run / STATE, framework="pt") as file:
            history = [ClassifierEpoch(**each) for each in json.loads(file.metadata()["history"])]
            for key in file.keys():  # noqa: SIM118 - the file is no mapping
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except FileNotFoundError:
        raise RunError(
            f"There is nothing to resume in {run}: no epoch was finished there. "
            "Start it again without --resume."
        ) from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _unreadable("state", run, error) from error
    return groups, history


def load_best(run: Path) -> tuple[AttributeClassifier, list[ClassifierEpoch]]:
    """Return the averaged weights after a run's best epoch, in eval mode, and all its epochs.

    Raises
    ------
    RunError
        If no epoch was finished there, or the state cannot be read.
    """
    network, _ = load_config(run)
    groups, history = load_state(run)
    classifier = build_classifier(network)
    try:
        classifier.load_state_dict(groups["best"])
    except (RuntimeError, KeyError) as error:
        raise _unreadable("state", run, error) from error
    return classifier.eval().requires_grad_(False), history


def save_config(run: Path, network: ClassifierConfig, train: TrainConfig) -> None:
    """Write `config.json` in one rename."""
    values = {"network": network.to_dict(), "train": train.to_dict()}
    with atomic_write(run / CONFIG) as partial:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load_config(run: Path) -> tuple[ClassifierConfig, TrainConfig]:
    """Read what `save_config` wrote.

    Raises
    ------
    RunError
        If the folder holds no run, or its configuration cannot be read.
    """
    try:
        values = json.loads((run / CONFIG).read_text(encoding="utf-8"))
        network = ClassifierConfig.from_dict(values["network"])
        return network, TrainConfig.from_dict(values["train"])
    except FileNotFoundError:
        raise RunError(f"There is no run in {run} to resume. Start it without --resume.") from None
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise _unreadable("configuration", run, error) from error


def _unreadable(what: str, run: Path, error: Exception) -> RunError:
    return RunError(f"The {what} in {run} cannot be read ({error}). Start it again with --restart.")


BLUR = (0.2, 1.5)
"""Standard deviation in pixels, from and to."""
SHRUNK = (0.35, 1.0)
"""Side over the picture's, before it is enlarged again, from and to."""


def degraded(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur a batch and enlarge it from a smaller one.

    Parameters
    ----------
    images : Tensor, (n, channels, side, side)
        In [0, 1].
    rng : numpy.random.Generator
        Draws the width of the blur and the smaller side, one each for the batch.

    Returns
    -------
    Tensor, (n, channels, side, side)
        In [0, 1].
    """
    side, width = images.shape[-1], rng.uniform(*BLUR)
    smaller = max(1, round(side * rng.uniform(*SHRUNK)))
    # All of it is one matrix along the height and the same along the width.
    places = torch.arange(side, device=images.device)
    blur = torch.softmax(-((places[:, None] - places) ** 2) / (2 * width**2), dim=1)
    shrunk = F.interpolate(blur[None, None], (smaller, side), mode="bilinear", antialias=True)
    matrix = F.interpolate(shrunk, (side, side), mode="bilinear")[0, 0]
    return matrix @ images @ matrix.T
