"""Plotly figures from arrays, in one style for light and dark pages."""

from vae_explorer.figures.comparison import rate_distortion_figure
from vae_explorer.figures.curves import curves_figure, loss_figure
from vae_explorer.figures.dimensions import (
    bars_figure,
    correlation_figure,
    histograms_figure,
    norms_figure,
)
from vae_explorer.figures.maps import panels_figure, scatter_figure
from vae_explorer.figures.mosaic import mosaic_figure
from vae_explorer.figures.style import ACCENT, CLASS_COLOURS, DecodedTiles, Template

__all__ = [
    "ACCENT",
    "CLASS_COLOURS",
    "DecodedTiles",
    "Template",
    "bars_figure",
    "correlation_figure",
    "curves_figure",
    "histograms_figure",
    "loss_figure",
    "mosaic_figure",
    "norms_figure",
    "panels_figure",
    "rate_distortion_figure",
    "scatter_figure",
]
