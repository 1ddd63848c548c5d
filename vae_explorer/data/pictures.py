"""Pictures of any kind, brought to upright RGB squares."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageOps

from vae_explorer.data.sources import PictureError

# Not every format that Pillow knows: EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


def decode_picture(data: bytes) -> Image.Image:
    """Decode a picture file to RGB, turned upright by its EXIF tag, on white where transparent.

    Of an animation the first frame is taken; 16-bit and floating-point grey is scaled to 8 bits.

    Raises
    ------
    PictureError
        If it is no picture, cut short, or a decompression bomb (Pillow's limit).
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _flatten(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise PictureError(str(error)) from error
    # Besides OSError, Pillow lets these through for files that are damaged in odd ways.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise PictureError(f"not a picture that can be read ({error})") from error


def crop_centre(image: Image.Image) -> Image.Image:
    """Crop to the largest central square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def to_array(image: Image.Image, size: int) -> np.ndarray:
    """Resize a square RGB picture, antialiased, to uint8 (3, size, size)."""
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
