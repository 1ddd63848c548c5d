"""Mini-batches: train and validation rows, the order of an epoch, random flips and noise.

Everything here is a function of the seed and the step, so that a resumed run continues with the
same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae_explorer.config import TrainConfig
from vae_explorer.errors import TrainingError
from vae_explorer.random_streams import RandomStream, stream

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

Rows = NDArray[np.int64]
"""Rows of images in a data set, (n,)."""

WHOLE_BATCH = slice(None)


def split_rows(dataset: ImageDataset, config: TrainConfig) -> tuple[Rows, Rows]:
    """Split the train split into training rows and validation rows, at least one of each.

    Where the train split is a single image, the val split validates, which is otherwise not used.

    Returns
    -------
    tuple of ndarray of int64
        Disjoint rows, a function of `config.seed` and `config.validation_fraction` alone.

    Raises
    ------
    TrainingError
        If there is no image to train on, or none to validate with.
    """
    generator = stream(config.seed, RandomStream.VALIDATION_SPLIT)
    rows = generator.permutation(dataset.rows("train"))
    validation = dataset.rows("val")
    if not len(rows) or len(rows) + len(validation) < 2:
        raise TrainingError(
            "Training takes at least two images, one of them to validate with; the train split of "
            f"{dataset.name} has {len(rows)}. Add images."
        )
    if len(rows) == 1:
        return rows, validation
    held = count_validated(len(rows), config)
    return rows[held:], np.sort(rows[:held])


def count_validated(count: int, config: TrainConfig) -> int:
    """Return how many of the train split's images validate: at least one, where one is left."""
    return min(max(1, round(count * config.validation_fraction)), max(count - 1, 0))


def epoch_order(rows: Rows, seed: int, epoch: int) -> Rows:
    """Shuffle the training rows (n,) for an epoch, counted from 0."""
    return stream(seed, RandomStream.EPOCH_ORDER, epoch).permutation(rows)


def in_batches(rows: Rows, batch_size: int) -> Iterator[Rows]:
    """Yield the rows in order, `batch_size` at a time; the last batch may be smaller."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def horizontal_flip(
    images: Tensor, seed: int, step: int, batch_size: int, shard: slice = WHOLE_BATCH
) -> Tensor:
    """Flip each image of a batch left to right with probability 0.5.

    Parameters
    ----------
    images : Tensor, (n, channels, height, width)
        This process's shard of the batch.
    seed, step : int
        Determine which images are flipped, whatever the number of processes.
    batch_size : int
        Images in the whole batch.
    shard : slice
        Of the batch, giving `images`.

    Returns
    -------
    Tensor, (n, channels, height, width)
    """
    flipped = stream(seed, RandomStream.HORIZONTAL_FLIP, step, 0).random(batch_size) < 0.5
    mask = torch.from_numpy(flipped[shard]).to(images.device)[:, None, None, None]
    return torch.where(mask, images.flip(3), images)


class Noise:
    """ε ~ N(0, I) of the reparameterization z = μ + σ ε, from named random streams.

    Parameters
    ----------
    seed, latent_dim : int
    device : torch.device
        Different kinds of device draw different numbers.

    References
    ----------
    Kingma & Welling 2014, "Auto-Encoding Variational Bayes" (https://arxiv.org/abs/1312.6114),
    section 2.4.
    """

    def __init__(self, seed: int, latent_dim: int, device: torch.device) -> None:
        self._seed, self._latent_dim, self._device = seed, latent_dim, device

    def stream(self, name: RandomStream, *index: int) -> torch.Generator:
        """Return the generator of a stream, at its beginning; see `random_streams.stream`."""
        (state,) = np.random.SeedSequence([self._seed, name, *index]).generate_state(1, np.uint64)
        # manual_seed takes signed 64-bit numbers.
        return torch.Generator(self._device).manual_seed(int(state >> np.uint64(1)))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return the next ε of a stream, float32 (count, latent_dim)."""
        shape = (count, self._latent_dim)
        return torch.randn(shape, generator=generator, device=self._device)
