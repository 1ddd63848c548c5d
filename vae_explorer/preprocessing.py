"""Preprocessing of uploads: checked, decoded, and fitted to a model's training data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.data.formats import HEAD_BYTES, is_image_head
from vae_explorer.data.image_io import (
    DecodedImage,
    crop_centre,
    decode,
    decode_image_file,
    open_image,
)
from vae_explorer.errors import (
    ImageBombError,
    ImageError,
    ImageRangeError,
    NoFaceError,
    UploadError,
)
from vae_explorer.faces import align, find_faces
from vae_explorer.images import LUMA

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE = 32

_READABLE = "a JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF image"
_FOREIGN = {  # what people choose by mistake, by the bytes it begins with
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"8BPS": "a Photoshop file",
    b"%!PS": "PostScript",
    b"<": "SVG or a web page",
}
_IMAGE_BRANDS = (b"hei", b"hev", b"mif", b"msf", b"avi")  # what such a file begins its name with

# Of the conversion in section 2 of the paper that `fit_garment` cites.
_SIDE = 28
_THUMBNAIL = 73
_TOLERANCE = 0.05 * 255
# With 80 % a pixel's own weight becomes 1.66, that of the usual 3x3 kernel of this radius and σ.
_SHARPEN = ImageFilter.UnsharpMask(radius=1.0, percent=80, threshold=0)
_LUMA = LUMA.astype(np.float32)

_ENOUGH = 1024  # pixels along a photo's longest side; more would only cost memory
_CORNER = 20  # a corner is this fraction of a side: one pixel of a photo would be mostly noise

FACES, GARMENTS = "celeba", "fashion-mnist"
"""Data sets whose images a photo is first made like, as the app does with uploads."""


def read_upload(
    data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode an uploaded image, upright, in sRGB, on white where it is transparent.

    Returns
    -------
    PIL.Image.Image
        Mode "RGB": the `rgb` of what `read_photo` returns, whose parameters and errors it has.
    """
    return read_photo(data, max_bytes=max_bytes, max_pixels=max_pixels).rgb


