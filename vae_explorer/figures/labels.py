"""Where the names of points are written, so that they do not lie on one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SIDES = {
    "middle right": (0.0, -0.5),
    "middle left": (-1.0, -0.5),
    "top center": (-0.5, 0.35),
    "bottom center": (-0.5, -1.35),
    "top right": (0.0, 0.1),
    "top left": (-1.0, 0.1),
    "bottom right": (0.0, -1.1),
    "bottom left": (-1.0, -1.1),
}
"""Plotly's text positions: the label's lower left corner, in its widths and heights."""
LETTER, LINE = 0.0115, 0.05
_GAP = 0.022
"""A letter's width, a line's height and the mark's radius, as shares of a figure's sides."""
_OUTSIDE = 10.0  # what it costs to leave the figure, against covering all of another label
_COVERED = 0.25  # share of a label that may lie on others


def place_labels(
    spots: ArrayLike, labels: Sequence[str], taken: Sequence[ArrayLike] = ()
) -> list[str | None]:
    """Choose on which side of its point each label is written.

    One after the other takes the side on which it covers the least of other labels and points
    and leaves the figure the least; with equal cost, right before left before above.

    Parameters
    ----------
    spots : (n, 2)
        Points in the unit square, up is larger.
    labels : sequence of n str
    taken : sequence of (4,)
        x0, y0, x1, y1 of what is written already.

    Returns
    -------
    list of str or None
        Plotly's `textposition` of each; None where there is no room for it.
    """
    points = np.asarray(spots, np.float64).reshape(-1, 2)
    half = np.array([_GAP / 2, _GAP])
    marks = [np.concatenate([point - half, point + half]) for point in points]
    boxes = [np.asarray(box, np.float64) for box in taken]
    sides: list[str | None] = []
    for number, (point, label) in enumerate(zip(points, labels, strict=True)):
        others = [*marks[:number], *marks[number + 1 :], *boxes]
        size = np.array([LETTER * len(label), LINE])
        costs, places = [], []
        for across, up in _SIDES.values():
            beside = {0.0: _GAP, -1.0: -_GAP}.get(across, 0.0)
            low = point + [beside, 0.0] + size * [across, up]
            box = np.concatenate([low, low + size])
            places.append(box)
            covered = sum(_overlap(box, other) for other in others)
            inside = _overlap(box, np.array([0.0, 0.0, 1.0, 1.0]))
            costs.append(covered + _OUTSIDE * (float(size.prod()) - inside))
        best = int(np.argmin(np.round(costs, 9)))
        if costs[best] > _COVERED * float(size.prod()):
            sides.append(None)
            continue
        boxes.append(places[best])
        sides.append(list(_SIDES)[best])
    return sides


def _overlap(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the area that two boxes (x0, y0, x1, y1) share."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))
