"""A change of coordinates in which encodings look like samples of N(0, I), as arrays to ship.

Each layer turns the coordinates to where they are least Gaussian and least dependent, and then
bends each alone until it is Gaussian. What no layer straightens is left to a mixture
(`vae_explorer.priors`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from vae_explorer.random_streams import RandomStream, stream

CENTRE, SCALE = "prior_centre", "prior_scale"
ROTATIONS, KNOTS = "prior_rotations", "prior_knots"
NAMES = (CENTRE, SCALE, ROTATIONS, KNOTS)
LAYERS = 4
ROWS_PER_DIMENSION = 50
"""What the layers need, at least: their knots are quantiles."""
_GRID = np.linspace(-3, 3, 25)
"""Where a bent coordinate has its knots; beyond, it goes on as straight as between the last two."""
_TURNING_ROWS = 20_000
_TURNING_STEPS = 30
_NARROWEST = 1e-3

Arrays = Mapping[str, NDArray[np.floating]]


def fit_layers(z: ArrayLike, layers: int = LAYERS, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Find the layers from encodings.

    Parameters
    ----------
    z : (n, d)
        At least `ROWS_PER_DIMENSION` times d.
    layers : int
    seed : int
        Of the rows by which the coordinates are turned.

    Returns
    -------
    dict of str to ndarray of float32
        "prior_centre" (d,) and "prior_scale" (d, d), which whiten; "prior_rotations" (layers, d,
        d), whose rows are the new coordinates; "prior_knots" (layers, d, 25): what a turned
        coordinate is where the bent one is -3, -2.75 ... 3.

    References
    ----------
    Chen & Gopinath 2000, "Gaussianization" (https://papers.nips.cc/paper/1856-gaussianization);
    Laparra, Camps-Valls & Malo 2011, "Iterative Gaussianization: from ICA to Random Rotations"
    (https://arxiv.org/abs/1602.00229), equations 7 to 9.
    """
    rows = np.asarray(z, np.float64)
    centre = rows.mean(axis=0)
    scale = np.linalg.cholesky(np.cov(rows.T).reshape(rows.shape[1], -1))
    x = np.linalg.solve(scale, (rows - centre).T).T
    rng = stream(seed, RandomStream.GAUSSIANIZATION_ROTATIONS)
    rotations, knots = [], []
    for _ in range(layers):
        turn = _turn(rng.permutation(x)[:_TURNING_ROWS], int(rng.integers(2**31)))
        turned = x @ turn.T
        at = _spread(np.quantile(turned, ndtr(_GRID), axis=0).T)
        x, _ = _bend(turned, at)
        rotations.append(turn)
        knots.append(at)
    found = zip(NAMES, (centre, scale, np.stack(rotations), np.stack(knots)), strict=True)
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
    for turn, at in zip(layers[ROTATIONS], layers[KNOTS], strict=True):
        x, log_slopes = _bend(x @ turn.T.astype(np.float64), at.astype(np.float64))
        log_determinant += log_slopes.sum(axis=1)
    return x, log_determinant


def inverse(y: ArrayLike, layers: Arrays) -> NDArray[np.float64]:
    """Bring rows (n, d) of the new coordinates back to latents: the inverse of `gaussianize`."""
    x = np.asarray(y, np.float64)
    for turn, at in zip(layers[ROTATIONS][::-1], layers[KNOTS][::-1], strict=True):
        columns = zip(x.T, at.astype(np.float64), strict=True)
        unbent = [_follow(column, _GRID, own)[0] for column, own in columns]
        x = np.stack(unbent, axis=1) @ turn.astype(np.float64)
    restored: NDArray[np.float64] = x @ layers[SCALE].T.astype(np.float64) + layers[CENTRE]
    return restored


def check_layers(layers: Arrays, latent_dim: int) -> None:
    """Raise a ValueError where the layers' arrays, if there are any, do not fit."""
    present = [name for name in NAMES if name in layers]
    if not present:
        return
    if len(present) < len(NAMES):
        raise ValueError(f"A fitted prior has {', '.join(NAMES)}; found only {', '.join(present)}.")
    count, square = len(layers[ROTATIONS]), (latent_dim, latent_dim)
    wanted = ((latent_dim,), square, (count, *square), (count, latent_dim, len(_GRID)))
    for name, shape in zip(NAMES, wanted, strict=True):
        if layers[name].shape != shape:
            raise ValueError(f"{name} must have the shape {shape}; found {layers[name].shape}.")
    if not (np.diff(layers[KNOTS], axis=-1) > 0).all():
        raise ValueError(f"{KNOTS} must rise.")


def _turn(x: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return a rotation (d, d) to coordinates as independent as possible (Hyvärinen 1999)."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    ica = FastICA(whiten="unit-variance", max_iter=_TURNING_STEPS, tol=1e-2, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any rotation will do
        ica.fit(x)
    left, _, right = np.linalg.svd(ica.components_)
    turn: NDArray[np.float64] = left @ right
    return turn


def _spread(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Push knots (d, k) apart where they coincide, so that the way back is there."""
    steps = np.maximum(np.diff(knots, axis=1), _NARROWEST)
    return np.concatenate([knots[:, :1], knots[:, :1] + np.cumsum(steps, axis=1)], axis=1)


def _bend(
    x: NDArray[np.float64], knots: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each column of x (n, d) bent by its knots (d, k), and the logs of the slopes."""
    bent = [_follow(column, own, _GRID) for column, own in zip(x.T, knots, strict=True)]
    values = np.stack([value for value, _ in bent], axis=1)
    return values, np.log(np.stack([slope for _, slope in bent], axis=1))


def _follow(
    x: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Go from the knots `start` (k,) to the knots `end` (k,), straight between and beyond them."""
    piece = np.clip(np.searchsorted(start, x) - 1, 0, len(start) - 2)
    slope = (np.diff(end) / np.diff(start))[piece]
    return end[piece] + slope * (x - start[piece]), slope
