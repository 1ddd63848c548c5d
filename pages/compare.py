"""Compare: all models and runs in a table, in the plane of rate and distortion, and in images."""

import streamlit as st

from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page
from vae_explorer.ui.train.compare import (
    QUANTITIES,
    TIMES,
    WHY,
    choose_models,
    chosen_rows,
    explain_nats,
    offer_table,
    read_rows,
    show_curves,
    show_plane,
    show_table,
)
from vae_explorer.ui.train.reconstructions import offer_another, show_reconstructions
from vae_explorer.ui.widgets import select

SENTENCE = "Compare models and runs. Select rows to plot them."
LOOKS = {
    "table": "Table",
    "plane": "Rate–distortion",
    "curves": "Curves",
    "pictures": "Images",
}

checkpoint = current_checkpoint()
whole, _ = open_page("Compare", SENTENCE, whole=True)
with whole:
    head, aside = st.columns([0.7, 0.3], vertical_alignment="bottom", gap="medium")
    with head:
        look = select("compare", "View", LOOKS)
    with aside:
        rows = read_rows(checkpoint.card)
    chosen = chosen_rows(rows)

    if not rows:
        st.info("There is no readable model of this data set. Choose another data set above.")
    elif look == "table":
        show_table(rows)
        st.caption("Click a heading to sort. Use ⋮ to open a model on another page.")
        explain_nats(rows)
        offer_table(rows)
    elif look == "pictures":
        names, button = st.columns([0.7, 0.3], vertical_alignment="bottom", gap="medium")
        with names:
            choose_models(rows)
        with button:
            seed = offer_another()
        show_reconstructions(chosen, seed)
    else:
        stage, panel = st.columns([0.7, 0.3], gap="medium")
        with panel:
            choose_models(rows)
            if look == "curves":
                quantity = select("quantity", "Quantity", QUANTITIES, dropdown=True)
                per = select("per", "Horizontal axis", TIMES)
        with stage:
            if look == "plane":
                show_plane(chosen)
            else:
                show_curves(chosen, rows, quantity, per)
        with panel:
            st.caption(WHY[look if look == "plane" else quantity])
            explain_nats(chosen)
