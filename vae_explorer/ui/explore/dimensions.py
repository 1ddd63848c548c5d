"""KL and label correlation per latent dimension, and the texts of the page Dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.latent.statistics import correlations
from vae_explorer.ui.text import format_attribute

LOOKS = {"kl": "Strength", "spread": "Spread", "length": "Length", "labels": "Labels"}
WHY = {
    "kl": (
        "The KL term is what a dimension costs: how many nats of a picture it tells. Where it is 0 "
        "the posterior is the prior, and the decoder has learnt to look away. A plain autoencoder "
        "pays nothing; its bars are variances."
    ),
    "spread": (
        "One z drawn of each posterior, against N(0, 1) as a line; 50 dimensions at most. The "
        "number is the Kolmogorov-Smirnov distance: the greatest gap between the share of pictures "
        "below a value and the share that N(0, 1) has there. Orange: above 0.1, where samples of "
        "the prior are not what the decoder has seen."
    ),
    "length": (
        "In d dimensions samples of N(0, I) lie on a shell at √d, not at the origin: nearly none "
        "is near the mean. A mean of many pictures lies far inside, where no picture does, and "
        "the decoder draws a smooth average there."
    ),
    "labels": (
        "Pearson's r between a dimension and a label or attribute. One dimension seldom means one "
        "thing: nothing in the objective asks for that."
    ),
}


def dimension_strengths(
    checkpoint: Checkpoint,
) -> tuple[NDArray[np.intp], NDArray[np.float64], str]:
    """Return the order of dimensions by KL, highest first, the KL of each, and an axis title.

    A plain autoencoder has no KL: the variances of z stand for it.
    """
    kl = checkpoint.card.metrics.get("kl_per_dimension")
    if kl is not None and isinstance(kl.value, tuple):
        strengths, title = np.array(kl.value), "KL in nats"
    else:
        strengths, title = checkpoint.encodings.z_mean.var(axis=0).astype(float), "variance of z"
    return np.argsort(-strengths, kind="stable"), strengths, title


def correlate(checkpoint: Checkpoint) -> tuple[NDArray[np.float64], list[str]]:
    """Return Pearson's r of each dimension with each label or attribute, and their names."""
    encodings, card = checkpoint.encodings, checkpoint.card
    if encodings.labels is not None:
        classes = encodings.labels[:, None] == np.arange(len(card.label_names))
        return correlations(encodings.z_mean, classes), list(card.label_names)
    if encodings.attributes is not None:
        names = [format_attribute(name) for name in card.attribute_names]
        return correlations(encodings.z_mean, encodings.attributes), names
    return np.zeros((card.model.latent_dim, 1)), ["no labels"]
