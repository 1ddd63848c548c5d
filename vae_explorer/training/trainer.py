"""The state of one training and what is done to it: step, judge, save, load.

Each random number is a function of the seed and the step, so a run that is killed and resumed ends
with the same weights, bit for bit, as one that ran through; on another number of processes it goes
on with the same pictures and the same noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.device import chooses_bf16
from vae_explorer.errors import NotANumberError, TrainingError
from vae_explorer.losses import LossParts, negative_elbo
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.training.batches import Noise, mirrored, order_of_epoch, split_rows
from vae_explorer.training.distributed import Processes, find_devices
from vae_explorer.training.optim import (
    learning_rate,
    moving_average,
    read_moments,
    refresh_statistics,
    restore_moments,
)
from vae_explorer.training.perceptual import Perception
from vae_explorer.training.snapshots import keep_epoch
from vae_explorer.training.state import (
    EpochMetrics,
    RunState,
    StepMetrics,
    best_of,
    load_state,
    read_weights,
    save_state,
)

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

VALIDATION_BATCH = 256
STATISTICS_IMAGES = 6400
FINITE_CHECK_EVERY = 50  # steps; each check waits for the device


class Trainer:
    """The state of one training and the four things done to it: step, judge, save, load."""

    def __init__(
        self, model_config: ModelConfig, config: TrainConfig, dataset: ImageDataset, run: Path
    ) -> None:
        self.config, self.dataset, self.run = config, dataset, run
        self.accelerator = find_devices()
        self.device = self.accelerator.device
        self.train_rows, self.validation_rows = split_rows(dataset, config)
        self.batch_size = min(config.batch_size, len(self.train_rows))
        self.processes = Processes(self.accelerator, self.batch_size)
        self.steps_per_epoch = len(self.train_rows) // self.batch_size
        self.total_steps = self.steps_per_epoch * config.epochs
        self.autocast = chooses_bf16(config, model_config, self.device)

        self.perception = Perception(config, model_config.image_channels, self.accelerator)
        self.model = build_model(model_config, config.seed).to(self.device)
        torch.nn.utils.convert_conv2d_weight_memory_format(self.model, torch.channels_last)
        self.network = self.accelerator.prepare(self.model)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(config.weight_average))
        self.averaged = cast(Autoencoder, self.average.module).eval()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, fused=self.device.type != "mps"
        )
        self.noise = Noise(config.seed, model_config.latent_dim, self.device)
        self.step, self.history, self.best = 0, list[EpochMetrics](), self._average_weights()
        self.sums, self.seconds = torch.zeros(3, device=self.device), 0.0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none got better for `patience` of them."""
        if len(self.history) >= self.config.epochs:
            return True
        losses = [metrics.validation_loss for metrics in self.history]
        return 0 < self.config.patience <= len(losses) - 1 - int(np.argmin(losses or [0]))

    def steps_of_epoch(self) -> Iterator[StepMetrics]:
        """Do the steps that the epoch under way still lacks."""
        epoch = len(self.history)
        first = self.step - epoch * self.steps_per_epoch
        order = order_of_epoch(self.train_rows, self.config, epoch)
        self.network.train()
        for index in range(first, self.steps_per_epoch):
            start = time.perf_counter()
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            metrics = self._step(rows[self.processes.share])
            self.seconds += time.perf_counter() - start
            yield metrics

    def finish_epoch(self) -> EpochMetrics:
        """Judge the averaged weights on the validation rows, and save."""
        self._check_finite(self.sums)
        means = self.processes.mean(self.sums / self.steps_per_epoch).tolist()
        with self._forward_precision():
            noise = self.noise.begin(5).generator
            refresh_statistics(self.averaged, self._some_training_batches(), noise)
        validation_means = self._validate()
        metrics = EpochMetrics(
            epoch=len(self.history) + 1,
            train_loss=means[0],
            train_reconstruction=means[1],
            train_kl=means[2],
            validation_loss=validation_means[0],
            validation_reconstruction=validation_means[1],
            validation_kl=validation_means[2],
            learning_rate=learning_rate(self.step - 1, self.total_steps, self.config),
            seconds=self.seconds,
        )
        self.history.append(metrics)
        if metrics is best_of(self.history, self.config):
            self.best = self._average_weights()
        self.sums, self.seconds = torch.zeros_like(self.sums), 0.0
        if self.config.keep_epochs and self.processes.is_main:
            # First: an epoch that is saved is not done again.
            keep_epoch(self.run, metrics.epoch, self.averaged, self.dataset)
        self.save()
        return metrics

    def save(self) -> None:
        """Write the state, by the main process alone; one that is not finite replaces nothing."""
        self._check_finite(self.sums)
        loss, reconstruction, kl = self.processes.mean(self.sums).tolist()
        if not self.processes.is_main:
            return
        save_state(
            self.run,
            RunState(
                weights=self.model.state_dict(),
                average=self.average.state_dict(),
                best=self.best,
                optimizer=read_moments(self.optimizer),
                perception=self.perception.state(),
                step=self.step,
                sums=(loss, reconstruction, kl),
                seconds=self.seconds,
                history=self.history,
                data=self.dataset.digest,
            ),
        )

    def load(self) -> None:
        """Take up the state that `save` wrote; `DatasetError` if other pictures are here now."""
        state = load_state(self.run)
        self.dataset.check_digest(state.data)
        self.model.load_state_dict(state.weights)
        self.average.load_state_dict(state.average)
        self.best, self.step, self.history = state.best, state.step, state.history
        self.sums = torch.tensor(state.sums, device=self.device)
        self.seconds = state.seconds
        restore_moments(self.optimizer, state.optimizer)
        self.perception.load(state.perception)

    def _step(self, rows: np.ndarray) -> StepMetrics:
        rate = learning_rate(self.step, self.total_steps, self.config)
        progress = self.step / self.total_steps
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weight, share = self.processes.weight, self.processes.share
        noise = self.noise.begin(3, self.step, 0).draw(self.batch_size)[share]
        images = self._images(rows)
        if self.config.mirror:
            images = mirrored(images, self.config, self.step, self.batch_size, share)
        with self._forward_precision():
            output = self.network(images, noise)
            reconstructions = torch.sigmoid(output.logits.float())
            penalty = self.perception.penalty(reconstructions, images, progress)
        parts = negative_elbo(output, images, self.model.config, self.config.beta)
        parts = LossParts(weight * (parts.loss + penalty), weight * parts[1], weight * parts[2])
        self.optimizer.zero_grad()
        self.accelerator.backward(parts.loss)
        if self.config.clip_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        with self._forward_precision():
            self.perception.learn(reconstructions.detach(), images, progress, rate, weight=weight)
        self.average.update_parameters(self.model)
        self.sums += torch.stack(parts).detach()
        self.step += 1
        if self.step % FINITE_CHECK_EVERY == 0:
            self._check_finite(self.sums)
        return StepMetrics(self.step, self.total_steps, *(part.detach() for part in parts))

    @torch.no_grad()
    def _validate(self) -> list[float]:
        """Mean loss, reconstruction and KL over the validation rows, in float32.

        Whole batches are shared out, and their sums added in the same order: the number of
        processes changes no bit.
        """
        model, rows = self.averaged, self.validation_rows
        draws = self.noise.begin(4)
        sums = torch.zeros((ceil(len(rows) / VALIDATION_BATCH), 3), device=self.device)
        for index in range(len(sums)):
            batch = rows[index * VALIDATION_BATCH : (index + 1) * VALIDATION_BATCH]
            noise = draws.draw(len(batch))  # also where another process judges
            if index % self.processes.count != self.processes.index:
                continue
            images = self._images(batch)
            output = model(images, noise)
            parts = negative_elbo(output, images, model.config, self.config.beta)
            penalty = self.perception.feature_penalty(torch.sigmoid(output.logits), images)
            parts = parts._replace(loss=parts.loss + penalty)
            sums[index] = torch.stack(parts) * len(images)
        self._check_finite(sums)  # also finds out what the epoch's last step has broken
        in_order = self.processes.sum(sums).cumsum(0)  # adds one batch after another
        return (in_order[-1] / len(rows)).tolist()

    def _check_finite(self, losses: Tensor) -> None:
        if not self.processes.any(not torch.isfinite(losses).all()):
            return
        done = len(self.history)
        kept = f"The state after epoch {done} is kept." if done else "No epoch was finished."
        raise NotANumberError(
            f"The loss became not a number in epoch {done + 1}, by step {self.step}. {kept} "
            f"Try a lower learning rate than {self.config.learning_rate:g}, or precision float32."
        )

    def _images(self, rows: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(self.dataset.take(rows, self.model.config.image_size))
        images = pixels.to(self.device).float().div_(255)  # (n, channels, height, width)
        return images.contiguous(memory_format=torch.channels_last)

    def _some_training_batches(self) -> Iterator[Tensor]:
        order = order_of_epoch(self.train_rows, self.config, 0)[:STATISTICS_IMAGES]
        for start in range(0, len(order), self.batch_size):
            yield self._images(order[start : start + self.batch_size])

    def _forward_precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def _average_weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.averaged.state_dict().items()}


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
    """Train a model, epoch by epoch.

    Parameters
    ----------
    model_config, config : ModelConfig, TrainConfig
        What to build and how to train it.
    dataset : ImageDataset
        Its train split is learnt from, less `config.validation_fraction` of it, by which the best
        epoch is chosen. The held-out split is only ever encoded, for `keep_epochs`.
    run : Path
        Folder of the state under way; it is saved there after every epoch.
    resume : bool
        Go on from the state in `run`.
    on_step : callable, optional
        Called after every step.
    should_stop : callable
        Asked after every step; once it says yes, in one of several processes, the state is saved
        and the generator ends, in all of them.

    Yields
    ------
    EpochMetrics
        After each epoch, once its state is on disk.

    Raises
    ------
    TrainingError
        If a loss is not a number (the last good state is kept), or the data has too few rows, or
        pictures of another number of channels than the model.
    RunError
        If there is nothing in `run` to resume from, or in `config.start_from` to start from.
    ConfigError
        If what is in `config.start_from` is another model.
    """
    channels = dataset.images.shape[1]
    if channels != model_config.image_channels:
        raise TrainingError(
            f"The pictures of {dataset.name} have {channels} channels, and the model takes "
            f"{model_config.image_channels}. Set image_channels to {channels} in --config, or "
            "choose other data."
        )
    trainer = Trainer(model_config, config, dataset, run)
    if resume:
        trainer.load()
    elif config.start_from:
        trainer.model.load_state_dict(read_weights(Path(config.start_from), model_config))
    while not trainer.finished:
        for metrics in trainer.steps_of_epoch():
            if on_step is not None:
                on_step(metrics)
            if trainer.processes.any(should_stop()):
                trainer.save()
                return
        yield trainer.finish_epoch()
