"""The terms beside the likelihood: what they look at, and whom they teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from vae_explorer.classifiers import storage
from vae_explorer.classifiers.network import ClassifierConfig, build_classifier
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.errors import CheckpointError, RunError
from vae_explorer.training.perceptual import (
    PENALTY_EVERY,
    GlobalDiscriminator,
    PatchDiscriminator,
    PerceptualLosses,
    feature_distance,
    logistic_generator_loss,
)
from vae_explorer.training.trainer import train

CONFIG = ClassifierConfig("strided", ("Red", "Bright"), channels=(4, 6, 8), image_size=16)


def make_images(seed: int, n: int = 8) -> torch.Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["patch", "global"])
def perceptual(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> PerceptualLosses:
    network = build_classifier(CONFIG).eval().requires_grad_(False)
    monkeypatch.setattr(storage, "load_classifier", lambda _name: network)
    config = TrainConfig(
        "celeba",
        feature_network="tiny",
        feature_weight=10.0,
        adversarial_weight=3.0,
        adversarial_start=0.5,
        learning_rate=1e-2,
        discriminator=request.param,
    )
    return PerceptualLosses(config, (3, 16, 16), Accelerator(cpu=True))


def test_a_run_is_not_resumed_with_another_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 3, 16, 16), dtype=np.uint8)
    split = np.repeat(["train", "test"], [20, 4])
    dataset = ImageDataset("celeba", pixels, None, (), None, (), split, ())
    model = ModelConfig(image_size=16, image_channels=3, latent_dim=2, channels=(4, 4))
    config = TrainConfig("celeba", epochs=3, feature_network="tiny", feature_weight=1.0)
    for change in (0, 0, 1):
        network = build_classifier(CONFIG).eval().requires_grad_(False)
        next(network.parameters()).add_(change)
        monkeypatch.setattr(storage, "load_classifier", lambda _name, found=network: found)
        resume = (tmp_path / "state.safetensors").exists()
        epochs = train(model, config, dataset, tmp_path, resume=resume)
        if change:
            before = (tmp_path / "state.safetensors").read_bytes()
            with pytest.raises(RunError, match="classifier tiny was replaced"):
                next(epochs)
            assert (tmp_path / "state.safetensors").read_bytes() == before
        else:
            next(epochs)


def test_a_perfect_reconstruction_has_no_feature_penalty(perceptual: PerceptualLosses) -> None:
    images = make_images(0)
    assert perceptual.penalty(images, images, 0.0) == 0
    assert perceptual.penalty(make_images(1), images, 0.0) > 0


def test_the_nearer_the_features_the_lower_the_penalty(perceptual: PerceptualLosses) -> None:
    images, noise = make_images(0), make_images(1)
    near, far = (perceptual.penalty(images + k * (noise - images), images, 0.0) for k in (0.1, 0.5))
    assert near < far


def test_the_discriminator_counts_from_its_start_on(perceptual: PerceptualLosses) -> None:
    images = make_images(0)
    assert perceptual.penalty(images, images, 0.49) == 0
    heard = perceptual.penalty(images, images, 0.5)
    with torch.no_grad():
        logits = perceptual.discriminator(images)
    is_global = perceptual.config.discriminator == "global"
    loss = logistic_generator_loss(logits) if is_global else -logits.mean()
    assert heard.item() == pytest.approx(3 * loss.item(), rel=0.05)  # a norm moves with each pass


def test_the_penalty_has_gradients_for_the_reconstruction_alone(
    perceptual: PerceptualLosses,
) -> None:
    ours = make_images(1).requires_grad_()
    perceptual.penalty(ours, make_images(0), 0.9).backward()
    assert ours.grad is not None and ours.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in perceptual.discriminator.parameters())
    assert perceptual.classifier is not None
    assert all(parameter.grad is None for parameter in perceptual.classifier.parameters())


def test_the_discriminator_learns_to_tell_them_apart(perceptual: PerceptualLosses) -> None:
    images, blurred = make_images(0, 32), make_images(1, 32).mean((2, 3), keepdim=True)
    fakes = blurred.expand(-1, -1, 16, 16)
    for _ in range(60):
        perceptual.train_discriminator(fakes, images, 0.9, 1e-2)
    with torch.no_grad():
        assert (
            perceptual.discriminator(images).mean()
            > 0.5
            > -0.5
            > perceptual.discriminator(fakes).mean()
        )


def test_the_discriminator_trains_shortly_before_it_counts(
    perceptual: PerceptualLosses,
) -> None:
    discriminator = perceptual.discriminator
    assert discriminator is not None
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    perceptual.train_discriminator(make_images(1), make_images(0), 0.4, 1e-2)
    after = discriminator.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    perceptual.train_discriminator(make_images(1), make_images(0), 0.46, 1e-2)
    after = discriminator.state_dict()
    assert any(not torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_missing_network_is_named() -> None:
    config = TrainConfig("celeba", feature_network="no-such-network", feature_weight=1.0)
    with pytest.raises(CheckpointError, match="no-such-network"):
        PerceptualLosses(config, (3, 16, 16), Accelerator(cpu=True))


def test_a_patch_is_part_of_a_picture() -> None:
    discriminator = PatchDiscriminator(3)
    image = make_images(0, 1).repeat(1, 1, 4, 4).requires_grad_()  # 64 x 64
    logits = discriminator(image)
    assert logits.shape == (1, 1, 8, 8)
    logits[0, 0, 0, 0].backward()
    assert image.grad is not None
    seen = image.grad.abs().sum((0, 1)) > 0
    assert seen[:24, :24].any()
    assert not seen[40:].any() and not seen[:, 40:].any()


@pytest.mark.parametrize(("size", "left"), [(64, 4), (96, 6), (28, 7), (8, 4), (4, 4)])
def test_a_whole_image_is_seen_at_once(size: int, left: int) -> None:
    discriminator = GlobalDiscriminator((3, size, size))
    images = torch.rand(2, 3, size, size, requires_grad=True)
    assert discriminator.body(images).shape[2:] == (left, left)
    logits = discriminator(images)
    assert logits.shape == (2,)
    logits[0].backward()
    assert images.grad is not None
    assert (images.grad[0].abs().sum(0) > 0).all()


def test_images_that_are_too_much_alike_are_found_out() -> None:
    discriminator = GlobalDiscriminator((3, 16, 16))
    with torch.no_grad():
        discriminator.patches.weight.zero_()
        discriminator.whole.weight.zero_()
        discriminator.whole.weight[0, -1] = 1  # only how much they vary counts
        varied, alike = make_images(0), make_images(0, 1).expand(8, -1, -1, -1)
        assert (discriminator(varied) > discriminator(alike) + 1e-3).all()


@pytest.mark.parametrize("perceptual", ["global"], indirect=True)
def test_a_global_discriminator_is_kept_from_being_steep_now_and_then(
    perceptual: PerceptualLosses,
) -> None:
    images, fakes = make_images(0), make_images(1)

    def gradient_at(step: int) -> torch.Tensor:
        perceptual.train_discriminator(
            fakes, images, 0.9, 0.0, step=step
        )  # at this rate it stays as it is
        gradients = [parameter.grad for parameter in perceptual.discriminator.parameters()]
        return torch.cat([g.flatten() for g in gradients if g is not None])

    gradients = [gradient_at(step) for step in (1, PENALTY_EVERY - 1, PENALTY_EVERY, 0)]
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[2], gradients[3])
    assert not torch.allclose(gradients[1], gradients[2])


def test_features_of_zero_have_a_finite_distance() -> None:
    zero, one = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert feature_distance([zero], [one]) == 1
    assert feature_distance([zero], [zero]) == 0
    assert feature_distance([one], [zero]) == 1
