from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from tests.support.layers import random_model, read_packed
from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.config import ModelConfig
from vae_explorer.errors import CancelledError, VaeExplorerError
from vae_explorer.faces import TunedFaces, align, find_faces, tune_to_faces
from vae_explorer.inference import decode
from vae_explorer.models import Autoencoder
from vae_explorer.weights import pack_model

FACES = ModelConfig(
    image_size=16,
    image_channels=3,
    latent_dim=12,
    channels=(16, 16),
    upsampling="nearest",
    normalization="batch",
    activate_projection=True,
    likelihood="gaussian",
)
DENSE = ModelConfig(image_size=8, image_channels=1, latent_dim=2, architecture="mlp", hidden_dim=32)
CONFIGS = {
    "convolutions": FACES,
    "two dimensions": replace(FACES, latent_dim=2, image_channels=1, upsampling="transposed"),
    "dense": DENSE,
    "dense autoencoder": replace(DENSE, kind="autoencoder"),
    "autoencoder": replace(FACES, kind="autoencoder", normalization="none"),
}
QUICK = {"z_steps": 10, "decoder_steps": 45, "target": 60.0}
OTHERS = np.random.default_rng(5).standard_normal((40, FACES.latent_dim), np.float32)


def make_checkpoint(config: ModelConfig) -> Checkpoint:
    """An untrained model, with encodings."""
    z = np.random.default_rng(1).standard_normal((20, config.latent_dim), np.float32)
    fields = {"model": random_model(config, 3), "encodings": SimpleNamespace(z_mean=z)}
    return cast(Checkpoint, SimpleNamespace(**fields))


def make_images(checkpoint: Checkpoint, count: int) -> np.ndarray:
    """What the model decodes, with a pattern that it does not."""
    config = checkpoint.model.config
    rng = np.random.default_rng(2)
    images = decode(checkpoint.model, rng.standard_normal((count, config.latent_dim), np.float32))
    return (0.8 * images + 0.2 * rng.random(images.shape, np.float32)).astype(np.float32)


def state_of(model: Autoencoder) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return make_checkpoint(FACES)


@pytest.fixture(scope="module")
def images(checkpoint: Checkpoint) -> np.ndarray:
    return make_images(checkpoint, 2)


@pytest.fixture(scope="module")
def tuned(checkpoint: Checkpoint, images: np.ndarray) -> TunedFaces:
    return tune_to_faces(checkpoint, images, **QUICK)


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("name", CONFIGS)
def test_images_come_nearer_with_each_stage(name: str, count: int) -> None:
    checkpoint = make_checkpoint(CONFIGS[name])
    images = make_images(checkpoint, count)
    tuned = tune_to_faces(checkpoint, images, **QUICK)
    assert tuned.z.shape == (count, CONFIGS[name].latent_dim)
    assert tuned.z.dtype == np.float32
    means = [tuned.psnr[stage].mean() for stage in ("encoder", "z", "decoder")]
    assert means[0] < means[1] < means[2]
    errors = np.square(tuned.decode(tuned.z).astype(float) - images).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(tuned.psnr["decoder"], -10 * np.log10(errors))


def test_the_model_stays_and_its_encoder_is_shared(
    checkpoint: Checkpoint, images: np.ndarray
) -> None:
    model = checkpoint.model
    before = state_of(model)
    tuned = tune_to_faces(checkpoint, images, **QUICK)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert tuned.model.encoder is model.encoder
    own = {tensor.data_ptr() for tensor in tuned.model.decoder.state_dict().values()}
    assert not own & {tensor.data_ptr() for tensor in model.decoder.state_dict().values()}


def test_a_tuned_model_is_frozen_and_keeps_its_normalization(
    checkpoint: Checkpoint, tuned: TunedFaces
) -> None:
    decoder = tuned.model.decoder
    assert not decoder.training
    assert not any(parameter.requires_grad for parameter in decoder.parameters())
    before = dict(checkpoint.model.decoder.named_buffers())
    assert all(torch.equal(before[name], now) for name, now in decoder.named_buffers())


def test_a_seed_always_gives_the_same_and_another_one_another(
    checkpoint: Checkpoint, images: np.ndarray, tuned: TunedFaces
) -> None:
    again = tune_to_faces(checkpoint, images, **QUICK)
    np.testing.assert_array_equal(again.z, tuned.z)
    np.testing.assert_array_equal(again.decode(OTHERS), tuned.decode(OTHERS))
    other = tune_to_faces(checkpoint, images, **QUICK, seed=1)
    assert not np.array_equal(other.decode(OTHERS), tuned.decode(OTHERS))


def test_locality_keeps_the_images_of_other_latents(
    checkpoint: Checkpoint, images: np.ndarray
) -> None:
    before = decode(checkpoint.model, OTHERS)
    drifts = []
    for locality in (0.0, 1.0):
        steps = {**QUICK, "decoder_steps": 120}
        tuned = tune_to_faces(checkpoint, images, **steps, locality=locality)
        drifts.append(np.square(tuned.decode(OTHERS) - before).mean())
    assert drifts[1] < 0.8 * drifts[0]


