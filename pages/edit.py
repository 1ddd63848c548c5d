"""Edit: change a smile, hair, glasses; keep the photo."""

import numpy as np
import streamlit as st

from vae_explorer.animations import write_animation
from vae_explorer.faces import edit_photo, whole_face
from vae_explorer.images import encode_picture
from vae_explorer.ui.downloads import offer_files
from vae_explorer.ui.edits import (
    DETAIL,
    amounts_of,
    choose_amounts,
    choose_vectors_to_edit,
    setting_of,
    show_drift,
)
from vae_explorer.ui.face_choice import ONE, choose_faces
from vae_explorer.ui.face_models import needs_faces
from vae_explorer.ui.face_stage import show_edit
from vae_explorer.ui.page import open_page
from vae_explorer.ui.sidebar import current_checkpoint
from vae_explorer.ui.sliders import show_sliders

SENTENCE = "Drag a slider: the model changes the face, and only the change is added to the photo."
FRAMES, SECONDS = 21, 1.5
FRAME_SIDE = 320

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page("Edit", SENTENCE)
needs_faces(card)
channel = f"edit-{card.name}"

with panel:
    (chosen,) = choose_faces(checkpoint, ONE)
    st.page_link("pages/your_photo.py", label="Add a photo", icon=":material/add_a_photo:")
    sliders, settings = st.container(), st.container()
with settings:
    vectors = choose_vectors_to_edit(checkpoint)
with sliders:
    values = choose_amounts(vectors, channel)
    values |= show_sliders([DETAIL], f"{channel}-detail", channel)
amounts, detail = amounts_of(values), values[DETAIL.name]
kept = chosen.kept


def edit(share: float = 1.0) -> np.ndarray:
    """Return the photo with so much of the change, uint8 (height, width, 3)."""
    face = kept.face or whole_face(kept.photo.width)
    part = {name: share * amount for name, amount in amounts.items()}
    return np.asarray(edit_photo(kept.photo, face, checkpoint, part, detail, vectors=vectors))


def edit_face(share: float = 1.0) -> np.ndarray:
    """Return the same of the aligned face alone, uint8 (FRAME_SIDE, FRAME_SIDE, 3)."""
    part = {name: share * amount for name, amount in amounts.items()}
    face = kept.portrait(FRAME_SIDE)
    whole = whole_face(FRAME_SIDE)
    return np.asarray(edit_photo(face, whole, checkpoint, part, detail, vectors=vectors))


with stage:
    show_edit(
        chosen, {setting_of(name): vector for name, vector in vectors.items()}, channel, checkpoint,
        values=values, detail=DETAIL.name, edit=edit_face,
    )  # fmt: skip
    show_drift(card, vectors)
with settings:
    before = np.asarray(kept.portrait(FRAME_SIDE))
    steps = np.linspace(0, 1, FRAMES)
    offer_files({
        "Photo as JPEG": ("edited.jpg", lambda: encode_picture(edit(), "jpeg")),
        "Photo as PNG": ("edited.png", lambda: encode_picture(edit(), "png")),
        "Face, before and after": (
            "before-after.png", lambda: encode_picture(np.hstack([before, edit_face()]), "png")
        ),
        "Animated WebP": (
            "change.webp",
            lambda: write_animation(np.stack([edit_face(t) for t in steps]), "webp", SECONDS),
        ),
    })  # fmt: skip
