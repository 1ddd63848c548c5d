"""Which pictures a training sees, in which order, and which way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vae_explorer.config import TrainConfig

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do."""


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


def mirrored(images: Tensor, config: TrainConfig, step: int, rank: int) -> Tensor:
    """Mirror half of the images (n, channels, height, width), another half in every step."""
    turned = np.random.default_rng([config.seed, 5, step, rank]).random(len(images)) < 0.5
    chosen = torch.from_numpy(turned).to(images.device)[:, None, None, None]
    return torch.where(chosen, images.flip(3), images)
