"""Edit: change a smile, hair, glasses; keep the photo."""

import numpy as np
import streamlit as st

from vae_explorer.editing.recipe import BEST, Recipe, editing_vectors
from vae_explorer.ui.faces.decoder import choose_decoder
from vae_explorer.ui.faces.directions import user_vectors
from vae_explorer.ui.faces.editor import (
    DETAIL,
    USER_PREFIX,
    Edit,
    apply_loaded,
    choose_amounts,
    choose_kind_and_locks,
    compare_kinds,
    offer_recipes,
    offer_undo,
    setting_of,
)
from vae_explorer.ui.faces.picker import ONE, choose_faces, needs_faces
from vae_explorer.ui.faces.session_faces import session_faces
from vae_explorer.ui.faces.views import show_edit
from vae_explorer.ui.files import offer_files
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page
from vae_explorer.ui.stage.views import show_image_row, show_photo
from vae_explorer.ui.widgets import toggle

SENTENCE = "Change one attribute at a time. The rest of your photo stays as it is."
FACE_SIDE = 128

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page("Edit", SENTENCE)
needs_faces(card)
apply_loaded(checkpoint)
channel = f"edit-{card.name}"

with panel:
    (chosen,) = choose_faces(checkpoint, ONE)
    decoder = choose_decoder(checkpoint, [chosen], stage.container(key="tuning"))
    st.page_link("pages/your_photo.py", label="Add a photo", icon=":material/add_a_photo:")
    steps, sliders, settings = st.container(), st.container(), st.container()
with settings:
    kind, locked = choose_kind_and_locks(checkpoint)
user = {f"{USER_PREFIX}{id}": each for id, each in user_vectors(card).items()}
vectors = editing_vectors(checkpoint, kind, locked, {id: each.vector for id, each in user.items()})
with sliders:
    values, amounts = choose_amounts(
        checkpoint,
        channel,
        {id: each.name for id, each in user.items()},
        drifts=kind == BEST and not locked,
    )
recipe = Recipe(amounts, kind, locked, values[DETAIL.name])
with steps:
    offer_undo(recipe, checkpoint)
edit = Edit(checkpoint, recipe, vectors, decoder)
user_faces = session_faces()

with settings:
    whole = toggle(
        "whole",
        "Show the full photo",
        help="The edited photo as it will be saved. Updates when you release a slider.",
    )
    compare_kinds(card)
    with st.container(horizontal=True):
        offer_recipes(recipe, checkpoint)
        offer_files(edit.files(chosen.kept, user_faces))
    st.caption(
        "Saved upright, in the original format and colours, without EXIF data such as location "
        "and camera."
    )
with stage:
    show_edit(
        decoder,
        {setting_of(name): vector for name, vector in vectors.items()},
        channel,
        values=values,
        detail=DETAIL.name,
        edit=lambda size: edit.face(chosen.kept, size),
    )
    if whole:
        show_photo(np.asarray(edit.photo(chosen.kept).rgb), "Edited photo")
    if user_faces:
        with st.expander("All your faces", icon=":material/group:"):
            faces = np.stack([edit.face(kept, FACE_SIDE) for kept in user_faces])
            show_image_row(np.moveaxis(faces, -1, 1) / np.float32(255))
