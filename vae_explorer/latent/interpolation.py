"""Interpolation and arithmetic of latents: paths, traversals, attribute vectors, p-values.

NumPy arrays in, NumPy arrays out. Latents come back as float32; the arithmetic in between is
float64, so that the ends of a path are met to the last float32 digit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

# Below this sine float32 ends fix no great circle: their noise would choose it.
_MIN_SINE = 1e-4
# ndtri(1e-12) is -7.03: further out than any sample, and still finite.
_MIN_P_VALUE = 1e-12

Interpolation = Literal["linear", "spherical"]


def lerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> NDArray[np.float32]:
    """Go straight from `a` (t = 0) to `b` (t = 1).

    Parameters
    ----------
    a, b : (d,)
        The ends.
    t : scalar or (k,)
        Where on the way.

    Returns
    -------
    (d,) or (k, d) float32

    Raises
    ------
    ValueError
        If the ends are not two vectors of one length.
    """
    start, end, weight = _check_path(a, b, t)
    return ((1 - weight) * start + weight * end).astype(np.float32)


def slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> NDArray[np.float32]:
    """Go from `a` to `b` on an arc: the direction on the great circle, the norm linearly.

    A straight line leaves the shell where samples of N(0, I) lie; the arc stays on it. Where
    no great circle is defined (ends nearly parallel, opposite, or zero) this is `lerp`.

    Parameters
    ----------
    a, b : (d,)
        The ends.
    t : scalar or (k,)
        Where on the way.

    Returns
    -------
    (d,) or (k, d) float32

    Raises
    ------
    ValueError
        If the ends are not two vectors of one length.

    References
    ----------
    Shoemake, "Animating Rotation with Quaternion Curves", SIGGRAPH 1985.
    White, "Sampling Generative Networks", arXiv 1609.04468, 2016.
    """
    start, end, weight = _check_path(a, b, t)
    start_norm, end_norm = np.linalg.norm(start), np.linalg.norm(end)
    if start_norm == 0 or end_norm == 0:
        return lerp(a, b, t)
    start_direction, end_direction = start / start_norm, end / end_norm
    angle = np.arccos(np.clip(start_direction @ end_direction, -1, 1))
    if np.sin(angle) < _MIN_SINE:
        return lerp(a, b, t)
    arc = np.sin((1 - weight) * angle) * start_direction + np.sin(weight * angle) * end_direction
    norm = (1 - weight) * start_norm + weight * end_norm
    return (norm * arc / np.sin(angle)).astype(np.float32)


def latent_traversal(z: ArrayLike, dimension: int, values: ArrayLike) -> NDArray[np.float32]:
    """Repeat one latent with one of its dimensions set to each of the values.

    Parameters
    ----------
    z : (d,)
        Where the other dimensions stand.
    dimension : int
        Which one to change, counted from 0.
    values : (k,)
        What to set it to.

    Returns
    -------
    (k, d) float32

    Raises
    ------
    ValueError
        If the dimension is not there.
    """
    row, steps = np.asarray(z, np.float32), np.asarray(values, np.float32)
    if not 0 <= dimension < row.size:
        raise ValueError(
            f"Dimension {dimension} is not there: this latent has dimensions 0 to {row.size - 1}."
        )
    path = np.tile(row, (steps.size, 1))
    path[:, dimension] = steps
    return path


def attribute_vector(z: ArrayLike, has: ArrayLike) -> NDArray[np.float32]:
    """Point from the mean latent without an attribute to the mean latent with it.

    Parameters
    ----------
    z : (n, d)
        Latents.
    has : (n,) bool
        Which of them have the attribute.

    Returns
    -------
    (d,) float32

    Raises
    ------
    ValueError
        If `has` is not one truth value per latent, or one of the two sides is empty.

    References
    ----------
    Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016.
    White, "Sampling Generative Networks", arXiv 1609.04468, 2016.
    """
    latents, mask = np.asarray(z, np.float64), np.asarray(has)
    if mask.dtype != np.bool_ or mask.shape != latents.shape[:1]:
        raise ValueError(
            f"An attribute vector needs one truth value for each of {len(latents)} latents; "
            f"found {mask.dtype} {mask.shape}."
        )
    if mask.all() or not mask.any():
        raise ValueError(
            f"An attribute vector needs latents on both sides; found {mask.sum()} with the "
            f"attribute and {(~mask).sum()} without."
        )
    return (latents[mask].mean(axis=0) - latents[~mask].mean(axis=0)).astype(np.float32)


def to_p_values(z: ArrayLike) -> NDArray[np.float64]:
    """Map each coordinate through the normal CDF: the prior becomes uniform on [0, 1].

    The answer has the shape of `z` and is float64: float32 could not tell the last p-values
    below 1 apart.
    """
    return ndtr(np.asarray(z, np.float64))


def from_p_values(p: ArrayLike) -> NDArray[np.float32]:
    """Map p-values back to coordinates of the same shape by the inverse normal CDF.

    Values at or beyond 0 and 1 are taken as 1e-12 from them, which is 7.03 σ from the mean.
    """
    clipped = np.clip(np.asarray(p, np.float64), _MIN_P_VALUE, 1 - _MIN_P_VALUE)
    return ndtri(clipped).astype(np.float32)


def morph_path(
    a: ArrayLike, b: ArrayLike, steps: int, path: Interpolation = "spherical"
) -> NDArray[np.float32]:
    """Return `steps` latents (steps, latent_dim) from a to b, both (latent_dim,), ends included.

    Raises
    ------
    ValueError
        If there are fewer than two steps, or the ends differ in length.
    """
    if steps < 2:
        raise ValueError(f"A morph has at least its two ends; found {steps} steps.")
    t = np.linspace(0, 1, steps)
    return slerp(a, b, t) if path == "spherical" else lerp(a, b, t)


def corner_grid(
    corners: ArrayLike, columns: int, path: Interpolation = "spherical"
) -> NDArray[np.float32]:
    """Return latents (columns², latent_dim) between four corners, in reading order.

    Parameters
    ----------
    corners : (4, latent_dim)
        Top left, top right, bottom left, bottom right; the grid's own corners.
    columns : int
        Tiles in a row, and rows; two or more.
    path : {"spherical", "linear"}
        How it goes from left to right in the first row and in the last, and then down.
    """
    a, b, c, d = np.asarray(corners, np.float32)
    top, bottom = morph_path(a, b, columns, path), morph_path(c, d, columns, path)
    down = [morph_path(*ends, columns, path) for ends in zip(top, bottom, strict=True)]
    return np.stack(down, axis=1).reshape(columns**2, -1)


def _check_path(
    a: ArrayLike, b: ArrayLike, t: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    start, end = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if start.ndim != 1 or start.shape != end.shape:
        raise ValueError(
            f"A path needs two latents (d,) of one length; found {start.shape} and {end.shape}."
        )
    return start, end, np.asarray(t, np.float64)[..., None]
