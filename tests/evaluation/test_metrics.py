from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.config import ModelConfig
from vae_explorer.data import ImageDataset
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.inference import decode, encode
from vae_explorer.losses import gaussian_constant
from vae_explorer.models import Autoencoder, build_model

TEST_ROWS = 359  # a fifth of 1,797


@pytest.fixture(scope="module")
def vae(published_checkpoints: Path) -> Autoencoder:
    return load_checkpoint(published_checkpoints / "digits-vae-2d").model


@pytest.fixture(scope="module")
def autoencoder(published_checkpoints: Path) -> Autoencoder:
    return load_checkpoint(published_checkpoints / "digits-ae-2d").model


def measure(model: Autoencoder, dataset: ImageDataset, **options: int) -> dict[str, float]:
    return {name: m.value for name, m in evaluate(model, dataset, **options).metrics.items()}


def held_out_images(dataset: ImageDataset) -> np.ndarray:
    return dataset.take(dataset.rows("test")).astype(np.float32) / 255


def collapsed(config: ModelConfig, active: int = 0) -> Autoencoder:
    """A VAE whose posterior is the prior, but for the mean of the first few dimensions."""
    model = build_model(config).eval()
    with torch.no_grad():
        model.encoder.z_mean.weight[active:] = 0
        model.encoder.z_mean.bias[active:] = 0
        model.encoder.z_log_var.weight.zero_()
        model.encoder.z_log_var.bias.zero_()
    return model


def without_width(config: ModelConfig) -> Autoencoder:
    """A VAE whose posterior samples are its means."""
    model = build_model(config).eval()
    with torch.no_grad():
        model.encoder.z_log_var.weight.zero_()
        model.encoder.z_log_var.bias.fill_(-80.0)
    return model


# The bound and its parts


def test_the_bound_is_its_parts(vae: Autoencoder, digits: ImageDataset) -> None:
    metrics = measure(vae, digits)
    assert metrics["kl"] == pytest.approx(sum(metrics["kl_per_dimension"]))
    assert metrics["negative_elbo"] == pytest.approx(metrics["reconstruction"] + metrics["kl"])
    assert len(metrics["kl_per_dimension"]) == 2
    assert min(metrics["kl_per_dimension"]) > 0


def test_the_importance_weighted_bound_is_tighter_with_every_sample(
    vae: Autoencoder, digits: ImageDataset
) -> None:
    loose = measure(vae, digits)["negative_elbo"]
    one, four, many = (
        measure(vae, digits, importance_samples=k)["importance_weighted_nll"] for k in (1, 4, 64)
    )
    assert one == pytest.approx(loose, abs=0.5)  # the noise of one sample an image
    assert one > four + 0.1 > many + 0.2


@pytest.mark.parametrize("samples", [1, 7])
def test_nothing_is_gained_where_all_samples_weigh_the_same(
    digits: ImageDataset, tiny_vae_config: ModelConfig, samples: int
) -> None:
    model = collapsed(tiny_vae_config)
    with torch.no_grad():
        model.decoder.body[0].weight.zero_()  # the picture no longer depends on z
    metrics = measure(model, digits, importance_samples=samples)
    assert metrics["importance_weighted_nll"] == pytest.approx(metrics["negative_elbo"], rel=1e-6)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_reconstruction_term_is_computed_image_by_image(
    digits: ImageDataset, tiny_vae_config: ModelConfig, likelihood: str
) -> None:
    config = replace(tiny_vae_config, likelihood=likelihood, variance=0.05)
    model, x = without_width(config), held_out_images(digits).astype(np.float64)
    p = decode(model, encode(model, x.astype(np.float32))[0]).astype(np.float64)
    bernoulli = -(x * np.log(p) + (1 - x) * np.log(1 - p))
    nll = bernoulli if likelihood == "bernoulli" else (p - x) ** 2 / (2 * 0.05)

    evaluation = evaluate(model, digits)
    expected = nll.sum((1, 2, 3)).mean()
    assert evaluation.metrics["reconstruction"].value == pytest.approx(expected, rel=1e-5)
    constant = f"{gaussian_constant(64, 0.05):.1f} nats"
    stated = constant in evaluation.metrics["reconstruction"].protocol
    assert stated == (likelihood == "gaussian")


# Pictures


@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_errors_are_those_of_the_decoded_mean(
    name: str, digits: ImageDataset, request: pytest.FixtureRequest
) -> None:
    model, images = request.getfixturevalue(name), held_out_images(digits)
    errors = (decode(model, encode(model, images)[0]) - images) ** 2
    psnr = -10 * np.log10(errors.mean((1, 2, 3)))
    metrics = measure(model, digits)
    assert metrics["psnr"] == pytest.approx(psnr.mean(), rel=1e-5)
    assert metrics["squared_error"] == pytest.approx(errors.sum((1, 2, 3)).mean(), rel=1e-5)


