"""Image arrays for display and as files: tiling, enlarging; PNG, JPEG, ZIP, animations.

Images are float (n, channels, height, width) in [0, 1]; one image lacks the first axis. What
is shown or saved goes through `for_display` once, then through any of the others.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ImageFormat = Literal["png", "jpeg", "webp"]
"""Of one image."""

Format = Literal["webp", "gif"]
"""Of an animation."""
LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in luminance: ITU-R BT.601."""


def for_display(images: NDArray[np.floating], ink_on_paper: bool = True) -> NDArray[np.floating]:
    """Turn data into what is put on screen: grey images as dark ink on white paper.

    Colour images are returned as they are.

    Parameters
    ----------
    images : (..., channels, height, width)
    ink_on_paper : bool
        Whether grey images are inverted; see `vae_explorer.data.registry.is_inverted`.

    Returns
    -------
    the shape and dtype of `images`
    """
    return 1 - images if ink_on_paper and images.shape[-3] == 1 else images


def to_uint8(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round images to bytes, channels last; values outside [0, 1] are clipped.

    Parameters
    ----------
    images : (..., channels, height, width)

    Returns
    -------
    (..., height, width, channels) uint8

    Raises
    ------
    ValueError
        If there are not 1 or 3 channels, or a value is not finite.
    """
    if images.ndim < 3 or images.shape[-3] not in (1, 3):
        raise ValueError(f"Images are (..., 1 or 3, height, width); found {images.shape}.")
    if not np.isfinite(images).all():
        raise ValueError("These images hold values that are not finite.")
    return np.moveaxis(np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8), -3, -1)


def to_pil(image: NDArray[np.floating], scale: int = 1, smooth: bool = False) -> Image.Image:
    """Make a Pillow image, enlarged by a whole number.

    Parameters
    ----------
    image : (channels, height, width)
    scale : int
        How many times as high and wide.
    smooth : bool
        Interpolate (Lanczos) instead of repeating pixels.

    Returns
    -------
    PIL.Image.Image
        Mode "L" or "RGB".

    Raises
    ------
    ValueError
        As `to_uint8`, or if it is not one image, or the scale is below 1.
    """
    if image.ndim != 3:
        raise ValueError(f"One image is (channels, height, width); found {image.shape}.")
    if scale < 1:
        raise ValueError(f"A picture is enlarged by 1, 2, 3 …; found {scale}.")
    pixels = to_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    resampling = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return picture.resize((picture.width * scale, picture.height * scale), resampling)


def tile(
    images: NDArray[np.floating], columns: int, gap: int = 0, background: float = 1.0
) -> NDArray[np.float32]:
    """Lay images out in reading order as one mosaic.

    Parameters
    ----------
    images : (n, channels, height, width)
    columns : int
        Images in a row; the last row is filled up with background.
    gap : int
        Pixels between neighbours; there is no margin.
    background : float
        What shows where no image is, in [0, 1].

    Returns
    -------
    (channels, rows * (height + gap) - gap, columns * (width + gap) - gap) float32

    Raises
    ------
    ValueError
        If there is no image, fewer than one column, or a negative gap.
    """
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"A mosaic needs images (n ≥ 1, c, h, w); found {images.shape}.")
    if columns < 1 or gap < 0:
        raise ValueError(
            f"A mosaic needs at least 1 column and a gap of 0 or more; found {columns} and {gap}."
        )
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    cells = np.full(
        (rows * columns, channels, height + gap, width + gap), background, dtype=np.float32
    )
    cells[:count, :, :height, :width] = images
    grid = cells.reshape(rows, columns, channels, height + gap, width + gap)
    mosaic = grid.transpose(2, 0, 3, 1, 4).reshape(channels, rows * (height + gap), -1)
    return mosaic[:, : rows * (height + gap) - gap, : columns * (width + gap) - gap]


def png_bytes(image: NDArray[np.floating], scale: int = 1, smooth: bool = False) -> bytes:
    """Write one image (channels, height, width) as a PNG file; see `to_pil`."""
    buffer = io.BytesIO()
    to_pil(image, scale, smooth).save(buffer, format="PNG")
    return buffer.getvalue()


def zip_of_pngs(
    images: NDArray[np.floating], names: Sequence[str], scale: int = 1, smooth: bool = False
) -> bytes:
    """Pack images into a ZIP file, one PNG each; the same images give the same bytes.

    Parameters
    ----------
    images : (n, channels, height, width)
    names : sequence of n str
        File names without ".png", all different.
    scale, smooth
        As for `to_pil`.

    Raises
    ------
    ValueError
        If there is not one name of its own for each image.
    """
    if len(names) != len(images) or len(set(names)) != len(names):
        raise ValueError(
            f"{len(images)} images need as many different names; "
            f"found {len(names)}, {len(set(names))} of them different."
        )
    pngs = (png_bytes(image, scale, smooth) for image in images)
    return zip_of_files({f"{name}.png": png for name, png in zip(names, pngs, strict=True)})


def zip_of_files(files: Mapping[str, bytes]) -> bytes:
    """Pack files that are packed themselves, by name; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            # A bare ZipInfo is stored, not packed again, and dated 1980: no clock in the file.
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def encode_image_file(
    image: NDArray[np.uint8] | Image.Image,
    kind: ImageFormat,
    *,
    profile: bytes | None = None,
    **options: object,
) -> bytes:
    """Write an image as a file, with nothing in it beside pixels and profile.

    Parameters
    ----------
    image : Image, or ndarray of uint8 (height, width, 3)
    kind : {"png", "jpeg", "webp"}
        By default, a JPEG has its colours at full resolution; JPEG and WebP have quality 95.
    profile : bytes, optional
        The ICC profile of its colours.
    **options
        Of Pillow's writer, in place of those defaults.
    """
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    defaults: dict[str, object] = {}
    if kind == "jpeg":
        defaults = {} if "qtables" in options else {"quality": 95}
        defaults |= {"subsampling": 0}
    elif kind == "webp":
        # Exact: else the colours below what is transparent are lost.
        defaults = {"quality": 95, "exact": True}
    if profile is not None:
        defaults |= {"icc_profile": profile}
    buffer = io.BytesIO()
    image.save(buffer, kind, **(defaults | options))
    return buffer.getvalue()


def data_url(image: NDArray[np.floating], scale: int = 1, smooth: bool = False) -> str:
    """Write one image (channels, height, width) as the address of a PNG that carries itself."""
    png = png_bytes(image, scale, smooth)
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def image_url(picture: Image.Image) -> str:
    """Write a photo as the address of a JPEG that carries itself."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


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


def enlarge(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Enlarge images (n, channels, s, s) to `size` by a bicubic filter, as float32 in [0, 1]."""
    bands = np.asarray(images, np.float32)
    n, channels = bands.shape[:2]
    large = np.empty((n, channels, size, size), np.float32)
    for i in range(n):
        for c in range(channels):
            band = Image.fromarray(bands[i, c], "F")
            large[i, c] = np.asarray(band.resize((size, size), Image.Resampling.BICUBIC))
    return large.clip(0, 1)


def _mosaic(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay a few of the images side by side."""
    few = [pictures[round(k)] for k in np.linspace(0, len(pictures) - 1, min(8, len(pictures)))]
    whole = Image.new("RGB", (few[0].width * len(few), few[0].height))
    for k, picture in enumerate(few):
        whole.paste(picture, (k * picture.width, 0))
    return whole
