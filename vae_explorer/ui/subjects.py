"""The picture that is followed through a network: picked, drawn, or somebody's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.ui.cache import find_originals, get_decoded, key_of
from vae_explorer.ui.explore.garments import ask_for_garment, knows_garments
from vae_explorer.ui.explore.map_points import name_label
from vae_explorer.ui.faces.picker import FACES, ONE, choose_faces
from vae_explorer.ui.originals import offer_originals, take_originals
from vae_explorer.ui.stage.views import show_drawing
from vae_explorer.ui.widgets import choose

_OF_EACH = 3  # pictures of a label
_UNLABELLED = 20  # pictures to pick from where there are no labels


@dataclass(frozen=True, eq=False)
class ChosenPicture:
    """A picture, and what it is called."""

    name: str
    image: np.ndarray
    """float32 (channels, height, width) in [0, 1], as the model is given it."""


def choose_picture(checkpoint: Checkpoint, drawing_key: str) -> ChosenPicture:
    """Let a picture be picked from those the model never learnt from, or brought along.

    Nothing of an upload or a drawing goes into the URL, a log or a cache that sessions share; a
    drawing stays in the browser, on the channel of its key.
    """
    if checkpoint.card.dataset.name == FACES:
        (chosen,) = choose_faces(checkpoint, ONE)
        st.page_link("pages/your_photo.py", label="Add a photo", icon=":material/add_a_photo:")
        return ChosenPicture(chosen.name, chosen.kept.pixels(checkpoint.card.model.image_size))
    picked = _pick(checkpoint)
    show_drawing(drawing_key, checkpoint)
    if knows_garments(checkpoint):
        with st.expander("Upload a garment", icon=":material/upload:"):
            garment = ask_for_garment(checkpoint)
        if garment is not None:
            return ChosenPicture("your upload", garment)
    return picked


def _pick(checkpoint: Checkpoint) -> ChosenPicture:
    card, encodings = checkpoint.card, checkpoint.encodings
    options = _options(checkpoint)
    row = int(choose("picture", "Picture", options, dropdown=True))
    originals = find_originals(card)
    if originals is not None:
        image = take_originals(card, originals, encodings.row_id[[row]])[0]
        return ChosenPicture(options[str(row)], image)
    offer_originals(card)
    image = get_decoded(key_of(card), encodings.z_mean[[row]])[0]
    st.caption("This one is what the model itself made of it, so it loses little a second time.")
    return ChosenPicture(f"{options[str(row)]}, as decoded", image)


def _options(checkpoint: Checkpoint) -> dict[str, str]:
    """Return what can be picked: what people read, by row of the encodings."""
    labels = checkpoint.encodings.labels
    if labels is None:
        ids = checkpoint.encodings.row_id[:_UNLABELLED]
        return {str(row): f"Picture {id}" for row, id in enumerate(ids)}
    return {
        str(row): f"{name_label(checkpoint, row)}, {k + 1}"
        for label in range(len(checkpoint.card.label_names))
        for k, row in enumerate(np.flatnonzero(labels == label)[:_OF_EACH])
    }