def test_the_first_layer_alone_changes_nothing_that_is_orthogonal_to_the_pivots(
    checkpoint: Checkpoint, images: np.ndarray
) -> None:
    tuned = tune_to_faces(checkpoint, images, z_steps=5, decoder_steps=20, target=60.0)
    # With a one appended, as the bias sees them: others whose product with each pivot is -1.
    pivots = tuned.z
    free = OTHERS - OTHERS @ np.linalg.pinv(pivots) @ pivots
    opposite = (free - np.linalg.pinv(pivots) @ np.ones(len(pivots))).astype(np.float32)
    after, before = tuned.decode(opposite), decode(checkpoint.model, opposite)
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert tuned.psnr["decoder"].mean() > tuned.psnr["z"].mean() + 0.1


def test_tuning_ends_at_the_target(checkpoint: Checkpoint, images: np.ndarray) -> None:
    target = tune_to_faces(checkpoint, images, **QUICK).psnr["decoder"].min() - 0.5
    steps: list[float] = []
    tuned = tune_to_faces(checkpoint, images, **{**QUICK, "target": target}, progress=steps.append)
    assert tuned.psnr["decoder"].min() >= target - 1e-3
    assert len(steps) < QUICK["z_steps"] + QUICK["decoder_steps"]
    assert steps[-1] == 1


@pytest.mark.parametrize("steps", [(0, 0), (3, 0), (0, 4), (4, 35)])
def test_progress_rises_from_0_to_1(
    checkpoint: Checkpoint, images: np.ndarray, steps: tuple[int, int]
) -> None:
    shares: list[float] = []
    tune_to_faces(
        checkpoint, images, z_steps=steps[0], decoder_steps=steps[1], progress=shares.append
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[0] == (0 if sum(steps) else 1)
    assert len(set(shares)) == len(shares)


@pytest.mark.parametrize("after", [0, 3, 12])
def test_a_cancelled_tuning_ends_at_once_and_leaves_nothing(
    checkpoint: Checkpoint, images: np.ndarray, after: int
) -> None:
    before, shares = state_of(checkpoint.model), []
    with pytest.raises(CancelledError, match="cancelled") as raised:
        tune_to_faces(
            checkpoint,
            images,
            **QUICK,
            progress=shares.append,
            is_cancelled=lambda: len(shares) == after,
        )
    assert isinstance(raised.value, VaeExplorerError)
    assert len(shares) == after
    model = checkpoint.model
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_images_that_are_none_for_the_model_are_refused(
    checkpoint: Checkpoint, images: np.ndarray
) -> None:
    spoilt = images.copy()
    spoilt[1, 0, 3, 3] = np.nan
    for wrong, message in (
        (images.astype(np.float64), "float32"),
        (images[..., :-1], "float32"),
        (images[:, :1], "float32"),
        (images[0], "float32"),
        (spoilt, "finite"),
        (images[:0], "at least one"),
    ):
        with pytest.raises(ValueError, match=message):
            tune_to_faces(checkpoint, wrong, **QUICK)


@pytest.mark.parametrize("name", CONFIGS)
def test_packed_for_the_browser_it_decodes_the_same(name: str) -> None:
    checkpoint = make_checkpoint(CONFIGS[name])
    tuned = tune_to_faces(checkpoint, make_images(checkpoint, 2), **QUICK)
    packed = read_packed(pack_model(tuned.model, ["decoder"]))
    np.testing.assert_allclose(packed.run("decoder", tuned.z), tuned.decode(tuned.z), atol=0.02)


def test_the_shipped_model_gives_a_portrait_almost_exactly() -> None:
    checkpoint = load_checkpoint("faces-vae-64")
    photo = Image.fromarray(astronaut())
    pixels = np.asarray(align(photo, find_faces(photo)[0], 64).image, np.float32) / np.float32(255)
    portrait = np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]
    tuned = tune_to_faces(checkpoint, portrait)
    assert tuned.psnr["encoder"] < tuned.psnr["z"] < 26
    assert tuned.psnr["decoder"] >= 32.9
    packed = read_packed(pack_model(tuned.model, ["decoder"])).run("decoder", tuned.z)
    assert -10 * np.log10(np.square(packed - portrait).mean()) >= 32.5
    # Others stay near: their error is a fraction of what was changed in the portrait.
    rng = np.random.default_rng(0)
    others = rng.standard_normal((16, 128), np.float32)
    drift = np.square(tuned.decode(others) - decode(checkpoint.model, others)).mean()
    change = np.square(tuned.decode(tuned.z) - decode(checkpoint.model, tuned.z)).mean()
    assert drift < 0.2 * change
