"""Curves over epochs: the loss and its two parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from vae_explorer.figures.style import ACCENT, QUIET, TEXT, Template, axis, base_layout

_PANELS = {"loss": "Loss", "reconstruction": "Reconstruction", "kl": "KL"}


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
    figure.update_xaxes(title_text="epoch", row=len(names), col=1)
    return figure.update_layout(showlegend=False, hovermode="x unified", margin={"t": 28, "r": 84})


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
    margin = 0.06 * max(float(np.ptp(settled)), 0.1)
    figure.update_yaxes(range=[settled.min() - margin, settled.max() + margin], row=row, col=1)
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
