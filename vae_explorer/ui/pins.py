"""The pinned point of a map: one row of the encodings, kept in the session and in the URL."""

from __future__ import annotations

import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.ui.state import seed_from_url, write_to_url

_PIN = "pin"
_NONE = -1


def pinned_row(checkpoint: Checkpoint) -> int | None:
    """Return the pinned row of the encodings, or None."""
    count = len(checkpoint.encodings.row_id)
    owner = st.session_state.setdefault("pin_model", checkpoint.card.name)
    if owner != checkpoint.card.name:  # a row of another model's encodings is another picture
        st.session_state.update({_PIN: _NONE, "pin_model": checkpoint.card.name})

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) >= count:
            raise ValueError(f"it takes a row from 0 to {count - 1}")
        return int(text)

    row = seed_from_url(_PIN, _NONE, parse)
    if row >= count:  # retrained on fewer pictures
        row = st.session_state[_PIN] = _NONE
    write_to_url(_PIN, str(row), str(_NONE))
    return None if row == _NONE else row


def pin_row(row: int) -> None:
    """Pin a row of the encodings."""
    st.session_state[_PIN] = row


def unpin() -> None:
    """Pin nothing."""
    st.session_state[_PIN] = _NONE


def offer_unpin() -> None:
    """Draw the button that frees the pin."""
    st.button("Unpin", icon=":material/keep_off:", on_click=unpin)
