"""Boxes (n, 4) as x0, y0, x1, y1: which of many to keep, squares around them, their edges moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""(n, 4), as x0, y0, x1, y1."""
Scores = NDArray[np.float32]
"""(n,), in [0, 1]."""


def squares(boxes: Boxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres (n, 2) and sides (n,) of the squares around boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


def move_edges(
    centres: NDArray[np.float64], sides: NDArray[np.float64], offsets: NDArray[np.float32]
) -> Boxes:
    """Move the four edges of squares by offsets (n, 4), given in sides of the square."""
    half = sides[:, None] / 2
    edges = np.concatenate([centres - half, centres + half], axis=1)
    return edges + sides[:, None] * offsets


def suppress(
    boxes: Boxes,
    scores: Scores,
    overlap: float,
    nested: bool = False,
    most: int | None = None,
) -> NDArray[np.intp]:
    """Choose the boxes that no better one overlaps: non-maximum suppression.

    Parameters
    ----------
    boxes, scores : ndarray
        n boxes and how good each is.
    overlap : float
        In [0, 1]; a box goes if its overlap with a better one, intersection over union, is more.
    nested : bool
        Measure the overlap by the smaller of the two instead: a box inside another goes.
    most : int, optional
        How many to keep at most. Five times as many are looked at.

    Returns
    -------
    ndarray of int
        Rows, best first.
    """
    order = np.argsort(-scores, kind="stable")[: None if most is None else 5 * most]
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept: list[int] = []
    while len(order) and (most is None or len(kept) < most):
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        least = np.minimum(area[best], area[order])
        whole = least if nested else area[best] + area[order] - shared
        order = order[shared <= overlap * whole]
    return np.array(kept, dtype=np.intp)
