"""Your photo: the face in it found, aligned, and reconstructed by a model."""

import numpy as np
import streamlit as st

from vae_explorer.images import enlarge
from vae_explorer.inference import encode_image
from vae_explorer.ui.faces.photos import (
    ask_for_photo,
    current_photo,
    is_example,
    offer_eyes,
    show_found,
    show_session_faces,
)
from vae_explorer.ui.faces.picker import describe_likeness, needs_faces, other_models_of_faces
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page
from vae_explorer.ui.stage.views import show_image
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import toggle

SENTENCE = (
    "A model of faces has never seen you: it redraws the nearest face that it knows. Upload a "
    "photo, take one, or try a sample."
)
SIDE = 168  # pixels on the screen, of the aligned face and the reconstructions
HEIGHT = 270

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page("Your photo", SENTENCE)
needs_faces(card)

with panel:
    ask_for_photo(checkpoint)
    others = other_models_of_faces(card)
    compares = bool(others) and toggle("compare", "Beside the other models")
    show_session_faces()

photo = current_photo()
face = photo.face
with stage:
    with st.container(horizontal=True, vertical_alignment="center"):
        if photo.generated:
            st.caption("**1** · Made by the model: nothing has to be found")
        elif photo.marks_eyes:
            none = "" if photo.faces else "No face was found here. "
            st.caption(f"{none}Click the two eyes, one after the other.")
        else:
            more = "" if len(photo.faces) == 1 else f" {len(photo.faces)} faces: click another."
            example = " An example, until there is a photo of yours." if is_example(photo) else ""
            st.caption(f"**1** · Found.{more}{example}")
        offer_eyes(photo)
    show_found(photo, HEIGHT)
    if face is not None:
        pixels = face.pixels(card.model.image_size)
        placed = encode_image(checkpoint.model, pixels)
        reconstructions = [("**3** · Redrawn", placed.reconstruction)]
        for other in others if compares else ():
            seen = encode_image(other.model, face.pixels(other.card.model.image_size))
            reconstructions.append((f"by {escape_markdown(other.card.title)}", seen.reconstruction))
        with st.container(horizontal=True, gap="small"):
            show_image(face.pixels(SIDE), "**2** · Aligned", SIDE)
            for caption, image in reconstructions:
                show_image(enlarge(image[None], SIDE)[0], caption, SIDE)
        error = float(np.square(placed.reconstruction - pixels).sum())
        st.markdown(describe_likeness(card, error))
