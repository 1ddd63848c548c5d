from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from vae_explorer.config import ModelConfig
from vae_explorer.models import (
    Autoencoder,
    build_model,
    count_model_parameters,
    count_parameters,
    reparameterize,
)
from vae_explorer.presets import PRESETS, find_preset

CONV = ModelConfig(image_size=16, image_channels=3, latent_dim=5, channels=(4, 6))
MLP = ModelConfig(image_size=6, image_channels=1, latent_dim=5, architecture="mlp", hidden_dim=7)
VARIETY = {
    "plain": CONV,
    "autoencoder": replace(CONV, kind="autoencoder"),
    "hidden layer": replace(CONV, hidden_dim=9),
    "normalised": replace(CONV, normalization="batch", activation="leaky_relu"),
    "active projection": replace(CONV, normalization="batch", activate_projection=True),
    "mlp": MLP,
    "mlp autoencoder": replace(MLP, kind="autoencoder"),
    "colour mlp": replace(MLP, image_channels=3),
}


def make_images(config: ModelConfig, n: int = 3) -> torch.Tensor:
    return torch.rand(n, *config.image_shape, generator=torch.Generator().manual_seed(1))


def same_weights(a: Autoencoder, b: Autoencoder) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


# The published architectures


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        ("fashion-ae", 96_770, 246_273),
        ("fashion-vae", 100_868, 246_273),
        ("mnist-vae", 69_076, 65_089),
        ("mnist-mlp-vae", 330_040, 322_784),
        ("faces-vae-32", 653_584, 700_803),
        ("faces-vae-64", 1_740_896, 940_643),
        ("faces-vae-64-blur-finetune", 1_740_896, 940_643),
    ],
)
def test_presets_have_the_published_numbers_of_parameters(
    name: str, encoder: int, decoder: int
) -> None:
    model = build_model(find_preset(name))
    assert count_parameters(model.encoder) == encoder
    assert count_parameters(model.decoder) == decoder
    assert count_parameters(model) == encoder + decoder
    assert count_model_parameters(model.config) == (encoder, decoder)


def test_every_preset_is_counted_above() -> None:
    assert set(PRESETS) == {
        "fashion-ae",
        "fashion-vae",
        "mnist-vae",
        "mnist-mlp-vae",
        "faces-vae-32",
        "faces-vae-64",
        "faces-vae-64-finetune",
        "faces-vae-64-blur-finetune",
    }


@pytest.mark.parametrize("name", PRESETS)
def test_presets_map_images_to_latents_and_back(name: str) -> None:
    config = find_preset(name)
    images = make_images(config, 2)
    output = build_model(config)(images, torch.Generator())
    assert output.logits.shape == images.shape
    assert output.z_mean.shape == (2, config.latent_dim)


# Shapes


@pytest.mark.parametrize("config", VARIETY.values(), ids=VARIETY.keys())
def test_encode_and_decode_have_the_configured_shapes(config: ModelConfig) -> None:
    model = build_model(config).eval()
    images = make_images(config)
    z_mean, z_log_var = model.encode(images)
    assert z_mean.shape == (3, config.latent_dim)
    assert (z_log_var is None) == (config.kind == "autoencoder")
    assert z_log_var is None or z_log_var.shape == z_mean.shape
    assert model.decode(z_mean).shape == images.shape


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 7])
def test_each_stride_halves_and_doubles_whatever_the_kernel(kernel_size: int) -> None:
    config = replace(CONV, kernel_size=kernel_size)
    model = build_model(config)
    sides = []
    features = make_images(config)
    for layer in model.encoder.body[:-1]:  # the last one flattens
        features = layer(features)
        sides.append(features.shape[-1])
    assert sorted(set(sides)) == [4, 8]
    assert config.feature_size == 4
    assert model.decode(torch.zeros(3, 5)).shape == (3, 3, 16, 16)


def test_a_size_of_two_to_the_number_of_convolutions_is_enough() -> None:
    config = replace(CONV, image_size=4, kernel_size=5)
    assert config.feature_size == 1
    assert build_model(config)(make_images(config), torch.Generator()).logits.shape == (3, 3, 4, 4)


# The bottleneck


def test_the_heads_belong_to_the_encoder() -> None:
    names = dict(build_model(CONV).named_parameters())
    assert {"encoder.z_mean.weight", "encoder.z_log_var.weight"} <= names.keys()
    assert all(name.startswith(("encoder.", "decoder.")) for name in names)


def test_a_plain_autoencoder_has_no_variance_and_no_chance() -> None:
    config = replace(CONV, kind="autoencoder")
    model = build_model(config)
    images = make_images(config)
    first = model(images, torch.Generator().manual_seed(1))
    second = model(images, torch.Generator().manual_seed(2))
    assert first.z_log_var is None
    assert not any("log_var" in name for name in model.state_dict())
    assert torch.equal(first.logits, second.logits)


