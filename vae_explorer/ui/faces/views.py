"""Faces on the stage: a morph, and a field between four; still pictures where it is not live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.faces.editing import BLENDING
from vae_explorer.faces.morph import FADE_POWER
from vae_explorer.images import data_url, picture_url, tile
from vae_explorer.inference import decode, encode
from vae_explorer.latent.interpolation import Interpolation, corner_grid, morph_path
from vae_explorer.ui.faces.picker import SIDE, ChosenFace
from vae_explorer.ui.stage.component import Callback, draw_view, has_live_route
from vae_explorer.ui.stage.tiles import pack_floats
from vae_explorer.ui.stage.views import describe_model, explain_release, show_image

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
    if has_live_route():
        draw_morph(
            morph_path(first.z, last.z, _FINE, path),
            key,
            checkpoint.card,
            pictures=(data_url(first.crop), data_url(last.crop)),
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
    ends = np.stack([first.crop, last.crop])
    show_image(tile(ends, 2, gap=8), "The two faces")
    show_image(tile(frames, min(steps, 6), gap=4), f"{steps} steps")


def show_corners(
    faces: Sequence[ChosenFace], path: Interpolation, key: str, checkpoint: Checkpoint, columns: int
) -> None:
    """Show the faces between four, top left, top right, bottom left, bottom right."""
    corners = np.stack([face.z for face in faces])
    description = f"{columns} by {columns} faces between four"
    if has_live_route():
        draw_corners(
            corners,
            key,
            checkpoint.card,
            pictures=[data_url(face.crop) for face in faces],
            names=[face.name for face in faces],
            columns=columns,
            spherical=path == "spherical",
            description=description,
        )
        return
    explain_release()
    images = decode(checkpoint.model, corner_grid(corners, columns, path))
    show_image(tile(images, columns), description)


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
    if has_live_route():
        # A made-up face too is what its picture is encoded to, as in what is saved.
        z, _ = encode(checkpoint.model, face.kept.pixels(checkpoint.card.model.image_size)[None])
        draw_edit(
            z[0],
            key,
            checkpoint.card,
            picture=picture_url(face.kept.crop(_EDIT_SIDE)),
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
    show_image(tile(np.stack([before, after]), 2, gap=8), "Before and after")


def draw_photo(
    address: str,
    size: tuple[int, int],
    faces: Sequence[tuple[Sequence[float], Sequence[Sequence[float]]]],
    key: str,
    *,
    chosen: int | None,
    aims: bool,
    height: int,
    description: str,
    on_face: Callback,
    on_eyes: Callback,
) -> None:
    """Draw a photo with the faces that were found in it.

    Parameters
    ----------
    address : str
        Of the picture, which it carries itself.
    size : (int, int)
        Width and height in pixels, in which the faces are given.
    faces : sequence of (box, landmarks)
        (x0, y0, x1, y1), and five (x, y).
    chosen : int or None
        The face whose landmarks are shown.
    aims : bool
        Whether clicks mark the two eyes instead of choosing a face.
    on_face, on_eyes : callable
        Called with {"face": int}, and with {"places": [[x, y], [x, y]]}.
    """
    data = {
        "view": "photo",
        "picture": address,
        "size": size,
        "faces": [
            {"box": list(box), "landmarks": [list(p) for p in marks]} for box, marks in faces
        ],
        "chosen": chosen,
        "places": aims,
        "height": height,
        "description": description,
    }
    draw_view(key, data, {}, chosen=on_face, eyes=on_eyes)


def draw_morph(
    path: np.ndarray,
    key: str,
    card: ModelCard,
    *,
    pictures: tuple[str, str],
    names: tuple[str, str],
    size: int,
    steps: int,
    channel: str,
    values: Mapping[str, float],
    detail: str,
    description: str,
) -> None:
    """Draw two faces, the one between them, a player along the way, and a strip of its steps.

    Parameters
    ----------
    path : ndarray of float32 (k, latent_dim)
        From the first face to the second, finer than the strip.
    pictures : two str
        Addresses of the faces themselves, square, which they carry.
    size : int
        Side in pixels at which frames are composed.
    steps : int
        Pictures in the strip.
    channel : str
        Shared with the slider of `detail`.
    values : mapping of str to float
    detail : str
        The setting that says how much of what the model lacks is laid over.
    """
    data = {
        "view": "morph",
        "path": pack_floats(path),
        "pictures": list(pictures),
        "names": list(names),
        "size": size,
        "image_size": card.model.image_size,
        "steps": steps,
        "channel": channel,
        "values": dict(values),
        "detail": detail,
        "constants": {"fade_power": FADE_POWER},
        "description": description,
        **describe_model(card),
    }
    draw_view(key, data, {})


def draw_corners(
    corners: np.ndarray,
    key: str,
    card: ModelCard,
    *,
    pictures: Sequence[str],
    names: Sequence[str],
    columns: int,
    spherical: bool,
    description: str,
) -> None:
    """Draw a grid between four faces, in which the pointer's place is decoded.

    Parameters
    ----------
    corners : ndarray of float32 (4, latent_dim)
        Top left, top right, bottom left, bottom right.
    pictures, names : sequence of four str
        As in `draw_morph`.
    columns : int
        Tiles in a row, and rows.
    """
    data = {
        "view": "corners",
        "corners": pack_floats(corners),
        "pictures": list(pictures),
        "names": list(names),
        "columns": columns,
        "spherical": spherical,
        "description": description,
        **describe_model(card),
    }
    draw_view(key, data, {})


def draw_edit(
    z: np.ndarray,
    key: str,
    card: ModelCard,
    *,
    picture: str,
    name: str,
    size: int,
    vectors: Mapping[str, np.ndarray],
    channel: str,
    values: Mapping[str, float],
    detail: str,
    description: str,
) -> None:
    """Draw a face before and after a change, with a wipe between the two.

    Parameters
    ----------
    z : ndarray of float32 (latent_dim,)
        Where the model puts the face.
    picture : str
        Address of the aligned face itself, square, which it carries.
    size : int
        Side in pixels at which it is drawn.
    vectors : mapping of str to ndarray (latent_dim,)
        What each setting moves z along, by its name.
    channel : str
        Shared with the sliders.
    values : mapping of str to float
    detail : str
        The setting that says how much of the photo is kept.
    """
    data = {
        "view": "edit",
        "z": pack_floats(z),
        "picture": picture,
        "name": name,
        "size": size,
        "vectors": {setting: pack_floats(vector) for setting, vector in vectors.items()},
        "channel": channel,
        "values": dict(values),
        "detail": detail,
        "constants": dict(BLENDING),
        "description": description,
        **describe_model(card),
    }
    draw_view(key, data, {})
