"""Bubbles: a toy of the VAE's objective in which the two terms can be watched at work.

Each of n pictures has a posterior N(mᵢ, rᵢ² I) in the plane, drawn as a disc. The toy's objective
is the sum over pictures of

    C log Sᵢ + β KL(N(mᵢ, rᵢ² I) ‖ N(0, I)),
    Sᵢ = 1 + Σ_{j≠i} (1 + |mᵢ − mⱼ|² / (2 ν (rᵢ² + rⱼ²)))^−ν

in nats. log Sᵢ counts as how many pictures one picture's z may be read, 0 where its disc overlaps
no other, log n where all lie on one another; it stands for what a decoder loses by confusing them,
at C nats for a factor of e. The overlap falls as a Student-t of ν does, which is close to how that
of two normal distributions falls, but with a force that is felt from afar. Both terms can be
written down, so `bubble_gradients` is exact, and so is what pushes and pulls on the page.

The KL term is the VAE's own (Kingma & Welling 2014, appendix B, https://arxiv.org/abs/1312.6114),
its weight that of Higgins et al. 2017 (https://openreview.net/forum?id=Sy2fzU9gl).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CONFUSION = 4.0
"""C. All discs fall onto one another where β is as large, or larger."""
TAIL = 3.0
"""ν."""
FIRST_RATE = 0.01
"""Learning rate of a descent's first step."""
FARTHEST = 0.06
"""No coordinate moves farther in one step: the eye is to follow."""


class Bubbles(NamedTuple):
    """The posteriors of n pictures, in float64."""

    means: np.ndarray
    """(n, 2)"""
    log_radii: np.ndarray
    """(n,): log r, r the standard deviation in both directions."""


def scatter_bubbles(n: int = 20, seed: int = 0) -> Bubbles:
    """Draw the start of a descent: means near the centre, all radii 0.5."""
    means = 0.7 * np.random.default_rng(seed).standard_normal((n, 2))
    return Bubbles(means, np.full(n, np.log(0.5)))


def bubble_terms(bubbles: Bubbles) -> tuple[np.ndarray, np.ndarray]:
    """Return the two terms of each picture.

    Returns
    -------
    reconstruction, kl : ndarray (n,)
        In nats; the KL term is not multiplied by β.
    """
    overlap, *_ = _overlap(bubbles)
    kl = (
        0.5 * np.square(bubbles.means).sum(1)
        + np.exp(2 * bubbles.log_radii)
        - 2 * bubbles.log_radii
        - 1
    )
    return CONFUSION * np.log1p(overlap.sum(1)), kl


def bubble_gradients(bubbles: Bubbles, beta: float) -> Bubbles:
    """Return the gradient of the objective, summed over pictures; the forces are its opposite.

    Returns
    -------
    Bubbles
        With respect to the means, and to the logarithms of the radii.
    """
    overlap, apart, reach, spread = _overlap(bubbles)
    # d log Sᵢ / d log wᵢⱼ, and that of both directions
    share = overlap / (1 + overlap.sum(1, keepdims=True))
    share = CONFUSION * (share + share.T)
    # d log w / d |mᵢ − mⱼ|² = −1 / reach
    pull = share / reach
    squares = np.exp(2 * bubbles.log_radii)
    distances = np.square(apart).sum(2)
    of_means = -(pull[:, :, None] * apart).sum(1)
    of_radii = (pull * distances / spread).sum(1) * squares
    return Bubbles(
        of_means + beta * bubbles.means,
        of_radii + beta * (2 * squares - 2),
    )


def descend(bubbles: Bubbles, beta: float, steps: int) -> Bubbles:
    """Follow the gradient downhill.

    A step is a tenth longer than the last one where the objective falls; where it would rise it is
    not taken, and the next one is half as long. So the objective never rises, and where nothing
    holds the bubbles (β = 0) they go on for ever.
    """
    rate, now = FIRST_RATE, _total(bubbles, beta)
    for _ in range(steps):
        gradient = bubble_gradients(bubbles, beta)
        steepest = max(np.abs(gradient.means).max(), np.abs(gradient.log_radii).max())
        rate = min(rate, FARTHEST / max(steepest, 1e-300))
        moved = Bubbles(
            bubbles.means - rate * gradient.means,
            bubbles.log_radii - rate * gradient.log_radii,
        )
        then = _total(moved, beta)
        if then <= now:
            bubbles, now, rate = moved, then, 1.1 * rate
        else:
            rate /= 2
    return bubbles


def _total(bubbles: Bubbles, beta: float) -> float:
    reconstruction, kl = bubble_terms(bubbles)
    return float((reconstruction + beta * kl).sum())


def _overlap(bubbles: Bubbles) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return each pair's overlap w, mᵢ − mⱼ, and two lengths squared: of w's decay, rᵢ² + rⱼ²."""
    squares = np.exp(2 * bubbles.log_radii)
    spread = squares[:, None] + squares
    apart = bubbles.means[:, None] - bubbles.means
    scaled = np.square(apart).sum(2) / (2 * TAIL * spread)
    overlap = (1 + scaled) ** -TAIL
    np.fill_diagonal(overlap, 0)
    return overlap, apart, spread * (1 + scaled), spread
