"""The decoded grid: the decoder's output on a regular grid of a plane."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from vae_explorer.latent.planes import Spacing
from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.explore.map_points import show_latent
from vae_explorer.ui.explore.map_view import choose_axes, other_settings, span_plane
from vae_explorer.ui.files import offer_images
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import fit_height, open_page
from vae_explorer.ui.stage.sliders import show_sliders
from vae_explorer.ui.stage.tiles import PlaneTiles, Setting
from vae_explorer.ui.stage.views import show_grid
from vae_explorer.ui.state import recall
from vae_explorer.ui.widgets import int_slider, select

SPACINGS: dict[Spacing, str] = {"linear": "Linear", "quantile": "Quantile"}
_TILE = "grid_tile"
HEIGHT = 520  # pixels: with its axes it fits on a screen of 720


def enlarge(clicked: Mapping[str, object]) -> None:
    """Remember where the clicked tile lies, so that it stays while the grid moves."""
    st.session_state[_TILE] = (card.name, np.array(clicked["z"], np.float32))


checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page(
    "Decoded grid",
    "The decoder's output on a regular grid. Drag to pan, scroll to zoom, click a tile to enlarge.",
)

with panel:
    kind = "z"
    if card.model.latent_dim > 2:
        kind = select(
            "axes",
            "Axes",
            {"pca": "Principal components", "z": "Dimensions"},
            help="Principal components are the directions in which the encodings vary most.",
        )
    axes = choose_axes(checkpoint, kind)
    plane = span_plane(checkpoint, axes)
    farthest = np.abs(plane.to_plane(checkpoint.encodings.z_mean)).max()
    reach = max(1.0, float(np.ceil(farthest)))  # equal encodings are all at the mean
    usual = 3.0 if card.model.kind == "vae" else reach
    extent = Setting("extent", "Range", 0.1, max(reach, 4.0), usual)
    centre = [
        Setting(name, f"Centre {axis}", -reach, reach, 0.0)
        for name, axis in zip("xy", plane.names, strict=True)
    ]
    channel = f"grid-{card.name}-{kind}-{axes.across}-{axes.up}"
    values = show_sliders([extent, *centre], f"{channel}-window", channel, pad=("x", "y"))
    others = other_settings(checkpoint, axes)
    if others:
        with st.expander("Other axes"), st.container(height=260, border=False):
            values |= show_sliders(list(others), f"{channel}-others", channel)
    n = int_slider("n", "Grid size", (3, 30), 15)
    spacing = select(
        "spacing",
        "Spacing",
        SPACINGS,
        help="**Linear**: equal steps of z. **Quantile**: steps of equal probability under the "
        "prior N(0, 1), so that the centre, where most encodings lie, gets more tiles.",
    )
    details, download = st.container(), st.container()

directions = {setting.name: direction for setting, direction in others.items()}
tiles = PlaneTiles(
    plane, directions, "quantile" if spacing == "quantile" else "linear", extent, "x", "y"
)
with stage:
    show_grid(
        tiles,
        channel,
        card,
        values=values,
        columns=n,
        height=fit_height(HEIGHT),
        on_click=enlarge,
        description=f"Grid of {n} × {n} decoded images over {plane.names[0]} and {plane.names[1]}",
    )
with download:
    offer_images(
        lambda: get_decoded(key_of(card), tiles.latents(values, n)), n, f"{card.name}-grid"
    )
with details:
    owner, enlarged = recall(_TILE, ("", None))
    if owner == card.name and enlarged is not None:
        show_latent(checkpoint, enlarged)
