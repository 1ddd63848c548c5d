"""Curves over epochs: a loss and its two parts, or one quantity of several models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from vae_explorer.figures.style import (
    ACCENT,
    CLASS_COLOURS,
    LEGEND,
    QUIET,
    TEXT,
    Template,
    axis,
    base_layout,
    escape_markup,
)

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_FEW_EPOCHS = 10  # whose ticks are whole epochs
_PANELS = {"loss": "Loss", "reconstruction": "Reconstruction error", "kl": "KL divergence"}


def loss_figure(
    history: Mapping[str, NDArray[np.floating]], *, template: Template = "light", height: int = 480
) -> go.Figure:
    """Draw a training's history: loss, reconstruction and KL, one under the other.

    Parameters
    ----------
    history : mapping of str to (epochs,)
        Columns "epoch", and "train_" and "validation_" followed by "loss", "reconstruction" and
        "kl", in nats per image. A KL that is zero throughout (a plain autoencoder's) is left
        out, and the reconstruction with it: it is the loss.
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
        If a column is missing, or there is no epoch.
    """
    columns = ["epoch", *(f"{part}_{name}" for name in _PANELS for part in ("train", "validation"))]
    missing = [column for column in columns if column not in history]
    if missing:
        raise ValueError(f"This history lacks the columns {', '.join(missing)}.")
    if not len(history["epoch"]):
        raise ValueError("This history has no epoch yet: there is no curve to draw.")
    names = list(_PANELS) if np.any(history["train_kl"]) else ["loss"]
    figure = make_subplots(rows=len(names), shared_xaxes=True, vertical_spacing=0.12)
    figure.update_layout(base_layout(template, height))
    for row, name in enumerate(names, start=1):
        _draw_panel(figure, row, name, history, template)
        figure.update_yaxes(axis(template), nticks=5, row=row, col=1)
    figure.update_xaxes(axis(template), showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="Epoch", row=len(names), col=1)
    if len(history["epoch"]) <= _FEW_EPOCHS:
        figure.update_xaxes(dtick=1)  # there is no epoch 1.5
    return figure.update_layout(showlegend=False, hovermode="x unified", margin={"t": 28, "r": 84})


def curves_figure(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    colours: Mapping[str, int],
    x_title: str,
    y_title: str,
    template: Template = "light",
    height: int = 440,
) -> go.Figure:
    """Lay curves over one another; the legend switches them on and off.

    Parameters
    ----------
    curves : mapping of str to two (epochs,)
        x and y by the model's name.
    colours : mapping of str to int
        Of each name: its place among the class colours, then among the dashes.
    x_title, y_title : str
    """
    figure = go.Figure(layout=base_layout(template, height))
    settled = []
    for name, (x, y) in curves.items():
        values = np.asarray(y, np.float64)
        dash, colour = divmod(colours[name], len(CLASS_COLOURS))
        figure.add_scatter(
            x=np.asarray(x, np.float64),
            y=values,
            name=escape_markup(name),
            mode="lines" if len(values) > 1 else "markers",
            line={"color": CLASS_COLOURS[colour], "dash": _DASHES[dash % len(_DASHES)], "width": 2},
            hovertemplate="%{y:.4g} at %{x:.3g}<extra>%{fullData.name}</extra>",
        )
        # The first epochs fall so far that they would flatten the rest; autoscale shows all.
        settled.append(values[len(values) // 10 :])
    figure.update_xaxes(axis(template, x_title), showgrid=False, zeroline=False)
    figure.update_yaxes(axis(template, y_title), zeroline=False)
    if settled:
        figure.update_yaxes(range=_fit(np.concatenate(settled)))
    return figure.update_layout(showlegend=True, legend=LEGEND)


def _draw_panel(
    figure: go.Figure,
    row: int,
    name: str,
    history: Mapping[str, NDArray[np.floating]],
    template: Template,
) -> None:
    epochs = history["epoch"]
    curves = {part: history[f"{part}_{name}"] for part in ("train", "validation")}
    colours = {"train": QUIET[template], "validation": ACCENT}
    # The label of the upper end stands above it, the other below: they never meet.
    upper = max(curves, key=lambda part: float(curves[part][-1]))
    mode = "lines" if len(epochs) > 1 else "markers"
    for part, values in curves.items():
        figure.add_scatter(
            x=epochs,
            y=values,
            mode=mode,
            name=part,
            line={"color": colours[part], "width": 2},
            hovertemplate="%{y:.2f}",
            row=row,
            col=1,
        )
        figure.add_annotation(
            x=epochs[-1],
            y=values[-1],
            text=part,
            font={"color": TEXT[template], "size": 13},
            showarrow=False,
            xanchor="left",
            yanchor="bottom" if part == upper else "top",
            row=row,
            col=1,
        )
    # The first epochs fall so far that they would flatten the rest: the axis fits what follows,
    # and Plotly's autoscale shows all.
    settled = np.concatenate([values[len(epochs) // 10 :] for values in curves.values()])
    figure.update_yaxes(range=_fit(settled), row=row, col=1)
    figure.add_annotation(
        xref="paper",
        x=0,
        yref="y domain" if row == 1 else f"y{row} domain",
        y=1,
        text=f"{_PANELS[name]}, nats per image",
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
    )


def _fit(values: NDArray[np.floating]) -> tuple[float, float]:
    margin = 0.06 * max(float(np.ptp(values)), 0.1)
    return float(values.min()) - margin, float(values.max()) + margin
