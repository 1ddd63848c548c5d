"""Style of all figures: colours, fonts, layout, and the marks that several of them share."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

Template = Literal["light", "dark"]
"""The theme of the page on which a figure stands."""

CLASS_COLOURS = (
    "#6489ec",  # blue
    "#f86509",  # orange
    "#24a93a",  # green
    "#d50a28",  # red
    "#7356a8",  # purple
    "#9a7b73",  # brown
    "#fc51a4",  # pink
    "#636363",  # grey
    "#536c00",  # olive
    "#2aa0b2",  # teal
)
"""Colour of class k, on every page. Found by a search: a contrast of 3 : 1 to the page,
light or dark, and the nearest two far apart also for eyes without red or green cones."""

ACCENT = "#6b53fc"
"""What can be touched, and what has been: no class wears it. 4.5 : 1 on white, 3 : 1 on dark."""

# The two themes of the app, in .streamlit/config.toml: a test holds the two places together.
TEXT = {"light": "#1d1d22", "dark": "#ececf0"}
PAPER = {"light": "#ffffff", "dark": "#15161a"}
GRID = {"light": "rgba(29, 29, 34, 0.10)", "dark": "rgba(236, 236, 240, 0.13)"}
QUIET = {"light": "rgba(29, 29, 34, 0.65)", "dark": "rgba(236, 236, 240, 0.65)"}

LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemsizing": "constant"}
"""Above a figure, from its left edge on."""


def base_layout(template: Template, height: int) -> go.Layout:
    """Lay out a transparent figure in the page's type, `height` pixels high."""
    return go.Layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={
            "family": "'Source Sans', 'Source Sans Pro', sans-serif",
            "size": 14,
            "color": TEXT[template],
        },
        hoverlabel={"font": {"size": 14}},
        modebar={
            "orientation": "v",  # a row of buttons would lie on the legend
            "bgcolor": "rgba(0,0,0,0)",
            "color": QUIET[template],
            "activecolor": ACCENT,
        },
    )


def axis(template: Template, title: str = "") -> dict[str, object]:
    """Draw an axis as faint grid lines and numbers, no frame; the margin grows to fit them."""
    return {
        "title": {"text": title, "standoff": 6},
        "gridcolor": GRID[template],
        "zerolinecolor": GRID[template],
        "zerolinewidth": 2,
        "showline": False,
        "automargin": True,
    }


@dataclass(frozen=True)
class DecodedTiles:
    """One mosaic of decoded images, and where it lies.

    Parameters
    ----------
    url : str
        The image, as `vae_explorer.images.data_url` writes it.
    x0, x1, y0, y1 : float
        Its left, right, lower and upper edge in what the axes show: z or p-values.
    """

    url: str
    x0: float
    x1: float
    y0: float
    y1: float


def lay_under(tiles: DecodedTiles) -> go.layout.Image:
    """Stretch a mosaic over its place, below all points."""
    return go.layout.Image(
        source=tiles.url,
        xref="x",
        yref="y",
        x=tiles.x0,
        y=tiles.y1,
        sizex=tiles.x1 - tiles.x0,
        sizey=tiles.y1 - tiles.y0,
        sizing="stretch",
        layer="below",
    )


def escape_markup(text: str) -> str:
    """Escape a name that somebody chose: Plotly reads tags in names, ticks and captions."""
    return escape(text, quote=False)


def draw_outline(points: NDArray[np.floating], colour: str, width: float) -> go.layout.Shape:
    """Draw a closed line through points (m, 2)."""
    path = " L ".join(f"{x:.6g},{y:.6g}" for x, y in points)
    return go.layout.Shape(type="path", path=f"M {path} Z", line={"color": colour, "width": width})


def draw_ring(
    centre: NDArray[np.floating], radius: int, colour: str, width: float
) -> go.layout.Shape:
    """Ring a point (2,) at a size in pixels: a shape takes no click from the points under it."""
    return go.layout.Shape(
        type="circle",
        xsizemode="pixel",
        ysizemode="pixel",
        xanchor=float(centre[0]),
        yanchor=float(centre[1]),
        x0=-radius,
        x1=radius,
        y0=-radius,
        y1=radius,
        line={"color": colour, "width": width},
    )


def write_label(point: NDArray[np.floating], text: str, template: Template) -> go.layout.Annotation:
    """Write on a patch of the page's colour, so that it is read over points too."""
    return go.layout.Annotation(
        x=float(point[0]),
        y=float(point[1]),
        text=text,
        showarrow=False,
        font={"size": 12},
        bgcolor=PAPER[template],
        opacity=0.8,
    )