@pytest.mark.parametrize("training", [True, False])
def test_a_vae_samples_in_both_modes_and_by_the_seed(training: bool) -> None:
    model = build_model(CONV).train(training)
    images = make_images(CONV)
    first, again, other = (
        model(images, torch.Generator().manual_seed(s)).logits for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_reparameterize_has_the_moments_it_is_given() -> None:
    z_mean = torch.tensor([-2.0, 0.0, 3.0]).expand(40_000, 3)
    z_log_var = torch.tensor([-4.0, 0.0, 1.0]).expand(40_000, 3)
    z = reparameterize(z_mean, z_log_var, torch.Generator().manual_seed(0))
    scale = torch.exp(0.5 * z_log_var[0])
    error = 5 / 40_000**0.5  # five standard errors of the mean
    assert torch.all((z.mean(0) - z_mean[0]).abs() < error * scale)
    torch.testing.assert_close(z.std(0), scale, rtol=error, atol=0)
    correlation = torch.corrcoef(z.T) - torch.eye(3)
    assert correlation.abs().max() < error


def test_reparameterize_passes_gradients_to_both_parameters() -> None:
    z_mean = torch.zeros(4, 2, requires_grad=True)
    z_log_var = torch.zeros(4, 2, requires_grad=True)
    z = reparameterize(z_mean, z_log_var, torch.Generator().manual_seed(0))
    z.sum().backward()
    torch.testing.assert_close(z_mean.grad, torch.ones(4, 2))
    torch.testing.assert_close(z_log_var.grad, 0.5 * z.detach())  # dz / dlog σ² = σ ε / 2


def test_a_posterior_without_width_is_its_mean() -> None:
    z_mean = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    z = reparameterize(z_mean, torch.full((5, 2), -200.0), torch.Generator().manual_seed(3))
    assert torch.equal(z, z_mean)


# Values


@pytest.mark.parametrize("config", VARIETY.values(), ids=VARIETY.keys())
def test_decoded_pictures_are_probabilities_even_far_out(config: ModelConfig) -> None:
    model = build_model(config).eval()
    z = 100 * torch.randn(8, config.latent_dim, generator=torch.Generator().manual_seed(0))
    images = model.decode(z)
    assert images.min() >= 0
    assert images.max() <= 1
    torch.testing.assert_close(images, torch.sigmoid(model.decoder(z)))


@pytest.mark.parametrize("config", VARIETY.values(), ids=VARIETY.keys())
def test_the_same_seed_gives_the_same_weights_and_another_one_others(config: ModelConfig) -> None:
    assert same_weights(build_model(config, seed=3), build_model(config, seed=3))
    assert not same_weights(build_model(config, seed=3), build_model(config, seed=4))


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    build_model(CONV, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_counting_leaves_out_only_the_counter_of_batches() -> None:
    plain, normalised = build_model(CONV), build_model(VARIETY["normalised"])
    # Four buffers and weights per channel: scale, shift, running mean, running variance.
    assert count_parameters(normalised) - count_parameters(plain) == 4 * (4 + 6 + 6 + 4)


@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
def test_a_grey_output_is_the_same_convolution_at_inference(kernel: int) -> None:
    config = ModelConfig(
        image_size=16, image_channels=1, latent_dim=2, channels=(4, 6), kernel_size=kernel
    )
    decoder = build_model(config).decoder
    z = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        fast = decoder(z)
    torch.testing.assert_close(fast, decoder(z).detach(), rtol=1e-5, atol=1e-6)


def test_nearest_upsampling_spreads_the_latent_evenly() -> None:
    """Where transposed convolutions weave a checkerboard, a flat map stays flat inside."""
    config = ModelConfig(
        image_size=32,
        image_channels=3,
        latent_dim=2,
        channels=(4, 8),
        decoder_channels=(8, 6, 4),
        upsampling="nearest",
    )
    decoder = build_model(config).decoder
    with torch.no_grad():
        for parameter in decoder.body[0].parameters():  # the projection: one value everywhere
            parameter.fill_(0.5)
        inner = decoder(torch.ones(1, 2))[..., 8:-8, 8:-8]
    assert (inner.amax((2, 3)) - inner.amin((2, 3))).max() < 1e-5


BLURRED = replace(CONV, decoder_channels=(6, 5, 4), upsampling="bilinear", normalization="batch")


def blurred(maps: torch.Tensor) -> torch.Tensor:
    """What the decoder of `BLURRED` makes of maps before its first convolution."""
    decoder = build_model(BLURRED).decoder
    return next(module for module in decoder.body if isinstance(module, nn.Upsample))(maps)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 7)])
def test_bilinear_upsampling_is_nearest_neighbours_blurred(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (weights[:, None] * weights).expand(6, 1, 3, 3)
    doubled = maps.repeat_interleave(2, 2).repeat_interleave(2, 3)
    padded = nn.functional.pad(doubled, (1, 1, 1, 1), mode="replicate")
    expected = nn.functional.conv2d(padded, kernel, groups=6)
    torch.testing.assert_close(blurred(maps), expected, rtol=1e-5, atol=1e-6)


def test_the_blur_keeps_what_is_flat_and_every_sum() -> None:
    maps = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    flat = maps.mean((2, 3), keepdim=True).expand_as(maps)
    torch.testing.assert_close(blurred(flat), flat.repeat(1, 1, 2, 2))
    torch.testing.assert_close(blurred(maps).sum((2, 3)), 4 * maps.sum((2, 3)))


def test_a_blurred_decoder_takes_the_weights_of_one_that_is_not() -> None:
    sharp = build_model(replace(BLURRED, upsampling="nearest"), seed=1).eval()
    soft = build_model(BLURRED, seed=2).eval()
    soft.load_state_dict(sharp.state_dict())
    assert same_weights(sharp, soft)
    z = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.equal(sharp.decode(z), soft.decode(z))


def test_a_decoder_may_be_wider_than_the_encoder() -> None:
    config = ModelConfig(
        image_size=16, image_channels=1, latent_dim=2, channels=(4, 8), decoder_channels=(32, 16, 8)
    )
    body = build_model(config).decoder.body
    weights = [layer.weight for layer in body if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert [tuple(weight.shape[:2]) for weight in weights] == [(32, 16), (16, 8), (1, 8)]
