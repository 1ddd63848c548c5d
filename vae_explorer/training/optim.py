"""How the weights move: the schedule, the averaging, the precision, and the allocator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from vae_explorer.config import TrainConfig

Tensors = list[Tensor] | tuple[Tensor, ...]


def learning_rate(step: int, total_steps: int, config: TrainConfig) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to zero.

    References
    ----------
    Loshchilov & Hutter 2017, "SGDR" (https://arxiv.org/abs/1608.03983), equation 5, one cycle.
    """
    warmup = min(config.warmup_steps, total_steps // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential moving average with a warm-up, so that early epochs are judged fairly too."""

    @torch.no_grad()
    def update(averages: Tensors, weights: Tensors, updates: Tensor | int) -> None:
        count = int(updates)
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + count) / (10 + count)))

    return update


@torch.no_grad()
def refresh_statistics(
    model: nn.Module, batches: Iterable[Tensor], generator: torch.Generator
) -> None:
    """Have a model's batch normalisation take its statistics from images anew.

    Averaged weights need their own: those of the weights in training belong to other activations.

    Parameters
    ----------
    model : nn.Module
        An `Autoencoder`; left in eval mode.
    batches : iterable of Tensor (n, channels, height, width)
        Training images in [0, 1]; each batch counts the same. Not asked for where the model has
        no batch normalisation.
    generator : torch.Generator
        Of the noise in the latents.

    References
    ----------
    Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization"
    (https://arxiv.org/abs/1803.05407), section 3.2.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    model.train()
    for images in batches:
        model(images, generator)
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def read_moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's running state as tensors by name, for `restore_moments`."""
    return {
        f"{index}.{name}": tensor
        for index, values in optimizer.state_dict()["state"].items()
        for name, tensor in values.items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    """Give a fresh optimizer the state that `read_moments` read."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state = optimizer.state_dict()
    for key, tensor in moments.items():
        index, name = key.split(".")
        if tensor.dim():
            # A fused optimizer walks the memory of both, so they must be laid out alike.
            tensor = torch.empty_like(parameters[int(index)]).copy_(tensor)  # noqa: PLW2901
        state["state"].setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(state)
