"""Figures of latent dimensions: KL, histograms against N(0, 1), norms, correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from scipy.stats import chi, norm

from vae_explorer.figures.style import (
    ACCENT,
    CLASS_COLOURS,
    QUIET,
    TEXT,
    Template,
    axis,
    base_layout,
    escape_markup,
)

_COLUMNS = 10
_BINS = np.linspace(-4, 4, 33)
_STRAYS = CLASS_COLOURS[1]


def bars_figure(
    values: NDArray[np.floating],
    names: Sequence[str],
    title: str,
    *,
    template: Template = "light",
    height: int = 300,
) -> go.Figure:
    """Draw a bar for each dimension, in the order given.

    Parameters
    ----------
    values : (d,)
    names : sequence of d str
    title : str
        Of the values.
    """
    figure = go.Figure(layout=base_layout(template, height))
    figure.add_bar(
        x=list(names), y=values, marker_color=ACCENT, hovertemplate="%{x}: %{y:.3g}<extra></extra>"
    )
    figure.update_xaxes(axis(template, "Dimension, largest first"), type="category", nticks=12)
    return figure.update_yaxes(axis(template, title))


def histograms_figure(
    z: NDArray[np.floating],
    names: Sequence[str],
    strays: NDArray[np.bool_],
    *,
    template: Template = "light",
    height: int = 420,
) -> go.Figure:
    """Draw the values of each dimension as a small histogram, with N(0, 1) as a line over it.

    Parameters
    ----------
    z : (n, d)
        Latents; a dimension is a column.
    names : sequence of d str
    strays : (d,) bool
        Dimensions to be marked.
    """
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes=True,
        shared_yaxes=True,
        subplot_titles=names,
        horizontal_spacing=0.01,
        vertical_spacing=min(0.08, 0.4 / rows),
    )
    figure.update_layout(base_layout(template, height), showlegend=False, bargap=0)
    middles = (_BINS[1:] + _BINS[:-1]) / 2
    for k in range(len(names)):
        density, _ = np.histogram(z[:, k], _BINS)
        place = {"row": k // columns + 1, "col": k % columns + 1}
        figure.add_bar(
            x=middles,
            y=density / len(z) / np.diff(_BINS),
            hoverinfo="skip",
            marker_color=_STRAYS if strays[k] else ACCENT,
            **place,
        )
        figure.add_scatter(
            x=middles,
            y=norm.pdf(middles),
            mode="lines",
            hoverinfo="skip",
            line={"color": TEXT[template], "width": 1},
            **place,
        )
    figure.update_xaxes(visible=False).update_yaxes(visible=False, range=[0, 0.7])
    figure.update_annotations(font_size=11)
    return figure.update_layout(margin={"t": 20})


def norms_figure(
    norms: Mapping[str, NDArray[np.floating]],
    marks: Mapping[str, float],
    latent_dim: int,
    *,
    template: Template = "light",
    height: int = 300,
) -> go.Figure:
    """Draw how far from the origin latents lie, beside samples of N(0, I).

    Parameters
    ----------
    norms : mapping of str to (n,)
        Lengths of latents, by what they are.
    marks : mapping of str to float
        Single lengths, drawn as lines.
    """
    figure = go.Figure(layout=base_layout(template, height))
    reach = max(float(values.max()) for values in norms.values())
    reach = 1.05 * max(reach, chi.ppf(0.9999, latent_dim))
    edges = np.linspace(0, reach, 81)
    middles = (edges[1:] + edges[:-1]) / 2
    for (name, values), colour in zip(norms.items(), (ACCENT, *CLASS_COLOURS[3:]), strict=False):
        share, _ = np.histogram(values, edges)
        figure.add_bar(
            x=middles,
            y=share / len(values) / np.diff(edges),
            name=name,
            marker_color=colour,
            opacity=0.6,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=middles,
        y=chi.pdf(middles, latent_dim),
        mode="lines",
        name="N(0, I)",
        hoverinfo="skip",
        line={"color": TEXT[template], "width": 2},
    )
    for name, length in marks.items():
        figure.add_vline(
            x=length, line={"color": QUIET[template], "dash": "dot"}, annotation_text=name
        )
    figure.update_layout(barmode="overlay", bargap=0, legend={"orientation": "h", "y": 1.15})
    figure.update_xaxes(axis(template, "Norm of z"), range=[0, reach])
    return figure.update_yaxes(axis(template, "Density"))


def correlation_figure(
    r: NDArray[np.floating],
    dimensions: Sequence[str],
    classes: Sequence[str],
    *,
    template: Template = "light",
    height: int = 420,
) -> go.Figure:
    """Draw correlations (d, k) as a field of colours."""
    figure = go.Figure(layout=base_layout(template, height))
    figure.add_heatmap(
        z=r,
        x=[escape_markup(name) for name in classes],
        y=list(dimensions),
        zmin=-1,
        zmax=1,
        colorscale="RdBu_r",
        colorbar={"title": "r", "thickness": 12},
        hovertemplate="%{y} and %{x}: r = %{z:.2f}<extra></extra>",
    )
    figure.update_xaxes(axis(template), type="category", tickangle=-45, showgrid=False)
    return figure.update_yaxes(
        axis(template), type="category", autorange="reversed", showgrid=False
    )
