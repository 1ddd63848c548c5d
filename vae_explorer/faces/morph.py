"""Morphing between photos: the decoded path, blended with the residuals of both ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vae_explorer.images import enlarge, to_uint8

Images = NDArray[np.float32]

FADE_POWER, TUNED_FADE_POWER = 2, 4
"""Exponents of the share of an end's residual that is left, as trained and tuned.

A tuned decoder leaves only what is finer than its own pixels, which is not missed on the way.
`browser/faces/blend.js` gets them too.
"""


def residual(portrait: Images, reconstruction: Images) -> Images:
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


def blend(
    frames: Images, details: tuple[Images, Images], amount: float, power: float = FADE_POWER
) -> NDArray[np.uint8]:
    """Lay the details of both ends over the frames of a morph, each faded with its distance.

    Parameters
    ----------
    frames : ndarray of float32 (n, channels, s, s)
        The path decoded, from one end to the other.
    details : pair of ndarray of float32 (channels, size, size)
        Of the first end and of the last; see `residual`.
    amount : float
        From 0, the model's own frames, to 1, at which the ends are the photos themselves.
    power : float
        `FADE_POWER` or `TUNED_FADE_POWER`.

    Returns
    -------
    ndarray of uint8 (n, size, size, channels)
    """
    first, last = details
    t = np.linspace(0, 1, len(frames), dtype=np.float32)[:, None, None, None]
    large = enlarge(frames, first.shape[-1])
    return to_uint8(
        large
        + np.float32(amount)
        * (residual_weight(t, power) * first + residual_weight(1 - t, power) * last)
    )


def residual_weight(t: Images, power: float = FADE_POWER) -> Images:
    """Return how much of an end's detail is left at t in [0, 1] of the way from it.

    By default squared: with a linear weight, hair and eyes of both faces show through in the
    middle; without an overlap, the middle is plainly blurred.
    """
    return (1 - t) ** np.float32(power)
