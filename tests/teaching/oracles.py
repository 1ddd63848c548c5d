"""The mathematics of the page The objective, which its scripts compute in the browser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vae_explorer.teaching.objective import CONFUSION, FARTHEST, FIRST_RATE, NOISE, TAIL, Bubbles


def reverse_kl(z_mean: float, z_log_var: float) -> float:
    """KL(N(0, 1) ‖ N(μ, σ²)): the divergence of `losses.kl_divergence`, the other way round."""
    return 0.5 * ((1 + z_mean**2) * math.exp(-z_log_var) + z_log_var - 1)


class Deviations(NamedTuple):
    """Standard deviations of two estimates of the same gradient."""

    pathwise: float
    score: float


def gradient_estimates(
    mean: float, std: float, target: float, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate d/dμ E[(z − target)² / 2] over z ~ N(μ, σ²), whose value is μ − target.

    Parameters
    ----------
    noise : ndarray (repeats, samples)
        ε ~ N(0, 1).

    Returns
    -------
    pathwise, score : ndarray (repeats,)
        Means over the samples of z − target, the gradient's way through z = μ + σ ε (Kingma &
        Welling 2014, section 2.4; Rezende et al. 2014, https://arxiv.org/abs/1401.4082), and of
        (z − target)² / 2 · ε / σ, which needs no way through z (Williams 1992, "REINFORCE").
    """
    error = mean + std * noise - target
    return error.mean(1), (error**2 / 2 * noise / std).mean(1)


def gradient_deviations(mean: float, std: float, target: float, samples: int) -> Deviations:
    """Return how far those estimates stray: standard deviations of a mean over samples."""
    error = mean - target
    score = (error**4 + 18 * error**2 * std**2 + 15 * std**4) / (4 * std**2) - error**2
    return Deviations(std / math.sqrt(samples), math.sqrt(score / samples))


@dataclass(frozen=True)
class LineModel:
    """A VAE with one latent and one pixel, z ~ N(0, 1) and x | z ~ N(z, noise²): p(x) is known."""

    noise: float = NOISE
    """Standard deviation of x around what z is decoded to."""

    def log_evidence(self, x: float) -> float:
        """Return log p(x), of N(0, 1 + noise²)."""
        return float(_log_normal(x, 0.0, math.sqrt(1 + self.noise**2)))

    def posterior(self, x: float) -> tuple[float, float]:
        """Return mean and standard deviation of p(z | x)."""
        share = 1 / (1 + self.noise**2)
        return share * x, self.noise * math.sqrt(share)

    def reconstruction(self, x: float, mean: float, std: float) -> float:
        """Return E[log p(x | z)] over z ~ N(mean, std²)."""
        return float(_log_normal(x, mean, self.noise)) - std**2 / (2 * self.noise**2)

    def gap(self, x: float, mean: float, std: float) -> float:
        """Return KL(N(mean, std²) ‖ p(z | x)): how far the ELBO lies below log p(x)."""
        true_mean, true_std = self.posterior(x)
        ratio = (std / true_std) ** 2
        return 0.5 * (ratio - 1 - math.log(ratio) + ((mean - true_mean) / true_std) ** 2)

    def log_weights(self, x: float, mean: float, std: float, noise: np.ndarray) -> np.ndarray:
        """Return log p(x, z) − log q(z) at z = mean + std · noise: the ELBO is its mean."""
        z = mean + std * noise
        joint = _log_normal(z, 0.0, 1.0) + _log_normal(x, z, self.noise)
        return joint - _log_normal(z, mean, std)


def importance_bound(log_weights: np.ndarray, k: int) -> float:
    """Estimate the importance-weighted bound E[log (w₁ + … + wₖ) / k].

    Parameters
    ----------
    log_weights : ndarray (n,)
        Taken in groups of k; n a multiple of k. On the same weights the estimate does not fall
        from k to a multiple of k.

    References
    ----------
    Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders"
    (https://arxiv.org/abs/1509.00519), equation 8.
    """
    return float((np.logaddexp.reduce(log_weights.reshape(-1, k), axis=1) - math.log(k)).mean())


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


def _log_normal(x: float | np.ndarray, mean: float | np.ndarray, std: float) -> np.ndarray:
    return -0.5 * np.square((x - mean) / std) - math.log(std) - 0.5 * math.log(2 * math.pi)


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
