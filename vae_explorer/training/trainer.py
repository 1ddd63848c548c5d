"""Training: the loop, its state, and the training step of a VAE.

`BaseTrainer` is the loop that VAEs and attribute classifiers share: epochs of steps, an EMA of the
weights, validation, state on disk. `VaeTrainer` adds the model, its losses and its metrics.

Random numbers are functions of the seed and the step, so a run that is killed and resumed ends
with the same weights, bit for bit, as one that was not; on another number of processes it
continues with the same images and the same noise.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.device import uses_bf16
from vae_explorer.errors import NotANumberError, RunError, TrainingError
from vae_explorer.losses import negative_elbo
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.random_streams import RandomStream
from vae_explorer.training.batches import (
    Noise,
    Rows,
    epoch_order,
    horizontal_flip,
    in_batches,
    split_rows,
)
from vae_explorer.training.distributed import Processes, create_accelerator
from vae_explorer.training.optim import (
    ema_update,
    learning_rate,
    load_optimizer_state,
    optimizer_state,
    set_learning_rate,
    update_batch_norm,
)
from vae_explorer.training.perceptual import PerceptualLosses
from vae_explorer.training.snapshots import save_snapshot
from vae_explorer.training.state import (
    Epoch,
    EpochMetrics,
    RunState,
    StepMetrics,
    best_of,
    read_state,
    read_weights,
    save_state,
)

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

Model = TypeVar("Model", bound=nn.Module)

VALIDATION_BATCH = 256  # images
BATCH_NORM_IMAGES = 6400  # from which the EMA weights' statistics are computed
FINITE_CHECK_EVERY = 50  # steps; each check waits for the device


class BaseTrainer(ABC, Generic[Model, Epoch]):
    """A training in progress: model, EMA, optimizer, and the loop over epochs.

    A subclass defines the optimizer, a step, the measures on the validation rows, and which epoch
    is the best.

    Parameters
    ----------
    model : nn.Module
        With its initial weights.
    config : TrainConfig
    dataset : ImageDataset
        Its train split is trained on, except for the validation rows.
    run : Path
        Folder of the state.
    image_size : int
        Height and width of the images that the model takes, in pixels.
    convolutional : bool
        Whether the model has convolutions; see `uses_bf16`.
    metrics : type
        Of an epoch: `EpochMetrics` or `ClassifierEpoch`.

    Raises
    ------
    TrainingError
        If there are too few images for the validation fraction, or for the processes.
    """

    losses: int
    """Number of losses that `train_step` returns; the first one is minimised."""
    measures: int
    """Number of measures that `validation_step` returns."""

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        dataset: ImageDataset,
        run: Path,
        *,
        image_size: int,
        convolutional: bool,
        metrics: type[Epoch],
    ) -> None:
        self.config, self.dataset, self.run = config, dataset, run
        self.image_size, self.metrics = image_size, metrics
        self.accelerator = create_accelerator()
        self.device = self.accelerator.device
        self.bf16 = uses_bf16(config, self.device, convolutional=convolutional)
        self.train_rows, self.validation_rows = split_rows(dataset, config)
        self.batch_size = min(config.batch_size, len(self.train_rows))
        self.processes = Processes(self.accelerator, self.batch_size)
        self.steps_per_epoch = len(self.train_rows) // self.batch_size
        self.total_steps = self.steps_per_epoch * config.epochs

        self.model = model.to(self.device)
        torch.nn.utils.convert_conv2d_weight_memory_format(self.model, torch.channels_last)
        self.network = self.accelerator.prepare(self.model)
        """The model, wrapped where there are several processes."""
        self.ema = AveragedModel(self.model, multi_avg_fn=ema_update(config.weight_average))
        self.ema_model = cast(Model, self.ema.module).eval()
        self.optimizer = self.create_optimizer()

        self.step = 0
        """Steps done since the training began."""
        self.history: list[Epoch] = []
        self.best = self.copy_ema_weights()
        """The EMA weights after the best epoch so far."""
        self.loss_sums = torch.zeros(self.losses, device=self.device)
        """Over the steps of the current epoch."""
        self.seconds = 0.0
        """Wall time of the steps of the current epoch."""

    # What a subclass defines

    @abstractmethod
    def create_optimizer(self) -> torch.optim.Optimizer:
        """Create the optimizer of `self.model`."""

    @abstractmethod
    def train_step(self, rows: Rows) -> Tensor:
        """Take a step on this process's shard of a batch, rows (n,); return its losses."""

    @abstractmethod
    def validation_batches(self) -> Iterator[tuple[Rows, Tensor]]:
        """Yield the validation rows in batches, each with a tensor that its step needs.

        Every process goes through all batches, so that noise that is drawn in sequence does not
        depend on the number of processes.
        """

    @abstractmethod
    def validation_step(self, rows: Rows, extra: Tensor) -> Tensor:
        """Return the measures of the EMA weights on a batch, summed over its images."""

    @abstractmethod
    def epoch_metrics(self, losses: list[float], measures: list[float]) -> Epoch:
        """Return the metrics of the current epoch, given the means of losses and measures."""

    @abstractmethod
    def best_epoch(self) -> Epoch | None:
        """Return the epoch whose weights are published."""

    @abstractmethod
    def divergence_remedy(self) -> str:
        """Say what to try when the loss is not a number."""

    # The loop

    def train(
        self,
        on_step: Callable[[Tensor], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Epoch]:
        """Train to the end, or until `should_stop`; yield the metrics of each epoch.

        Parameters
        ----------
        on_step : callable, optional
            Gets the losses of every step.
        should_stop : callable
            Asked after every step. When it is true in any process, all save and stop.
        """
        while not self.finished:
            for losses in self.steps_of_epoch():
                if on_step is not None:
                    on_step(losses)
                if self.processes.any(should_stop()):
                    self.save_state()
                    return
            yield self.finish_epoch()

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last `patience` of them improved nothing."""
        if len(self.history) >= self.config.epochs:
            return True
        losses = [metrics.validation_loss for metrics in self.history]
        return 0 < self.config.patience <= len(losses) - 1 - int(np.argmin(losses or [0]))

    def steps_of_epoch(self) -> Iterator[Tensor]:
        """Take the remaining steps of the current epoch; yield the losses of each."""
        epoch = len(self.history)
        first = self.step - epoch * self.steps_per_epoch
        order = epoch_order(self.train_rows, self.config.seed, epoch)
        self.network.train()
        for index in range(first, self.steps_per_epoch):
            start = time.perf_counter()
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            losses = self.train_step(rows[self.processes.shard])
            self.loss_sums += losses
            self.step += 1
            if self.step % FINITE_CHECK_EVERY == 0:
                self.check_finite(self.loss_sums)
            self.seconds += time.perf_counter() - start
            yield losses

    def update_weights(self, loss: Tensor) -> None:
        """Back-propagate a loss, let the optimizer take a step, and update the EMA."""
        set_learning_rate(self.optimizer, self.learning_rate(self.step))
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        if self.config.clip_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.ema.update_parameters(self.model)

    def finish_epoch(self) -> Epoch:
        """Evaluate the EMA weights, and save the state."""
        metrics = self.evaluate_epoch()
        self.save_state()
        return metrics

    def evaluate_epoch(self) -> Epoch:
        """Evaluate the EMA weights on the validation rows, and begin the next epoch."""
        self.check_finite(self.loss_sums)
        losses = self.processes.mean(self.loss_sums / self.steps_per_epoch).tolist()
        metrics = self.epoch_metrics(losses, self.validate())
        self.history.append(metrics)
        if metrics is self.best_epoch():
            self.best = self.copy_ema_weights()
        self.loss_sums, self.seconds = torch.zeros_like(self.loss_sums), 0.0
        return metrics

    @torch.no_grad()
    def validate(self) -> list[float]:
        """Return the mean measures of the EMA weights over the validation rows, in float32.

        The processes take whole batches, whose sums are added in one order: the number of
        processes changes no bit.
        """
        batches = ceil(len(self.validation_rows) / VALIDATION_BATCH)
        sums = torch.zeros((batches, self.measures), device=self.device)
        for index, (rows, extra) in enumerate(self.validation_batches()):
            if index % self.processes.world_size == self.processes.rank:
                sums[index] = self.validation_step(rows, extra)
        self.check_finite(sums)  # also detects weights that the epoch's last step broke
        in_order = self.processes.sum(sums).cumsum(0)
        return (in_order[-1] / len(self.validation_rows)).tolist()

    def check_finite(self, values: Tensor) -> None:
        """Raise a `NotANumberError` in all processes if a value is not finite in any."""
        if not self.processes.any(not torch.isfinite(values).all()):
            return
        done = len(self.history)
        kept = f"Progress up to epoch {done} is saved." if done else "No epoch was finished."
        raise NotANumberError(
            f"The loss became NaN or infinite in epoch {done + 1}, by step {self.step}. {kept} "
            f"{self.divergence_remedy()}"
        )

    # The state

    def state(self) -> RunState[Epoch]:
        """Return everything that the training changes."""
        return RunState(
            weights=self.model.state_dict(),
            ema=self.ema.state_dict(),
            best=self.best,
            optimizer=optimizer_state(self.optimizer),
            step=self.step,
            loss_sums=tuple(self.processes.mean(self.loss_sums).tolist()),
            seconds=self.seconds,
            history=self.history,
            data=self.dataset.content or self.dataset.digest,
            data_summary=self.dataset.summary,
        )

    def save_state(self) -> None:
        """Write the state, from the main process; one that is not finite replaces nothing."""
        self.check_finite(self.loss_sums)
        state = self.state()  # in all processes, which average their sums
        if self.processes.is_main:
            save_state(self.run, state)

    def load_state(self) -> RunState[Epoch]:
        """Continue from the saved state; `DatasetError` if it was trained on other images."""
        state = read_state(self.run, self.metrics)
        self.dataset.check_unchanged(state.data, state.data_summary)
        self.model.load_state_dict(state.weights)
        self.ema.load_state_dict(state.ema)
        self.best, self.step, self.history = state.best, state.step, state.history
        self.loss_sums = torch.tensor(state.loss_sums, device=self.device)
        self.seconds = state.seconds
        load_optimizer_state(self.optimizer, state.optimizer)
        return state

    def copy_ema_weights(self) -> dict[str, Tensor]:
        """Return a copy of the EMA weights, with the buffers that belong to them."""
        return {name: t.detach().clone() for name, t in self.ema_model.state_dict().items()}

    # What steps are made of

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return learning_rate(step, self.total_steps, self.config)

    def load_images(self, rows: Rows) -> Tensor:
        """Return images (n, channels, height, width) in [0, 1]."""
        pixels = torch.from_numpy(self.dataset.take(rows, self.image_size))
        return pixels.to(self.device).float().div_(255)

    def flip_images(self, images: Tensor) -> Tensor:
        """Flip this process's shard of the current step's batch, each image at random."""
        return horizontal_flip(
            images, self.config.seed, self.step, self.batch_size, self.processes.shard
        )

    def forward_precision(self) -> AbstractContextManager[None]:
        """Return the context of a forward pass: bfloat16 where that is used."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


class VaeTrainer(BaseTrainer[Autoencoder, EpochMetrics]):
    """The training of a VAE or a plain autoencoder.

    Parameters
    ----------
    model_config, config : ModelConfig, TrainConfig
    dataset : ImageDataset
    run : Path
        Folder of the state.
    """

    losses = measures = 3  # loss, reconstruction and KL, as in `LossParts`

    def __init__(
        self, model_config: ModelConfig, config: TrainConfig, dataset: ImageDataset, run: Path
    ) -> None:
        super().__init__(
            build_model(model_config, config.seed),
            config,
            dataset,
            run,
            image_size=model_config.image_size,
            convolutional=model_config.architecture == "conv",
            metrics=EpochMetrics,
        )
        self.perceptual = PerceptualLosses(config, model_config.image_shape, self.accelerator)
        self.noise = Noise(config.seed, model_config.latent_dim, self.device)

    def create_optimizer(self) -> torch.optim.Optimizer:
        """Create an Adam (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980)."""
        return torch.optim.Adam(
            self.model.parameters(), lr=self.config.learning_rate, fused=self.device.type != "mps"
        )

    def train_step(self, rows: Rows) -> Tensor:
        """Minimise the negative ELBO and the perceptual losses; then train the discriminator."""
        weight, progress = self.processes.weight, self.step / self.total_steps
        generator = self.noise.stream(RandomStream.TRAINING_NOISE, self.step, 0)
        noise = self.noise.draw(self.batch_size, generator)[self.processes.shard]
        images = self.load_images(rows)  # (n, channels, height, width)
        if self.config.mirror:
            images = self.flip_images(images)
        with self.forward_precision():
            output = self.network(images, noise)
            reconstructions = torch.sigmoid(output.logits.float())
            penalty = self.perceptual.penalty(reconstructions, images, progress)
        parts = negative_elbo(output, images, self.model.config, self.config.beta)
        loss = weight * (parts.loss + penalty)
        self.update_weights(loss)
        with self.forward_precision():
            self.perceptual.train_discriminator(
                reconstructions.detach(),
                images,
                progress,
                self.learning_rate(self.step),
                step=self.step,
                weight=weight,
            )
        return torch.stack([loss, weight * parts.reconstruction, weight * parts.kl]).detach()

    def validate(self) -> list[float]:
        """Compute batch-norm statistics for the EMA weights, then validate."""
        generator = self.noise.stream(RandomStream.BATCH_NORM_NOISE)
        order = epoch_order(self.train_rows, self.config.seed, 0)[:BATCH_NORM_IMAGES]
        batches = map(self.load_images, in_batches(order, self.batch_size))
        with self.forward_precision():
            update_batch_norm(self.ema_model, batches, generator)
        return super().validate()

    def validation_batches(self) -> Iterator[tuple[Rows, Tensor]]:
        """Yield rows (n,) and ε (n, latent_dim)."""
        generator = self.noise.stream(RandomStream.VALIDATION_NOISE)
        for rows in in_batches(self.validation_rows, VALIDATION_BATCH):
            yield rows, self.noise.draw(len(rows), generator)

    def validation_step(self, rows: Rows, extra: Tensor) -> Tensor:
        """Return loss, reconstruction and KL in nats, summed over the images."""
        images = self.load_images(rows)
        output = self.ema_model(images, extra)
        parts = negative_elbo(output, images, self.model.config, self.config.beta)
        penalty = self.perceptual.feature_penalty(torch.sigmoid(output.logits), images)
        return torch.stack(parts._replace(loss=parts.loss + penalty)) * len(images)

    def epoch_metrics(self, losses: list[float], measures: list[float]) -> EpochMetrics:
        """Name the means, which are in nats per image."""
        return EpochMetrics(
            epoch=len(self.history) + 1,
            train_loss=losses[0],
            train_reconstruction=losses[1],
            train_kl=losses[2],
            validation_loss=measures[0],
            validation_reconstruction=measures[1],
            validation_kl=measures[2],
            learning_rate=self.learning_rate(self.step - 1),
            seconds=self.seconds,
        )

    def best_epoch(self) -> EpochMetrics | None:
        """Return the epoch of the lowest validation loss; see `best_of`."""
        return best_of(self.history, self.config)

    def evaluate_epoch(self) -> EpochMetrics:
        """Evaluate the EMA weights; with `keep_epochs`, save a snapshot of them."""
        metrics = super().evaluate_epoch()
        if self.config.keep_epochs and self.processes.is_main:
            # Before the state is saved: an epoch that is in the state is not repeated.
            save_snapshot(self.run, metrics.epoch, self.ema_model, self.dataset)
        return metrics

    def divergence_remedy(self) -> str:
        """Say what to try when the loss is not a number."""
        return (
            f"Try a lower learning rate than {self.config.learning_rate:g}, or precision float32."
        )

    def state(self) -> RunState[EpochMetrics]:
        """Return the state, with that of the discriminator."""
        return replace(
            super().state(),
            perceptual=self.perceptual.state_dict(),
            classifier=self.perceptual.classifier_digest,
        )

    def load_state(self) -> RunState[EpochMetrics]:
        """Continue from the saved state, with that of the discriminator.

        Raises
        ------
        RunError
            If the classifier of the feature loss is another one than the run began with.
        """
        state = super().load_state()
        if state.classifier not in ("", self.perceptual.classifier_digest):
            raise RunError(
                f"The classifier {self.config.feature_network} was replaced since the run began, "
                "and the loss with it. Restore the earlier one and resume, or start again "
                "(--restart)."
            )
        self.perceptual.load_state_dict(state.perceptual)
        return state

    def load_images(self, rows: Rows) -> Tensor:
        """Return images (n, channels, height, width) in [0, 1], in the convolutions' layout."""
        return super().load_images(rows).contiguous(memory_format=torch.channels_last)


def describe_adaptations(
    model_config: ModelConfig, config: TrainConfig, dataset: ImageDataset
) -> list[str]:
    """Say how a training differs from others because of few images; nothing as a rule.

    Parameters
    ----------
    model_config, config : ModelConfig, TrainConfig
    dataset : ImageDataset

    Returns
    -------
    list of str
        A sentence each.

    Raises
    ------
    TrainingError
        As `split_rows` does.
    """
    rows, validation_rows = split_rows(dataset, config)
    found = []
    if len(rows) == 1 and not np.isin(validation_rows, dataset.rows("train")).any():
        found.append("There is only one training image: the best epoch is chosen on the val split.")
    batch_size = min(config.batch_size, len(rows))
    single = model_config.activate_projection or (
        model_config.architecture == "conv" and model_config.feature_size == 1
    )
    if batch_size == 1 and model_config.normalization == "batch" and single:
        found.append(
            "A batch of 1 image cannot be normalized in layers with one value per channel: these "
            "use the running statistics."
        )
    return found


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    run: Path,
    *,
    resume: bool = False,
    on_step: Callable[[StepMetrics], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[EpochMetrics]:
    """Train a VAE or a plain autoencoder, epoch by epoch.

    Parameters
    ----------
    model_config, config : ModelConfig, TrainConfig
        What to build and how to train it.
    dataset : ImageDataset
        Its train split is trained on, except for `config.validation_fraction` of it, which
        chooses the best epoch. The held-out split is only ever encoded, for `keep_epochs`.
    run : Path
        Folder of the state, which is saved after every epoch.
    resume : bool
        Continue from the state in `run`.
    on_step : callable, optional
        Called after every step.
    should_stop : callable
        Asked after every step; once it is true in one of several processes, the state is saved
        and the generator ends, in all of them.

    Yields
    ------
    EpochMetrics
        After each epoch, once its state is on disk.

    Raises
    ------
    TrainingError
        If a loss is not a number (the last good state is kept), or the data has too few rows, or
        images of another number of channels than the model.
    RunError
        If there is nothing in `run` to resume from, or in `config.start_from` to start from.
    ConfigError
        If `config.start_from` holds another model.
    """
    channels = dataset.images.shape[1]
    if channels != model_config.image_channels:
        raise TrainingError(
            f"The images of {dataset.name} have {channels} channels, but the model expects "
            f"{model_config.image_channels}. Set image_channels to {channels} in --config, or "
            "choose other data."
        )
    trainer = VaeTrainer(model_config, config, dataset, run)
    if resume:
        trainer.load_state()
    elif config.start_from:
        trainer.model.load_state_dict(read_weights(Path(config.start_from), model_config))

    def report_step(losses: Tensor) -> None:
        if on_step is not None:
            on_step(StepMetrics(trainer.step, trainer.total_steps, *losses))

    yield from trainer.train(report_step, should_stop)
