"""Mosaic of images as a Plotly figure, with a tooltip per tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from vae_explorer.figures.style import ACCENT, Template, axis, base_layout, escape_markup

_TICKS = 5


def mosaic_figure(
    url: str,
    shape: tuple[int, int],
    tile_size: int,
    *,
    captions: Sequence[str],
    ticks: tuple[Sequence[str], Sequence[str]] = ((), ()),
    axis_names: tuple[str, str] = ("", ""),
    framed: Sequence[int] = (),
    template: Template = "light",
) -> go.Figure:
    """Draw a mosaic whose tiles report clicks by their index, in reading order.

    Parameters
    ----------
    url : str
        The whole image, as `vae_explorer.images.data_url` writes it.
    shape : tuple of two int
        Rows and columns of tiles.
    tile_size : int
        Side of a tile on the screen, in pixels: a whole multiple of the image's keeps it crisp.
    captions : sequence of str
        What the pointer reads, one for each tile; tiles beyond the last one are not there.
    ticks : tuple of two sequences of str
        What stands at the columns, left to right, and at the rows, top to bottom.
    axis_names : tuple of two str
    framed : sequence of int
        Tiles to frame in the accent colour.
    template : {"light", "dark"}

    Returns
    -------
    plotly.graph_objects.Figure
    """
    rows, columns = shape
    y, x = np.divmod(np.arange(len(captions)), columns)
    left, bottom = (64, 48) if any(ticks) else (0, 0)
    figure = go.Figure(layout=base_layout(template, max(10, rows * tile_size + bottom)))
    figure.add_layout_image(
        source=url,
        xref="x",
        yref="y",
        x=0,
        y=0,
        sizex=columns,
        sizey=rows,
        sizing="stretch",
        layer="below",
    )
    invisible = {"marker": {"opacity": 0}}
    figure.add_trace(
        go.Scatter(
            x=x + 0.5,
            y=y + 0.5,
            mode="markers",
            marker={"opacity": 0},
            customdata=np.arange(len(x)),
            text=[escape_markup(caption) for caption in captions],
            hovertemplate="%{text}<extra></extra>",
            selected=invisible,
            unselected=invisible,
        )
    )
    for tile in framed:
        row, column = divmod(tile, columns)
        figure.add_shape(
            type="rect",
            x0=column,
            x1=column + 1,
            y0=row,
            y1=row + 1,
            line={"color": ACCENT, "width": 4},
        )
    return figure.update_layout(
        width=columns * tile_size + left,
        margin={"l": left, "r": 0, "t": 0, "b": bottom, "autoexpand": False},
        xaxis=_tile_axis(template, axis_names[0], ticks[0], [0, columns]),
        yaxis=_tile_axis(template, axis_names[1], ticks[1], [rows, 0]),
        clickmode="event+select",
        dragmode=False,
        hoverdistance=-1,  # the nearest tile, wherever the pointer is
        showlegend=False,
    )


def _tile_axis(
    template: Template, title: str, ticks: Sequence[str], limits: list[int]
) -> dict[str, object]:
    # Some ticks, evenly spread, the first and the last among them.
    even = np.linspace(0, max(len(ticks) - 1, 0), _TICKS).round().astype(int)
    shown = np.unique(even) if ticks else np.zeros(0, int)
    return {
        **axis(template, title),
        "range": limits,
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "tickvals": [float(index) + 0.5 for index in shown],
        "ticktext": [escape_markup(ticks[index]) for index in shown],
        "showticklabels": bool(ticks),
        "automargin": False,
    }
