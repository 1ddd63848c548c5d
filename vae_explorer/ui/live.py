"""The live stage: a component whose pictures follow the pointer without a rerun of the script.

`live.js` draws the views (map, grid, sliders, strip, box) and asks the decode route for pictures;
this module says what each view is given, and takes what comes back on release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import plotly
import plotly.graph_objects as go
import streamlit as st
from streamlit.runtime.state.common import WidgetCallback

from vae_explorer.cards import ModelCard
from vae_explorer.planes import Plane
from vae_explorer.ui.tiles import ListTiles, PlaneTiles, Setting, pack_floats, pack_plane

_HERE = Path(__file__).parent
_UNREACHABLE = "route_unreachable"

PLOTLY_CONFIG = {
    "displaylogo": False,
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["sendChartToCloud"],  # nothing leaves the machine
}

_mount = st.components.v2.component(
    "vae_explorer_stage",
    js=(_HERE / "live.js").read_text(encoding="utf-8"),
    css=(_HERE / "live.css").read_text(encoding="utf-8"),
    isolate_styles=False,  # Plotly writes its styles into the page
)


Callback = Callable[[Mapping[str, object]], None]


def is_live() -> bool:
    """Say whether the browser reaches the decode route, as far as it is known."""
    return not st.session_state.get(_UNREACHABLE, False)


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
        **_model(card),
    }
    state = _draw(key, data, {"selected": []}, pin=on_pin)
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
        **_model(card),
    }
    _draw(key, data, {}, clicked=on_click, values=on_values)


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
    _draw(key, data, {}, values=on_values)


def draw_strip(path: np.ndarray, key: str, card: ModelCard, *, description: str) -> None:
    """Draw the pictures along a path (k, latent_dim), with a player along it."""
    data = {"view": "strip", "path": pack_floats(path), "description": description, **_model(card)}
    _draw(key, data, {})


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
        **_model(card),
    }
    _draw(key, data, {})


def _draw(
    key: str,
    data: Mapping[str, object],
    default: Mapping[str, object],
    **on_triggers: Callback,
) -> Mapping[str, object]:
    """Mount the component; each trigger's callback gets what the browser sent."""
    callbacks: dict[str, WidgetCallback] = {
        f"on_{name}_change": partial(_hand_over, key, name, callback)
        for name, callback in on_triggers.items()
    }
    callbacks |= {f"on_{name}_change": lambda: None for name in default}
    callbacks["on_unreachable_change"] = partial(_note_reach, key)
    state: Mapping[str, object] = _mount(
        key=key,
        data=data,
        default={**default, "unreachable": False},
        width="stretch",
        height="content",
        **callbacks,
    )
    return state


def _hand_over(key: str, name: str, callback: Callback) -> None:
    value = st.session_state[key].get(name)
    if value is not None:
        callback(value)


def _note_reach(key: str) -> None:
    st.session_state[_UNREACHABLE] = bool(st.session_state[key].get("unreachable"))


def _model(card: ModelCard) -> dict[str, object]:
    return {
        "checkpoint": card.name,
        "latent_dim": card.model.latent_dim,
        "ink": card.model.image_channels == 1,
    }
