"""The live views that several pages share, and still images.

A live view decodes in step with the pointer or a slider, through the decode route. Where the
browser cannot reach that route, the same function draws the view with Streamlit's widgets and
Plotly, and it follows each release of a control.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import plotly
import plotly.graph_objects as go
import streamlit as st
from PIL import Image
from streamlit.elements.plotly_chart import PlotlyState

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.figures import mosaic_figure
from vae_explorer.images import data_url, for_display, image_url, tile
from vae_explorer.inference import decode
from vae_explorer.latent.planes import Plane
from vae_explorer.models import Autoencoder
from vae_explorer.server.tuned import TunedDecoder
from vae_explorer.ui.cache import get_checkpoint, get_decoded, key_of
from vae_explorer.ui.header import show_inverted
from vae_explorer.ui.page import is_smooth, theme
from vae_explorer.ui.stage.component import Callback, draw_view, has_live_route
from vae_explorer.ui.stage.sliders import take_values
from vae_explorer.ui.stage.tiles import ListTiles, PlaneTiles, pack_floats, pack_plane

MAP_HEIGHT = 560
_STAGE_WIDTH, _ROW_GAP = 790, 4  # pixels: of the stage at 1280 x 720, between images of a row
GRID_HEIGHT = 600
_GRID_WIDTH = 600
_PHOTO_SIDE = 800
_COMPARED = 3_000  # encodings among which the browser looks for the nearest
_PLOTLY_CONFIG = {
    "displaylogo": False,
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["sendChartToCloud"],  # nothing leaves the machine
}


def show_map(
    figure: go.Figure,
    key: str,
    card: ModelCard,
    *,
    plane: Plane | None,
    rows: np.ndarray,
    z: np.ndarray,
    p_values: bool,
    pinned: bool,
    visitor: np.ndarray | None,
    on_pin: Callback,
) -> np.ndarray:
    """Show a map; where it is live, the place under the pointer is decoded.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Its points carry their row as `customdata`.
    key : str
        Of the view, and of the channel on which a drawing box moves a point over the map.
    plane : Plane or None
        The plane that the axes show; None where the map has no way back to z.
    rows : ndarray of int (m,)
        The points' rows in the encodings.
    z : ndarray of float32 (m, latent_dim)
        The points' latents. Without a plane, the one nearest to the pointer is decoded.
    p_values : bool
        Whether the axes show the normal CDF of the plane's coordinates.
    pinned : bool
        Whether something is pinned.
    visitor : ndarray of float32 (latent_dim,) or None
        The latent of an upload. It is sent to the browser only; it is not part of the URL.
    on_pin : callable
        Called with {"row": int} for a point, {"at": [u, v]} for a place between points, or {} to
        unpin, before the page runs again.

    Returns
    -------
    ndarray of int64 (k,)
        Rows inside a box or a lasso.
    """
    if not has_live_route():
        explain_release()
        still = f"{key}-still"
        event = st.plotly_chart(
            figure,
            key=still,
            theme=None,
            on_select=lambda: _report_click(still, lambda row: on_pin({"row": row})),
            selection_mode=("points", "box", "lasso"),
            config=_PLOTLY_CONFIG,
        )
        return _selected_rows(event) if _is_region(event) else np.zeros(0, np.int64)
    dragmode = figure.layout.dragmode
    data = {
        "view": "map",
        "figure": figure.to_json(),
        "config": _PLOTLY_CONFIG,
        "plotly_version": plotly.__version__,
        "height": figure.layout.height,
        "plane": pack_plane(plane),
        "latents": None if plane else pack_floats(z),
        "rows": [] if plane else rows.tolist(),
        "channel": key,
        "p_values": p_values,
        "pinned": pinned,
        "visitor": None if visitor is None else visitor.tolist(),
        "clicks_pin": dragmode in ("pan", "zoom"),
        "hint": {
            "pointer": "Move over the map to decode any location. Click a point for details.",
            "touch": "Touch the map to decode any location. Tap a point for details.",
        },
        "description": "Latent map. Arrow keys move the crosshair, Enter pins, Escape unpins.",
        **describe_model(card),
    }
    state = draw_view(key, data, {"selected": []}, pin=on_pin)
    sent = state.get("selected") if dragmode in ("select", "lasso") else []
    selected = np.array(sent or [], dtype=np.int64)
    return selected[np.isin(selected, rows)]  # the model may have been retrained on fewer images


def show_grid(
    tiles: PlaneTiles | ListTiles,
    key: str,
    card: ModelCard,
    *,
    values: Mapping[str, float],
    columns: int = 1,
    height: int = GRID_HEIGHT,
    description: str,
    channel: str = "",
    on_click: Callback = lambda _: None,
    captions: Sequence[str] = (),
    framed: Sequence[int] = (),
    tuned: TunedDecoder | None = None,
) -> None:
    """Show decoded tiles; where they are live, they are decoded while the settings move.

    Parameters
    ----------
    values : mapping of str to float
        The settings' values, by name.
    columns : int
        Tiles in a row; a grid over a plane has as many rows.
    height : int
        At most, in pixels.
    description : str
        For screen readers.
    channel : str
        Shared with the sliders of the same page; the key, if not given.
    on_click : callable
        Called with {"tile": int, "z": [float, ...]}.
    captions : sequence of str
        Texts for the tiles of a still grid.
    framed : sequence of int
        Tiles that are drawn with a frame.
    tuned : TunedDecoder, optional
        Decodes instead of the model's own decoder.
    """
    if not has_live_route():
        explain_release()
        model = get_checkpoint(key_of(card)).model if tuned is None else tuned.faces.model
        _show_still_grid(
            tiles,
            key,
            card,
            model,
            values=values,
            columns=columns,
            on_click=on_click,
            captions=captions,
            framed=framed,
            height=height,
        )
        return
    data = {
        "view": "grid",
        "tiles": tiles.pack(),
        "columns": columns,
        "height": height,
        "channel": channel or key,
        "values": dict(values),
        "framed": list(framed),
        "description": description,
        **describe_model(card, tuned),
    }
    draw_view(key, data, {}, clicked=on_click, values=take_values)


def show_strip(path: np.ndarray, key: str, card: ModelCard, *, description: str) -> None:
    """Show the images along a path (k, latent_dim), with a player where it is live."""
    if not has_live_route():
        show_image_row(get_decoded(key_of(card), path))
        return
    data = {
        "view": "strip",
        "path": pack_floats(path),
        "description": description,
        **describe_model(card),
    }
    draw_view(key, data, {})


def show_drawing_box(map_key: str, checkpoint: Checkpoint) -> None:
    """Offer a box to draw a digit in; its point moves over the map of that key.

    The digit is encoded while it is drawn, so there is no box without the live route, nor for a
    model that was not trained on digits.
    """
    card, encodings = checkpoint.card, checkpoint.encodings
    if card.dataset.name != "mnist" or encodings.labels is None or not has_live_route():
        return
    data = {
        "view": "draw",
        "latents": pack_floats(encodings.z_mean[:_COMPARED]),
        "labels": encodings.labels[:_COMPARED].tolist(),
        "label_names": list(card.label_names),
        "image_size": card.model.image_size,
        "channel": map_key,
        **describe_model(card),
    }
    with st.expander("Draw a digit", icon=":material/draw:"):
        draw_view(f"{map_key}-draw", data, {})
        st.caption("Your drawing is kept only in this session. Reloading the page deletes it.")


def show_image(image: np.ndarray, caption: str, width: int = 112) -> None:
    """Show one image (channels, height, width), crisp, at a whole multiple of its size.

    The caption is Markdown.
    """
    scale = max(1, width // image.shape[-1])
    _show_scaled(for_display(image, show_inverted()), scale, caption)


def row_scale(count: int, size: int) -> int:
    """Return the largest scale at which `count` images of `size` px fit in a row of the stage."""
    return max(1, _STAGE_WIDTH // (count * (size + _ROW_GAP)))


def show_image_row(images: np.ndarray, scale: int = 1) -> None:
    """Show small images (n, channels, height, width) side by side, as one image."""
    _show_scaled(tile(for_display(images, show_inverted()), len(images), gap=_ROW_GAP), scale)


def show_photo(pixels: np.ndarray, caption: str) -> None:
    """Show a photo, uint8 (height, width, 3), as large as there is room."""
    shown = Image.fromarray(pixels)
    shown.thumbnail((_PHOTO_SIDE, _PHOTO_SIDE))
    st.image(image_url(shown), caption=caption)


def explain_release() -> None:
    """Say why a view follows only the release of a control, where it is not live."""
    st.caption(
        "Images update when you release a control: this server does not give the browser access "
        "to live decoding."
    )


def describe_model(card: ModelCard, tuned: TunedDecoder | None = None) -> dict[str, object]:
    """Return what the browser has to know about the model that decodes for a live view.

    Parameters
    ----------
    card : ModelCard
    tuned : TunedDecoder, optional
        Decodes instead of the model's own decoder.
    """
    return {
        "checkpoint": card.name,
        "fingerprint": card.fingerprint,
        "tuned": tuned and tuned.id,
        "latent_dim": card.model.latent_dim,
        "ink": card.is_inverted,
    }


def _show_still_grid(
    tiles: PlaneTiles | ListTiles,
    key: str,
    card: ModelCard,
    model: Autoencoder,
    *,
    values: Mapping[str, float],
    columns: int,
    on_click: Callback,
    captions: Sequence[str],
    framed: Sequence[int],
    height: int,
) -> None:
    """Draw a grid as a Plotly figure whose tiles can be clicked."""
    ticks: tuple[Sequence[str], Sequence[str]] = ((), ())
    axis_names = ("", "")
    if isinstance(tiles, PlaneTiles):
        points, axis_names = tiles.points(values, columns), tiles.plane.names
        ticks = (
            [f"{x:.2g}" for x in points[:columns, 0]],
            [f"{y:.2g}" for y in points[::columns, 1]],
        )
        z = tiles.latents(values, columns)
    else:
        z = tiles.latents(values)
    # Never through a cache: caches are shared between sessions, and z may be somebody's face.
    images = decode(model, z)
    size, rows = images.shape[-1], -(-len(z) // columns)
    scale = max(1, min(_GRID_WIDTH // (columns * size), height // (rows * size)))
    figure = mosaic_figure(
        data_url(tile(for_display(images, card.is_inverted), columns), scale),
        (rows, columns),
        min(size * scale, _GRID_WIDTH // columns),
        captions=captions or [""] * len(z),
        ticks=ticks,
        axis_names=axis_names,
        framed=framed,
        template=theme(),
    )
    # A new key forgets the click, so that the same tile can be clicked again.
    clicks = f"{key}-clicks"
    count = st.session_state.setdefault(clicks, 0)
    still = f"{key}-still-{count}" if count else f"{key}-still"

    def report() -> None:
        _report_click(still, lambda k: on_click({"tile": k, "z": z[k].tolist()}))
        st.session_state[clicks] += 1

    st.plotly_chart(
        figure,
        key=still,
        theme=None,
        on_select=report,
        selection_mode="points",
        width="content",
        config={"displayModeBar": False},
    )


def _show_scaled(image: np.ndarray, scale: int, caption: str | None = None) -> None:
    # As a data URL: a file on the server is gone once a rerun no longer shows it, also for a
    # browser that is only about to ask for it.
    st.image(data_url(image, scale, is_smooth()), caption=caption, width=image.shape[-1] * scale)


def _report_click(key: str, on_click: Callable[[int], None]) -> None:
    event = st.session_state[key]
    rows = _selected_rows(event)
    if len(rows) == 1 and not _is_region(event):
        on_click(int(rows[0]))


def _selected_rows(event: PlotlyState) -> np.ndarray:
    # Samples of the prior have no row: a box may contain them, but they are no encodings.
    points = [point for point in event["selection"]["points"] if "customdata" in point]
    return np.array([np.ravel(point["customdata"])[0] for point in points], dtype=np.int64)


def _is_region(event: PlotlyState) -> bool:
    return bool(event["selection"]["box"] or event["selection"]["lasso"])
