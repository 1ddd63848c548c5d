"""The state of one training and what is done to it: step, judge, save, load.

Each random number is a function of the seed, the step and the process, so a run that is killed
and resumed ends with the same weights, bit for bit, as one that ran through.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from vae_explorer.batches import TrainingError, mirrored, order_of_epoch, split_rows
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.encodings import encode_dataset
from vae_explorer.losses import negative_elbo
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.optimization import (
    chooses_bf16,
    learning_rate,
    moving_average,
    read_moments,
    refresh_statistics,
    restore_moments,
)
from vae_explorer.perception import Perception
from vae_explorer.runs import (
    EpochMetrics,
    RunState,
    StepMetrics,
    best_of,
    load_state,
    save_epoch,
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
        from accelerate import Accelerator  # 1.3 s, needed only here

        self.config, self.dataset, self.run = config, dataset, run
        self.accelerator = Accelerator()
        self.device = self.accelerator.device
        self.train_rows, self.validation_rows = split_rows(dataset, config)
        self.batch_size = min(config.batch_size, len(self.train_rows))
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
        self.generator = torch.Generator(self.device)
        self.step, self.history, self.best = 0, list[EpochMetrics](), self._average_weights()
        self.sums, self.seconds = torch.zeros(3, device=self.device), 0.0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none got better for `patience` of them."""
        if len(self.history) >= self.config.epochs:
            return True
        losses = [metrics.validation_loss for metrics in self.history]
        return 0 < self.config.patience <= len(losses) - 1 - int(np.argmin(losses or [0]))

    def agree(self, stop: bool) -> bool:
        """Have all processes stop at the same step, as soon as one of them wants to."""
        if self.accelerator.num_processes == 1:
            return stop
        votes = torch.tensor(float(stop), device=self.device)
        return bool(self.accelerator.reduce(votes, "sum") > 0)

    def steps_of_epoch(self) -> Iterator[StepMetrics]:
        """Do the steps that the epoch under way still lacks."""
        epoch = len(self.history)
        first = self.step - epoch * self.steps_per_epoch
        order = order_of_epoch(self.train_rows, self.config, epoch)
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        self.network.train()
        for index in range(first, self.steps_per_epoch):
            start = time.perf_counter()
            rows = order[index * self.batch_size : (index + 1) * self.batch_size][rank::world]
            metrics = self._step(rows, rank)
            self.seconds += time.perf_counter() - start
            yield metrics

    def finish_epoch(self) -> EpochMetrics:
        """Judge the averaged weights on the validation rows, and save."""
        self._check_finite(self.sums)
        means = self.accelerator.reduce(self.sums / self.steps_per_epoch, "mean").tolist()
        with self._forward_precision():
            self._seed_noise(5)
            refresh_statistics(self.averaged, self._some_training_batches(), self.generator)
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
        if self.config.keep_epochs and self.accelerator.is_main_process:
            self._keep_encodings(metrics.epoch)  # first: an epoch that is saved is not done again
        self.save()
        return metrics

    def save(self) -> None:
        """Write the state, by the main process alone; one that is not finite replaces nothing."""
        self._check_finite(self.sums)
        if not self.accelerator.is_main_process:
            return
        loss, reconstruction, kl = self.sums.tolist()
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
            ),
        )

    def load(self) -> None:
        """Take up the state that `save` wrote."""
        state = load_state(self.run)
        self.model.load_state_dict(state.weights)
        self.average.load_state_dict(state.average)
        self.best, self.step, self.history = state.best, state.step, state.history
        self.sums = torch.tensor(state.sums, device=self.device)
        self.seconds = state.seconds
        restore_moments(self.optimizer, state.optimizer)
        self.perception.load(state.perception)

    def _step(self, rows: np.ndarray, rank: int) -> StepMetrics:
        rate = learning_rate(self.step, self.total_steps, self.config)
        progress = self.step / self.total_steps
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._seed_noise(3, self.step, rank)
        images = self._images(rows)
        if self.config.mirror:
            images = mirrored(images, self.config, self.step, rank)
        with self._forward_precision():
            output = self.network(images, self.generator)
            reconstructions = torch.sigmoid(output.logits.float())
            penalty = self.perception.penalty(reconstructions, images, progress)
        parts = negative_elbo(output, images, self.model.config, self.config.beta)
        parts = parts._replace(loss=parts.loss + penalty)
        self.optimizer.zero_grad()
        self.accelerator.backward(parts.loss)
        if self.config.clip_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        with self._forward_precision():
            self.perception.learn(reconstructions.detach(), images, progress, rate)
        self.average.update_parameters(self.model)
        self.sums += torch.stack(parts).detach()
        self.step += 1
        if self.step % FINITE_CHECK_EVERY == 0:
            self._check_finite(self.sums)
        return StepMetrics(self.step, self.total_steps, parts.loss.detach(), parts.kl.detach())

    @torch.no_grad()
    def _validate(self) -> list[float]:
        """Mean loss, reconstruction and KL over the validation rows, in float32."""
        model = self.averaged
        self._seed_noise(4)
        sums = torch.zeros(3, device=self.device)
        for start in range(0, len(self.validation_rows), VALIDATION_BATCH):
            images = self._images(self.validation_rows[start : start + VALIDATION_BATCH])
            output = model(images, self.generator)
            parts = negative_elbo(output, images, model.config, self.config.beta)
            penalty = self.perception.feature_penalty(torch.sigmoid(output.logits), images)
            parts = parts._replace(loss=parts.loss + penalty)
            sums += torch.stack(parts) * len(images)
        self._check_finite(sums)  # also finds out what the epoch's last step has broken
        return self.accelerator.reduce(sums / len(self.validation_rows), "mean").tolist()

    def _check_finite(self, losses: Tensor) -> None:
        if torch.isfinite(losses).all():
            return
        done = len(self.history)
        kept = f"The state after epoch {done} is kept." if done else "No epoch was finished."
        raise TrainingError(
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

    def _seed_noise(self, *key: int) -> None:
        words = np.random.SeedSequence([self.config.seed, *key]).generate_state(1, np.uint64)
        self.generator.manual_seed(int(words[0] >> np.uint64(1)))

    def _forward_precision(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def _average_weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.averaged.state_dict().items()}

    def _keep_encodings(self, epoch: int) -> None:
        rows = self.dataset.rows(self.dataset.held_out)
        encodings = encode_dataset(self.averaged, self.dataset, rows)
        save_epoch(self.run, epoch, encodings.z_mean)
