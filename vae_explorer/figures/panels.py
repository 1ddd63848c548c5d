"""Small maps of several models beside each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from vae_explorer.figures.style import CLASS_COLOURS, TEXT, Template, axis, base_layout

_COLUMNS = 2
_ANGLES = np.linspace(0, 2 * np.pi, 61)


def panels_figure(
    points: Mapping[str, ArrayLike],
    classes: ArrayLike | Mapping[str, ArrayLike],
    *,
    half_side: float | None = None,
    unit_square: bool = False,
    template: Template = "light",
    height: int = 262,
) -> go.Figure:
    """Draw the points of each model on a map of its own.

    Parameters
    ----------
    points : mapping of str to (n, 2)
        By what is written over the map.
    classes : (n,) int, or mapping of str to (n,) int
        The colour of each point, an index into `CLASS_COLOURS` (modulo their number); one for all
        models, or one each.
    half_side : float, optional
        Half the side of every map, around 0; by default each is as large as its points need.
    height : int
        Of one row of two maps, in pixels.
    unit_square : bool
        The points are p-values; else the prior's circles of 1, 2 and 3 σ are drawn.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    rows = -(-len(points) // _COLUMNS)
    figure = make_subplots(
        rows=rows,
        cols=_COLUMNS,
        subplot_titles=list(points),
        horizontal_spacing=0.06,
        vertical_spacing=0.1,
    )
    figure.update_layout(base_layout(template, rows * height), showlegend=False)
    figure.update_layout(margin={"t": 28})
    colours = np.array(CLASS_COLOURS)
    for k, (name, coordinates) in enumerate(points.items()):
        place = {"row": k // _COLUMNS + 1, "col": k % _COLUMNS + 1}
        each = np.asarray(classes[name] if isinstance(classes, Mapping) else classes)
        x, y = np.asarray(coordinates, np.float32).T
        marker = {"size": 3, "color": colours[each % len(colours)]}
        figure.add_scattergl(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip", **place)
        figure.update_yaxes(scaleanchor="x" if k == 0 else f"x{k + 1}", **place)
        if unit_square:
            figure.update_xaxes(range=(-0.02, 1.02), **place)
            figure.update_yaxes(range=(-0.02, 1.02), **place)
            continue
        if half_side is not None:
            figure.update_xaxes(range=(-half_side, half_side), **place)
            figure.update_yaxes(range=(-half_side, half_side), **place)
        for sigma in (1, 2, 3):
            figure.add_scatter(
                x=sigma * np.cos(_ANGLES),
                y=sigma * np.sin(_ANGLES),
                mode="lines",
                line={"color": TEXT[template], "width": 2 if sigma == 1 else 1},
                hoverinfo="skip",
                **place,
            )
    figure.update_xaxes(axis(template), constrain="domain")
    return figure.update_yaxes(axis(template), constrain="domain")
