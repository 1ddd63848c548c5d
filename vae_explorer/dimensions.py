"""What the dimensions of a latent space are used for, and how far they are from the prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kstest


def ks_distances(z: ArrayLike) -> NDArray[np.float64]:
    """Tell how far each dimension's values are from N(0, 1).

    Parameters
    ----------
    z : (n, d)
        Latents, at least one.

    Returns
    -------
    ndarray of float64 (d,)
        Kolmogorov-Smirnov distances: the greatest gap between the share of values below a number
        and the share that N(0, 1) has there, in [0, 1].
    """
    columns = np.asarray(z, np.float64).T
    return np.array([kstest(column, "norm").statistic for column in columns])


def sample_posteriors(
    z_mean: ArrayLike, z_log_var: ArrayLike | None, seed: int = 0
) -> NDArray[np.float32]:
    """Draw one z (n, d) of each posterior; without a variance it is the mean itself."""
    means = np.asarray(z_mean, np.float32)
    if z_log_var is None:
        return means
    noise = np.random.default_rng(seed).standard_normal(means.shape, np.float32)
    spread = np.exp(np.asarray(z_log_var, np.float64) / 2)
    drawn: NDArray[np.float32] = (means + spread * noise).astype(np.float32)
    return drawn


def correlations(z: ArrayLike, classes: ArrayLike) -> NDArray[np.float64]:
    """Correlate each dimension with each class.

    Parameters
    ----------
    z : (n, d)
        Latents.
    classes : (n, k) bool
        Who belongs to which.

    Returns
    -------
    ndarray of float64 (d, k)
        Pearson's r in [-1, 1]; 0 where a dimension or a class is the same for all.
    """
    latents, members = np.asarray(z, np.float64), np.asarray(classes, np.float64)
    latents = latents - latents.mean(axis=0)
    members = members - members.mean(axis=0)
    lengths = np.outer(np.linalg.norm(latents, axis=0), np.linalg.norm(members, axis=0))
    products: NDArray[np.float64] = latents.T @ members
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