# Active units


@pytest.mark.parametrize("active", [0, 1, 3, 5])
def test_active_units_are_those_that_move(
    digits: ImageDataset, tiny_vae_config: ModelConfig, active: int
) -> None:
    model = collapsed(replace(tiny_vae_config, latent_dim=5), active)
    with torch.no_grad():
        model.encoder.z_mean.weight *= 30
    metrics = measure(model, digits)
    assert metrics["active_units"] == active
    assert metrics["kl_per_dimension"][active:] == (0,) * (5 - active)
    assert all(kl > 0 for kl in metrics["kl_per_dimension"][:active])


# What is measured, and on what


def test_an_autoencoder_has_no_variational_metrics(
    autoencoder: Autoencoder, digits: ImageDataset
) -> None:
    evaluation = evaluate(autoencoder, digits, importance_samples=3)
    assert evaluation.metrics.keys() == {
        "reconstruction",
        "squared_error",
        "psnr",
        "squared_error_percentiles",
    }
    assert evaluation.encodings.z_log_var is None


def test_the_whole_held_out_split_is_used_and_nothing_else(
    vae: Autoencoder, digits: ImageDataset
) -> None:
    evaluation = evaluate(vae, digits)
    assert np.array_equal(evaluation.encodings.row_id, digits.rows("test"))
    assert len(evaluation.encodings.row_id) == TEST_ROWS
    assert all("test split, 359 images" in m.protocol for m in evaluation.metrics.values())


def test_every_metric_has_its_name_and_a_unit(vae: Autoencoder, digits: ImageDataset) -> None:
    metrics = evaluate(vae, digits, importance_samples=2).metrics
    assert all(metric.name == name and metric.unit for name, metric in metrics.items())
    assert "k = 2" in metrics["importance_weighted_nll"].protocol


def test_the_same_twice_and_another_seed_only_adds_noise(
    vae: Autoencoder, digits: ImageDataset
) -> None:
    first, again, other = (measure(vae, digits, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["reconstruction"] != other["reconstruction"]
    assert first["reconstruction"] == pytest.approx(other["reconstruction"], abs=0.5)
    assert {name: first[name] for name in ("kl", "psnr")} == {
        name: other[name] for name in ("kl", "psnr")
    }


def test_half_of_the_pictures_cost_less_than_the_middle_percentile(
    vae: Autoencoder, digits: ImageDataset
) -> None:
    images = held_out_images(digits)
    errors = np.square(decode(vae, encode(vae, images)[0]) - images).sum((1, 2, 3))
    found = evaluate(vae, digits).metrics["squared_error_percentiles"].value
    assert found == pytest.approx(np.percentile(errors, range(0, 101, 5)), rel=1e-4)


# Few images, and plain ones


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("held_out", [1, 2, 5])
@pytest.mark.parametrize("value", [0, 127, None])
@pytest.mark.filterwarnings("error")
def test_metrics_of_few_or_plain_images_are_finite(
    kind: str, channels: int, held_out: int, value: int | None
) -> None:
    config = ModelConfig(
        image_size=8, image_channels=channels, latent_dim=2, channels=(4,), kind=kind
    )
    shape = (held_out + 1, channels, 8, 8)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    if value is not None:
        images[:] = value
    split = np.array(["train"] + ["test"] * held_out)
    dataset = ImageDataset("folder", images, None, (), None, (), split, ())
    measured = measure(build_model(config).eval(), dataset)
    for number in measured.values():
        assert np.isfinite(number).all()
    assert ("active_units" in measured) == (kind == "vae" and held_out > 1)


def test_a_reconstruction_without_error_has_no_psnr() -> None:
    config = ModelConfig(image_size=8, image_channels=1, latent_dim=2, channels=(4,))
    model = build_model(config).eval()
    with torch.no_grad():
        model.decoder.body[-1].weight.zero_()
        model.decoder.body[-1].bias.fill_(-200)  # black, whatever z is
    images = np.zeros((3, 1, 8, 8), np.uint8)
    split = np.array(["train", "test", "test"])
    dataset = ImageDataset("folder", images, None, (), None, (), split, ())
    assert "psnr" not in measure(model, dataset)
    images[1, :, 0, 0] = 255
    metric = evaluate(model, dataset).metrics["psnr"]
    assert metric.value == pytest.approx(10 * np.log10(64))
    assert "without 1 exact ones" in metric.protocol
