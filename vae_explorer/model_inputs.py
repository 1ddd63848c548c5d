"""A picture file as a model is given it: like the pictures of the data set that it learnt from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.data.image_io import crop_centre, decode_picture
from vae_explorer.errors import NoFaceError, PictureError, UploadError
from vae_explorer.faces import align, find_faces
from vae_explorer.uploads import fit_garment, read_upload

FACES, GARMENTS = "celeba", "fashion-mnist"
"""Data sets whose pictures a photo is first made like, as the app does with uploads."""


def fit_picture(data: bytes, card: ModelCard, *, as_is: bool = False) -> NDArray[np.float32]:
    """Make the input of a model of a picture file.

    Parameters
    ----------
    data : bytes
        A picture file of any kind that is read.
    card : ModelCard
        For models of faces, the picture's main face is found and aligned; for models of garments,
        the garment is cut out and made ink, both as the app does with uploads.
    as_is : bool
        Leave that out: the picture is like the data set's own. It is then only cropped to its
        central square, and brought to the data set's size unless it has the model's.

    Returns
    -------
    ndarray of float32 (channels, image_size, image_size)
        In [0, 1].

    Raises
    ------
    PictureError
        If it cannot be read, or nothing fitting is in it; `NoFaceError` where that is a face.
    """
    if as_is or card.dataset.name not in (FACES, GARMENTS):
        return _like_the_set(decode_picture(data), card)
    size = card.model.image_size
    try:
        picture = read_upload(data)
        if card.dataset.name == GARMENTS:
            return fit_garment(picture, size)
    except UploadError as error:
        raise PictureError(str(error)) from error
    faces = find_faces(picture)
    if not faces:
        raise NoFaceError("no face was found")
    return _to_floats(align(picture, faces[0], size).image)


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
