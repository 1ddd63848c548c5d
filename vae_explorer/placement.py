"""Where one picture lands in latent space, and what it costs there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vae_explorer.losses import negative_elbo
from vae_explorer.models import Autoencoder, ModelOutput


@dataclass(frozen=True)
class Placement:
    """What a model makes of one picture."""

    z_mean: np.ndarray
    """float32 (latent_dim,)."""
    z_log_var: np.ndarray | None
    """float32 (latent_dim,); None for a plain autoencoder."""
    reconstruction: np.ndarray
    """float32 (channels, height, width) in [0, 1]: `z_mean` decoded."""
    nll: float
    """-log p(x|z) at `z_mean`, in nats; without the constant of a Gaussian likelihood."""
    kl: float
    """KL(q(z|x) || N(0, I)), in nats; 0 for a plain autoencoder."""

    @property
    def cost(self) -> float:
        """-ELBO in nats, with z at the posterior's mean instead of a sample of it."""
        return self.nll + self.kl


def place_image(model: Autoencoder, image: np.ndarray) -> Placement:
    """Encode one picture, decode it again, and measure what is lost.

    Parameters
    ----------
    model : Autoencoder
        In eval mode, on any device; it is not changed.
    image : ndarray of float32 (channels, height, width)
        In [0, 1], of the model's size.
    """
    device = next(model.parameters()).device
    images = torch.from_numpy(image[None]).to(device)
    with torch.inference_mode():
        z_mean, z_log_var = model.encode(images)
        logits = model.decoder(z_mean)
        parts = negative_elbo(ModelOutput(logits, z_mean, z_log_var), images, model.config)
        return Placement(
            z_mean=z_mean[0].cpu().numpy(),
            z_log_var=None if z_log_var is None else z_log_var[0].cpu().numpy(),
            reconstruction=torch.sigmoid(logits)[0].cpu().numpy(),
            nll=float(parts.reconstruction),
            kl=float(parts.kl),
        )
