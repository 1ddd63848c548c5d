"""Scatter plots of encodings: the latent map, and the maps of several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from vae_explorer.figures.style import (
    ACCENT,
    CLASS_COLOURS,
    PAPER,
    QUIET,
    TEXT,
    DecodedTiles,
    Template,
    axis,
    base_layout,
    draw_outline,
    draw_ring,
    escape_markup,
    lay_under,
    write_label,
)
from vae_explorer.latent.interpolation import to_p_values

Points = NDArray[np.floating]

# Shapes take over where the colours run out: classes 10 to 19 are diamonds, and so on.
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
_OPACITY = 0.85
_ANGLES = np.linspace(0, 2 * np.pi, 97)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_DIAGONAL = 12  # the point of the circle at 45°: there its images are apart in p-values too

_COLUMNS = 2


def scatter_figure(
    points: ArrayLike,
    labels: ArrayLike | None = None,
    label_names: Sequence[str] = (),
    *,
    axis_names: tuple[str, str],
    rows: ArrayLike | None = None,
    pinned: ArrayLike | None = None,
    ellipses: Sequence[ArrayLike] = (),
    neighbours: ArrayLike | None = None,
    prior_rings: bool = False,
    samples: ArrayLike | None = None,
    tiles: DecodedTiles | None = None,
    p_values: bool = False,
    dragmode: Literal["pan", "zoom", "select", "lasso"] = "pan",
    template: Template = "light",
    height: int = 560,
) -> go.Figure:
    """Draw encodings on a plane.

    All coordinates are the plane's; `p_values` maps them, all but those of the tiles. Zoom and
    hidden classes survive a redraw as long as the axes and the classes stay the same.

    Parameters
    ----------
    points : (n, 2)
        Where the encodings lie.
    labels : (n,) int, optional
        Class of each point; one trace, colour and legend entry a class.
    label_names : sequence of str
        Name of class 0, 1, …
    axis_names : tuple of two str
        Such as a plane's `names`.
    rows : (n,) int, optional
        What the points carry as `customdata`, and nothing else does; 0 to n - 1 by default.
    pinned : (2,), optional
        A point to ring.
    ellipses : sequence of (m, 2)
        Outlines around it.
    neighbours : (k, 2), optional
        Points to ring thinly.
    prior_rings : bool
        Draw 1, 2 and 3 σ of the prior.
    samples : (m, 2), optional
        Points to draw as hollow markers.
    tiles : DecodedTiles, optional
        Images under the points.
    p_values : bool
        Show the normal CDF of each coordinate, on the unit square.
    dragmode : {"pan", "zoom", "select", "lasso"}
        What a drag does; Plotly reports clicks on points in the first two only.
    template : {"light", "dark"}
        The page's theme.
    height : int
        In pixels.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ValueError
        If a label has no name, or there is not one label and one row for each point.
    """

    def place(coordinates: ArrayLike) -> Points:
        plane = np.asarray(coordinates, np.float32).reshape(-1, 2)
        return to_p_values(plane).astype(np.float32) if p_values else plane

    shown = place(points)
    names = [f"Φ({name})" if p_values else name for name in axis_names]
    extent = [shown]
    figure = go.Figure(layout=base_layout(template, height))
    figure.add_traces(_class_traces(shown, labels, label_names, rows, dragmode))
    if samples is not None:
        figure.add_trace(_sample_trace(place(samples), template))
    if tiles is not None:
        figure.add_layout_image(lay_under(tiles))
        extent.append(np.array([[tiles.x0, tiles.y0], [tiles.x1, tiles.y1]]))
    if prior_rings:
        rings = [place(n_sigma * _CIRCLE) for n_sigma in (1, 2, 3)]
        _add_prior_contours(figure, rings, template)
        extent.extend(rings)
    for outline in ellipses:
        figure.add_shape(draw_outline(place(outline), ACCENT, 2))
    for point in place(() if neighbours is None else neighbours):
        figure.add_shape(draw_ring(point, 4, TEXT[template], 1))
    for point in place(() if pinned is None else pinned):
        figure.add_shape(draw_ring(point, 10, PAPER[template], 6))
        figure.add_shape(draw_ring(point, 10, ACCENT, 3))
    x_range, y_range = [(-0.02, 1.02)] * 2 if p_values else _limits(np.concatenate(extent))
    return figure.update_layout(
        xaxis={**axis(template, names[0]), "range": x_range},
        yaxis={**axis(template, names[1]), "range": y_range, "scaleanchor": "x"},
        dragmode=dragmode,
        showlegend=labels is not None or samples is not None,
        legend={
            "orientation": "h",
            "y": 1.01,
            "yanchor": "bottom",
            "itemsizing": "constant",
            "uirevision": " ".join(label_names),
        },
        uirevision=" ".join(names),
    )


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
                x=sigma * _CIRCLE[:, 0],
                y=sigma * _CIRCLE[:, 1],
                mode="lines",
                line={"color": TEXT[template], "width": 2 if sigma == 1 else 1},
                hoverinfo="skip",
                **place,
            )
    figure.update_xaxes(axis(template), constrain="domain")
    return figure.update_yaxes(axis(template), constrain="domain")


def _class_traces(
    points: Points,
    labels: ArrayLike | None,
    label_names: Sequence[str],
    rows: ArrayLike | None,
    dragmode: str,
) -> list[go.Scattergl]:
    classes = np.zeros(len(points), int) if labels is None else np.asarray(labels)
    row_ids = np.arange(len(points)) if rows is None else np.asarray(rows)
    names = ["Encodings"] if labels is None else label_names
    if classes.shape != (len(points),) or row_ids.shape != (len(points),):
        raise ValueError(
            f"{len(points)} points need one label and one row each; "
            f"found {classes.shape} labels and {row_ids.shape} rows."
        )
    if len(points) and not 0 <= classes.min() <= classes.max() < len(names):
        raise ValueError(
            f"Labels run from {classes.min()} to {classes.max()}, "
            f"but there are {len(names)} label names."
        )
    # A lasso fades what it leaves out; a click, which pans or zooms otherwise, fades nothing.
    left_out = 0.12 if dragmode in ("select", "lasso") else _OPACITY
    return [
        go.Scattergl(
            x=points[classes == k, 0],
            y=points[classes == k, 1],
            customdata=row_ids[classes == k],
            name=escape_markup(names[k]),
            mode="markers",
            marker={
                "color": CLASS_COLOURS[k % len(CLASS_COLOURS)],
                "symbol": _SYMBOLS[k // len(CLASS_COLOURS) % len(_SYMBOLS)],
                "size": float(np.clip(40 / len(points) ** 0.25, 4, 9)),
                "opacity": _OPACITY,
            },
            unselected={"marker": {"opacity": left_out}},
            hovertemplate="%{fullData.name}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
        )
        for k in np.unique(classes)
    ]


def _sample_trace(points: Points, template: Template) -> go.Scattergl:
    return go.Scattergl(
        x=points[:, 0],
        y=points[:, 1],
        name="Samples",
        mode="markers",
        # Filled with the page's colour: an open symbol would vanish among points and tiles.
        marker={
            "size": 7,
            "color": PAPER[template],
            "line": {"width": 1.5, "color": TEXT[template]},
        },
        hoverinfo="skip",
    )


def _add_prior_contours(figure: go.Figure, rings: Sequence[Points], template: Template) -> None:
    for n_sigma, ring in enumerate(rings, start=1):
        figure.add_shape(draw_outline(ring, QUIET[template], 1))
        figure.add_annotation(write_label(ring[_DIAGONAL], f"{n_sigma}σ", template))


def _limits(points: Points) -> list[tuple[float, float]]:
    """Take in all points with a margin of a twentieth; the unit square where there are none."""
    if not len(points):
        return [(-1, 1), (-1, 1)]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-3)
    return [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]
