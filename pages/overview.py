"""The overview: the model card as a page."""

import streamlit as st

from vae_explorer.ui.explore.overview import (
    offer_models,
    show_facts,
    show_history,
    show_limits,
    show_metrics,
    show_reconstructions,
    show_terms,
)
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.originals import name_held_out
from vae_explorer.ui.page import open_page

SENTENCE = "Model card: architecture, data, and metrics on {}."

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page(card.title, SENTENCE.format(name_held_out(checkpoint.encodings)))

with stage:
    show_reconstructions(checkpoint)
    show_history(checkpoint)
with panel:
    show_metrics(card)
    show_limits(checkpoint)
    show_facts(card)
    show_terms(card)
    offer_models(checkpoint)
    st.page_link("pages/latent_map.py", label="Open the latent map", icon=":material/scatter_plot:")
