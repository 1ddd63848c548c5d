"""Anatomy: one image traced through every layer of the network."""

import streamlit as st

from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.learn.anatomy import (
    choose_image,
    choose_subject,
    explain_anatomy,
    show_layer,
    show_network,
)
from vae_explorer.ui.page import open_page

SENTENCE = (
    "One image through every layer of the network. Click a layer for its shape and parameters."
)

checkpoint = current_checkpoint()
stage, panel = open_page("Anatomy", SENTENCE)
channel = f"anatomy-{checkpoint.card.name}"

with panel:
    picture = choose_image(checkpoint, f"{channel}-shown")
    subject = choose_subject(checkpoint, picture, channel)
    with st.container(border=True):
        show_layer(channel)
    explain_anatomy(checkpoint.card)
with stage:
    show_network(checkpoint, subject, picture, channel)
