"""Reconstructions of the same held-out images by several models, with their error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vae_explorer.config import ModelConfig
from vae_explorer.encodings import Encodings
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.random_streams import RandomStream, stream
from vae_explorer.training.state import read_weights


def draw_row_ids(unseen: Sequence[NDArray[np.integer]], count: int, seed: int) -> NDArray[np.int64]:
    """Draw images that none of some models has learnt from.

    Parameters
    ----------
    unseen : sequence of (k,)
        Of each model, the row ids of its held-out images.
    count, seed : int

    Returns
    -------
    ndarray of int64 (m,)
        Row ids that all have, ascending: `count` of them, or as many as there are.
    """
    if not unseen:
        return np.zeros(0, np.int64)
    shared = reduce(np.intersect1d, unseen, unseen[0]).astype(np.int64)
    rng = stream(seed, RandomStream.COMPARED_IMAGES)
    return np.sort(rng.choice(shared, min(count, len(shared)), replace=False))


def find_latents(encodings: Encodings, row_ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return `z_mean` (m, latent_dim) of images by their row ids, all of which are encoded."""
    order = np.argsort(encodings.row_id, kind="stable")
    return encodings.z_mean[order[np.searchsorted(encodings.row_id[order], row_ids)]]


def crop(images: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    """Cut the border off (..., height, width) that only pads an image to the model's size."""
    border = (images.shape[-1] - side) // 2
    if border <= 0:
        return images
    return images[..., border:-border, border:-border]


def psnr(images: NDArray[np.floating], originals: NDArray[np.floating]) -> float:
    """Return the peak signal-to-noise ratio in dB, of each image and then averaged.

    Parameters
    ----------
    images, originals : (n, channels, height, width)
        In [0, 1]; n is at least 1. Equal images give infinity.
    """
    errors = np.square(np.asarray(images, np.float64) - originals).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return float((-10 * np.log10(errors)).mean())


def load_run_model(folder: Path, config: ModelConfig) -> Autoencoder:
    """Build the model of a run around its best weights so far, in eval mode and frozen.

    Raises
    ------
    RunError
        If there are none that can be read.
    """
    model = build_model(config).eval()
    model.load_state_dict(read_weights(folder, config))
    return model.requires_grad_(False)
