"""What an edit changes beside what it is for: measured by a network that tells attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""How far along a vector, in its own lengths; the sliders end at 3."""
ACCEPTED = 0.9
"""Share of faces that have to be accepted as having the attribute."""
_AIM, _AT = 0.93, 2.0
"""A vector is scaled so that this share is accepted there: on other faces it may be less."""
_TRIES = 8
_FEWEST = 20
"""Faces without the attribute, by the judge's word, that a vector can be scaled by."""
_LONGEST = 64.0  # times a vector's own length, beyond which it leads nowhere

Words = Callable[[NDArray[np.float32]], NDArray[np.bool_]]
"""Latents (n, d) to what a judge says of the decoded faces: bool (n, attributes)."""


@dataclass(frozen=True)
class Drift:
    """What came of an edit, on faces that lacked the attribute."""

    alpha: float
    """How far along the vector."""
    accepted: float
    """Share of the faces that are accepted there as having the attribute."""
    flips: NDArray[np.float64]
    """Share of the faces for which the word on each attribute changed (attributes,); 0 for the
    wanted one and for what it entails."""

    @property
    def total(self) -> float:
        """How many other attributes changed in a face, on average."""
        return float(self.flips.sum())

    @property
    def reached(self) -> bool:
        """Whether enough of them are accepted."""
        return self.accepted >= ACCEPTED


def measure_drift(
    words: Words, z: ArrayLike, vector: ArrayLike, wanted: int, others: Sequence[int]
) -> Drift:
    """Go along a vector until enough faces are accepted, and count what else changed.

    Parameters
    ----------
    words : callable
        The judge's.
    z : (n, d)
        Encodings of faces that lack the attribute.
    vector : (d,)
    wanted : int
        Column of the attribute.
    others : sequence of int
        Columns that count as drift.

    Returns
    -------
    Drift
        At the smallest of `ALPHAS` at which `ACCEPTED` of the faces are; at the largest, where
        none is enough.
    """
    latents, direction = np.asarray(z, np.float32), np.asarray(vector, np.float32)
    before = words(latents)
    for alpha in ALPHAS:
        after = words(latents + np.float32(alpha) * direction)
        found = _compare(before, after, wanted, others)
        if found.reached:
            break
    return Drift(alpha, found.accepted, found.flips)


def scale_vector(
    words: Words, z: ArrayLike, vector: ArrayLike, wanted: int, others: Sequence[int]
) -> tuple[NDArray[np.float32], Drift]:
    """Scale a vector so that `_AIM` of some faces have the attribute at two of its lengths.

    Counted are the faces that the judge does not accept as they are: a model may draw most with
    an attribute that they lack, and then hardly any length would be needed.

    Parameters are those of `measure_drift`.

    Returns
    -------
    vector : ndarray of float32 (d,)
        As it came, where no length is enough, or too few faces are without the attribute.
    drift : Drift
        On these faces, where they are accepted.
    """
    latents, direction = np.asarray(z, np.float32), np.asarray(vector, np.float32)
    before = words(latents)
    lacking = ~before[:, wanted]
    if lacking.sum() < _FEWEST:
        return direction, _compare(before, words(latents + direction), wanted, others)
    latents, before = latents[lacking], before[lacking]
    low, high = 0.0, None
    length = 1.0
    best = Drift(0.0, 0.0, np.zeros(before.shape[1]))
    for _ in range(_TRIES):
        after = words(latents + np.float32(length) * direction)
        found = _compare(before, after, wanted, others)
        if found.accepted >= _AIM:
            high, best = length, found
        else:
            low = length
        length = 2 * low if high is None else (low + high) / 2
        if length > _LONGEST:
            break
    if high is None:
        return direction, best
    return np.float32(high / _AT) * direction, best


def _compare(
    before: NDArray[np.bool_], after: NDArray[np.bool_], wanted: int, others: Sequence[int]
) -> Drift:
    flips = np.zeros(before.shape[1])
    flips[list(others)] = (after != before)[:, list(others)].mean(axis=0)
    return Drift(1.0, float(after[:, wanted].mean()), flips)
