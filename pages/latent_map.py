"""The latent map: every held-out image as a point, and every place between them decoded."""

import numpy as np
import streamlit as st

from vae_explorer.figures import scatter_figure
from vae_explorer.ui.explore.garments import show_garment_upload
from vae_explorer.ui.explore.map_points import (
    current_pin,
    find_neighbours,
    offer_unpin,
    show_latent,
    show_pin,
    show_selection,
    take_pin,
)
from vae_explorer.ui.explore.map_view import choose_classes, choose_overlays, choose_view
from vae_explorer.ui.faces.directions import offer_selection
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import fit_height, open_page, theme
from vae_explorer.ui.stage.views import MAP_HEIGHT, show_drawing_box, show_map
from vae_explorer.ui.widgets import select

DRAGS = {"pan": "Pan", "select": "Box select", "lasso": "Lasso"}
DRAG_HELP = (
    "**Pan**: drag to move the map, click a point for details. **Box select** and **Lasso**: drag "
    "around points to select them; then count them, download them as CSV or define a direction."
)

checkpoint = current_checkpoint()
is_test = (checkpoint.encodings.split == "test").all()
stage, panel = open_page(
    "Latent map",
    f"Every point is an encoded {'test image' if is_test else 'image'}. "
    "Hover to decode any location; click a point for details.",
)

with panel:
    map_key = f"map-{checkpoint.card.name}"
    show_drawing_box(map_key, checkpoint)
    visitor = show_garment_upload(checkpoint)
    view = choose_view(checkpoint)
    classes, class_names = choose_classes(checkpoint)
    drag = select("drag", "Tool", DRAGS, help=DRAG_HELP)
    overlays = choose_overlays(checkpoint, view)
    details = st.container()

pin = current_pin(checkpoint)
row = pin.row
figure = scatter_figure(
    view.points,
    None if classes is None else classes[view.rows],
    class_names,
    axis_names=view.axis_names,
    rows=view.rows,
    pinned=view.place(pin),
    ellipses=[] if row is None else view.outline_posterior(checkpoint, row),
    neighbours=None if row is None else view.find(find_neighbours(checkpoint, row)),
    prior_rings=overlays.rings,
    samples=overlays.samples,
    tiles=overlays.tiles,
    p_values=overlays.p_values,
    dragmode=drag,
    template=theme(),
    height=fit_height(MAP_HEIGHT),
)
with stage:
    selected = show_map(
        figure,
        map_key,
        checkpoint.card,
        plane=view.plane,
        rows=view.rows,
        z=checkpoint.encodings.z_mean[view.rows],
        p_values=overlays.p_values,
        pinned=bool(pin),
        visitor=visitor,
        on_pin=take_pin,
    )

with details:
    if len(selected):
        show_selection(checkpoint, selected)
        offer_selection(checkpoint, selected)
    elif row is not None:
        show_pin(checkpoint, row)
        offer_unpin()
    elif pin.at is not None and view.plane:
        show_latent(checkpoint, view.plane.to_latent(np.array([pin.at]))[0])
        offer_unpin()
    elif drag == "pan":
        st.caption("Click a point to see its details.")
    else:
        st.caption("Drag around points to select them.")
