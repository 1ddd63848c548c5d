"""The live stage: a component whose pictures follow the pointer without a rerun of the script.

`browser/` draws the views (map, grid, sliders, strip, box) and asks the decode route for pictures;
this module says what each view is given, and takes what comes back on release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import plotly
import plotly.graph_objects as go

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.latent.planes import Plane
from vae_explorer.ui.component import Callback, draw_view
from vae_explorer.ui.tiles import ListTiles, PlaneTiles, Setting, pack_floats, pack_plane

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
