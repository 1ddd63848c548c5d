"""The overview: the model card as a page."""

import streamlit as st

from vae_explorer.figures import loss_figure
from vae_explorer.ui.explore.overview import (
    offer_models,
    show_facts,
    show_metrics,
    show_reconstructions,
    show_terms,
)
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page, theme

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page(
    card.title, "What this model is, and how well it does on pictures it has never seen."
)

with stage:
    show_reconstructions(checkpoint)
    st.plotly_chart(
        loss_figure(checkpoint.history, template=theme(), height=330),
        theme=None,
        config={"displayModeBar": False},
        key=f"losses-{card.name}",
    )
with panel:
    show_metrics(card)
    show_facts(card)
    show_terms(card)
    offer_models(checkpoint)
    st.page_link("pages/latent_map.py", label="See its latent map", icon=":material/scatter_plot:")
