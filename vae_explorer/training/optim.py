"""Optimization: learning-rate schedule, EMA of the weights, optimizer state as tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from vae_explorer.config import TrainConfig
from vae_explorer.models import Autoencoder

Tensors = list[Tensor] | tuple[Tensor, ...]


def learning_rate(step: int, total_steps: int, config: TrainConfig) -> float:
    """Return the learning rate of a step, counted from 0: warm-up, then `config.schedule`.

    "cosine" goes to zero; "held" keeps the peak for half of the steps, then falls linearly to a
    tenth of it.

    References
    ----------
    Loshchilov & Hutter 2017, "SGDR" (https://arxiv.org/abs/1608.03983), equation 5, one cycle.
    """
    warmup = min(config.warmup_steps, total_steps // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "held":
        return config.learning_rate * (1 - 0.9 * max(0.0, 2 * step / total_steps - 1))
    progress = (step - warmup) / max(1, total_steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def ema_update(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Return the `multi_avg_fn` of an `AveragedModel`: an exponential moving average.

    The decay grows with the number of updates n as (1 + n) / (10 + n), up to its value, so that
    the average forgets the initial weights within the first epochs.
    """

    @torch.no_grad()
    def update(averages: Tensors, weights: Tensors, updates: Tensor | int) -> None:
        count = int(updates)
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + count) / (10 + count)))

    return update


class _WithNoise(nn.Module):
    """An autoencoder as a function of images alone, which is what `update_bn` calls."""

    def __init__(self, model: Autoencoder, generator: torch.Generator) -> None:
        super().__init__()
        self.model, self.generator = model, generator

    def forward(self, images: Tensor) -> None:
        self.model(images, self.generator)


@torch.no_grad()
def update_batch_norm(
    model: Autoencoder, batches: Iterable[Tensor], generator: torch.Generator
) -> None:
    """Recompute the running statistics of a model's batch normalization.

    The EMA weights need their own: those of the weights in training belong to other activations.

    Parameters
    ----------
    model : Autoencoder
        Left in eval mode.
    batches : iterable of Tensor (n, channels, height, width)
        Training images in [0, 1]; each batch has the same weight. Not read where the model has no
        batch normalization.
    generator : torch.Generator
        Of ε.

    References
    ----------
    Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization"
    (https://arxiv.org/abs/1803.05407), section 3.2.
    """
    update_bn(batches, _WithNoise(model, generator).eval())


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's state, such as Adam's moments, as tensors by "INDEX.NAME"."""
    return {
        f"{index}.{name}": tensor
        for index, values in optimizer.state_dict()["state"].items()
        for name, tensor in values.items()
    }


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the state that `optimizer_state` returned in an optimizer of the same parameters."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state = optimizer.state_dict()
    for key, tensor in tensors.items():
        index, name = key.split(".")
        if tensor.dim():
            # A fused optimizer needs moments in the memory format of their parameters.
            tensor = torch.empty_like(parameters[int(index)]).copy_(tensor)  # noqa: PLW2901
        state["state"].setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(state)
