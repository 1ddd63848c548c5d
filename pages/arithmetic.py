"""Arithmetic: A − B + C with images, and directions of the user."""

import numpy as np
import streamlit as st

from vae_explorer.ui.explore.map_points import show_nearest
from vae_explorer.ui.faces.decoder import choose_decoder
from vae_explorer.ui.faces.directions import choose_user_vector
from vae_explorer.ui.faces.picker import THREE, choose_faces
from vae_explorer.ui.files import offer_images
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page
from vae_explorer.ui.stage.sliders import show_sliders
from vae_explorer.ui.stage.tiles import ListTiles, Setting
from vae_explorer.ui.stage.views import show_grid, show_image
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select

SENTENCE = "Add and subtract images in latent space, or define your own direction."
SUMS = {"three": "A − B + C", "own": "A + direction"}
TERMS = ("{} (A)", "− {} (B)", "+ {} (C)")
WEIGHT = Setting("weight", "Strength", -2.0, 3.0, 1.0)
SIDE, RESULT = 88, 448  # pixels on the screen

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page("Arithmetic", SENTENCE)
channel = f"arithmetic-{card.name}"

with panel:
    of_three = select("sum", "Formula", SUMS) == "three"
    picked = choose_faces(checkpoint, THREE if of_three else THREE[:1])
    decoder = choose_decoder(checkpoint, picked, stage.container(key="tuning"))
    chosen = decoder.faces
    if card.dataset.name == "celeba":
        st.page_link("pages/your_photo.py", label="Add a photo", icon=":material/add_a_photo:")
    base = chosen[0].z
    if of_three:
        direction = chosen[2].z - chosen[1].z
    else:
        own = choose_user_vector(checkpoint)
        direction = np.zeros_like(base) if own is None else own.vector
    values = show_sliders([WEIGHT], f"{channel}-weight", channel)

tiles = ListTiles((base + direction)[None], base[None], np.zeros(1, bool), WEIGHT.name)
result = tiles.latents(values)
with stage:
    terms, place = st.columns([0.4, 0.6], gap="small", vertical_alignment="center")
    with terms.container(horizontal=True, gap="small"):
        for term, image in zip(TERMS, chosen, strict=False):
            show_image(image.kept.pixels(SIDE), term.format(escape_markdown(image.name)), SIDE)
    with place:
        show_grid(
            tiles,
            channel,
            card,
            values=values,
            height=RESULT,
            description="Decoded result",
            tuned=decoder.tuned,
        )
    show_nearest(checkpoint, result[0])
with panel:
    offer_images(lambda: decoder.decode(result), 1, f"{card.name}-arithmetic")
