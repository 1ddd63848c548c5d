"""The decoded grid: what the decoder draws at every place of a plane."""

import numpy as np
import streamlit as st

from vae_explorer.planes import Spacing, grid_points
from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.controls import choose, count, slide
from vae_explorer.ui.downloads import offer_pictures
from vae_explorer.ui.page import open_page
from vae_explorer.ui.points import show_latent
from vae_explorer.ui.sidebar import current_checkpoint
from vae_explorer.ui.stage import show_mosaic
from vae_explorer.ui.views import choose_plane

SPACINGS: dict[Spacing, str] = {"linear": "Even steps", "quantile": "Quantiles"}
_TILE = "grid_tile"

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page(
    "Decoded grid",
    "The decoder draws a picture for every point of the plane, also where no data lies. "
    "Move the window; click a tile to enlarge it.",
)

with panel:
    kind, is_vae = "z", card.model.kind == "vae"
    if card.model.latent_dim > 2:
        kind = choose(
            "axes", "Axes", {"pca": "Principal components", "z": "Dimensions"},
            help="Principal components are the directions in which the encodings differ most.",
        )  # fmt: skip
    plane = choose_plane(checkpoint, kind, with_others=True)
    on_plane = plane.to_plane(checkpoint.encodings.z_mean)
    reach = float(np.ceil(np.abs(on_plane).max()))
    extent = slide("extent", "Extent", (0.1, max(reach, 4.0)), 3.0 if is_vae else reach)
    left, right = st.columns(2)
    with left:
        x = slide("x", f"Centre, {plane.names[0]}", (-reach, reach), 0.0)
    with right:
        y = slide("y", f"Centre, {plane.names[1]}", (-reach, reach), 0.0)
    n = count("n", "Tiles along a side", (3, 30), 15)
    spacing = choose(
        "spacing", "Spacing", SPACINGS,
        help="Even steps of z, or steps that hold equal shares of the prior N(0, 1): the middle, "
        "where most pictures are, gets more tiles.",
    )  # fmt: skip
    download, details = st.container(), st.container()

points = grid_points((x, y), extent, n, spacing)
z = plane.to_latent(points)
images = get_decoded(key_of(card), z)


def enlarge(tile: int) -> None:
    """Remember where the clicked tile lies, so that it stays while the grid moves."""
    st.session_state[_TILE] = (card.name, z[tile])


with stage:
    show_mosaic(
        images,
        n,
        f"grid-{card.name}-{n}",
        on_click=enlarge,
        captions=[f"{plane.names[0]} {a:.2f}, {plane.names[1]} {b:.2f}" for a, b in points],
        ticks=([f"{a:.2g}" for a in points[:n, 0]], [f"{b:.2g}" for b in points[::n, 1]]),
        axis_names=plane.names,
    )
with download:
    offer_pictures(images, n, f"{card.name}-grid")
with details:
    owner, enlarged = st.session_state.get(_TILE, ("", None))
    if owner == card.name and enlarged is not None:
        show_latent(checkpoint, enlarged)
