"""Constants and start values of the page The objective, which computes in the browser.

tests/teaching/oracles.py has the mathematics once more in NumPy, and holds the two together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NOISE = 0.7
"""Standard deviation of x around what z is decoded to, in the model of one latent and one pixel:
z ~ N(0, 1) and x | z ~ N(z, NOISE²)."""
CONFUSION = 4.0
"""C. All discs fall onto one another where β is as large, or larger."""
TAIL = 3.0
"""ν."""
FIRST_RATE = 0.01
"""Learning rate of a descent's first step."""
FARTHEST = 0.06
"""No coordinate moves farther in one step: the eye is to follow."""


class Bubbles(NamedTuple):
    """The posteriors of n images, in float64."""

    means: np.ndarray
    """(n, 2)"""
    log_radii: np.ndarray
    """(n,): log r, r the standard deviation in both directions."""


def scatter_bubbles(n: int = 20, seed: int = 0) -> Bubbles:
    """Draw the start of a descent: means near the centre, all radii 0.5."""
    means = 0.7 * np.random.default_rng(seed).standard_normal((n, 2))
    return Bubbles(means, np.full(n, np.log(0.5)))
