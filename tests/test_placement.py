from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as kl_of

from vae_explorer.config import ModelConfig
from vae_explorer.inference import decode, encode, encode_image
from vae_explorer.models import build_model

CONFIG = ModelConfig(image_size=8, image_channels=1, latent_dim=3, channels=(4,))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((1, 8, 8), dtype=np.float32)


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
def test_a_placement_is_what_encode_and_decode_say(image: np.ndarray, kind: str) -> None:
    model = build_model(replace(CONFIG, kind=kind), seed=1).eval()
    placement = encode_image(model, image)
    z_mean, z_log_var = encode(model, image[None])
    np.testing.assert_allclose(placement.z_mean, z_mean[0], atol=1e-6)
    assert (placement.z_log_var is None) == (kind == "autoencoder")
    if z_log_var is not None and placement.z_log_var is not None:
        np.testing.assert_allclose(placement.z_log_var, z_log_var[0], atol=1e-6)
    np.testing.assert_allclose(placement.reconstruction, decode(model, z_mean)[0], atol=1e-6)


def test_the_cost_is_the_negative_elbo_at_the_posterior_mean(image: np.ndarray) -> None:
    placement = encode_image(build_model(CONFIG, seed=1).eval(), image)
    assert placement.z_log_var is not None
    pixels = Bernoulli(torch.from_numpy(placement.reconstruction), validate_args=False)
    nll = -float(pixels.log_prob(torch.from_numpy(image)).sum())
    sigma = torch.from_numpy(placement.z_log_var / 2).exp()
    kl = float(kl_of(Normal(torch.from_numpy(placement.z_mean), sigma), Normal(0.0, 1.0)).sum())
    assert placement.nll == pytest.approx(nll, rel=1e-4)
    assert placement.kl == pytest.approx(kl, rel=1e-4)
    assert placement.cost == placement.nll + placement.kl


def test_a_plain_autoencoder_pays_for_the_reconstruction_alone(image: np.ndarray) -> None:
    placement = encode_image(build_model(replace(CONFIG, kind="autoencoder")).eval(), image)
    assert placement.kl == 0
    assert placement.cost == placement.nll > 0
