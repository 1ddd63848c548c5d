"""The live views of faces: found in a photo, a morph of two, a field between four, one changed.

As `live.py`, and drawn by the same component.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vae_explorer.cards import ModelCard
from vae_explorer.faces.editing import BLENDING
from vae_explorer.morphs import FADE_POWER
from vae_explorer.ui.component import Callback, draw_view
from vae_explorer.ui.live import describe_model
from vae_explorer.ui.tiles import pack_floats


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
