"""Image decoding: any supported format to upright RGB in sRGB; and back into a file of its kind."""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from PIL import Image, ImageChops, ImageCms, JpegImagePlugin, UnidentifiedImageError
from pillow_heif import register_heif_opener

from vae_explorer.data.colour import (
    from_srgb,
    is_invertible,
    is_other_than_srgb,
    profile_of_codes,
    srgb_profile,
    to_srgb,
)
from vae_explorer.data.formats import FORMATS, HEAD_BYTES, is_image_head
from vae_explorer.data.png import SIGNATURE, read_png
from vae_explorer.data.samples import to_8_bits
from vae_explorer.errors import ImageBombError, ImageError
from vae_explorer.images import ImageFormat, encode_image_file

register_heif_opener()
# What Pillow warns of is either decided here (too many pixels, too few of them) or no harm to the
# image (a damaged comment or EXIF entry), and would fill the log with the files of strangers.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

_ORIENTATION = 0x0112
_TURNS = {  # by the value of that EXIF tag
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Lossy and rare elsewhere: JPEG. What is animated or rare: PNG.
_KINDS: dict[str, ImageFormat] = {
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "WEBP": "webp",
    "HEIF": "jpeg",
    "AVIF": "jpeg",
}
_JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image file, decoded: its pixels as they are in the file, and as they are seen.

    A saved image is made of the file's own pixels and profile, so that what was not changed is as
    it was. 16 bits a sample become 8, a palette RGB, and CMYK sRGB.
    """

    pixels: Image.Image
    """Upright, of mode "L", "LA", "RGB" or "RGBA", in the colours of the profile."""
    profile: bytes | None = None
    """ICC profile; None if `pixels` are sRGB, and the file does not need to say so."""
    kind: ImageFormat = "png"
    """Format to save it in again: its own, or the nearest one."""
    options: Mapping[str, object] = field(default_factory=dict)
    """With which Pillow compresses it about as the file was."""

    @cached_property
    def rgb(self) -> Image.Image:
        """The image as models and people see it: RGB in sRGB, on white where transparent."""
        colour, alpha = _split(self.pixels)
        rgb = to_srgb(colour, self.profile)
        if alpha is None:
            return rgb
        rgb.putalpha(alpha)
        white = Image.new("RGBA", rgb.size, "white")
        return Image.alpha_composite(white, rgb).convert("RGB")

    def with_change(self, changed: Image.Image) -> DecodedImage:
        """Carry a change of `rgb` over to the image's own pixels.

        Parameters
        ----------
        changed : Image
            What `rgb` is to become, of the same size. Where it is the same, the pixels stay bit for
            bit; elsewhere its difference is added in the image's own colours, so that colours
            beyond sRGB, transparency, and the grey of a grey image stay as they are.
        """
        box = ImageChops.difference(self.rgb, changed).getbbox()
        if box is None:
            return self
        mode = self.pixels.mode.removesuffix("A")
        before, after = (
            np.asarray(from_srgb(image.crop(box), self.profile, mode), np.int16)
            for image in (self.rgb, changed)
        )
        part = self.pixels.crop(box)
        colour, alpha = _split(part)
        moved = np.clip(np.asarray(colour, np.int16) + after - before, 0, 255)
        part = Image.fromarray(moved.astype(np.uint8))
        if alpha is not None:
            part.putalpha(alpha)
        pixels = self.pixels.copy()
        pixels.paste(part, box[:2])
        return replace(self, pixels=pixels)

    def encode(self) -> bytes:
        """Write it as a file, with its profile, and nothing else of what the camera wrote."""
        return encode_image_file(self.pixels, self.kind, profile=self.profile, **self.options)


def open_image(data: bytes) -> Image.Image:
    """Read the header of an image file: its format and size, and no pixel yet.

    Raises
    ------
    ImageError
        If it is no image in one of `FORMATS`; `ImageBombError` if it is a decompression bomb.
    """
    said: dict[str, object] = {}
    if data.startswith(SIGNATURE):
        png = read_png(data)
        data = png.data
        said = {"icc_profile": png.profile, "bit_depth": png.bits}
    is_known = is_image_head(data[:HEAD_BYTES])
    with _reading(
        "an image with unsupported pixel values, or a damaged one"
        if is_known
        else "not an image that can be read"
    ):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    image.info.update(said)
    if image.format in ("HEIF", "AVIF") and not image.info.get("icc_profile"):
        image.info["icc_profile"] = _read_nclx(data)
    if image.format == "WEBP":
        image.info["lossless"] = b"VP8L" in data
    return image


def decode(image: Image.Image) -> DecodedImage:
    """Decode an image that `open_image` returned.

    It is turned upright by its EXIF tag; of an animation the first frame is taken. Samples of
    more than 8 bits are scaled as `vae_explorer.data.samples` says.

    Raises
    ------
    ImageError
        If the file is damaged or cut short; `ImageRangeError` if it is not known which of its
        values is white.
    """
    with _reading("an image that is damaged or incomplete"):
        image.load()
        turn = _find_turn(image)
        options = _find_options(image, turned=turn is not None)
        profile = image.info.get("icc_profile") or None
        pixels = _as_colours(to_8_bits(image))
        # In the file's own mode: a profile knows ink, but not what became of it.
        colour, alpha = _split(pixels)
        if not is_other_than_srgb(profile, colour.mode):
            profile = None
        if colour.mode == "CMYK" or (profile and not is_invertible(profile, colour.mode)):
            colour, profile = to_srgb(colour, profile), srgb_profile()
            pixels = colour
            if alpha is not None:
                pixels.putalpha(alpha)
        pixels = pixels.copy() if turn is None else pixels.transpose(turn)
    pixels.info = {}  # nothing of it goes into what is saved
    kind = _KINDS.get(image.format or "", "png")
    if kind == "jpeg" and alpha is not None:
        kind = "png"
    return DecodedImage(pixels, profile, kind, options)


def decode_image_file(data: bytes) -> Image.Image:
    """Decode an image file to upright RGB in sRGB, on white where it is transparent.

    Raises
    ------
    ImageError
        As `open_image` and `decode`.
    """
    with open_image(data) as image:
        return decode(image).rgb


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


@contextmanager
def _reading(problem: str) -> Iterator[None]:
    """Turn what Pillow raises into `ImageError`s."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageBombError(str(error)) from error
    except UnidentifiedImageError as error:  # whose message is the address of an object
        raise ImageError(problem) from error
    # Whatever a decoder raises means that the file is damaged: they meet numbers in it that they
    # did not expect, and divide by them, index with them, or decode them as text.
    except Exception as error:
        raise ImageError(f"{problem} ({str(error) or type(error).__name__})") from error


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours of an image, and its transparency if it has one."""
    if image.mode in ("LA", "RGBA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    return image, None


def _as_colours(image: Image.Image) -> Image.Image:
    """Convert to the mode nearest to the file's among "L", "LA", "RGB", "RGBA" and "CMYK"."""
    if image.has_transparency_data:
        if image.mode == "RGB" and image.info.get("bit_depth") == 16:
            # Pillow keeps the upper 8 bits of the samples, but all 16 of the transparent colour.
            colour = image.info["transparency"]
            image.info["transparency"] = tuple(sample >> 8 for sample in colour)
        return image.convert("LA" if image.mode in ("1", "L", "La", "LA") else "RGBA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "LAB":
        return _lab_to_srgb(image)
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _lab_to_srgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None
    return converted


def _find_turn(image: Image.Image) -> Image.Transpose | None:
    """Return what turns an image upright, by its EXIF; None if it is, or nothing is known."""
    try:
        return _TURNS.get(image.getexif()[_ORIENTATION])
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - damaged EXIF is no damage to the image
        return None


def _find_options(image: Image.Image, *, turned: bool) -> dict[str, object]:
    """Return the options of `encode_image_file` that compress an image about as it was."""
    if image.format == "WEBP":
        return {"lossless": image.info["lossless"]}
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return {}
    tables = list(image.quantization.values())[: 1 if image.mode == "L" else 2]
    if image.mode not in ("L", "RGB") or not tables or max(map(max, tables)) > 255:
        return {}
    sampling = JpegImagePlugin.get_sampling(image)
    if turned:
        # Its blocks and pairs of pixels lie otherwise, so that coarse tables would lose twice.
        tables = [np.minimum(own, fine).tolist() for own, fine in zip(tables, _FINE, strict=False)]
        sampling = sampling if sampling == 2 else 0
    return {"qtables": tables, "subsampling": max(sampling, 0)}


def _read_nclx(data: bytes) -> bytes | None:
    """Return the profile of the code points in a HEIF or AVIF file, None for sRGB."""
    place = data.find(b"colrnclx")
    if place < 0 or place + 12 > len(data):
        return None
    return profile_of_codes(*struct.unpack_from(">HH", data, place + 8))


def _make_fine_tables() -> list[list[int]]:
    """Return the quantisation tables of a JPEG of `_JPEG_QUALITY`."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=_JPEG_QUALITY)
    with Image.open(file) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return list(image.quantization.values())


_FINE = _make_fine_tables()
