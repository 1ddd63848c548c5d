"""Planes through the latent space, with grids and posterior ellipses on them.

Latents and plane coordinates come back as float32; the arithmetic in between is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from vae_explorer.errors import did_you_mean

Spacing = Literal["linear", "quantile"]

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through the latent space, and the way back from each of its points.

    Parameters
    ----------
    origin : (d,)
        The latent at plane coordinates (0, 0).
    axes : (2, d)
        The directions of the two coordinates: orthonormal rows.
    names : tuple of two str
        What to write at the axes: "z₁", "PC 1".

    Raises
    ------
    ValueError
        If the shapes disagree or the axes are not orthonormal.
    """

    origin: NDArray[np.float64]
    axes: NDArray[np.float64]
    names: tuple[str, str]

    def __post_init__(self) -> None:
        if self.origin.ndim != 1 or self.axes.shape != (2, self.origin.size):
            raise ValueError(
                "A plane needs an origin (d,) and axes (2, d); "
                f"found {self.origin.shape} and {self.axes.shape}."
            )
        if not np.allclose(self.axes @ self.axes.T, np.eye(2), atol=1e-6):
            raise ValueError("A plane needs two axes of length 1 at right angles to each other.")

    def to_latent(self, points: ArrayLike) -> NDArray[np.float32]:
        """Lift plane coordinates (n, 2) to the latents (n, d) that lie there."""
        return (np.asarray(points, np.float64) @ self.axes + self.origin).astype(np.float32)

    def to_plane(self, z: ArrayLike) -> NDArray[np.float32]:
        """Drop latents (n, d) onto the plane at right angles: coordinates (n, 2)."""
        return ((np.asarray(z, np.float64) - self.origin) @ self.axes.T).astype(np.float32)


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The directions in which encodings spread most, strongest first.

    Parameters
    ----------
    mean : (d,) float64
    components : (d, d) float64
        Orthonormal rows; the entry of largest size in each is positive.
    explained_variance_ratio : (d,) float64
        Shares of the total variance; zeros where all encodings are the same.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    explained_variance_ratio: NDArray[np.float64]

    def plane(self, i: int = 0, j: int = 1, scores: ArrayLike | None = None) -> Plane:
        """Span a plane by components `i` and `j`, counted from 0.

        The other components stand at the mean, or at `scores` (d,) from it (entries `i` and
        `j` do not matter). Raises ValueError if a component is not there or both are the same.
        """
        others = _others("component", i, j, len(self.components), scores)
        origin = self.mean + others @ self.components
        return Plane(origin, self.components[[i, j]], (f"PC {i + 1}", f"PC {j + 1}"))


def principal_components(z_mean: ArrayLike) -> PrincipalComponents:
    """Find the principal components of encodings: the eigenvectors of their covariance.

    Equal encodings, a single one among them, spread in no direction: any axes will do.

    Parameters
    ----------
    z_mean : (n, d)
        At least one row.

    Raises
    ------
    ValueError
        If there is none.

    References
    ----------
    Jolliffe, "Principal Component Analysis", 2nd edition, 2002.
    """
    encodings = np.asarray(z_mean, np.float64)
    if encodings.ndim != 2 or not len(encodings):
        raise ValueError(f"One encoding (n, d) is needed at least; found {encodings.shape}.")
    mean = encodings.mean(axis=0)
    centred = encodings - mean
    # Of the (d, d) matrix: an SVD of all (n, d) encodings takes twenty times as long. PCA of
    # scikit-learn agrees to 1e-11 and takes as long, but its import takes 1 s before the first map,
    # and it has no components beyond the number of rows.
    scatter, vectors = np.linalg.eigh(centred.T @ centred)
    variance, components = np.maximum(scatter[::-1], 0), vectors.T[::-1].copy()
    # The signs are left open: fix them, so that a plane looks the same everywhere.
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(len(components)), largest])[:, None]
    return PrincipalComponents(mean, components, variance / (variance.sum() or 1.0))


def dimension_name(dimension: int) -> str:
    """Name a latent dimension, counted from 0, as people do, from 1: "z₁" for 0."""
    return f"z{dimension + 1}".translate(_SUBSCRIPTS)


