"""KL and label correlation per latent dimension, and the texts of the page Dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.evaluation.description import format_attribute
from vae_explorer.latent.statistics import correlations
from vae_explorer.ui.originals import name_held_out

LOOKS = {"kl": "KL", "spread": "Histograms", "length": "Norm", "labels": "Correlations"}
_WHY = {
    "kl": (
        "KL divergence per dimension, averaged over the {held_out}: an upper bound on the "
        "information that the dimension carries. Where it is 0, the posterior equals the prior and "
        "the decoder ignores the dimension."
    ),
    "variance": (
        "Variance of z per dimension, over the {held_out}. A plain autoencoder has no KL term."
    ),
    "spread": (
        "One sample from each posterior, compared with the density of N(0, 1) (line), for at most "
        "50 dimensions. The number is the Kolmogorov-Smirnov distance: the largest difference "
        "between the two cumulative distribution functions. Orange: above 0.1. There, samples from "
        "the prior differ from the z that the decoder was trained on."
    ),
    "length": (
        "In d dimensions, samples from N(0, I) concentrate near a shell of radius √d; for large d, "
        "almost none lie near the origin. The mean of many encodings lies far inside that shell, "
        "where there are no encodings, and decodes to a smooth, average-looking image."
    ),
    "labels": (
        "Pearson's correlation r between a dimension and a label or attribute. A dimension rarely "
        "corresponds to a single attribute: nothing in the objective requires it."
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
        strengths, title = np.array(kl.value), "KL, nats per image"
    else:
        strengths, title = checkpoint.encodings.z_mean.var(axis=0).astype(float), "Variance of z"
    return np.argsort(-strengths, kind="stable"), strengths, title


def explain(look: str, checkpoint: Checkpoint) -> str:
    """Return the text below the figure of a view of `LOOKS`."""
    is_plain = checkpoint.card.model.kind == "autoencoder"
    text = _WHY["variance" if look == "kl" and is_plain else look]
    return text.format(held_out=name_held_out(checkpoint.encodings))


def correlate(checkpoint: Checkpoint) -> tuple[NDArray[np.float64], list[str]]:
    """Return Pearson's r of each dimension with each label or attribute, and their names."""
    encodings, card = checkpoint.encodings, checkpoint.card
    if encodings.labels is not None:
        classes = encodings.labels[:, None] == np.arange(len(card.label_names))
        return correlations(encodings.z_mean, classes), list(card.label_names)
    if encodings.attributes is not None:
        names = [format_attribute(name) for name in card.attribute_names]
        return correlations(encodings.z_mean, encodings.attributes), names
    return np.zeros((card.model.latent_dim, 1)), ["No labels"]
