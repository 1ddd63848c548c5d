"""How a model's faces look: numbers for the card, measured beside those of its likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vae_explorer.checkpoints.card import Metric
from vae_explorer.classifiers.storage import AttributeClassifier, pooled_features
from vae_explorer.image_quality import (
    WINDOW,
    frechet_distance,
    highest_frequencies,
    sharpness,
    ssim,
)
from vae_explorer.inference import decode
from vae_explorer.latent.prior import WEIGHTS, sample_prior
from vae_explorer.models import Autoencoder

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset
    from vae_explorer.encodings import Encodings

IMAGES = 2_000
"""On each side of a comparison."""
SEED = 0


def measure_appearance(
    model: Autoencoder,
    dataset: ImageDataset,
    encodings: Encodings,
    latent: Mapping[str, np.ndarray],
    judge: AttributeClassifier | None,
) -> dict[str, Metric]:
    """Compare reconstructions and samples with pictures that the model has not seen.

    Parameters
    ----------
    model : Autoencoder
        In eval mode.
    dataset : ImageDataset
    encodings : Encodings
        Of its held-out split, whole.
    latent : mapping of str to ndarray
        A checkpoint's arrays about its latent space; a fitted prior among them is measured too.
    judge : AttributeClassifier or None
        By whose features distances are measured; without one there are none.

    Returns
    -------
    dict of str to Metric
        By name; without what cannot be measured on pictures so few, so small or so plain.
    """
    order = np.random.default_rng([SEED, 8]).permutation(len(encodings.row_id))
    count = min(IMAGES, len(order) // 2)
    if count < 2:
        return {}
    ours, others = np.sort(order[:count]), np.sort(order[count : 2 * count])
    originals = _read(dataset, encodings.row_id[ours], model)
    reconstructions = decode(model, encodings.z_mean[ours])
    metrics = _measure_likeness(reconstructions, originals, dataset.held_out)
    if judge is None:
        return metrics
    sides = f"{count:,} images a side"
    real = pooled_features(judge, originals)
    compared = {
        "real": (_read(dataset, encodings.row_id[others], model), "other real images (the floor)"),
        "reconstructions": (reconstructions, "the reconstructions of the same images"),
        "samples_standard": (_sample(model, count, {}), "samples of N(0, I)"),
    }
    if WEIGHTS in latent:
        compared["samples_fitted"] = (_sample(model, count, latent), "samples of the fitted prior")
    for name, (images, what) in compared.items():
        metrics[f"frechet_{name}"] = Metric(
            f"frechet_{name}",
            frechet_distance(real, pooled_features(judge, images)),
            "squared distance in the judge's pooled features",
            f"{dataset.held_out} split against {what}; {sides}",
        )
    return metrics


def _measure_likeness(
    reconstructions: NDArray[np.float32], originals: NDArray[np.float32], split: str
) -> dict[str, Metric]:
    protocol = f"decode(z_mean) against the image; {split} split, {len(originals):,} images"
    of_originals = "as a share of the originals'"
    found = {}
    if min(originals.shape[2:]) >= WINDOW:
        found["ssim"] = (float(ssim(reconstructions, originals).mean()), "1 for the same image")
    for name, measure in (("sharpness", sharpness), ("highest_frequencies", highest_frequencies)):
        if there := measure(originals):  # of plain pictures nothing is a share
            found[name] = (measure(reconstructions) / there, of_originals)
    return {name: Metric(name, value, unit, protocol) for name, (value, unit) in found.items()}


def _sample(model: Autoencoder, n: int, latent: Mapping[str, np.ndarray]) -> NDArray[np.float32]:
    if latent:
        return decode(model, sample_prior(latent, n, 1.0, SEED))
    z = np.random.default_rng(SEED).standard_normal((n, model.config.latent_dim))
    return decode(model, z.astype(np.float32))


def _read(dataset: ImageDataset, rows: np.ndarray, model: Autoencoder) -> NDArray[np.float32]:
    return dataset.take(rows, model.config.image_size).astype(np.float32) / np.float32(255)
