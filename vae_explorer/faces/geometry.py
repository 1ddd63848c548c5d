"""Face geometry: landmarks in CelebA's frame, and similarity transforms to it.

Points are (x, y) in pixels from the image's top left corner, so that the centre of the top
left pixel is (0.5, 0.5): as Pillow's boxes and transforms have it. A matrix (2, 3) maps a point
p to `matrix[:, :2] @ p + matrix[:, 2]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(n, 2), as (x, y)."""
Matrix = NDArray[np.float64]
"""(2, 3)."""

CROP_SIDE = 148
_CROP_START = np.array([15.0, 35.0])
# CelebA counts from the centre of a pixel, hence the half.
_FRAME_LANDMARKS = 0.5 + np.array(
    [[69.4, 111.2], [107.6, 111.1], [87.8, 135.2], [71.4, 152.0], [105.3, 152.4]]
)


def mean_landmarks(size: float) -> Points:
    """Return CelebA's mean landmarks in the central crop of its aligned frame.

    Parameters
    ----------
    size : float
        Side in pixels to which that crop of 148x148 from the frame of 178x218 is scaled.

    Returns
    -------
    ndarray of float64 (5, 2)
        The eye at the image's left, the other eye, nose, mouth left, right.
    """
    return (_FRAME_LANDMARKS - _CROP_START) * (size / CROP_SIDE)


def fit_similarity(source: Points, target: Points) -> Matrix:
    """Find the rotation, scale and shift that bring points nearest to others, never mirrored.

    Parameters
    ----------
    source, target : ndarray of float64 (n, 2)
        n pairs, at least two of them different.

    Returns
    -------
    ndarray of float64 (2, 3)
        Minimises the sum of squared distances between the mapped `source` and `target`.

    Raises
    ------
    ValueError
        If the shapes do not fit, values are not finite, or all of `source` is one point.

    References
    ----------
    Umeyama 1991, "Least-Squares Estimation of Transformation Parameters Between Two Point
    Patterns", IEEE PAMI 13(4). In the plane its singular value decomposition has a closed form,
    in which points are complex numbers and a similarity is `factor * point + shift`:
    scikit-image's `SimilarityTransform` agrees to the last digits, takes five times as long and
    0.1 s to import.
    """
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise ValueError(f"Points are (n, 2), pair by pair; found {source.shape}, {target.shape}.")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("Points must be finite; found NaN or infinite ones.")
    p, q = source @ (1, 1j), target @ (1, 1j)
    p_mean, q_mean = p.mean(), q.mean()
    spread = np.square(np.abs(p - p_mean)).sum()
    if spread <= 1e-12 * max(1.0, float(np.abs(p_mean)) ** 2):
        raise ValueError("A similarity needs two different points; these are all the same.")
    factor = np.vdot(p - p_mean, q - q_mean) / spread
    shift = q_mean - factor * p_mean
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


def transform_points(matrix: Matrix, points: Points) -> Points:
    """Map points (n, 2) by a matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def invert(matrix: Matrix) -> Matrix:
    """Return the matrix (2, 3) of the way back."""
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a photo.

    Attributes
    ----------
    box : tuple of 4 floats
        x0, y0, x1, y1 in pixels of the photo; may reach beyond its edges.
    score : float
        Probability that it is a face, in [0, 1].
    landmarks : ndarray of float64 (5, 2)
        As (x, y): the eye at the image's left, the other, nose, mouth left, mouth right.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: Points
