"""What is laid over or under the points of a figure: outlines, rings, labels, pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from vae_explorer.figures.style import PAPER, Template


@dataclass(frozen=True)
class DecodedTiles:
    """One mosaic of decoded pictures, and where it lies.

    Parameters
    ----------
    url : str
        The picture, as `vae_explorer.images.data_url` writes it.
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
