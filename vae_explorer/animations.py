"""Frames as one animated picture that plays for ever."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Format = Literal["webp", "gif"]


def write_animation(
    frames: NDArray[np.uint8], kind: Format, seconds: float, back: bool = True
) -> bytes:
    """Write frames as an animated WebP or GIF.

    Parameters
    ----------
    frames : ndarray of uint8 (n, height, width, 3)
        Two or more.
    kind : {"webp", "gif"}
        WebP keeps every colour; a GIF has 256 of them, the same ones in all frames.
    seconds : float
        From the first frame to the last.
    back : bool
        Whether it also plays backwards before it begins anew.

    Returns
    -------
    bytes
        A file.

    Raises
    ------
    ValueError
        If there are fewer than two frames, or no time to show them.
    """
    if len(frames) < 2 or not seconds > 0:
        raise ValueError(
            f"An animation has two frames or more and lasts; found {len(frames)}, {seconds} s."
        )
    pictures = [Image.fromarray(frame) for frame in frames]
    if kind == "gif":
        # Colours of its own for each frame would flicker.
        palette = _mosaic(pictures).quantize(256, Image.Quantize.MEDIANCUT)
        pictures = [picture.quantize(palette=palette) for picture in pictures]
    if back:
        pictures += pictures[-2:0:-1]
    buffer = io.BytesIO()
    options = {"quality": 88, "method": 4} if kind == "webp" else {"optimize": False}
    pictures[0].save(
        buffer,
        kind,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 * seconds / (len(frames) - 1)),
        loop=0,
        **options,
    )
    return buffer.getvalue()


def _mosaic(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay a few of the pictures side by side."""
    few = [pictures[round(k)] for k in np.linspace(0, len(pictures) - 1, min(8, len(pictures)))]
    whole = Image.new("RGB", (few[0].width * len(few), few[0].height))
    for k, picture in enumerate(few):
        whole.paste(picture, (k * picture.width, 0))
    return whole
