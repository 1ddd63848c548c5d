"""Loss terms of the VAE objective, in nats per image.

Reconstruction terms are summed over the values of an image and the KL term over latent
dimensions; `negative_elbo` averages both over the batch. β multiplies the KL term and means
nothing else. Recipes that scale their terms otherwise are the same objective times a constant:

=========================================  ==============================================
published                                  here
=========================================  ==============================================
500 x mean BCE over 1,024 pixels + KL      Bernoulli, β = 1,024 / 500 = 2.048
784 x mean BCE over 784 pixels + KL        Bernoulli, β = 1
2,000 x mean squared error over 3,072      Gaussian, variance 3,072 / 4,000 = 0.768, β = 1
values + KL
=========================================  ==============================================
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_explorer.config import ModelConfig
from vae_explorer.models import ModelOutput


class LossParts(NamedTuple):
    """The objective and its terms: scalars, means over the batch, nats per image."""

    loss: Tensor
    """reconstruction + β kl: what is minimised."""
    reconstruction: Tensor
    """-log p(x|z), without the Gaussian's constant."""
    kl: Tensor
    """KL(q(z|x) || p(z)), not multiplied by β; zero for a plain autoencoder."""


def bernoulli_nll(logits: Tensor, images: Tensor) -> Tensor:
    """-log p(x|z) of a Bernoulli likelihood: binary cross-entropy, summed over each image.

    Parameters
    ----------
    logits, images : Tensor, (n, channels, height, width)
        Images in [0, 1]; grey values count as probabilities.

    Returns
    -------
    Tensor, (n,)
        Nats per image (Kingma & Welling 2014, appendix C.1).
    """
    return F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)


def gaussian_nll(logits: Tensor, images: Tensor, variance: float) -> Tensor:
    """-log p(x|z) of a Gaussian with mean sigmoid(logits), up to its constant.

    Returns
    -------
    Tensor, (n,)
        Squared error / (2 variance) per image, in nats; `gaussian_constant` is what lacks
        (Kingma & Welling 2014, appendix C.2).
    """
    return (torch.sigmoid(logits) - images).square().flatten(1).sum(1) / (2 * variance)


def gaussian_constant(num_values: int, variance: float) -> float:
    """(D / 2) log(2 π variance): what `gaussian_nll` leaves out for an image of D values."""
    return 0.5 * num_values * math.log(2 * math.pi * variance)


def reconstruction_nll(logits: Tensor, images: Tensor, config: ModelConfig) -> Tensor:
    """-log p(x|z) per image (n,) under the configured likelihood, in nats."""
    if config.likelihood == "bernoulli":
        return bernoulli_nll(logits, images)
    return gaussian_nll(logits, images, config.variance)


def kl_divergence(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """KL(N(z_mean, exp(z_log_var)) || N(0, 1)) in each latent dimension, in closed form.

    Returns
    -------
    Tensor, (n, latent_dim)
        (μ² + σ² - log σ² - 1) / 2, in nats (Kingma & Welling 2014, appendix B); sum over the
        dimensions for the term of the ELBO.
    """
    return 0.5 * (z_mean.square() + z_log_var.exp() - z_log_var - 1)


def negative_elbo(
    output: ModelOutput, images: Tensor, config: ModelConfig, beta: float = 1.0
) -> LossParts:
    """The (β-weighted) negative evidence lower bound and its parts.

    Parameters
    ----------
    output : ModelOutput
        A forward pass on `images`, reconstructed from one posterior sample per image.
    images : Tensor, (n, channels, height, width)
        The targets, in [0, 1].
    config : ModelConfig
        Says which likelihood.
    beta : float
        Weight of the KL term (Higgins et al. 2017, equation 4).

    Returns
    -------
    LossParts
        Means over the batch, in float32. A plain autoencoder's loss is the reconstruction term.
    """
    reconstruction = reconstruction_nll(output.logits.float(), images, config).mean()
    if output.z_log_var is None:
        return LossParts(reconstruction, reconstruction, torch.zeros_like(reconstruction))
    kl = kl_divergence(output.z_mean, output.z_log_var).sum(1).mean()
    return LossParts(reconstruction + beta * kl, reconstruction, kl)