def read_photo(
    data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> DecodedImage:
    """Decode an uploaded image that is to be saved again.

    Parameters
    ----------
    data : bytes
        The file as it came, whatever it is. Of an animation the first frame is taken.
    max_bytes, max_pixels : int
        What is refused beyond, before anything is decoded.

    Raises
    ------
    UploadError
        If it is empty, too large or too small, no image of a kind that is read, damaged or cut
        short.
    """
    if not data:
        raise UploadError(f"This file is empty. Choose {_READABLE}.")
    if len(data) > max_bytes:
        raise UploadError(
            f"This file has {len(data) / 2**20:.3g} MB; the limit is {max_bytes / 2**20:.3g} MB. "
            "Save a smaller version and choose that."
        )
    try:
        image = open_image(data)
    except ImageBombError as error:
        raise _too_many(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,}", max_pixels) from error
    except ImageError as error:
        raise UploadError(f"This file is {_name_kind(data)}. Choose {_READABLE}.") from error
    with image:
        pixels = image.width * image.height
        if pixels > max_pixels:
            raise _too_many(f"{image.width:,} × {image.height:,} = {pixels:,}", max_pixels)
        if min(image.size) < MIN_SIDE:
            raise UploadError(
                f"This image has {image.width:,} × {image.height:,} pixels; the minimum is "
                f"{MIN_SIDE} × {MIN_SIDE}. Choose a larger one."
            )
        try:
            return decode(image)
        except ImageRangeError as error:
            raise UploadError(f"This {image.format} image cannot be used: {error}.") from error
        except ImageError as error:
            raise UploadError(
                f"This {image.format} image is damaged or incomplete. Copy or save it again and "
                "choose that."
            ) from error


def fit_garment(picture: Image.Image, image_size: int) -> NDArray[np.float32]:
    """Make a photo of a garment what Fashion-MNIST's images are.

    Trimmed to what differs from the colour of the corners, the longest edge subsampled to 28,
    sharpened, turned into ink on an empty ground, and centred on 28x28, then padded.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode "RGB": one garment before a plain background. One that is darker than its background
        is negated, as the set was; one that is lighter, such as an image of the set, is not.
    image_size : int
        Side of the result: 28, or larger by an even number.

    Returns
    -------
    ndarray of float32 (1, image_size, image_size)
        Multiples of 1/255 in [0, 1]: 0 is the background, 1 the farthest from it.

    Raises
    ------
    UploadError
        If nothing stands out from the background.
    ValueError
        If the result cannot have this size.

    References
    ----------
    Xiao, Rasul & Vollgraf 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms" (https://arxiv.org/abs/1708.07747), section 2. Theirs were thumbnails of
    51x73 before #fdfdfd; larger images are first reduced to that, and other backgrounds
    levelled to 0.
    """
    border, odd = divmod(image_size - _SIDE, 2)
    if border < 0 or odd:
        raise ValueError(f"image_size must be 28, 30, 32 and so on; found {image_size}.")
    picture = _shrink(picture, _ENOUGH)
    pixels = np.asarray(picture, np.float32)  # (height, width, 3)
    background = _corner_colour(pixels)
    content = np.sqrt(np.square(pixels - background).mean(axis=2)) > _TOLERANCE
    if not content.any():
        raise _no_garment()
    rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
    garment = picture.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    garment = _resize(_shrink(garment, _THUMBNAIL), _SIDE, Image.Resampling.NEAREST)
    grey = np.asarray(garment.filter(_SHARPEN), np.float32) @ _LUMA
    paper = float(background @ _LUMA)
    is_darker = (pixels[content] @ _LUMA).mean() < paper
    ink = 1 - grey / paper if is_darker else (grey - paper) / (255 - paper)
    if ink.max() < _TOLERANCE / 255:
        raise _no_garment()
    image = np.zeros((1, image_size, image_size), np.float32)
    height, width = ink.shape
    # Where the margins cannot be equal, the set has the wider one at the top and at the left.
    top, left = (image_size - height + 1) // 2, (image_size - width + 1) // 2
    image[0, top : top + height, left : left + width] = np.rint(ink.clip(0, 1) * 255) / 255
    return image


def fit_image(data: bytes, card: ModelCard, *, as_is: bool = False) -> NDArray[np.float32]:
    """Make the input of a model of an image file.

    Parameters
    ----------
    data : bytes
        An image file of any kind that is read.
    card : ModelCard
        For models of faces, the image's main face is found and aligned; for models of garments,
        the garment is cut out and made ink, both as the app does with uploads.
    as_is : bool
        Leave that out: the image is like the data set's own. It is then only cropped to its
        central square, and brought to the data set's size unless it has the model's.

    Returns
    -------
    ndarray of float32 (channels, image_size, image_size)
        In [0, 1].

    Raises
    ------
    ImageError
        If it cannot be read, or nothing fitting is in it; `NoFaceError` where that is a face.
    """
    if as_is or card.dataset.name not in (FACES, GARMENTS):
        return _like_the_set(decode_image_file(data), card)
    size = card.model.image_size
    try:
        picture = read_upload(data)
        if card.dataset.name == GARMENTS:
            return fit_garment(picture, size)
    except UploadError as error:
        raise ImageError(str(error)) from error
    faces = find_faces(picture)
    if not faces:
        raise NoFaceError("no face was found")
    return _to_floats(align(picture, faces[0], size).image)


def _shrink(picture: Image.Image, longest: int) -> Image.Image:
    if max(picture.size) <= longest:
        return picture
    return _resize(picture, longest, Image.Resampling.LANCZOS)


def _resize(picture: Image.Image, longest: int, resampling: Image.Resampling) -> Image.Image:
    scale = longest / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), resampling)


def _corner_colour(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median colour (3,) of the four corners of an image (height, width, 3)."""
    side = max(1, min(pixels.shape[:2]) // _CORNER)
    ends = slice(None, side), slice(-side, None)
    corners = [pixels[rows, columns].reshape(-1, 3) for rows in ends for columns in ends]
    return np.median(np.concatenate(corners), axis=0)


def _name_kind(data: bytes) -> str:
    if data[4:8] == b"ftyp" and not data[8:12].startswith(_IMAGE_BRANDS):
        return "a video, which is not supported"
    for start, kind in _FOREIGN.items():
        if data.lstrip().startswith(start):
            return f"{kind}, which is not supported"
    if is_image_head(data[:HEAD_BYTES]):
        return "an image of an unsupported kind, or it is damaged"
    return "not an image, or it is damaged"


def _too_many(found: str, max_pixels: int) -> UploadError:
    return UploadError(
        f"This image has {found} pixels; the limit is {max_pixels / 1e6:g} million. Save a smaller "
        "version (2,000 pixels per side are enough) and choose that."
    )


def _no_garment() -> UploadError:
    return UploadError(
        "No garment was found: the whole image is as light as its corners, within 5%. Choose an "
        "image of a garment on a plain background that is clearly lighter or darker."
    )


def _like_the_set(picture: Image.Image, card: ModelCard) -> NDArray[np.float32]:
    inner, outer = card.dataset.image_size, card.model.image_size
    square = crop_centre(picture.convert("L" if card.model.image_channels == 1 else "RGB"))
    if square.width == outer:  # the model's own size: what `decode` writes
        return _to_floats(square)
    border = (outer - inner) // 2
    pixels = _to_floats(square.resize((inner, inner), Image.Resampling.LANCZOS))
    return np.pad(pixels, ((0, 0), (border, border), (border, border)))


def _to_floats(picture: Image.Image) -> NDArray[np.float32]:
    pixels = np.asarray(picture, np.float32).reshape(picture.height, picture.width, -1)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255)
