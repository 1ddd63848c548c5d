from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as reference_kl

from vae_explorer.config import ModelConfig
from vae_explorer.losses import (
    bernoulli_nll,
    gaussian_constant,
    gaussian_nll,
    kl_divergence,
    negative_elbo,
    reconstruction_nll,
)
from vae_explorer.models import ModelOutput
from vae_explorer.presets import find_preset
from vae_explorer.training.perceptual import (
    feature_distance,
    gradient_penalty,
    hinge_discriminator_loss,
    hinge_generator_loss,
    logistic_discriminator_loss,
    logistic_generator_loss,
)

CONFIG = ModelConfig(image_size=8, image_channels=1, latent_dim=3, channels=(4,))


def make_generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def make_pictures(shape: tuple[int, ...] = (4, 1, 8, 8)) -> tuple[Tensor, Tensor]:
    """Logits as a decoder gives them, and images in [0, 1]."""
    generator = make_generator()
    return 3 * torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)


def make_output(config: ModelConfig, n: int = 4) -> tuple[ModelOutput, Tensor]:
    """A forward pass to differentiate through, and its targets."""
    logits, images = make_pictures((n, *config.image_shape))
    latents = torch.randn((2, n, config.latent_dim), generator=make_generator())
    z_mean, z_log_var = (latent.requires_grad_() for latent in latents.unbind())
    output = ModelOutput(
        logits.requires_grad_(), z_mean, z_log_var if config.kind == "vae" else None
    )
    return output, images


def gradients(loss: Tensor, output: ModelOutput) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, (output.logits, output.z_mean, output.z_log_var))


# Reconstruction


def test_bernoulli_nll_is_that_of_the_distribution_on_black_and_white() -> None:
    logits, images = make_pictures()
    images = images.round()
    expected = -Bernoulli(logits=logits).log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli_nll(logits, images), expected)


def test_a_grey_pixel_counts_as_a_probability() -> None:
    logits, images = make_pictures()
    white = bernoulli_nll(logits[:, :, :1, :1], torch.ones(4, 1, 1, 1))
    black = bernoulli_nll(logits[:, :, :1, :1], torch.zeros(4, 1, 1, 1))
    grey = images[:, 0, 0, 0]
    found = bernoulli_nll(logits[:, :, :1, :1], images[:, :, :1, :1])
    torch.testing.assert_close(found, grey * white + (1 - grey) * black)


@pytest.mark.parametrize("variance", [0.02, 0.768, 1.0, 3.0])
def test_gaussian_nll_and_its_constant_are_those_of_the_distribution(variance: float) -> None:
    logits, images = make_pictures((4, 3, 8, 8))
    normal = Normal(torch.sigmoid(logits), variance**0.5)
    expected = -normal.log_prob(images).sum((1, 2, 3))
    found = gaussian_nll(logits, images, variance) + gaussian_constant(3 * 8 * 8, variance)
    torch.testing.assert_close(found, expected)


def test_the_configuration_chooses_the_likelihood() -> None:
    logits, images = make_pictures()
    gaussian = replace(CONFIG, likelihood="gaussian", variance=0.3)
    assert torch.equal(reconstruction_nll(logits, images, CONFIG), bernoulli_nll(logits, images))
    assert torch.equal(
        reconstruction_nll(logits, images, gaussian), gaussian_nll(logits, images, 0.3)
    )


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_no_reconstruction_beats_the_image_itself(likelihood: str) -> None:
    config = replace(CONFIG, likelihood=likelihood)
    logits, images = make_pictures()
    best = reconstruction_nll(torch.logit(images), images, config)
    assert torch.all(best < reconstruction_nll(logits, images, config))
    assert torch.all(best < reconstruction_nll(torch.logit(images) + 0.1, images, config))


# KL


def test_kl_is_that_of_the_distributions() -> None:
    z_mean, z_log_var = 2 * torch.randn((2, 50, 3), generator=make_generator())
    posterior = Normal(z_mean, torch.exp(0.5 * z_log_var))
    expected = reference_kl(posterior, Normal(0, 1))
    torch.testing.assert_close(kl_divergence(z_mean, z_log_var), expected)


def test_kl_is_zero_at_the_prior_and_nowhere_else() -> None:
    assert torch.equal(kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3)), torch.zeros(2, 3))
    z_mean, z_log_var = torch.randn((2, 200, 3), generator=make_generator())
    assert torch.all(kl_divergence(z_mean, z_log_var) > 0)


def test_kl_grows_with_the_distance_from_the_prior() -> None:
    steps, zeros = torch.linspace(0, 5, 50)[:, None], torch.zeros(50, 1)
    for away in (
        kl_divergence(steps, zeros),
        kl_divergence(-steps, zeros),
        kl_divergence(zeros, steps),
        kl_divergence(zeros, -steps),
    ):
        assert torch.all(away.diff(dim=0) > 0)


# The objective


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
def test_the_parts_are_sums_per_image_averaged_over_the_batch(kind: str) -> None:
    config = replace(CONFIG, kind=kind)
    output, images = make_output(config)
    parts = negative_elbo(output, images, config)
    one_by_one = [
        negative_elbo(
            ModelOutput(*(None if t is None else t[i : i + 1] for t in output)),
            images[i : i + 1],
            config,
        )
        for i in range(len(images))
    ]
    for name in parts._fields:
        each = torch.stack([getattr(part, name) for part in one_by_one])
        torch.testing.assert_close(getattr(parts, name), each.mean())


