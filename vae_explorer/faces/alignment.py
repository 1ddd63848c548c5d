"""Face alignment: the crop of a photo that matches CelebA's frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vae_explorer.faces.geometry import (
    Face,
    Matrix,
    Points,
    fit_similarity,
    invert,
    mean_landmarks,
    transform_points,
)

_MARGIN = 3
"""Pixels around the crop that the bicubic filter may look at."""


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face cut out of a photo as CelebA's are.

    Attributes
    ----------
    image : Image
        RGB, size x size.
    matrix : ndarray of float64 (2, 3)
        Maps a point of the photo to the image, both in pixels from their top left corners;
        `vae_explorer.faces.geometry.invert` gives the way back.
    """

    image: Image.Image
    matrix: Matrix


def align(image: Image.Image, face: Face, size: int = 64) -> AlignedFace:
    """Cut a face out of a photo so that its landmarks lie where CelebA's do on average.

    The crop is cut from the photo's own pixels, however large, and brought to its size by
    Pillow's Lanczos filter, as the faces that models here learn from. What lies beyond the
    photo's edge repeats the edge, as in CelebA.

    Parameters
    ----------
    image : Image
        The photo, read as RGB.
    face : Face
        As `find_faces` finds it there, or `face_from_eyes` makes it.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    AlignedFace
        The least-squares similarity (Umeyama 1991), so the face may be turned and scaled, but
        never sheared or mirrored.

    Raises
    ------
    ValueError
        If `size` is not positive, the face's landmarks are one point or not finite, or the crop
        lies outside of the photo.
    """
    if size < 1:
        raise ValueError(f"A crop has a side of 1 pixel or more; found {size}.")
    matrix = fit_similarity(face.landmarks, mean_landmarks(size))
    back = invert(matrix)
    photo_pixels = math.hypot(back[0, 0], back[1, 0])  # along a pixel of the crop
    # Two to four pixels of what is warped fall on one of the crop, and the filter has the rest.
    shrink = max(1, int(photo_pixels / 2))
    corners = transform_points(back, np.array([[0, 0], [size, 0], [0, size], [size, size]], float))
    source, origin = _cut(image, corners, shrink)
    # A face at the crop's own size, but for rounding, must not be enlarged and shrunk again.
    fine = size * max(1, math.ceil(photo_pixels / shrink - 1e-6))
    warp = back.copy()
    warp[:, :2] *= size / fine
    warp[:, 2] -= origin
    warped = source.transform(
        (fine, fine),
        Image.Transform.AFFINE,
        (warp / shrink).ravel().tolist(),
        Image.Resampling.BICUBIC,
    )
    return AlignedFace(warped.resize((size, size), Image.Resampling.LANCZOS), matrix)


def face_from_eyes(left: Points, right: Points) -> Face:
    """Make a face of two eyes that a person has pointed at.

    Parameters
    ----------
    left, right : ndarray (2,)
        The eye at the image's left and the other, as (x, y) in pixels of the photo.

    Returns
    -------
    Face
        With nose and mouth where they are on average, and a score of 1.

    Raises
    ------
    ValueError
        If the eyes are at one point, or not finite.
    """
    mean = mean_landmarks(1)
    # This way round, because eyes at one point have a matrix that leads there, but none back.
    matrix = invert(fit_similarity(np.array([left, right], float), mean[:2]))
    landmarks = transform_points(matrix, mean)
    frame = transform_points(matrix, np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float))
    (x0, y0), (x1, y1) = frame.min(axis=0).tolist(), frame.max(axis=0).tolist()
    return Face((x0, y0, x1, y1), 1.0, landmarks)


def whole_face(size: int) -> Face:
    """Return the face in an image that is aligned already, size x size."""
    return Face((0.0, 0.0, float(size), float(size)), 1.0, mean_landmarks(size))


def _cut(image: Image.Image, corners: Points, shrink: int) -> tuple[Image.Image, Points]:
    """Cut the part of a photo that holds some corners, made smaller, its edge repeated beyond.

    Returns the part and the place of its top left corner in the photo.
    """
    low = np.floor(corners.min(axis=0)).astype(int) - _MARGIN * shrink
    high = np.ceil(corners.max(axis=0)).astype(int) + _MARGIN * shrink
    limit = np.array(image.size)
    if (high <= 0).any() or (low >= limit).any():
        raise ValueError("This face is outside the photo.")
    start, stop = np.clip(low, 0, limit - 1), np.clip(high, 1, limit)
    stop = np.maximum(stop, start + 1)
    part = image.crop((*start.tolist(), *stop.tolist())).convert("RGB").reduce(shrink)
    before = np.maximum(-((low - start) // shrink), 0)
    after = np.maximum(-((start - high) // shrink) - part.size, 0)
    pixels = np.pad(
        np.asarray(part),
        ((before[1], after[1]), (before[0], after[0]), (0, 0)),
        mode="edge",
    )
    return Image.fromarray(pixels), (start - before * shrink).astype(float)