def coordinate_plane(
    latent_dim: int, i: int = 0, j: int = 1, origin: ArrayLike | None = None
) -> Plane:
    """Span a plane by latent dimensions `i` and `j`, so that its coordinates are z_i and z_j.

    Parameters
    ----------
    latent_dim : int
    i, j : int
        Two dimensions, counted from 0.
    origin : (latent_dim,), optional
        The values of the other dimensions; zeros, the prior's mean, by default.

    Raises
    ------
    ValueError
        If a dimension is not there, or both are the same.
    """
    base = _others("dimension", i, j, latent_dim, origin)
    return Plane(base, np.eye(latent_dim)[[i, j]], (dimension_name(i), dimension_name(j)))


def grid_points(
    centre: ArrayLike, extent: float, n: int, spacing: Spacing = "linear"
) -> NDArray[np.float32]:
    """Lay a square grid of points on a plane, in reading order.

    Rows run from top to bottom (second coordinate descending), columns from left to right
    (first coordinate ascending). Either spacing reaches `extent` from the centre each way.

    Parameters
    ----------
    centre : (2,)
        Plane coordinates of the middle.
    extent : float
        Half the width, in units of z.
    n : int
        Points along a side; a single one is the centre.
    spacing : {"linear", "quantile"}
        Equal steps of z, or equal steps of the prior's probability, which puts the points where
        the prior puts its mass.

    Returns
    -------
    (n * n, 2) float32

    Raises
    ------
    ValueError
        If n is below 1, a number is not finite, the extent not positive, the spacing unknown.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix A (quantiles).
    """
    middle = np.asarray(centre, np.float64)
    if middle.shape != (2,) or not np.isfinite(middle).all():
        raise ValueError(f"The centre of a grid is two finite numbers; found {centre!r}.")
    if not 0 < extent < np.inf:
        raise ValueError(f"The extent of a grid is a positive number (say 3); found {extent!r}.")
    if n < 1:
        raise ValueError(f"A grid has at least 1 point along a side; found {n}.")
    if spacing not in get_args(Spacing):
        raise ValueError(did_you_mean("spacing", spacing, get_args(Spacing)))
    if n == 1:
        steps = np.zeros(1)
    elif spacing == "linear":
        steps = np.linspace(-extent, extent, n)
    else:
        # Beyond 8 σ the upper probability rounds to 1 and its quantile to infinity.
        steps = np.clip(ndtri(np.linspace(ndtr(-extent), ndtr(extent), n)), -extent, extent)
    x, y = np.meshgrid(middle[0] + steps, middle[1] + steps[::-1])
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def posterior_ellipse(
    plane: Plane, z_mean: ArrayLike, z_log_var: ArrayLike, n_sigma: float, num: int = 64
) -> NDArray[np.float32]:
    """Outline a posterior N(z_mean, exp(z_log_var)) as it falls on a plane.

    The points lie `n_sigma` standard deviations from the mean: the unit circle times a square
    root of the projected covariance A diag(σ²) Aᵀ, where the rows of A are the plane's axes.

    Parameters
    ----------
    plane : Plane
    z_mean, z_log_var : (d,)
        Of one encoding; the variance in its natural logarithm.
    n_sigma : float
    num : int
        Points of the outline, the last one equal to the first.

    Returns
    -------
    (num, 2) float32
    """
    angles = np.linspace(0, 2 * np.pi, num)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    # A diag(σ) = U S Vᵀ, so that U S is a square root of the covariance that no rounding spoils.
    directions, lengths, _ = np.linalg.svd(
        plane.axes * np.exp(0.5 * np.asarray(z_log_var, np.float64)), full_matrices=False
    )
    outline = plane.to_plane(z_mean) + n_sigma * ((directions * lengths) @ circle).T
    outline[-1] = outline[0]
    return outline.astype(np.float32)


def _others(what: str, i: int, j: int, count: int, values: ArrayLike | None) -> NDArray[np.float64]:
    """Check a pair of axes, and give the values along all the others: zero where none are given."""
    for index in (i, j):
        if not 0 <= index < count:
            raise ValueError(f"There is no {what} {index}: they run from 0 to {count - 1}.")
    if i == j:
        raise ValueError(f"A plane needs two different {what}s; found {i} twice.")
    others = np.zeros(count) if values is None else np.array(values, np.float64)
    if others.shape != (count,):
        raise ValueError(f"One value per {what} is needed, ({count},); found {others.shape}.")
    others[[i, j]] = 0
    return others
