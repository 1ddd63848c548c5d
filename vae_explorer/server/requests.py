"""Requests of live views: body to arrays, arrays to bytes; no web framework.

A body is checked before anything is computed; what is refused is a `RequestError`. What is accepted
is cut into pieces of a few milliseconds, which a `FairPool` computes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil

import numpy as np
from numpy.typing import NDArray

from vae_explorer.config import ModelConfig
from vae_explorer.encodings import Encodings
from vae_explorer.errors import RequestError
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.models import Autoencoder

MAX_IMAGES = 1024
"""Decoded by one request."""
MAX_ANSWER_BYTES = 32 * 2**20
"""Of the pixels that one request is answered with, four bytes each."""
PIECE_PIXELS = 24 * 2**10
"""Decoded in one go: 24 images of 32x32, 6 of 64x64, which take 6 ms and as long an image as
in larger batches (one thread)."""

LITTLE_ENDIAN = np.dtype("<f4")


def latent_bound(encodings: Encodings) -> float:
    """Return how far out a coordinate may lie: 4 x the largest |z_mean|, and at least 20."""
    return max(20.0, 4 * float(np.abs(encodings.z_mean).max(initial=0)))


def max_latents_bytes(config: ModelConfig) -> int:
    """Return the length of the longest body that `read_latents` accepts."""
    return MAX_IMAGES * config.latent_dim * LITTLE_ENDIAN.itemsize


def max_image_bytes(config: ModelConfig) -> int:
    """Return the length of the only body that `read_image` accepts."""
    return int(np.prod(config.image_shape)) * LITTLE_ENDIAN.itemsize


def read_latents(body: bytes, config: ModelConfig, bound: float) -> NDArray[np.float32]:
    """Read the latents that a request wants decoded.

    Parameters
    ----------
    body : bytes
        float32, little-endian, n * latent_dim of them.
    config : ModelConfig
        Of the model that would decode them.
    bound : float
        The largest |coordinate|; see `latent_bound`.

    Returns
    -------
    ndarray of float32 (n, latent_dim)
        n is at least 1.

    Raises
    ------
    RequestError
        413 for too many images or too many pixels; 422 for a length that is 0 or not a multiple
        of latent_dim, for values that are not finite, and for one beyond the bound.
    """
    row = config.latent_dim * LITTLE_ENDIAN.itemsize
    if not body or len(body) % row:
        raise RequestError(
            422,
            f"Latents of this model are {config.latent_dim} float32 each, so the body's length "
            f"is a multiple of {row} bytes above 0; found {len(body)}.",
        )
    n = len(body) // row
    if n > MAX_IMAGES:
        raise RequestError(413, f"At most {MAX_IMAGES} images a request; found {n}.")
    answer = n * 4 * config.image_size**2
    if answer > MAX_ANSWER_BYTES:
        raise RequestError(
            413, f"At most {MAX_ANSWER_BYTES} bytes an answer; {n} images make {answer}."
        )
    z = _floats(body).reshape(n, config.latent_dim)
    if (farthest := np.abs(z).max()) > bound:
        raise RequestError(
            422, f"Coordinates lie within ±{bound:.6g}; found one at {farthest:.6g}."
        )
    return z


def read_image(body: bytes, config: ModelConfig) -> NDArray[np.float32]:
    """Read the image that a request wants encoded.

    Parameters
    ----------
    body : bytes
        float32, little-endian, one image (channels, height, width) in [0, 1].
    config : ModelConfig
        Of the model that would encode it.

    Returns
    -------
    ndarray of float32 (1, channels, height, width)

    Raises
    ------
    RequestError
        413 for a body too long; 422 for one too short, and for values outside [0, 1].
    """
    wanted = max_image_bytes(config)
    if len(body) != wanted:
        shape = " x ".join(str(side) for side in config.image_shape)
        raise RequestError(
            413 if len(body) > wanted else 422,
            f"An image of this model is {shape} float32, {wanted} bytes; found {len(body)}.",
        )
    image = _floats(body).reshape(1, *config.image_shape)
    if image.min() < 0 or image.max() > 1:
        raise RequestError(
            422, f"Pixels lie in 0 … 1; found {image.min():.3g} … {image.max():.3g}."
        )
    return image


def decoding(model: Autoencoder, z: NDArray[np.float32]) -> list[Callable[[], bytes]]:
    """Cut the decoding of z (n, latent_dim) into pieces for a `FairPool`.

    Returns
    -------
    list of functions
        Each returns the RGBA bytes of its images, or raises a `RequestError` with status 422 if the
        decoder overflows; joined in order they are (n, height, width, 4).
    """
    most = max(1, PIECE_PIXELS // model.config.image_size**2)
    count = min(len(z), 2 * ceil(len(z) / most / 2))  # even: two threads end at the same time
    return [partial(_decode_rgba, model, part) for part in np.array_split(z, count)]


def encoding(model: Autoencoder, image: NDArray[np.float32]) -> list[Callable[[], bytes]]:
    """Return the encoding of an image (1, channels, height, width) as the one piece that it is.

    The piece returns `z_mean`, then `z_log_var` where the model has one, as float32,
    little-endian, latent_dim of each.
    """

    def encode_image() -> bytes:
        parameters = [values for values in encode(model, image) if values is not None]
        return np.concatenate(parameters).astype(LITTLE_ENDIAN).tobytes()

    return [encode_image]


def _decode_rgba(model: Autoencoder, z: NDArray[np.float32]) -> bytes:
    try:
        images = decode(model, z)
    except ValueError as error:
        raise RequestError(422, str(error)) from error
    n, _, height, width = images.shape
    rgba = np.full((n, height, width, 4), 255, np.uint8)
    rgba[..., :3] = to_uint8(images)  # grey is the same in red, green and blue
    return rgba.tobytes()


def _floats(body: bytes) -> NDArray[np.float32]:
    values = np.frombuffer(body, LITTLE_ENDIAN).astype(np.float32)
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise RequestError(422, f"Values are finite; found {count} that are NaN or infinite.")
    return values
