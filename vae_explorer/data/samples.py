"""Samples of more than 8 bits, brought to 8 bits by what white is in them.

Most files with 16 or 32 bits a sample do not say how many of them are used. What a file's largest
value fits decides, and a file that it does not decide about is refused: a guess would make images
too dark or too light without a word, and those of one training set differently.

* Whole numbers: white is the end of 8, 12 or 16 bits, or of all bits, where the largest value is
  in the upper three quarters of them; with fewer bits it would be too large, with more the image
  would be nearly black. Of 10, 14 or 24 bits, only if the largest value is their very end. An
  image of zeros is black. With negative values it is refused.
* Floating point: 0 to 1; -1 to 1 where values reach below -0.25; or 0 to 255, 4,095 or 65,535
  where the largest is in the upper three quarters. 2 % beyond, as resizing leaves, is cut off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vae_explorer.errors import ImageRangeError

_DEPTHS = (8, 12, 16)
_EXACT = (10, 14, 24)
_WHITES = (1.0, 255.0, 4095.0, 65535.0)
_FILLED = 0.25  # of a range, for it to be an image's
_BEYOND = 0.02
_ADVICE = "save it with 8 bits"
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339  # tags of TIFF
_UNSIGNED, _SIGNED = 1, 2


def to_8_bits(image: Image.Image) -> Image.Image:
    """Bring an image's samples to 8 bits.

    Parameters
    ----------
    image : Image
        As its file was opened, and loaded. "bit_depth" in its `info` tells that a PNG has 16 bits,
        of which Pillow keeps 8 except in grey images.

    Returns
    -------
    Image
        The same one where it has 8 bits; else mode "L", or "LA" where one grey is transparent.

    Raises
    ------
    ImageRangeError
        If it is not known which of its values is white.
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if image.mode != "F" and not image.mode.startswith("I"):
        _check_colours(image, tags)
        return image
    values = np.asarray(image)
    declared = None
    signed = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _SIGNED
    bits = tags.get(_BITS, (16 if image.mode.startswith("I;16") else 32,))[0]
    if image.format == "PPM":  # Pillow has scaled what the file says to this
        declared = 65535
    elif tags and bits < 16:
        declared = 2**bits - 1
    elif tags and bits == 32 and not signed and values.dtype == np.int32:
        values = values.view(np.uint32)  # Pillow's mode is signed
    if image.mode == "F":
        grey = _scale_floats(values)
    else:
        grey = values / float(declared or _find_white(values, bits - signed))
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero: Pillow inverts 8 bits alone
        grey = 1 - grey
    result = Image.fromarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        result.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return result


def _check_colours(image: Image.Image, tags: dict[int, tuple[int, ...]]) -> None:
    """Refuse samples of which Pillow has thrown away what counts."""
    is_signed = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _SIGNED
    is_deep = image.info.get("bit_depth") == 16 or max(tags.get(_BITS, (8,))) == 16
    if not is_signed and not (is_deep and image.mode in ("RGB", "RGBA")):
        return
    ranges = np.reshape(image.getextrema(), (-1, 2))  # a pair for each band
    if is_signed and ranges[:, 1].max() > 127:
        raise ImageRangeError(f"it has negative values: {_ADVICE}")
    if not is_deep:
        return
    # Only the upper 8 bits are left.
    peak = int(ranges[:3, 1].max())
    is_black_shape = peak == 0 and image.mode == "RGBA"
    if peak < 256 * _FILLED and not is_black_shape:
        raise ImageRangeError(
            f"its values end at {256 * peak + 255:,}, so it is either very dark or has fewer than "
            f"16 bits: {_ADVICE}"
        )


def _find_white(values: NDArray[np.integer], bits: int) -> int:
    """Return the value of white among whole numbers of so many bits (without the sign's)."""
    low, peak = int(values.min()), int(values.max())
    if low < 0:
        raise ImageRangeError(f"it has negative values, down to {low:,}: {_ADVICE}")
    for depth in sorted({*(d for d in _DEPTHS if d <= bits), bits}):
        if 2**depth * _FILLED <= peak < 2**depth:
            return 2**depth - 1
    if peak == 0 or any(peak == 2**depth - 1 for depth in _EXACT):
        return max(peak, 1)
    raise ImageRangeError(
        f"its values end at {peak:,}, so it is very dark or has fewer than {bits} bits: {_ADVICE}"
    )


def _scale_floats(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return floating-point values in about [0, 1]."""
    if not np.isfinite(values).all():
        raise ImageRangeError(f"some of its values are not finite numbers: {_ADVICE}")
    low, high = float(values.min()), float(values.max())
    for white in _WHITES:
        if high > white * (1 + _BEYOND) or (white > 1 and high < white * _FILLED):
            continue
        if low >= -white * _BEYOND:
            return values.astype(np.float64) / white
        if white == 1 and -1 - _BEYOND <= low <= -_FILLED:
            return (values.astype(np.float64) + 1) / 2
    raise ImageRangeError(
        f"its values range from {low:.4g} to {high:.4g}, not from 0 to 1, from -1 to 1 or from 0 "
        f"to 255: {_ADVICE}"
    )
