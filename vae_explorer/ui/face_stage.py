"""Faces on the stage: a morph, and a field between four; still pictures where it is not live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.images import data_url, picture_url, tile
from vae_explorer.inference import decode, encode
from vae_explorer.latent.interpolation import Interpolation, corner_grid, morph_path
from vae_explorer.ui.face_choice import SIDE, ChosenFace
from vae_explorer.ui.live_faces import draw_corners, draw_edit, draw_morph
from vae_explorer.ui.stage.component import is_live
from vae_explorer.ui.stage.views import explain_release, show_picture

_EDIT_SIDE = 256
_FINE = 65  # places of the path that are sent to the browser, which goes straight between them


def show_morph(
    faces: Sequence[ChosenFace],
    path: Interpolation,
    key: str,
    checkpoint: Checkpoint,
    *,
    steps: int,
    values: Mapping[str, float],
    detail: str,
    compose: Callable[[int], np.ndarray],
) -> None:
    """Show one face becoming another.

    Parameters
    ----------
    faces : two ChosenFace
    path : {"spherical", "linear"}
    key : str
        Of the view, and of the channel that it shares with the slider of `detail`.
    steps : int
        Pictures in the strip.
    values : mapping of str to float
    detail : str
        Name of a setting.
    compose : callable
        Gives so many frames as uint8 (n, SIDE, SIDE, 3).
    """
    first, last = faces
    if is_live():
        draw_morph(
            morph_path(first.z, last.z, _FINE, path),
            key,
            checkpoint.card,
            pictures=(data_url(first.portrait), data_url(last.portrait)),
            names=(first.name, last.name),
            size=SIDE,
            steps=steps,
            channel=key,
            values=values,
            detail=detail,
            description=f"{steps} steps from {first.name} to {last.name}",
        )
        return
    explain_release()
    frames = np.moveaxis(compose(steps), -1, 1).astype(np.float32) / 255
    ends = np.stack([first.portrait, last.portrait])
    show_picture(tile(ends, 2, gap=8), "The two faces")
    show_picture(tile(frames, min(steps, 6), gap=4), f"{steps} steps")


def show_corners(
    faces: Sequence[ChosenFace], path: Interpolation, key: str, checkpoint: Checkpoint, columns: int
) -> None:
    """Show the faces between four, top left, top right, bottom left, bottom right."""
    corners = np.stack([face.z for face in faces])
    description = f"{columns} by {columns} faces between four"
    if is_live():
        draw_corners(
            corners,
            key,
            checkpoint.card,
            pictures=[data_url(face.portrait) for face in faces],
            names=[face.name for face in faces],
            columns=columns,
            spherical=path == "spherical",
            description=description,
        )
        return
    explain_release()
    images = decode(checkpoint.model, corner_grid(corners, columns, path))
    show_picture(tile(images, columns), description)


def show_edit(
    face: ChosenFace,
    vectors: Mapping[str, np.ndarray],
    key: str,
    checkpoint: Checkpoint,
    *,
    values: Mapping[str, float],
    detail: str,
    edit: Callable[[int], np.ndarray],
) -> None:
    """Show a face before and after a change.

    Parameters
    ----------
    vectors : mapping of str to ndarray (latent_dim,)
        What each setting moves z along.
    key : str
        Of the view, and of the channel that it shares with the sliders.
    values : mapping of str to float
    detail : str
        Name of a setting.
    edit : callable
        Gives the changed face as uint8 (size, size, 3).
    """
    if is_live():
        # A made-up face too is what its picture is encoded to, as in what is saved.
        z, _ = encode(checkpoint.model, face.kept.pixels(checkpoint.card.model.image_size)[None])
        draw_edit(
            z[0],
            key,
            checkpoint.card,
            picture=picture_url(face.kept.portrait(_EDIT_SIDE)),
            name=face.name,
            size=_EDIT_SIDE,
            vectors=vectors,
            channel=key,
            values=values,
            detail=detail,
            description="The face as it was changed",
        )
        return
    explain_release()
    after = np.moveaxis(edit(SIDE), -1, 0).astype(np.float32) / 255
    before = face.kept.pixels(SIDE)
    show_picture(tile(np.stack([before, after]), 2, gap=8), "Before and after")
