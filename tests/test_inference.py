from __future__ import annotations

import numpy as np
import pytest
import torch

from vae_explorer.config import ModelConfig
from vae_explorer.device import choose_device
from vae_explorer.inference import CHUNK, decode, encode
from vae_explorer.models import Autoencoder, build_model

CONFIG = ModelConfig(
    image_size=8, image_channels=3, latent_dim=5, channels=(4,), normalization="batch"
)


def make_model(kind: str = "vae") -> Autoencoder:
    config = ModelConfig.from_dict({**CONFIG.to_dict(), "kind": kind})
    return build_model(config, seed=1).eval()


def make_images(n: int) -> np.ndarray:
    return np.random.default_rng(2).random((n, 3, 8, 8), dtype=np.float32)


@pytest.mark.parametrize("n", [1, CHUNK, 2 * CHUNK + 1])
def test_chunks_give_what_one_batch_gives(n: int) -> None:
    model, images = make_model(), make_images(n)
    with torch.no_grad():
        want_mean, want_log_var = model.encode(torch.from_numpy(images))
        want_images = model.decode(want_mean)

    z_mean, z_log_var = encode(model, images)
    decoded = decode(model, z_mean)

    np.testing.assert_allclose(z_mean, want_mean, atol=1e-5)
    np.testing.assert_allclose(z_log_var, want_log_var, atol=1e-5)
    np.testing.assert_allclose(decoded, want_images, atol=1e-5)
    assert {z_mean.dtype, z_log_var.dtype, decoded.dtype} == {np.dtype(np.float32)}
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_a_plain_autoencoder_has_no_variance() -> None:
    z_mean, z_log_var = encode(make_model("autoencoder"), make_images(3))
    assert z_mean.shape == (3, 5)
    assert z_log_var is None


def test_no_rows_give_no_rows() -> None:
    model = make_model()
    z_mean, z_log_var = encode(model, make_images(0))
    assert z_mean.shape == z_log_var.shape == (0, 5)
    assert decode(model, z_mean).shape == (0, 3, 8, 8)


def test_arrays_of_any_layout_are_read_and_left_alone() -> None:
    model, images = make_model(), make_images(4)
    images.setflags(write=False)
    reversed_twice = images[::-1].copy()[::-1]
    np.testing.assert_array_equal(encode(model, images)[0], encode(model, reversed_twice)[0])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_not_changed(training: bool) -> None:
    model = make_model()
    model.train(training)
    weights = {name: tensor.clone() for name, tensor in model.named_parameters()}
    decode(model, encode(model, make_images(3))[0])
    assert model.training is training
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.named_parameters())
    assert all(tensor.requires_grad for tensor in model.parameters())


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 3, 8, 8)), "float64"),
        (np.zeros((2, 3, 8, 8), np.uint8), "uint8"),
        (np.zeros((2, 1, 8, 8), np.float32), r"\(2, 1, 8, 8\)"),
        (np.zeros((3, 8, 8), np.float32), r"\(3, 8, 8\)"),
        (np.full((1, 3, 8, 8), np.nan, np.float32), "192 values that are NaN"),
    ],
)
def test_encode_says_what_it_wants(images: np.ndarray, found: str) -> None:
    with pytest.raises(ValueError, match=f"images must be .*{found}"):
        encode(make_model(), images)


@pytest.mark.parametrize(
    ("z", "found"),
    [
        (np.zeros((2, 5)), r"float32 \(n, 5\); found float64"),
        (np.zeros((2, 4), np.float32), r"\(2, 4\)"),
        (np.zeros(5, np.float32), r"\(5,\)"),
        (np.full((1, 5), np.inf, np.float32), "5 values that are NaN or infinite"),
    ],
)
def test_decode_says_what_it_wants(z: np.ndarray, found: str) -> None:
    with pytest.raises(ValueError, match=f"z must be .*{found}"):
        decode(make_model(), z)


def test_a_latent_that_overflows_the_decoder_is_refused() -> None:
    model = make_model()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.fill_(1e20)
            weight.view(-1)[::2] = -1e20
    with pytest.raises(ValueError, match="overflows: z reaches 3e"):
        decode(model, np.full((1, 5), 3e30, np.float32))


def test_the_chosen_device_computes() -> None:
    assert torch.ones(2, device=choose_device()).sum().item() == 2
