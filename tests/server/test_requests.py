from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from vae_explorer.config import ModelConfig
from vae_explorer.encodings import Encodings
from vae_explorer.errors import RequestError
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.server.requests import (
    MAX_ANSWER_BYTES,
    MAX_IMAGES,
    PIECE_PIXELS,
    decoding,
    encoding,
    latent_bound,
    max_image_bytes,
    max_latents_bytes,
    read_image,
    read_latents,
)

CONFIG = ModelConfig(image_size=8, image_channels=3, latent_dim=5, channels=(4,))
LARGE = ModelConfig(image_size=256, image_channels=3, latent_dim=2, channels=(4,))


def make_model(**changes: object) -> Autoencoder:
    return build_model(ModelConfig.from_dict({**CONFIG.to_dict(), **changes}), seed=1).eval()


def make_latents(n: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((n, 5)).astype(np.float32)


def make_image(model: Autoencoder) -> np.ndarray:
    return np.random.default_rng(3).random((1, *model.config.image_shape), dtype=np.float32)


def make_encodings(z_mean: np.ndarray) -> Encodings:
    n = len(z_mean)
    return Encodings(
        row_id=np.arange(n),
        split=np.full(n, "test"),
        z_mean=z_mean,
        z_log_var=None,
        labels=None,
        attributes=None,
    )


@pytest.mark.parametrize(
    ("z_mean", "bound"),
    [([[0, 0], [-7, 1]], 28.0), ([[3, 1]], 20.0), (np.zeros((0, 2)), 20.0)],
)
def test_coordinates_may_go_four_times_as_far_as_the_encodings(
    z_mean: ArrayLike, bound: float
) -> None:
    assert latent_bound(make_encodings(np.array(z_mean, np.float32))) == bound


@pytest.mark.parametrize("n", [1, 3, MAX_IMAGES])
def test_latents_are_read_as_they_were_sent(n: int) -> None:
    z = make_latents(n)
    body = z.astype("<f4").tobytes()
    assert len(body) <= max_latents_bytes(CONFIG)
    read = read_latents(body, CONFIG, 20)
    np.testing.assert_array_equal(read, z)
    assert read.dtype == np.float32
    assert read.flags.writeable


def test_a_coordinate_at_the_bound_is_accepted() -> None:
    z = np.full((1, 5), -20, np.float32)
    np.testing.assert_array_equal(read_latents(z.tobytes(), CONFIG, 20), z)


def spoilt(value: float) -> bytes:
    z = make_latents(2)
    z[1, 3] = value
    return z.tobytes()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 422, "multiple of 20 bytes above 0; found 0"),
        (make_latents(2).tobytes()[:-1], 422, "found 39"),
        (make_latents(2).tobytes()[:-4], 422, "found 36"),
        (spoilt(np.nan), 422, "found 1 that are NaN"),
        (spoilt(-np.inf), 422, "found 1 that are NaN"),
        (spoilt(20.01), 422, r"within ±20; found one at 20\.01"),
        (spoilt(-3e38), 422, r"found one at 3e\+38"),
        (make_latents(MAX_IMAGES + 1).tobytes(), 413, "At most 1024 images"),
    ],
)
def test_latents_that_are_no_request_are_refused_in_one_line(
    body: bytes, status: int, reason: str
) -> None:
    with pytest.raises(RequestError, match=reason) as refused:
        read_latents(body, CONFIG, 20)
    assert refused.value.status == status
    assert "\n" not in str(refused.value)


def test_an_answer_has_at_most_32_mb() -> None:
    most = MAX_ANSWER_BYTES // (4 * LARGE.image_size**2)
    assert len(read_latents(np.zeros((most, 2), "<f4").tobytes(), LARGE, 20)) == most
    with pytest.raises(RequestError, match="bytes an answer") as refused:
        read_latents(np.zeros((most + 1, 2), "<f4").tobytes(), LARGE, 20)
    assert refused.value.status == 413


def test_an_image_is_read_as_it_was_sent() -> None:
    image = make_image(make_model())
    body = image.astype("<f4").tobytes()
    assert len(body) == max_image_bytes(CONFIG)
    np.testing.assert_array_equal(read_image(body, CONFIG), image)


@pytest.mark.parametrize(
    ("pixels", "status", "reason"),
    [
        (np.zeros(191), 422, "3 x 8 x 8 float32, 768 bytes; found 764"),
        (np.zeros(0), 422, "found 0"),
        (np.zeros(193), 413, "found 772"),
        (np.full(192, 1.01), 422, r"0 … 1; found 1\.01"),
        (np.full(192, -0.1), 422, r"found -0\.1"),
        (np.full(192, np.nan), 422, "192 that are NaN"),
    ],
)
def test_an_image_that_is_no_request_is_refused_in_one_line(
    pixels: np.ndarray, status: int, reason: str
) -> None:
    with pytest.raises(RequestError, match=reason) as refused:
        read_image(pixels.astype("<f4").tobytes(), CONFIG)
    assert refused.value.status == status
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_pieces_of_a_decoding_join_to_what_decode_gives(channels: int) -> None:
    model = make_model(image_channels=channels, image_size=64)
    z = make_latents(15)
    parts = [piece() for piece in decoding(model, z)]
    sizes = [len(part) // (4 * 64**2) for part in parts]
    assert max(sizes) * 64**2 <= PIECE_PIXELS
    assert sizes == [4, 4, 4, 3]  # as many, and as large, for one of two threads as for the other
    rgba = np.frombuffer(b"".join(parts), np.uint8).reshape(15, 64, 64, 4)
    want = np.broadcast_to(to_uint8(decode(model, z)), (15, 64, 64, 3))
    assert np.abs(rgba[..., :3].astype(int) - want).max() <= 1
    assert (rgba[..., 3] == 255).all()


def test_a_picture_larger_than_a_piece_is_a_piece() -> None:
    model = build_model(LARGE).eval()
    (piece,) = decoding(model, np.zeros((1, 2), np.float32))
    assert len(piece()) == 4 * LARGE.image_size**2


def test_an_overflowing_decoder_is_refused() -> None:
    model = make_model()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.fill_(np.inf)
    (piece,) = decoding(model, make_latents(1))
    with pytest.raises(RequestError, match="overflows") as refused:
        piece()
    assert refused.value.status == 422


@pytest.mark.parametrize(("kind", "heads"), [("vae", 2), ("autoencoder", 1)])
def test_an_encoding_is_the_mean_then_the_log_variance(kind: str, heads: int) -> None:
    model = make_model(kind=kind)
    image = make_image(model)
    (piece,) = encoding(model, image)
    answer = np.frombuffer(piece(), "<f4").reshape(heads, 5)
    want = [values[0] for values in encode(model, image) if values is not None]
    np.testing.assert_allclose(answer, want, atol=1e-6)
