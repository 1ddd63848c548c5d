"""Rate-distortion plots of several models, and the placement of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from vae_explorer.figures.style import (
    LEGEND,
    QUIET,
    TEXT,
    Template,
    axis,
    base_layout,
    escape_markup,
)

Kind = Literal["vae", "autoencoder", "run"]
Range = tuple[float, float]
Box = tuple[float, float, float, float]

_MARKS: dict[Kind, tuple[str, str]] = {
    "vae": ("circle", "VAE"),
    "autoencoder": ("diamond", "Autoencoder"),
    "run": ("triangle-up", "Run without a saved model"),
}
"""Symbol, and what the legend calls it."""
_BESIDE = 3  # of them in the narrow strip
_NO_RATE = 0.16  # share of the width
_SUM = "−ELBO {:g}"
_HOVER = (
    "<b>%{hovertext}</b><br>Rate %{x:.3g}, distortion %{y:.3g} nats<br>"
    "−ELBO %{customdata[1]:.4g} nats, β = %{customdata[0]:.3g}<extra></extra>"
)
_HOVER_NO_RATE = "<b>%{hovertext}</b><br>Distortion %{y:.3g} nats, no rate<extra></extra>"

_SIDES = {
    "middle right": (0.0, -0.5),
    "middle left": (-1.0, -0.5),
    "top center": (-0.5, 0.35),
    "bottom center": (-0.5, -1.35),
    "top right": (0.0, 0.1),
    "top left": (-1.0, 0.1),
    "bottom right": (0.0, -1.1),
    "bottom left": (-1.0, -1.1),
}
"""Plotly's text positions: the label's lower left corner, in its widths and heights."""
LETTER, LINE = 0.0115, 0.05
_GAP = 0.022
"""A letter's width, a line's height and the mark's radius, as shares of a figure's sides."""
_OUTSIDE = 10.0  # what it costs to leave the figure, against covering all of another label
_COVERED = 0.25  # share of a label that may lie on others


@dataclass(frozen=True)
class _Models:
    names: NDArray[np.str_]
    rate: NDArray[np.float64]
    distortion: NDArray[np.float64]
    beta: NDArray[np.float64]
    kinds: NDArray[np.str_]

    def take(self, chosen: NDArray[np.bool_]) -> _Models:
        return _Models(*(column[chosen] for column in vars(self).values()))


def rate_distortion_figure(
    names: Sequence[str],
    rate: ArrayLike,
    distortion: ArrayLike,
    *,
    beta: ArrayLike,
    kinds: Sequence[Kind],
    sums: bool = True,
    template: Template = "light",
    height: int = 440,
) -> go.Figure:
    """Draw each model at its KL (right) and its reconstruction term (up), coloured by β.

    A name is written where there is room; the pointer reads all. A model without a rate stands
    at its distortion in a strip of its own at the right.

    Parameters
    ----------
    names : sequence of n str
    rate : (n,)
        KL in nats per image; NaN where there is none.
    distortion : (n,)
        -log p(x|z) in nats per image.
    beta : (n,)
        Weight of the KL term in training; NaN where there is none.
    kinds : sequence of n str
        Each one's mark.
    sums : bool
        Join points of equal −ELBO, the sum of both, by faint lines: where one sum can be compared
        with another.
    template : {"light", "dark"}
    height : int
        In pixels.

    Returns
    -------
    plotly.graph_objects.Figure

    References
    ----------
    Alemi, Poole, Fischer, Dillon, Saurous & Murphy 2018, "Fixing a Broken ELBO"
    (https://arxiv.org/abs/1711.00464).
    """
    models = _Models(
        np.array([escape_markup(name) for name in names], np.str_),
        np.asarray(rate, np.float64),
        np.asarray(distortion, np.float64),
        np.asarray(beta, np.float64),
        np.array(kinds, np.str_),
    )
    has_rate = np.isfinite(models.rate)
    rated, others = models.take(has_rate), models.take(~has_rate)
    both = bool(has_rate.any() and not has_rate.all())
    figure = make_subplots(
        cols=2 if both else 1,
        shared_yaxes=True,
        horizontal_spacing=0.02,
        column_widths=[1 - _NO_RATE, _NO_RATE] if both else [1],
    )
    figure.update_layout(base_layout(template, height))
    y_range = _limits(models.distortion)
    if has_rate.any():
        x_range = (0.0, 1.15 * max(float(rated.rate.max()), 1e-3))
        taken = _draw_equal_sums(figure, x_range, y_range, template) if sums else []
        _draw_rated(figure, rated, taken, (x_range, y_range), template)
        x_axis = axis(template, "Rate: KL divergence, nats per image")
        figure.update_xaxes(x_axis, range=x_range, zeroline=False, col=1)
    if len(others.names):
        _draw_others(figure, others, template, 2 if both else 1)
    figure.update_yaxes(axis(template), range=y_range, zeroline=False)
    figure.update_yaxes(title_text="Distortion: reconstruction error, nats per image", col=1)
    return figure.update_layout(showlegend=len(set(kinds)) > 1, legend=LEGEND)


def place_labels(
    spots: ArrayLike, labels: Sequence[str], taken: Sequence[ArrayLike] = ()
) -> list[str | None]:
    """Choose on which side of its point each label is written.

    One after the other takes the side on which it covers the least of other labels and points
    and leaves the figure the least; with equal cost, right before left before above.

    Parameters
    ----------
    spots : (n, 2)
        Points in the unit square, up is larger.
    labels : sequence of n str
    taken : sequence of (4,)
        x0, y0, x1, y1 of what is written already.

    Returns
    -------
    list of str or None
        Plotly's `textposition` of each; None where there is no room for it.
    """
    points = np.asarray(spots, np.float64).reshape(-1, 2)
    half = np.array([_GAP / 2, _GAP])
    marks = [np.concatenate([point - half, point + half]) for point in points]
    boxes = [np.asarray(box, np.float64) for box in taken]
    sides: list[str | None] = []
    for number, (point, label) in enumerate(zip(points, labels, strict=True)):
        others = [*marks[:number], *marks[number + 1 :], *boxes]
        size = np.array([LETTER * len(label), LINE])
        costs, places = [], []
        for across, up in _SIDES.values():
            beside = {0.0: _GAP, -1.0: -_GAP}.get(across, 0.0)
            low = point + [beside, 0.0] + size * [across, up]
            box = np.concatenate([low, low + size])
            places.append(box)
            covered = sum(_overlap(box, other) for other in others)
            inside = _overlap(box, np.array([0.0, 0.0, 1.0, 1.0]))
            costs.append(covered + _OUTSIDE * (float(size.prod()) - inside))
        best = int(np.argmin(np.round(costs, 9)))
        if costs[best] > _COVERED * float(size.prod()):
            sides.append(None)
            continue
        boxes.append(places[best])
        sides.append(list(_SIDES)[best])
    return sides


def _draw_rated(
    figure: go.Figure,
    models: _Models,
    taken: Sequence[Box],
    window: tuple[Range, Range],
    template: Template,
) -> None:
    low, high = np.transpose(window)
    spots = np.stack([models.rate, models.distortion], axis=1)
    boxes = ((np.reshape(taken, (-1, 2, 2)) - low) / (high - low)).reshape(-1, 4)
    sides = place_labels((spots - low) / (high - low), models.names.tolist(), list(boxes))
    written = np.array(["" if s is None else n for s, n in zip(sides, models.names, strict=True)])
    position = np.array([side or "middle right" for side in sides])
    heat = _logarithm(models.beta)
    for kind in _MARKS:
        chosen = models.kinds == kind
        if not chosen.any():
            continue
        some = models.take(chosen)
        figure.add_scatter(
            x=some.rate,
            y=some.distortion,
            text=written[chosen],
            hovertext=some.names,
            name=_MARKS[kind][1],
            mode="markers+text",
            textposition=position[chosen],
            textfont={"size": 12},
            cliponaxis=False,
            hovertemplate=_HOVER,
            customdata=np.stack([some.beta, some.rate + some.distortion], axis=1),
            marker={**_mark(kind, template), "color": heat[chosen], "coloraxis": "coloraxis"},
            row=1,
            col=1,
        )
    figure.update_layout(coloraxis=_colour_axis(models.beta, heat))


def _draw_others(figure: go.Figure, models: _Models, template: Template, column: int) -> None:
    """Draw what has no rate, at its distortion."""
    few = len(models.names) <= _BESIDE
    for kind in _MARKS:
        some = models.take(models.kinds == kind)
        if not len(some.names):
            continue
        figure.add_scatter(
            x=["No rate"] * len(some.names),
            y=some.distortion,
            hovertext=some.names,
            text=[name.replace(", ", ",<br>") for name in some.names],
            textposition="top center",
            textfont={"size": 12},
            mode="markers+text" if few else "markers",
            cliponaxis=False,
            hovertemplate=_HOVER_NO_RATE,
            name=_MARKS[kind][1],
            marker={**_mark(kind, template), "color": QUIET[template]},
            row=1,
            col=column,
        )
    figure.update_xaxes(axis(template), type="category", zeroline=False, col=column)


def _draw_equal_sums(figure: go.Figure, x: Range, y: Range, template: Template) -> list[Box]:
    """Draw lines of equal x + y through the window; return where their sums are written.

    Below the right end of a line, or above its left end where it does not get there: between
    these two is where models stand.
    """
    boxes = []
    width, height = LETTER * len(_SUM) * (x[1] - x[0]), LINE * (y[1] - y[0])
    step = _round_step((x[1] + y[1] - x[0] - y[0]) / 9)
    first, last = np.ceil((x[0] + y[0]) / step), np.floor((x[1] + y[1]) / step)
    for total in step * np.arange(max(first, 1), last + 1):
        left, right = max(x[0], total - y[1]), min(x[1], total - y[0])
        figure.add_scatter(
            x=[left, right],
            y=[total - left, total - right],
            mode="lines",
            hoverinfo="skip",
            line={"color": QUIET[template], "width": 1, "dash": "dot"},
            showlegend=False,
            opacity=0.6,
            row=1,
            col=1,
        )
        below = total - right - height
        at_right = right == x[1] and below >= y[0]
        end, side = (right, "right") if at_right else (left, "left")
        figure.add_annotation(
            x=end,
            y=total - end,
            text=_SUM.format(total),
            showarrow=False,
            xanchor=side,
            yanchor="top" if at_right else "bottom",
            row=1,
            col=1,
            font={"size": 11, "color": QUIET[template]},
        )
        corner = (right - width, below) if at_right else (left, total - left)
        boxes.append((*corner, corner[0] + width, corner[1] + height))
    return boxes


def _mark(kind: Kind, template: Template) -> dict[str, object]:
    # Outlined in the colour of text: either end of the scale is too near to one of the pages.
    outline = {"width": 1.5, "color": TEXT[template]}
    return {"symbol": _MARKS[kind][0], "size": 14, "line": outline}


def _colour_axis(beta: NDArray[np.float64], heat: NDArray[np.float64]) -> dict[str, object]:
    """Return the colours of β on a logarithmic scale, with the very β as ticks."""
    values, first = np.unique(beta, return_index=True)
    some = np.unique(np.linspace(0, len(values) - 1, min(len(values), 7)).round().astype(int))
    low, high = float(heat.min()), float(heat.max())
    return {
        "colorscale": "Viridis",
        "cmin": low if high > low else low - 1,
        "cmax": high if high > low else high + 1,
        "showscale": high > low,
        "colorbar": {
            "title": {"text": "β"},
            "thickness": 12,
            "len": 0.8,
            "ticks": "outside",
            "tickvals": heat[first][some].tolist(),
            "ticktext": [f"{value:.3g}" for value in values[some]],
        },
    }


def _logarithm(beta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log10 of β; a β of 0 stands a decade below the smallest of the others."""
    positive = beta[beta > 0]
    return np.log10(np.maximum(beta, positive.min() / 10 if len(positive) else 1.0))


def _limits(values: NDArray[np.float64]) -> Range:
    low, high = float(values.min()), float(values.max())
    margin = 0.15 * max(high - low, 0.02 * abs(high), 0.1)
    return low - margin, high + margin


def _round_step(step: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `step`."""
    power = 10 ** np.floor(np.log10(step))
    return float(next(k * power for k in (1, 2, 5, 10) if k * power >= step * (1 - 1e-9)))


def _overlap(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the area that two boxes (x0, y0, x1, y1) share."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))
