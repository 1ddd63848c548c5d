"""Dimensions: what each of them is used for, and how far all of them are from the prior."""

import numpy as np
import streamlit as st

from vae_explorer.figures import (
    bars_figure,
    correlation_figure,
    histograms_figure,
    norms_figure,
)
from vae_explorer.latent.interpolation import latent_traversal
from vae_explorer.latent.planes import coordinate_plane, dimension_name
from vae_explorer.latent.statistics import ks_distances, sample_posteriors
from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.explore.dimensions import LOOKS, correlate, dimension_strengths, explain
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page, theme
from vae_explorer.ui.stage.sliders import show_sliders
from vae_explorer.ui.stage.tiles import PlaneTiles, Setting
from vae_explorer.ui.stage.views import row_scale, show_grid, show_image_row
from vae_explorer.ui.widgets import select

SENTENCE = (
    "How much information each latent dimension carries. Drag a slider to see what it encodes."
)
LIVE, SHOWN, STEPS, STRAYS = 6, 50, 9, 0.1
SIDE = 230  # pixels on the screen

checkpoint = current_checkpoint()
card, encodings = checkpoint.card, checkpoint.encodings
latent_dim = card.model.latent_dim
stage, panel = open_page("Dimensions", SENTENCE)
order, strengths, title = dimension_strengths(checkpoint)
names = [dimension_name(k) for k in order]
strongest = order[:LIVE]
channel = f"dimensions-{card.name}"

with panel:
    picture = st.container()
    settings = [Setting(f"dim{k + 1}", dimension_name(k), -3.0, 3.0, 0.0) for k in strongest]
    values = show_sliders(settings, f"{channel}-sliders", channel)
    others_at_0 = " All other dimensions are 0." if latent_dim > LIVE else ""
    st.caption(f"Double-click a slider to reset it to 0.{others_at_0}")
extent = Setting("extent", "", 1.0, 1.0, 1.0)
others = {s.name: np.eye(latent_dim)[k] for s, k in zip(settings, strongest, strict=True)}
first, second = settings[0].name, settings[1].name
plane = coordinate_plane(latent_dim, strongest[0], strongest[1])
tiles = PlaneTiles(
    plane,
    {name: axis for name, axis in others.items() if name not in (first, second)},
    "linear",
    extent,
    first,
    second,
)
values |= {extent.name: extent.reset}
z = tiles.latents(values, 1)[0]
with picture:
    show_grid(
        tiles,
        channel,
        card,
        values=values,
        height=SIDE,
        description="Image decoded at the values of the sliders",
    )

with stage:
    look = select("look_at", "View", LOOKS)
    if look == "kl":
        figure = bars_figure(strengths[order], names, title, template=theme())
    elif look == "spread":
        drawn = sample_posteriors(encodings.z_mean, encodings.z_log_var)[:, order[:SHOWN]]
        far = ks_distances(drawn)
        figure = histograms_figure(
            drawn,
            [f"{n} {d:.2f}" for n, d in zip(names, far, strict=False)],
            far > STRAYS,
            template=theme(),
        )
    elif look == "length":
        drawn = sample_posteriors(encodings.z_mean, encodings.z_log_var)
        lengths = {"Posterior samples": drawn, "Posterior means": encodings.z_mean}
        figure = norms_figure(
            {name: np.linalg.norm(rows, axis=1) for name, rows in lengths.items()},
            {
                "√d": np.sqrt(latent_dim),
                "overall mean": np.linalg.norm(encodings.z_mean.mean(axis=0)),
            },
            latent_dim,
            template=theme(),
        )
    else:
        r, classes = correlate(checkpoint)
        figure = correlation_figure(r[order[:20]], names[:20], classes, template=theme())
    st.plotly_chart(figure, theme=None, key=f"{channel}-{look}", config={"displayModeBar": False})
    st.caption(explain(look, checkpoint))
    scale = row_scale(STEPS, card.model.image_size)
    for setting, k in zip(settings, strongest, strict=True):
        st.caption(f"{setting.label} varied from −3 to 3")
        traversal = latent_traversal(z, k, np.linspace(-3, 3, STEPS))
        show_image_row(get_decoded(key_of(card), traversal), scale)
