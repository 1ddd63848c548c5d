"""Which pictures a training sees, in which order, which way round, and with which noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from vae_explorer.config import TrainConfig
from vae_explorer.errors import TrainingError

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset


def split_rows(dataset: ImageDataset, config: TrainConfig) -> tuple[np.ndarray, np.ndarray]:
    """Part the train split into rows to learn from and rows to choose the best epoch by.

    Returns
    -------
    tuple of ndarray of int64
        Disjoint rows, a function of `config.seed` and `config.validation_fraction` alone.

    Raises
    ------
    TrainingError
        If one part is left without a row.
    """
    rows = np.random.default_rng([config.seed, 1]).permutation(dataset.rows("train"))
    held = round(len(rows) * config.validation_fraction)
    if not 0 < held < len(rows):
        raise TrainingError(
            f"A validation_fraction of {config.validation_fraction:g} of {len(rows)} training "
            "pictures leaves one side empty; use more pictures, or another fraction."
        )
    return rows[held:], np.sort(rows[:held])


def order_of_epoch(rows: np.ndarray, config: TrainConfig, epoch: int) -> np.ndarray:
    """Return the rows (n,) in the order in which an epoch, counted from 0, takes them."""
    return np.random.default_rng([config.seed, 2, epoch]).permutation(rows)


def mirrored(
    images: Tensor, config: TrainConfig, step: int, count: int, share: slice = slice(None)
) -> Tensor:
    """Mirror half of a batch of `count` images, another half in every step.

    The images (n, channels, height, width) are the given share of it.
    """
    turned = np.random.default_rng([config.seed, 5, step, 0]).random(count) < 0.5
    chosen = torch.from_numpy(turned[share]).to(images.device)[:, None, None, None]
    return torch.where(chosen, images.flip(3), images)


class Noise:
    """The ε of a training: standard normal, a function of the seed and of what it is for.

    Parameters
    ----------
    seed, latent_dim : int
    device : torch.device
        Another kind of device draws other numbers.
    """

    def __init__(self, seed: int, latent_dim: int, device: torch.device) -> None:
        self.generator = torch.Generator(device)
        self._seed, self._latent_dim = seed, latent_dim

    def begin(self, *key: int) -> Self:
        """Begin the sequence of that name."""
        words = np.random.SeedSequence([self._seed, *key]).generate_state(1, np.uint64)
        self.generator.manual_seed(int(words[0] >> np.uint64(1)))
        return self

    def draw(self, count: int) -> Tensor:
        """Return its next numbers, float32 (count, latent_dim)."""
        shape = (count, self._latent_dim)
        return torch.randn(shape, generator=self.generator, device=self.generator.device)
