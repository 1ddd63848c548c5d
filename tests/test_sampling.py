from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pytest

from vae_explorer.sampling import available_priors, sample_latents

CORNERS = np.array([[-2, 10, 0], [4, 30, 0.5], [0, 20, 0.25]], np.float32)


def make_checkpoint(kind: str, latent: Mapping[str, np.ndarray] | None = None) -> SimpleNamespace:
    """Stand in for a checkpoint by the few fields that sampling reads."""
    model = SimpleNamespace(kind=kind, latent_dim=3)
    return SimpleNamespace(
        card=SimpleNamespace(name="made-up", model=model),
        encodings=SimpleNamespace(z_mean=CORNERS),
        latent=dict(latent or {}),
    )


FITTED = {
    "prior_weights": np.array([0.25, 0.75], np.float32),
    "prior_means": np.array([[9, 9, 9], [-9, 0, 9]], np.float32),
    "prior_factors": np.stack([np.eye(3), 0.1 * np.eye(3)]).astype(np.float32),
}
VAE, AUTOENCODER = make_checkpoint("vae"), make_checkpoint("autoencoder")
BOTH = pytest.mark.parametrize(
    ("checkpoint", "prior"), [(VAE, "standard"), (AUTOENCODER, "box")], ids=["vae", "autoencoder"]
)


@BOTH
def test_the_same_seed_gives_the_same_latents_and_another_seed_others(checkpoint, prior):
    first = sample_latents(checkpoint, 6, prior, seed=3)
    assert first.shape == (6, 3)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, sample_latents(checkpoint, 6, prior, seed=3))
    assert not np.any(first == sample_latents(checkpoint, 6, prior, seed=4))


@BOTH
def test_asking_for_more_leaves_the_first_ones_as_they_were(checkpoint, prior):
    np.testing.assert_array_equal(
        sample_latents(checkpoint, 5, prior), sample_latents(checkpoint, 50, prior)[:5]
    )


def test_the_standard_prior_is_a_standard_normal_times_the_temperature():
    z = sample_latents(VAE, 20_000, temperature=0.5)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(z.T), 0.25 * np.eye(3), atol=0.01)
    np.testing.assert_allclose(z, 0.5 * sample_latents(VAE, 20_000), rtol=1e-6)


def test_the_box_is_that_of_the_encodings():
    z = sample_latents(AUTOENCODER, 5_000, "box")
    low, high = CORNERS.min(axis=0), CORNERS.max(axis=0)
    assert np.all((low <= z) & (z <= high))
    np.testing.assert_allclose(z.min(axis=0), low, atol=0.01 * np.max(high - low))
    np.testing.assert_allclose(z.max(axis=0), high, atol=0.01 * np.max(high - low))


def test_temperature_scales_the_box_about_its_centre():
    centre = (CORNERS.min(axis=0) + CORNERS.max(axis=0)) / 2
    warm, hot = (sample_latents(AUTOENCODER, 100, "box", t) - centre for t in (1, 2))
    np.testing.assert_allclose(hot, 2 * warm, atol=1e-4)


@BOTH
def test_temperature_zero_leaves_the_middle(checkpoint, prior):
    z = sample_latents(checkpoint, 4, prior, temperature=0)
    assert np.all(z == z[0])


@BOTH
def test_no_samples_are_an_empty_array(checkpoint, prior):
    assert sample_latents(checkpoint, 0, prior).shape == (0, 3)


def test_a_vae_offers_its_prior_and_an_autoencoder_its_box():
    assert available_priors(VAE) == ("standard",)
    assert available_priors(AUTOENCODER) == ("box",)
    assert available_priors(make_checkpoint("vae", FITTED)) == ("standard", "fitted")
    assert available_priors(make_checkpoint("autoencoder", FITTED)) == ("box", "fitted")


def test_the_fitted_prior_is_the_mixture_that_the_checkpoint_carries():
    z = sample_latents(make_checkpoint("vae", FITTED), 4_000, "fitted", temperature=0.5)
    first = z[:, 0] > 0
    assert first.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(z[first].mean(0), [9, 9, 9], atol=0.1)
    np.testing.assert_allclose(z[first].std(0), 0.5, rtol=0.1)
    np.testing.assert_allclose(z[~first].std(0), 0.05, rtol=0.1)


@pytest.mark.parametrize(
    ("checkpoint", "prior", "offered"),
    [
        (VAE, "fitted", "standard"),
        (VAE, "box", "standard"),
        (AUTOENCODER, "standard", "box"),
        (AUTOENCODER, "fitted", "box"),
        (VAE, "nonsense", "standard"),
    ],
)
def test_a_prior_that_is_not_there_names_those_that_are(checkpoint, prior, offered):
    with pytest.raises(ValueError, match=f"made-up carries no prior '{prior}'.*: {offered}"):
        sample_latents(checkpoint, 1, prior)


@pytest.mark.parametrize("temperature", [-0.1, np.nan, np.inf])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        sample_latents(VAE, 1, temperature=temperature)


def test_a_negative_number_of_samples_is_refused():
    with pytest.raises(ValueError, match="found -1"):
        sample_latents(VAE, -1)
