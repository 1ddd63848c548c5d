"""Latent spaces beside each other: which models can be, and how well the prior fits each.

A VAE is trained so that N(0, I) and the encodings cover one another; a plain autoencoder is not.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree
from scipy.stats import chi2

from vae_explorer.cards import ModelCard

_SHARE = 0.99


def comparable(cards: Iterable[ModelCard], card: ModelCard) -> list[ModelCard]:
    """Return the models of a plane that learnt from the same pictures as `card`, and it.

    A plain autoencoder comes first, then VAEs by their β.
    """
    found = [
        other
        for other in cards
        if other.model.latent_dim == 2
        and other.dataset.name == card.dataset.name
        and other.model.image_shape == card.model.image_shape
    ]
    return sorted(found, key=lambda other: (*_place(other), other.name))


def uncovered(
    z_mean: ArrayLike, n: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw of N(0, I), and say which draws have no encoding near them.

    Near is what it would be if the encodings came from the prior themselves: within the distance
    at which 99 % of draws find one of as many draws. So 1 % is what a perfect fit leaves.

    Parameters
    ----------
    z_mean : (m, d)
        Encodings, at least one.
    n : int
        How many to draw.
    seed : int

    Returns
    -------
    z : ndarray of float32 (n, d)
    lonely : ndarray of bool (n,)

    References
    ----------
    Hoffman & Johnson 2016, "ELBO surgery"
    (http://approximateinference.org/accepted/HoffmanJohnson2016.pdf): the gap between the prior
    and the mean of all posteriors, of which this is a picture.
    """
    encodings = np.asarray(z_mean, np.float64)
    rng = np.random.default_rng([seed, 14])
    draws = rng.standard_normal((n, encodings.shape[1]))
    ideal = rng.standard_normal(encodings.shape)
    reach = np.quantile(KDTree(ideal).query(draws)[0], _SHARE)
    far = KDTree(encodings).query(draws)[0] > reach
    return draws.astype(np.float32), far


def out_of_reach(z_mean: ArrayLike) -> float:
    """Return the share of encodings (m, d) beyond the radius within which 99 % of N(0, I) is."""
    encodings = np.asarray(z_mean, np.float64)
    squared = np.square(encodings).sum(axis=1)
    return float((squared > chi2.ppf(_SHARE, encodings.shape[1])).mean())


def largest_step(images: ArrayLike) -> float:
    """Tell how even a path of pictures is: the largest change of one step, over the mean of all.

    Parameters
    ----------
    images : (k, ...)
        At least two, in the order of the path.

    Returns
    -------
    float
        1 where all steps change the picture by the same root of squared differences, k - 1 where
        one step does it all; 1 also where nothing changes.
    """
    pixels = np.asarray(images, np.float64)
    steps = np.linalg.norm(np.diff(pixels.reshape(len(pixels), -1), axis=0), axis=1)
    return float(steps.max() / steps.mean()) if steps.any() else 1.0


def _place(card: ModelCard) -> tuple[bool, float]:
    return card.model.kind != "autoencoder", card.train.beta
