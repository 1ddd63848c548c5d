"""Gaussianization: an invertible map of encodings to approximately N(0, I).

Each layer turns the coordinates to where they are least Gaussian and least dependent, and then
bends each alone until it is Gaussian. What no layer straightens is left to a mixture
(`vae_explorer.latent.prior`).
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from vae_explorer.random_streams import RandomStream, stream

CENTRE, SCALE = "prior_centre", "prior_scale"
ROTATIONS, QUANTILES = "prior_rotations", "prior_knots"
NAMES = (CENTRE, SCALE, ROTATIONS, QUANTILES)
LAYERS = 4
ROWS_PER_DIMENSION = 50
"""Rows that the layers need per dimension, for stable quantiles."""
_GRID = np.linspace(-3, 3, 25)
"""Quantiles of a transformed coordinate; beyond them, the transform is extended linearly."""
_ROTATION_ROWS = 20_000
_ROTATION_STEPS = 30
_NARROWEST = 1e-3
_ROUNDING = 1e-7
"""Root of float64's precision, and more: what a covariance says of a narrower spread is noise."""

Arrays = Mapping[str, NDArray[np.floating]]


def fit_layers(z: ArrayLike, layers: int = LAYERS, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Find the layers from encodings.

    Parameters
    ----------
    z : (n, d)
        At least `ROWS_PER_DIMENSION` times d.
    layers : int
    seed : int
        Of the rows by which the coordinates are rotated.

    Returns
    -------
    dict of str to ndarray of float32
        "prior_centre" (d,) and "prior_scale" (d, d), which whiten; "prior_rotations" (layers, d,
        d), whose rows are the new coordinates; "prior_knots" (layers, d, 25): what a rotated
        coordinate is where the transformed one is -3, -2.75 ... 3.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the rows are equal, or lie on a plane.

    References
    ----------
    Chen & Gopinath 2000, "Gaussianization" (https://papers.nips.cc/paper/1856-gaussianization);
    Laparra, Camps-Valls & Malo 2011, "Iterative Gaussianization: from ICA to Random Rotations"
    (https://arxiv.org/abs/1602.00229), equations 7 to 9.
    """
    rows = np.asarray(z, np.float64)
    centre = rows.mean(axis=0)
    scale = np.linalg.cholesky(np.cov(rows.T).reshape(rows.shape[1], -1))
    pivots = np.diag(scale)
    if pivots.min() <= max(_ROUNDING * pivots.max(), _ROUNDING**2 * np.abs(rows).max()):
        raise np.linalg.LinAlgError("The rows lie on a plane, but for rounding.")
    x = np.linalg.solve(scale, (rows - centre).T).T
    rng = stream(seed, RandomStream.GAUSSIANIZATION_ROTATIONS)
    rotations, quantiles = [], []
    for _ in range(layers):
        rotation = _choose_rotation(rng.permutation(x)[:_ROTATION_ROWS], int(rng.integers(2**31)))
        rotated = x @ rotation.T
        at = _separate(np.quantile(rotated, ndtr(_GRID), axis=0).T)
        x, _ = _transform_marginals(rotated, at)
        rotations.append(rotation)
        quantiles.append(at)
    found = zip(NAMES, (centre, scale, np.stack(rotations), np.stack(quantiles)), strict=True)
    return {name: array.astype(np.float32) for name, array in found}


def gaussianize(z: ArrayLike, layers: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring encodings into the new coordinates.

    Returns
    -------
    y : ndarray (n, d)
    log_determinant : ndarray (n,)
        Of the map's Jacobian, in nats: log p(z) = log p(y) + it.
    """
    scale = layers[SCALE].astype(np.float64)
    away = np.asarray(z, np.float64) - layers[CENTRE].astype(np.float64)
    x = np.asarray(np.linalg.solve(scale, away.T).T, np.float64)
    log_determinant: NDArray[np.float64] = np.full(len(x), -np.log(np.diag(scale)).sum())
    for rotation, at in zip(layers[ROTATIONS], layers[QUANTILES], strict=True):
        x, log_slopes = _transform_marginals(
            x @ rotation.T.astype(np.float64), at.astype(np.float64)
        )
        log_determinant += log_slopes.sum(axis=1)
    return x, log_determinant


def inverse(y: ArrayLike, layers: Arrays) -> NDArray[np.float64]:
    """Bring rows (n, d) of the new coordinates back to latents: the inverse of `gaussianize`."""
    x = np.asarray(y, np.float64)
    for rotation, at in zip(layers[ROTATIONS][::-1], layers[QUANTILES][::-1], strict=True):
        columns = zip(x.T, at.astype(np.float64), strict=True)
        inverted = [_interpolate_linearly(column, _GRID, own)[0] for column, own in columns]
        x = np.stack(inverted, axis=1) @ rotation.astype(np.float64)
    restored: NDArray[np.float64] = x @ layers[SCALE].T.astype(np.float64) + layers[CENTRE]
    return restored


def check_layers(layers: Arrays, latent_dim: int) -> None:
    """Raise a ValueError where the layers' arrays, if there are any, do not fit."""
    if not has_all(layers, NAMES):
        return
    count, square = len(layers[ROTATIONS]), (latent_dim, latent_dim)
    wanted = ((latent_dim,), square, (count, *square), (count, latent_dim, len(_GRID)))
    for name, shape in zip(NAMES, wanted, strict=True):
        if layers[name].shape != shape:
            raise ValueError(f"{name} must have the shape {shape}; found {layers[name].shape}.")
    if not (np.diff(layers[QUANTILES], axis=-1) > 0).all():
        raise ValueError(f"{QUANTILES} must rise.")


def has_all(arrays: Container[str], names: Sequence[str]) -> bool:
    """Return whether a fitted prior has these arrays; raise a ValueError where it has only some."""
    present = [name for name in names if name in arrays]
    if present and len(present) < len(names):
        raise ValueError(f"A fitted prior has {', '.join(names)}; found only {', '.join(present)}.")
    return bool(present)


def _choose_rotation(x: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return a rotation (d, d) to coordinates as independent as possible (Hyvärinen 1999)."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    ica = FastICA(whiten="unit-variance", max_iter=_ROTATION_STEPS, tol=1e-2, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any rotation will do
        ica.fit(x)
    left, _, right = np.linalg.svd(ica.components_)
    rotation: NDArray[np.float64] = left @ right
    return rotation


def _separate(quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Push quantiles (d, k) apart where they coincide, so that the way back is there."""
    steps = np.maximum(np.diff(quantiles, axis=1), _NARROWEST)
    return np.concatenate([quantiles[:, :1], quantiles[:, :1] + np.cumsum(steps, axis=1)], axis=1)


def _transform_marginals(
    x: NDArray[np.float64], quantiles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map each column of x (n, d) by its quantiles (d, k) to N(0, 1); return values, log slopes."""
    transformed = [
        _interpolate_linearly(column, own, _GRID)
        for column, own in zip(x.T, quantiles, strict=True)
    ]
    values = np.stack([value for value, _ in transformed], axis=1)
    return values, np.log(np.stack([slope for _, slope in transformed], axis=1))


def _interpolate_linearly(
    x: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map the quantiles `start` (k,) to `end` (k,), linearly between them and beyond."""
    piece = np.clip(np.searchsorted(start, x) - 1, 0, len(start) - 2)
    slope = (np.diff(end) / np.diff(start))[piece]
    return end[piece] + slope * (x - start[piece]), slope