def test_beta_multiplies_the_kl_term_and_nothing_else() -> None:
    output, images = make_output(CONFIG)
    one = negative_elbo(output, images, CONFIG)
    for beta in (0.0, 0.5, 4.0):
        parts = negative_elbo(output, images, CONFIG, beta)
        assert torch.equal(parts.reconstruction, one.reconstruction)
        assert torch.equal(parts.kl, one.kl)
        torch.testing.assert_close(parts.loss, one.reconstruction + beta * one.kl)


@pytest.mark.parametrize("beta", [0.0, 1.0, 50.0])
def test_an_autoencoder_has_the_reconstruction_term_alone(beta: float) -> None:
    config = replace(CONFIG, kind="autoencoder")
    output, images = make_output(config)
    parts = negative_elbo(output, images, config, beta)
    assert torch.equal(parts.loss, reconstruction_nll(output.logits, images, config).mean())
    assert torch.equal(parts.loss, parts.reconstruction)
    assert parts.kl == 0


def test_the_loss_is_in_float32_whatever_the_precision_of_the_logits() -> None:
    output, images = make_output(CONFIG)
    parts = negative_elbo(output._replace(logits=output.logits.bfloat16()), images, CONFIG)
    assert parts.loss.dtype == torch.float32


# The published scalings: the same objective but for a constant factor


def mean_bce(output: ModelOutput, images: Tensor) -> Tensor:
    return torch.nn.functional.binary_cross_entropy(torch.sigmoid(output.logits), images)


def mean_squared_error(output: ModelOutput, images: Tensor) -> Tensor:
    return torch.nn.functional.mse_loss(torch.sigmoid(output.logits), images)


@pytest.mark.parametrize(
    ("preset", "factor", "reconstruction", "beta", "constant"),
    [
        ("fashion-vae", 500, mean_bce, 2.048, 500 / 1024),
        ("mnist-vae", 784, mean_bce, 1.0, 1.0),
        ("faces-vae-32", 2000, mean_squared_error, 1.0, 1.0),
    ],
)
def test_a_published_scaling_is_the_same_objective(
    preset: str,
    factor: float,
    reconstruction: Callable[[ModelOutput, Tensor], Tensor],
    beta: float,
    constant: float,
) -> None:
    config = find_preset(preset)
    output, images = make_output(config)
    kl = -0.5 * (1 + output.z_log_var - output.z_mean**2 - output.z_log_var.exp()).sum(1).mean()
    published = factor * reconstruction(output, images) + kl
    ours = negative_elbo(output, images, config, beta).loss

    torch.testing.assert_close(published, constant * ours, rtol=1e-5, atol=0)
    pairs = zip(gradients(published, output), gradients(ours, output), strict=True)
    for theirs, mine in pairs:
        assert mine.abs().max() > 0
        torch.testing.assert_close(theirs, constant * mine, rtol=1e-4, atol=1e-7)


def test_feature_distance_is_zero_for_the_same_and_one_a_layer_for_none() -> None:
    layers = [torch.randn(2, 3, 8, 8), 100 * torch.randn(2, 5, 4, 4)]
    assert feature_distance(layers, layers) == 0
    nothing = [torch.zeros_like(layer) for layer in layers]
    assert feature_distance(nothing, layers).item() == pytest.approx(2)


def test_feature_distance_does_not_depend_on_a_layers_scale() -> None:
    ours, theirs = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    small, large = (
        feature_distance([ours], [theirs]),
        feature_distance([1e3 * ours], [1e3 * theirs]),
    )
    assert large.item() == pytest.approx(small.item(), rel=1e-5)


def test_a_discriminator_that_is_sure_enough_learns_no_more() -> None:
    sure = torch.full((4, 1, 2, 2), 1.5)
    assert hinge_discriminator_loss(sure, -sure) == 0
    assert hinge_discriminator_loss(-sure, sure) == 5
    assert hinge_discriminator_loss(torch.zeros(4), torch.zeros(4)) == 2


def test_a_decoder_gains_by_every_patch_that_passes_for_real() -> None:
    logits = torch.zeros(4, 1, 2, 2, requires_grad=True)
    hinge_generator_loss(logits).backward()
    assert logits.grad is not None
    assert (logits.grad == -1 / 16).all()


def test_logistic_losses_are_cross_entropies() -> None:
    real, fake = torch.randn(2, 7, generator=make_generator())
    p_real, p_fake = torch.sigmoid(real.double()), torch.sigmoid(fake.double())
    expected = -p_real.log().mean() - (1 - p_fake).log().mean()
    assert logistic_discriminator_loss(real, fake).item() == pytest.approx(expected.item())
    assert logistic_generator_loss(fake).item() == pytest.approx(-p_fake.log().mean().item())


def test_a_decoder_gains_most_by_images_that_nobody_believes() -> None:
    logits = torch.tensor([-100.0, 0.0, 100.0], requires_grad=True)
    logistic_generator_loss(logits).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([-1.0, -0.5, 0.0]) / 3)


def test_the_gradient_penalty_of_a_plane_is_its_slope_squared() -> None:
    images = torch.rand(5, 3, 4, 4, generator=make_generator(), requires_grad=True)
    slope = torch.randn(48, generator=make_generator(), requires_grad=True)
    penalty = gradient_penalty(images.flatten(1) @ slope + 2, images)
    assert penalty.item() == pytest.approx(slope.square().sum().item())
    penalty.backward()
    torch.testing.assert_close(slope.grad, 2 * slope.detach())


def test_the_gradient_penalty_is_the_mean_over_images() -> None:
    images = torch.rand(5, 1, 4, 4, generator=make_generator(), requires_grad=True)
    penalty = gradient_penalty(images.square().flatten(1).sum(1) / 2, images)
    expected = images.square().flatten(1).sum(1).mean()  # at x, the gradient of x² / 2 is x
    assert penalty.item() == pytest.approx(expected.item())
