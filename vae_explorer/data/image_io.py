"""Image decoding: any supported format to upright RGB arrays."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener

from vae_explorer.data.formats import FORMATS
from vae_explorer.errors import ImageBombError, ImageError

register_heif_opener()


# Besides OSError, Pillow lets the others through for files that are damaged in odd ways.
_DAMAGE = (OSError, RuntimeError, SyntaxError, ValueError, EOFError, struct.error)


def open_image(data: bytes) -> Image.Image:
    """Read the header of an image file: its format and size, and no pixel yet.

    Raises
    ------
    ImageError
        If it is no image in one of `FORMATS`; `ImageBombError` if it is a decompression bomb.
    """
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageBombError(str(error)) from error
    except _DAMAGE as error:
        raise ImageError(f"not a picture that can be read ({error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Decode to RGB, turned upright by the EXIF tag, on white where transparent.

    Of an animation the first frame is taken; 16-bit and floating-point grey is scaled to 8 bits.

    Raises
    ------
    ImageError
        If the file is damaged or cut short.
    """
    try:
        return _flatten(ImageOps.exif_transpose(image))
    except _DAMAGE as error:
        raise ImageError(f"a picture that is damaged or cut short ({error})") from error


def decode_image_file(data: bytes) -> Image.Image:
    """Decode an image file: `open_image`, then `to_rgb`; raises what they raise."""
    with open_image(data) as image:
        return to_rgb(image)


def crop_centre(image: Image.Image) -> Image.Image:
    """Crop to the largest central square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def to_array(image: Image.Image, size: int) -> np.ndarray:
    """Resize a square RGB image, antialiased, to uint8 (3, size, size)."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow's own conversion would cut off everything above 255.
        peak = 1 if image.mode == "F" else 65535
        grey = np.clip(np.asarray(image, dtype=np.float64) / peak, 0, 1)
        image = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)
    return image.convert("RGB")
