"""A prior that fits where the encodings are, as arrays to ship.

What a decoder learnt to draw lies where the encoder puts pictures, and in many dimensions that is
not where N(0, I) has its mass. The fit is a Gaussian mixture, where it helps in the coordinates of
`vae_explorer.gaussianization`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from vae_explorer.gaussianization import (
    ROTATIONS,
    ROWS_PER_DIMENSION,
    check_layers,
    fit_layers,
    restore,
    straighten,
)

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

WEIGHTS, MEANS, FACTORS = "prior_weights", "prior_means", "prior_factors"
COMPONENTS = (1, 5, 10, 20, 40)
"""Numbers of Gaussians that are tried."""
HELD_OUT = 0.1
CHOOSING_ROWS = 40_000
"""Of the others, by which their number is chosen; all would take minutes in 128 dimensions."""
ROWS, ROWS_PER_COLUMN = 200, 4
"""What a Gaussian needs for its covariance, at least: so many rows, and so many a dimension."""
FEWEST_FOR_LAYERS = 2_000
TOLERANCE = 1e-3
"""A fit is done when a step adds less than this to the log-likelihood of a row, per dimension."""
REGULARISATION = 1e-4
"""Added to the diagonal of every covariance, so that none collapses onto a few rows."""

Layers = Mapping[str, NDArray[np.float32]]


def fit_prior(
    z_mean: ArrayLike, seed: int = 0, mirrored: ArrayLike | None = None
) -> dict[str, NDArray[np.float32]]:
    """Fit a mixture of Gaussians with full covariances to encodings.

    Fitted to the encodings as they are, or to what `straighten` makes of them; and with as many
    Gaussians of `COMPONENTS`: what gives the greatest likelihood to a tenth of the rows when
    fitted to others. Then fitted to all.

    Parameters
    ----------
    z_mean : (n, d)
        Of the train split; at least two.
    seed : int
        Of the rows that choose, and of where the Gaussians start.
    mirrored : (n, d), optional
        Encodings of the same pictures, mirrored, where they are as good as others.

    Returns
    -------
    dict of str to ndarray of float32
        "prior_weights" (k,), "prior_means" (k, d) and "prior_factors" (k, d, d): the lower
        Cholesky factors of the covariances; and the arrays of `fit_layers`, where they help.

    Raises
    ------
    ValueError
        If there are fewer than two encodings.

    References
    ----------
    Ghosh et al. 2020, "From Variational to Deterministic Autoencoders"
    (https://arxiv.org/abs/1903.12436), section 4: ex-post density estimation.
    """
    rows = np.asarray(z_mean, np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"A prior is fitted to two encodings (n, d) or more; found {rows.shape}.")
    sides = [rows] if mirrored is None else [rows, np.asarray(mirrored, np.float64)]
    order = np.random.default_rng([seed, 7]).permutation(len(rows))
    held = max(1, round(HELD_OUT * len(rows)))
    inner, outer = np.concatenate([side[order[held:]] for side in sides]), rows[order[:held]]
    every = np.concatenate(sides)

    layers = _find_layers(inner, outer, seed)
    if layers:
        inner, outer, every = (straighten(part, layers)[0] for part in (inner, outer, every))
    inner = np.random.default_rng([seed, 17]).permutation(inner)[:CHOOSING_ROWS]
    fits = [_fit_mixture(inner, count, seed) for count in _affordable(inner)]
    mixture = max(fits, key=lambda fitted: float(fitted.score(outer)))
    # The same Gaussians, from where they stand now, to all rows.
    mixture.set_params(
        weights_init=mixture.weights_,
        means_init=mixture.means_,
        precisions_init=mixture.precisions_,
    )
    mixture.fit(every)
    return {
        WEIGHTS: mixture.weights_.astype(np.float32),
        MEANS: mixture.means_.astype(np.float32),
        FACTORS: np.linalg.cholesky(mixture.covariances_).astype(np.float32),
        **layers,
    }


def sample_prior(
    prior: Mapping[str, NDArray[np.float32]], n: int, temperature: float, seed: int
) -> NDArray[np.float32]:
    """Draw n latents (n, d) from what `fit_prior` gave.

    The temperature is a factor on every Gaussian's standard deviation: at 0, all are at its mean,
    or where that comes to lie among the latents.
    The same seed gives the same latents, and a larger n only adds some at the end.
    """
    means, factors = prior[MEANS], prior[FACTORS]
    noise = np.random.default_rng(seed).standard_normal((n, means.shape[1] + 1))
    shares = np.cumsum(prior[WEIGHTS], dtype=np.float64)
    # One number of each row chooses its Gaussian, so that each row stands for itself.
    chosen = np.searchsorted(shares[:-1] / shares[-1], ndtr(noise[:, 0]), side="right")
    away = np.einsum("nij,nj->ni", factors[chosen], noise[:, 1:])
    z = means[chosen] + temperature * away
    return (restore(z, prior) if ROTATIONS in prior else z).astype(np.float32)


def check_prior(arrays: Mapping[str, NDArray[np.floating]], latent_dim: int) -> None:
    """Raise a ValueError where the arrays of a fitted prior, if there are any, do not fit."""
    check_layers(arrays, latent_dim)
    names = (WEIGHTS, MEANS, FACTORS)
    present = [name for name in names if name in arrays]
    if not present:
        return
    if len(present) < len(names):
        raise ValueError(f"A fitted prior has {', '.join(names)}; found only {', '.join(present)}.")
    k = len(arrays[WEIGHTS])
    wanted = ((k,), (k, latent_dim), (k, latent_dim, latent_dim))
    for name, shape in zip(names, wanted, strict=True):
        if arrays[name].shape != shape:
            raise ValueError(f"{name} must have the shape {shape}; found {arrays[name].shape}.")
    if arrays[WEIGHTS].min(initial=0) < 0 or not arrays[WEIGHTS].sum() > 0:
        raise ValueError(f"{WEIGHTS} must be shares: none below 0, one above.")


def _find_layers(
    inner: NDArray[np.float64], outer: NDArray[np.float64], seed: int
) -> dict[str, NDArray[np.float32]]:
    """Return layers that make a few Gaussians fit better; none where they do not."""
    if len(inner) < max(FEWEST_FOR_LAYERS, ROWS_PER_DIMENSION * inner.shape[1]):
        return {}
    layers = fit_layers(inner, seed=seed)
    some = np.random.default_rng([seed, 17]).permutation(inner)[:CHOOSING_ROWS]
    count = [k for k in _affordable(some) if k <= 10][-1]
    straight, log_determinant = straighten(outer, layers)
    bent = _fit_mixture(straighten(some, layers)[0], count, seed).score(straight)
    plain = _fit_mixture(some, count, seed).score(outer)
    return layers if bent + log_determinant.mean() > plain else {}


def _affordable(rows: NDArray[np.float64]) -> list[int]:
    most = len(rows) / max(ROWS, ROWS_PER_COLUMN * rows.shape[1])
    return [count for count in COMPONENTS if count <= max(1, most)]


def _fit_mixture(rows: NDArray[np.float64], count: int, seed: int) -> GaussianMixture:
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        count,
        tol=TOLERANCE * rows.shape[1],
        reg_covar=REGULARISATION,
        random_state=seed,
        init_params="k-means++",
    )
    return mixture.fit(rows)
