"""The sidebar: the picker of the model that all pages show."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from vae_explorer.checkpoints import Checkpoint, list_checkpoints
from vae_explorer.errors import CheckpointError
from vae_explorer.ui.cache import CheckpointKey, get_checkpoint, key_of
from vae_explorer.ui.state import add_notice, start_page
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select, toggle
from vae_explorer.workspace import disambiguate

FIRST_MODEL = "fashion-vae-2d"
TRAINING = "pages/train.py"
"""The page that needs no model."""
_CURRENT, _UNREADABLE = "current_checkpoint", "unreadable_checkpoints"


def choose_checkpoint(*, needed: bool = True) -> None:
    """Draw the picker, and store the choice for `current_checkpoint`.

    Stops the script with an explanation if no model can be read, unless the page needs none.
    """
    start_page()
    cards, errors = list_checkpoints()
    unreadable: dict[CheckpointKey, str] = st.session_state.setdefault(_UNREADABLE, {})
    for name in [name for name, card in cards.items() if key_of(card) in unreadable]:
        errors[name] = unreadable[key_of(cards.pop(name))]
    gone = st.session_state.get("model")
    if gone is not None and gone not in cards and gone not in errors:
        add_notice(f"the model {escape_markdown(gone)} is no longer here")
    with st.sidebar:
        if cards:
            titles = disambiguate({name: card.title for name, card in cards.items()})
            name = select("model", "Model", titles, FIRST_MODEL, dropdown=True)
            st.caption(escape_markdown(name))
            toggle("smooth", "Smooth pictures", help="Off: every pixel is a square, as it is.")
        _show_errors(errors)
    if not cards:
        if needed:
            _explain_no_models()
        return
    key = st.session_state[_CURRENT] = key_of(cards[name])
    try:
        get_checkpoint(key)
    except CheckpointError as error:  # found only when the weights are opened
        unreadable[key] = str(error)
        add_notice(f"{escape_markdown(cards[name].title)} cannot be read")
        st.rerun()  # the next run's picker offers the other models


def current_checkpoint() -> Checkpoint:
    """Return the checkpoint that is selected in the sidebar."""
    return get_checkpoint(CheckpointKey(*st.session_state[_CURRENT]))


def show_inverted() -> bool:
    """Say whether the images of the selected model are shown inverted; they are without one."""
    return _CURRENT not in st.session_state or current_checkpoint().card.is_inverted


def _show_errors(errors: dict[str, str]) -> None:
    if not errors:
        return
    count = "One checkpoint" if len(errors) == 1 else f"{len(errors)} checkpoints"
    with st.expander(f"{count} cannot be read", icon=":material/warning:"):
        for name, reason in errors.items():
            st.markdown(f"**{escape_markdown(name)}**")
            st.text(reason)


def _explain_no_models() -> NoReturn:
    st.title("No model yet")
    st.markdown("There is no checkpoint to look at. Train one on Fashion-MNIST, in minutes:")
    st.code(
        "python -m vae_explorer train --dataset fashion-mnist --model fashion-vae "
        "--out checkpoints/my-vae",
        language="bash",
    )
    st.markdown("It appears here at the next reload. Or choose what to train in the browser:")
    st.page_link(TRAINING, label="Train and watch", icon=":material/model_training:")
    st.stop()
