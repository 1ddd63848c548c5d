"""Sampling of latents: the standard prior, the fitted prior, or a box."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_explorer.latent.prior import WEIGHTS, sample_prior

if TYPE_CHECKING:
    from vae_explorer.checkpoints import Checkpoint


def available_priors(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Name the priors that `sample_latents` can draw from for this checkpoint.

    A plain autoencoder has no prior; what it has is the box around its encodings, and what was
    fitted to them.
    """
    own = "box" if checkpoint.card.model.kind == "autoencoder" else "standard"
    return (own, "fitted") if WEIGHTS in checkpoint.latent else (own,)


def sample_latents(
    checkpoint: Checkpoint,
    n: int,
    prior: str = "standard",
    temperature: float = 1.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Draw latents to decode.

    The same seed gives the same latents, and a larger `n` only adds some at the end.

    Parameters
    ----------
    checkpoint : Checkpoint
    n : int
        How many.
    prior : {"standard", "fitted", "box"}
        "standard": N(0, I), the prior of a VAE. "fitted": the mixture of Gaussians that was
        fitted to the train split's encodings (`vae_explorer.latent.prior`). "box": uniform in the
        axis-aligned box of the stored encodings, for a plain autoencoder.
    temperature : float
        Factor on the distance from the middle: on the standard deviation (of each Gaussian of a
        mixture), or on the box's sides.
    seed : int
        Of the random generator.

    Returns
    -------
    (n, latent_dim) float32

    Raises
    ------
    ValueError
        If the checkpoint does not offer this prior, or `n` or `temperature` is negative or not
        finite.

    References
    ----------
    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, section 3 (the prior).
    Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020 (the fitted one).
    Kingma and Dhariwal, "Glow", NeurIPS 2018, section 6 (the temperature).
    """
    if n < 0:
        raise ValueError(f"The number of samples is 0 or more; found {n}.")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"The temperature is a finite number, 0 or more; found {temperature}.")
    offered = available_priors(checkpoint)
    if prior not in offered:
        raise ValueError(
            f"{checkpoint.card.name} carries no prior {prior!r}; draw from: {', '.join(offered)}."
        )
    generator = np.random.default_rng(seed)
    shape = (n, checkpoint.card.model.latent_dim)
    if prior == "standard":
        return (temperature * generator.standard_normal(shape)).astype(np.float32)
    if prior == "fitted":
        return sample_prior(checkpoint.latent, n, temperature, seed)
    return sample_box(checkpoint.encodings.z_mean, n, seed, temperature)


def sample_box(
    z_mean: ArrayLike, n: int, seed: int = 0, temperature: float = 1.0
) -> NDArray[np.float32]:
    """Draw n latents (n, d), uniform in the axis-aligned box around encodings (m, d).

    The temperature is a factor on the box's sides; the middle stays.
    """
    encodings = np.asarray(z_mean)
    lowest, highest = encodings.min(axis=0), encodings.max(axis=0)
    middle, half_side = (lowest + highest) / 2, (highest - lowest) / 2
    away = np.random.default_rng(seed).uniform(-1, 1, (n, encodings.shape[1]))
    return (middle + temperature * half_side * away).astype(np.float32)
