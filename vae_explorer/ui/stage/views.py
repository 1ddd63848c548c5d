"""The stage: the one place where a page's picture is drawn, and where clicks on it come from.

Pictures are live where the browser reaches the decode route (`live.py`), and follow each release
of a control where it does not (Streamlit's widgets and Plotly).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import plotly
import plotly.graph_objects as go
import streamlit as st
from PIL import Image
from streamlit.elements.plotly_chart import PlotlyState

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.figures import mosaic_figure
from vae_explorer.images import as_shown, data_url, picture_url, tile
from vae_explorer.inference import decode
from vae_explorer.latent.planes import Plane
from vae_explorer.ui.cache import get_checkpoint, get_decoded, key_of
from vae_explorer.ui.page import is_smooth, theme
from vae_explorer.ui.stage.component import Callback, draw_view, is_live
from vae_explorer.ui.stage.tiles import ListTiles, PlaneTiles, Setting, pack_floats, pack_plane

if TYPE_CHECKING:
    from vae_explorer.ui.explore.map_view import MapView

MAP_HEIGHT = 560
GRID_HEIGHT = 600
_WIDTH = 600
_PHOTO_SIDE = 800
_COMPARED = 3_000  # encodings that the browser looks for the nearest ones in


def show_map(
    figure: go.Figure,
    key: str,
    checkpoint: Checkpoint,
    view: MapView,
    *,
    p_values: bool,
    pinned: bool,
    visitor: np.ndarray | None,
    on_pin: Callback,
) -> np.ndarray:
    """Draw a map.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Whose points carry their row as `customdata`.
    view : MapView
        What the figure shows, and the plane it lies on.
    visitor : ndarray of float32 (latent_dim,) or None
        Where an upload lies.
    on_pin : callable
        Called with {"row": int} for a point, {"at": [u, v]} for a place between points, or {} to
        free the pin, before the page runs again.

    Returns
    -------
    ndarray of int64 (m,)
        Rows inside a box or a lasso.
    """
    if is_live():
        z = None if view.plane else checkpoint.encodings.z_mean[view.rows]
        selected = draw_map(
            figure,
            key,
            checkpoint.card,
            plane=view.plane,
            z=z,
            rows=view.rows,
            channel=key,
            p_values=p_values,
            pinned=pinned,
            visitor=visitor,
            on_pin=on_pin,
        )
        return selected[selected < len(checkpoint.encodings.row_id)]  # retrained on fewer pictures
    explain_release()
    event = st.plotly_chart(
        figure,
        key=f"{key}-still",
        theme=None,
        on_select=lambda: _report_click(f"{key}-still", lambda row: on_pin({"row": row})),
        selection_mode=("points", "box", "lasso"),
        config=PLOTLY_CONFIG,
    )
    return _rows(event) if _is_encircled(event) else np.zeros(0, np.int64)


def show_grid(
    tiles: PlaneTiles | ListTiles,
    key: str,
    card: ModelCard,
    *,
    channel: str,
    values: Mapping[str, float],
    columns: int,
    on_click: Callback,
    on_values: Callback,
    captions: Sequence[str] = (),
    framed: Sequence[int] = (),
    height: int = GRID_HEIGHT,
    description: str,
) -> None:
    """Draw tiles; `on_click` gets {"tile": int, "z": [float, ...]} of one, `on_values` a drag."""
    if is_live():
        draw_grid(
            tiles,
            key,
            card,
            channel=channel,
            values=values,
            columns=columns,
            height=height,
            on_click=on_click,
            on_values=on_values,
            framed=framed,
            description=description,
        )
        return
    explain_release()
    ticks: tuple[Sequence[str], Sequence[str]] = ((), ())
    names = ("", "")
    if isinstance(tiles, PlaneTiles):
        points, names = tiles.points(values, columns), tiles.plane.names
        ticks = (
            [f"{x:.2g}" for x in points[:columns, 0]],
            [f"{y:.2g}" for y in points[::columns, 1]],
        )
        z = tiles.latents(values, columns)
    else:
        z = tiles.latents(values)

    def report(index: int) -> None:
        on_click({"tile": index, "z": z[index].tolist()})

    # Never through a cache: those are shared between sessions, and z may be somebody's face.
    images = decode(get_checkpoint(key_of(card)).model, z)
    size, rows = images.shape[-1], -(-len(z) // columns)
    scale = max(1, min(_WIDTH // (columns * size), height // (rows * size)))
    side = min(size * scale, _WIDTH // columns)
    figure = mosaic_figure(
        data_url(tile(as_shown(images), columns), scale),
        (rows, columns),
        side,
        captions=captions or [""] * len(z),
        ticks=ticks,
        axis_names=names,
        framed=framed,
        template=theme(),
    )
    clicks = f"{key}-clicks"
    # A new key forgets the click, so that the same tile can be clicked again.
    count = st.session_state.setdefault(clicks, 0)
    still = f"{key}-still-{count}" if count else f"{key}-still"

    def report_once() -> None:
        _report_click(still, report)
        st.session_state[clicks] += 1

    st.plotly_chart(
        figure,
        key=still,
        theme=None,
        on_select=report_once,
        selection_mode="points",
        width="content",
        config={"displayModeBar": False},
    )


def show_drawing(map_key: str, checkpoint: Checkpoint) -> None:
    """Offer a box to draw a digit in; its point moves over the map of that key."""
    card, encodings = checkpoint.card, checkpoint.encodings
    if card.dataset.name != "mnist" or encodings.labels is None or not is_live():
        return
    with st.expander("Draw a digit", icon=":material/draw:"):
        draw_box(
            encodings.z_mean[:_COMPARED],
            encodings.labels[:_COMPARED],
            f"{map_key}-draw",
            card,
            channel=map_key,
        )
        st.caption("What you draw stays in your browser and this session; a reload forgets it.")


def show_strip(path: np.ndarray, key: str, card: ModelCard, *, description: str) -> None:
    """Show the pictures along a path (k, latent_dim), with a player where it can be live."""
    if is_live():
        draw_strip(path, key, card, description=description)
    else:
        show_row(get_decoded(key_of(card), path))


def show_picture(image: np.ndarray, caption: str, width: int = 112) -> None:
    """Show one image (channels, height, width), crisp, at a whole multiple of its size."""
    scale = max(1, width // image.shape[-1])
    _show(as_shown(image), scale, caption)


def show_photo(pixels: np.ndarray, caption: str) -> None:
    """Show a photo, uint8 (height, width, 3), as large as there is room."""
    shown = Image.fromarray(pixels)
    shown.thumbnail((_PHOTO_SIDE, _PHOTO_SIDE))
    st.image(picture_url(shown), caption=caption)


def show_row(images: np.ndarray, scale: int = 1) -> None:
    """Show small images (n, channels, height, width) side by side as one picture."""
    mosaic = tile(as_shown(images), len(images), gap=4)
    _show(mosaic, scale)


def _show(image: np.ndarray, scale: int, caption: str | None = None) -> None:
    # By an address that carries the picture: a file of the server's is gone once a rerun no longer
    # shows it, also for a browser that is only about to ask for it.
    st.image(data_url(image, scale, is_smooth()), caption=caption, width=image.shape[-1] * scale)


def explain_release() -> None:
    """Say why pictures do not follow at once, where the stage is not live."""
    st.caption(
        "Pictures follow when you let go: this host does not let the browser reach the app's "
        "decode route."
    )


def _report_click(key: str, on_click: Callable[[int], None]) -> None:
    event = st.session_state[key]
    rows = _rows(event)
    if len(rows) == 1 and not _is_encircled(event):
        on_click(int(rows[0]))


def _rows(event: PlotlyState) -> np.ndarray:
    # Samples of the prior carry no row: a box may catch them, but they are no encodings.
    points = [point for point in event["selection"]["points"] if "customdata" in point]
    return np.array([np.ravel(point["customdata"])[0] for point in points], dtype=np.int64)


def _is_encircled(event: PlotlyState) -> bool:
    return bool(event["selection"]["box"] or event["selection"]["lasso"])


PLOTLY_CONFIG = {
    "displaylogo": False,
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["sendChartToCloud"],  # nothing leaves the machine
}


def draw_map(
    figure: go.Figure,
    key: str,
    card: ModelCard,
    *,
    plane: Plane | None,
    z: np.ndarray | None,
    rows: np.ndarray,
    channel: str,
    p_values: bool,
    pinned: bool,
    visitor: np.ndarray | None,
    on_pin: Callback,
) -> np.ndarray:
    """Draw a map whose every place is decoded under the pointer.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Whose points carry their row as `customdata`.
    plane : Plane or None
        What the axes show; None where there is no way back to z.
    z : ndarray of float32 (m, latent_dim) or None
        Where there is no plane: the latents of the points, to show the nearest one's.
    rows : ndarray of int (m,)
        The points' rows, in the order of `z`.
    channel : str
        Shared with a box to draw in, whose point the map shows.
    p_values : bool
        Whether the axes show the normal CDF of the plane's coordinates.
    visitor : ndarray of float32 (latent_dim,) or None
        Where an upload lies. It goes to the browser alone, not into the URL.
    on_pin : callable
        Called with {"row": int}, or {"at": [u, v]} for a place between points, or {} to free.

    Returns
    -------
    ndarray of int64
        Rows in a box or a lasso.
    """
    dragmode = figure.layout.dragmode
    data = {
        "view": "map",
        "figure": figure.to_json(),
        "config": PLOTLY_CONFIG,
        "plotly_version": plotly.__version__,
        "height": figure.layout.height,
        "plane": pack_plane(plane),
        "latents": None if z is None else pack_floats(z),
        "rows": [] if plane else rows.tolist(),
        "channel": channel,
        "p_values": p_values,
        "pinned": pinned,
        "visitor": None if visitor is None else visitor.tolist(),
        "clicks_pin": dragmode in ("pan", "zoom"),
        "description": "Latent map: arrow keys move a crosshair, Enter pins, Escape frees.",
        **describe_model(card),
    }
    state = draw_view(key, data, {"selected": []}, pin=on_pin)
    selected = state.get("selected") if dragmode in ("select", "lasso") else []
    return np.array(selected or [], dtype=np.int64)


def draw_grid(
    tiles: PlaneTiles | ListTiles,
    key: str,
    card: ModelCard,
    *,
    channel: str,
    values: Mapping[str, float],
    columns: int,
    height: int,
    on_click: Callback,
    on_values: Callback,
    framed: Sequence[int] = (),
    description: str,
) -> None:
    """Draw a grid of tiles that is decoded anew while the channel's values move.

    Parameters
    ----------
    channel : str
        Shared with the sliders of the same page.
    values : mapping of str to float
        The settings' values, by name.
    columns : int
        Tiles in a row; a grid over a plane has as many rows.
    on_click : callable
        Called with {"tile": int, "z": [float, ...]}.
    on_values : callable
        Called with the values when a drag of the grid ends.
    """
    data = {
        "view": "grid",
        "tiles": tiles.pack(),
        "columns": columns,
        "height": height,
        "channel": channel,
        "values": dict(values),
        "framed": list(framed),
        "description": description,
        **describe_model(card),
    }
    draw_view(key, data, {}, clicked=on_click, values=on_values)


def draw_sliders(
    settings: Sequence[Setting],
    key: str,
    *,
    channel: str,
    values: Mapping[str, float],
    pad: tuple[str, str] | None,
    on_values: Callback,
) -> None:
    """Draw sliders, and a pad for two of the settings, that move the views of a channel."""
    data = {
        "view": "sliders",
        "settings": [asdict(setting) for setting in settings],
        "pad": pad,
        "channel": channel,
        "values": {setting.name: values[setting.name] for setting in settings},
    }
    draw_view(key, data, {}, values=on_values)


def draw_strip(path: np.ndarray, key: str, card: ModelCard, *, description: str) -> None:
    """Draw the pictures along a path (k, latent_dim), with a player along it."""
    data = {
        "view": "strip",
        "path": pack_floats(path),
        "description": description,
        **describe_model(card),
    }
    draw_view(key, data, {})


def draw_box(
    z_mean: np.ndarray, labels: np.ndarray, key: str, card: ModelCard, *, channel: str
) -> None:
    """Draw a box in which a digit is drawn, encoded while it is drawn, and shown on the map.

    Parameters
    ----------
    z_mean : ndarray of float32 (n, latent_dim)
        Encodings among which the nearest are looked for.
    labels : ndarray of int (n,)
    channel : str
        Of the map.
    """
    data = {
        "view": "draw",
        "latents": pack_floats(z_mean),
        "labels": labels.tolist(),
        "label_names": list(card.label_names),
        "image_size": card.model.image_size,
        "channel": channel,
        **describe_model(card),
    }
    draw_view(key, data, {})


def describe_model(card: ModelCard) -> dict[str, object]:
    """Return what a live view has to know of the model that decodes for it."""
    return {
        "checkpoint": card.name,
        "latent_dim": card.model.latent_dim,
        "ink": card.model.image_channels == 1,
    }
