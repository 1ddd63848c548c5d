"""The user's own directions in z: computed from images or map selections, saved and loaded."""

from __future__ import annotations

import math
import secrets

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.editing.user_vectors import (
    MAX_BYTES,
    MAX_NAME,
    UserVector,
    is_name,
    make_user_vector,
    read_user_vector,
    write_user_vector,
)
from vae_explorer.ui.faces.picker import choose_face_set
from vae_explorer.ui.files import take_model_file
from vae_explorer.ui.state import recall
from vae_explorer.ui.text import escape_markdown, format_share

_SIDES = {"own_with": "With the attribute", "own_without": "Without the attribute"}
_EXAMPLES = {
    "own_with": "As examples with the attribute",
    "own_without": "As examples without it",
}
_CHOSEN = "own_chosen"
_FIRST_NAME = "My direction"
_SHAKY = 0.7  # share of its length due to chance, above which a direction is unreliable


def user_vectors(card: ModelCard) -> dict[str, UserVector]:
    """Return the session's directions for a model, by random id: names stay out of keys."""
    own: dict[str, UserVector] = st.session_state.setdefault(f"own-{card.fingerprint}", {})
    return own


def choose_user_vector(checkpoint: Checkpoint) -> UserVector | None:
    """Compute, load, save and select a direction."""
    card = checkpoint.card
    own = user_vectors(card)
    place = st.container()
    with st.expander("New direction", icon=":material/add:", expanded=not own):
        _make(checkpoint)
    with st.popover("Save or load", icon=":material/folder_open:", width="stretch"):
        _load(card)
        for id, each in own.items():
            st.download_button(
                f"Save “{escape_markdown(each.name)}”",
                write_user_vector(each, card),
                "direction.json",
                "application/json",
                on_click="ignore",
                width="stretch",
                key=f"own-save-{id}",
            )
        st.caption("A direction file holds numbers and a name, never an image.")
    if not own:
        place.caption("Choose some images with the attribute and some without it.")
        return None
    if recall(_CHOSEN, None) not in own:
        st.session_state[_CHOSEN] = list(own)[-1]
    id = place.selectbox(
        "Direction",
        list(own),
        format_func=lambda id: own[id].name if id in own else "",
        key=_CHOSEN,
        persist_state="session",
    )
    place.caption(describe_user_vector(own[id]))
    return own[id]


def offer_selection(checkpoint: Checkpoint, rows: np.ndarray) -> None:
    """Offer to use selected encodings for one side of a direction."""
    st.caption("Use these points to define a direction (see Arithmetic):")
    with st.container(horizontal=True):
        for side, label in _EXAMPLES.items():
            st.button(
                label, on_click=_take_rows, args=(checkpoint.card, side, rows), key=f"take-{side}"
            )


def describe_user_vector(own: UserVector) -> str:
    """Describe the number of images behind a direction, and how reliable it is."""
    words = f"From {own.counts[0]} with and {own.counts[1]} without the attribute. "
    if math.isnan(own.standard_error):
        unknown = "With so few images, it may capture any difference between them."
        return words + (unknown if sum(own.counts) <= len(own.counts) else "")
    error = f"Standard error along the direction: {format_share(own.standard_error)} of its length"
    chance = f"random groups would give about {format_share(own.chance)} of that length"
    left_out = f"leaving out one image turns it by up to {_degrees(own.steadiness)}°"
    verdict = " **Unreliable**: add more images." if own.chance > _SHAKY else ""
    return f"{words}{error}; {chance}; {left_out}.{verdict}"


def _make(checkpoint: Checkpoint) -> None:
    card = checkpoint.card
    latents = []
    for side, label in _SIDES.items():
        chosen = [picture.z for picture in choose_face_set(checkpoint, side, label)]
        rows = _taken_rows(card).get(side)
        if rows is not None:
            st.caption(f"and {len(rows):,} selected on the latent map")
            chosen += list(checkpoint.encodings.z_mean[rows])
        latents.append(chosen)
    name = st.text_input("Name", _FIRST_NAME, key="own_name", max_chars=MAX_NAME)
    with_it, without_it = latents

    def keep() -> None:
        typed = st.session_state["own_name"].strip()
        label = typed if is_name(typed) else _FIRST_NAME
        try:
            made = make_user_vector(label, np.stack(with_it), np.stack(without_it))
        except ValueError as error:
            st.toast(escape_markdown(str(error)), icon=":material/error:")
            return
        _keep(card, made)
        _taken_rows(card).clear()

    is_there = any(each.name == name for each in user_vectors(card).values())
    st.button(
        "Replace direction" if is_there else "Create direction",
        type="primary",
        on_click=keep,
        disabled=not (with_it and without_it),
        width="stretch",
    )


def _load(card: ModelCard) -> None:
    loaded = take_model_file(
        "Load direction", "own_file", MAX_BYTES, lambda data: read_user_vector(data, card)
    )
    if loaded is not None:
        _keep(card, loaded)


def _keep(card: ModelCard, made: UserVector) -> None:
    """Store a direction, replacing one of the same name, and select it."""
    own = user_vectors(card)
    same = (id for id, each in own.items() if each.name == made.name)
    id = next(same, None) or secrets.token_hex(4)
    own[id] = made
    st.session_state[_CHOSEN] = id


def _take_rows(card: ModelCard, side: str, rows: np.ndarray) -> None:
    _taken_rows(card)[side] = rows
    st.toast(
        f"{len(rows):,} images added. Create the direction on the page Arithmetic.",
        icon=":material/check:",
    )


def _taken_rows(card: ModelCard) -> dict[str, np.ndarray]:
    rows: dict[str, np.ndarray] = st.session_state.setdefault(f"own-rows-{card.fingerprint}", {})
    return rows


def _degrees(cosine: float) -> int:
    return round(math.degrees(math.acos(min(1.0, max(-1.0, cosine)))))
