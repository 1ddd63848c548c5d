"""The stage: the one place where a page's picture is drawn, and where clicks on it come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.plotly_chart import PlotlyState

from vae_explorer.figures import mosaic_figure
from vae_explorer.images import as_shown, data_url, tile, to_pil
from vae_explorer.ui.page import theme

STAGE_HEIGHT = 560
STAGE_WIDTH = 600
MOSAIC_HEIGHT = 600
_CONFIG = {"displaylogo": False, "scrollZoom": True}


def show_map(figure: go.Figure, key: str, on_click: Callable[[int], None]) -> np.ndarray:
    """Draw a map.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Whose points carry their row as `customdata`.
    key : str
        Of the widget.
    on_click : callable
        Called with the row of a point that was clicked, before the page runs again.

    Returns
    -------
    ndarray of int64 (m,)
        Rows inside a box or a lasso.
    """
    event = st.plotly_chart(
        figure, key=key, theme=None, on_select=lambda: _report_click(key, on_click),
        selection_mode=("points", "box", "lasso"), config=_CONFIG, height=STAGE_HEIGHT,
    )  # fmt: skip
    return _rows(event) if _is_encircled(event) else np.zeros(0, np.int64)


def show_mosaic(
    images: np.ndarray,
    columns: int,
    key: str,
    *,
    on_click: Callable[[int], None],
    captions: Sequence[str],
    ticks: tuple[Sequence[str], Sequence[str]] = ((), ()),
    axis_names: tuple[str, str] = ("", ""),
    framed: Sequence[int] = (),
) -> None:
    """Draw images (n, channels, height, width) as tiles; `on_click` gets the index of one."""
    size = images.shape[-1]
    rows = -(-len(images) // columns)
    scale = max(1, min(STAGE_WIDTH // (columns * size), MOSAIC_HEIGHT // (rows * size)))
    shrink = min(1.0, STAGE_WIDTH / (columns * size * scale))
    figure = mosaic_figure(
        data_url(tile(as_shown(images), columns), scale),
        (rows, columns),
        int(size * scale * shrink),
        captions=captions,
        ticks=ticks,
        axis_names=axis_names,
        framed=framed,
        template=theme(),
    )
    st.plotly_chart(
        figure, key=key, theme=None, on_select=lambda: _report_click(key, on_click),
        selection_mode="points", width="content", config={"displayModeBar": False},
    )  # fmt: skip


def show_picture(image: np.ndarray, caption: str, width: int = 112) -> None:
    """Show one image (channels, height, width), crisp, at a whole multiple of its size."""
    scale = max(1, width // image.shape[-1])
    st.image(to_pil(as_shown(image), scale), caption=caption, width=image.shape[-1] * scale)


def show_row(images: np.ndarray, scale: int = 1) -> None:
    """Show small images (n, channels, height, width) side by side as one picture."""
    mosaic = tile(as_shown(images), len(images), gap=4)
    st.image(to_pil(mosaic, scale), width=mosaic.shape[-1] * scale)


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
