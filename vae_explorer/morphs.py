"""A face becoming another: the path in latent space, and what of the photos is laid over it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from vae_explorer.images import to_uint8
from vae_explorer.latent import lerp, slerp

Path = Literal["linear", "spherical"]
Images = NDArray[np.float32]

FADE_POWER = 2
"""Of the share of an end's detail that is left; `browser/faces/blend.js` is given it."""


def morph_path(a: ArrayLike, b: ArrayLike, steps: int, path: Path = "spherical") -> Images:
    """Return `steps` latents (steps, latent_dim) from a to b, both (latent_dim,), ends included.

    Raises
    ------
    ValueError
        If there are fewer than two steps, or the ends differ in length.
    """
    if steps < 2:
        raise ValueError(f"A morph has at least its two ends; found {steps} steps.")
    t = np.linspace(0, 1, steps)
    return slerp(a, b, t) if path == "spherical" else lerp(a, b, t)


def corner_grid(corners: ArrayLike, columns: int, path: Path = "spherical") -> Images:
    """Return latents (columns², latent_dim) between four corners, in reading order.

    Parameters
    ----------
    corners : (4, latent_dim)
        Top left, top right, bottom left, bottom right; the grid's own corners.
    columns : int
        Tiles in a row, and rows; two or more.
    path : {"spherical", "linear"}
        How it goes from left to right in the first row and in the last, and then down.
    """
    a, b, c, d = np.asarray(corners, np.float32)
    top, bottom = morph_path(a, b, columns, path), morph_path(c, d, columns, path)
    down = [morph_path(*ends, columns, path) for ends in zip(top, bottom, strict=True)]
    return np.stack(down, axis=1).reshape(columns**2, -1)


def enlarge(images: Images, size: int) -> Images:
    """Enlarge images (n, channels, s, s) to `size` by a bicubic filter, as float32 in [0, 1]."""
    bands = np.asarray(images, np.float32)
    n, channels = bands.shape[:2]
    large = np.empty((n, channels, size, size), np.float32)
    for i in range(n):
        for c in range(channels):
            band = Image.fromarray(bands[i, c], "F")
            large[i, c] = np.asarray(band.resize((size, size), Image.Resampling.BICUBIC))
    return large.clip(0, 1)


def detail_of(portrait: Images, reconstruction: Images) -> Images:
    """Return what a reconstruction lacks of a portrait.

    Parameters
    ----------
    portrait : ndarray of float32 (channels, size, size)
        The aligned photo, in [0, 1].
    reconstruction : ndarray of float32 (channels, s, s)
        What the model redraws of it, at its own size.

    Returns
    -------
    ndarray of float32 (channels, size, size)
        In [-1, 1]: portrait - enlarged reconstruction.
    """
    return portrait - enlarge(reconstruction[None], portrait.shape[-1])[0]


def lay_over(frames: Images, details: tuple[Images, Images], amount: float) -> NDArray[np.uint8]:
    """Lay the details of both ends over the frames of a morph, each faded with its distance.

    Parameters
    ----------
    frames : ndarray of float32 (n, channels, s, s)
        The path decoded, from one end to the other.
    details : pair of ndarray of float32 (channels, size, size)
        Of the first end and of the last; see `detail_of`.
    amount : float
        From 0, the model's own frames, to 1, at which the ends are the photos themselves.

    Returns
    -------
    ndarray of uint8 (n, size, size, channels)
    """
    first, last = details
    t = np.linspace(0, 1, len(frames), dtype=np.float32)[:, None, None, None]
    large = enlarge(frames, first.shape[-1])
    return to_uint8(large + np.float32(amount) * (fade(t) * first + fade(1 - t) * last))


def fade(t: Images) -> Images:
    """Return how much of an end's detail is left at t in [0, 1] of the way from it.

    Squared: in a straight fade both faces' hair and eyes shine through in the middle, and without
    an overlap the middle is plainly blurred.
    """
    return (1 - t) ** FADE_POWER
