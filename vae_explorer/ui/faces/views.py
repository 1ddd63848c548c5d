"""Live views of faces: a morph between two, a grid between four, an edit before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from vae_explorer.faces.editing import BLENDING
from vae_explorer.images import data_url, image_url, tile
from vae_explorer.inference import encode
from vae_explorer.latent.interpolation import Interpolation, corner_grid, morph_path
from vae_explorer.ui.faces.decoder import FaceDecoder
from vae_explorer.ui.faces.picker import SIDE
from vae_explorer.ui.stage.component import draw_view, has_live_route
from vae_explorer.ui.stage.tiles import pack_floats
from vae_explorer.ui.stage.views import describe_model, explain_release, show_image

_EDIT_SIDE = 256
_PATH_POINTS = 65  # latents that are sent to the browser, which interpolates linearly between them


def show_morph(
    decoder: FaceDecoder,
    path: Interpolation,
    key: str,
    *,
    steps: int,
    values: Mapping[str, float],
    detail: str,
    compose: Callable[[int], np.ndarray],
) -> None:
    """Show a morph between two faces: a player where it is live, and a strip.

    Parameters
    ----------
    decoder : FaceDecoder
        Of two faces.
    path : {"spherical", "linear"}
    key : str
        Of the view, and of the channel that it shares with the slider of `detail`.
    steps : int
        Images in the strip.
    values : mapping of str to float
        By setting.
    detail : str
        Name of the setting that scales the residual of the photos.
    compose : callable
        Returns n frames as uint8 (n, SIDE, SIDE, 3).
    """
    first, last = decoder.faces
    card = decoder.checkpoint.card
    if not has_live_route():
        explain_release()
        frames = np.moveaxis(compose(steps), -1, 1).astype(np.float32) / 255
        ends = np.stack([first.image, last.image])
        show_image(tile(ends, 2, gap=8), "The two faces")
        show_image(tile(frames, min(steps, 6), gap=4), f"{steps} images along the path")
        return
    data = {
        "view": "morph",
        "path": pack_floats(morph_path(first.z, last.z, _PATH_POINTS, path)),
        "pictures": [data_url(face.image) for face in decoder.faces],
        "names": [face.name for face in decoder.faces],
        "size": SIDE,
        "image_size": card.model.image_size,
        "steps": steps,
        "channel": key,
        "values": dict(values),
        "detail": detail,
        "constants": {"fade_power": decoder.fade_power},
        "description": f"{steps} images from {first.name} to {last.name}",
        **describe_model(card, decoder.tuned),
    }
    draw_view(key, data, {})


def show_corners(decoder: FaceDecoder, path: Interpolation, key: str, columns: int) -> None:
    """Show a grid of faces between four: top left, top right, bottom left, bottom right."""
    corners = decoder.latents
    description = f"Grid of {columns} × {columns} faces between the four corners"
    if not has_live_route():
        explain_release()
        images = decoder.decode(corner_grid(corners, columns, path))
        show_image(tile(images, columns), description)
        return
    data = {
        "view": "corners",
        "corners": pack_floats(corners),
        "pictures": [data_url(face.image) for face in decoder.faces],
        "names": [face.name for face in decoder.faces],
        "columns": columns,
        "spherical": path == "spherical",
        "description": description,
        **describe_model(decoder.checkpoint.card, decoder.tuned),
    }
    draw_view(key, data, {})


def show_edit(
    decoder: FaceDecoder,
    vectors: Mapping[str, np.ndarray],
    key: str,
    *,
    values: Mapping[str, float],
    detail: str,
    edit: Callable[[int], np.ndarray],
) -> None:
    """Show a face before and after an edit; where it is live, with a wipe between the two.

    Parameters
    ----------
    decoder : FaceDecoder
        Of one face.
    vectors : mapping of str to ndarray (latent_dim,)
        The direction in z of each setting.
    key : str
        Of the view, and of the channel that it shares with the sliders.
    values : mapping of str to float
        By setting.
    detail : str
        Name of the setting that scales the residual of the photo.
    edit : callable
        Returns the edited face as uint8 (size, size, 3), given the size.
    """
    (face,) = decoder.faces
    card = decoder.checkpoint.card
    if not has_live_route():
        explain_release()
        after = np.moveaxis(edit(SIDE), -1, 0).astype(np.float32) / 255
        show_image(tile(np.stack([face.image, after]), 2, gap=8), "Before and after")
        return
    z = face.z
    if decoder.tuned is None:
        # Also of a generated face the image is encoded, as it is for the saved file.
        z = encode(decoder.model, face.kept.pixels(card.model.image_size)[None])[0][0]
    data = {
        "view": "edit",
        "z": pack_floats(z),
        "picture": image_url(face.kept.crop(_EDIT_SIDE)),
        "name": face.name,
        "size": _EDIT_SIDE,
        "vectors": {setting: pack_floats(vector) for setting, vector in vectors.items()},
        "channel": key,
        "values": dict(values),
        "detail": detail,
        "constants": dict(BLENDING),
        "description": "Edited face",
        **describe_model(card, decoder.tuned),
    }
    draw_view(key, data, {})
