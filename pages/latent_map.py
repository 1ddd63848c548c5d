"""The latent map: every held-out picture as a point, and every place between them decoded."""

import numpy as np
import streamlit as st

from vae_explorer.figures import scatter_figure
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.controls import choose, choose_many
from vae_explorer.ui.page import open_page, theme
from vae_explorer.ui.pins import current_pin, offer_unpin, take_pin
from vae_explorer.ui.points import find_neighbours, show_latent, show_pin, show_selection
from vae_explorer.ui.sidebar import current_checkpoint
from vae_explorer.ui.stage import MAP_HEIGHT, show_map
from vae_explorer.ui.views import choose_view, lay_tiles

SAMPLES = 200

checkpoint = current_checkpoint()
encodings = checkpoint.encodings
is_vae = checkpoint.card.model.kind == "vae"
stage, panel = open_page(
    "Latent map",
    "Each point is a picture, placed where the encoder puts it in the latent space. "
    "Move over the map: the decoder draws what lies there. Click to pin.",
)

with panel:
    view = choose_view(checkpoint)
    drag = choose(
        "drag",
        "On the map",
        {"pan": "Click", "select": "Box", "lasso": "Lasso"},
        help="Click pins a point, and a drag moves the map. Box and lasso encircle many points, "
        "to count and to save.",
    )
    overlays = {"tiles": "Decoded tiles", "rings": "Prior rings", "samples": "Samples"}
    if not is_vae:
        overlays.pop("rings")
    shown = choose_many("show", "Show as well", overlays) if view.plane else []
    scale = "z"
    if is_vae and view.plane:
        scale = choose(
            "scale",
            "Axes",
            {"z": "z", "p": "p-values"},
            help="A p-value is the share of the prior N(0, 1) that lies below z. If the encodings "
            "follow the prior, they fill the unit square evenly.",
        )
    details = st.container()

pin = current_pin(checkpoint)
row = pin.row
samples = tiles = None
if "samples" in shown and view.plane:
    z = sample_latents(checkpoint, SAMPLES, available_priors(checkpoint)[0])
    samples = view.plane.to_plane(z)
if "tiles" in shown:
    tiles = lay_tiles(checkpoint, view, p_values=scale == "p")
figure = scatter_figure(
    view.points,
    None if encodings.labels is None else encodings.labels[view.rows],
    checkpoint.card.label_names,
    axis_names=view.axis_names,
    rows=view.rows,
    pinned=view.place(pin),
    ellipses=[] if row is None else view.outline_posterior(checkpoint, row),
    neighbours=None if row is None else view.find(find_neighbours(checkpoint, row)),
    prior_rings="rings" in shown,
    samples=samples,
    tiles=tiles,
    p_values=scale == "p",
    dragmode=drag,
    template=theme(),
    height=MAP_HEIGHT,
)
with stage:
    selected = show_map(
        figure, f"map-{checkpoint.card.name}", checkpoint, view,
        p_values=scale == "p", pinned=bool(pin), on_pin=take_pin,
    )  # fmt: skip

with details:
    if len(selected):
        show_selection(checkpoint, selected)
    elif row is not None:
        show_pin(checkpoint, row)
        offer_unpin()
    elif pin.at is not None and view.plane:
        show_latent(checkpoint, view.plane.to_latent(np.array([pin.at]))[0])
        offer_unpin()
    elif drag == "pan":
        st.caption("Nothing is pinned. Click a point to see its picture, and what became of it.")
    else:
        st.caption("Nothing is encircled. Draw around some points to count them.")
