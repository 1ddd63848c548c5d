"""The doors of the app for whole models: one is saved, added, renamed, deleted."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from vae_explorer.catalog.archive import MAX_BYTES, pack_checkpoint, unpack_checkpoint
from vae_explorer.catalog.library import MAX_TITLE, delete_checkpoint, is_shipped, rename_checkpoint
from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import CheckpointError, ReadOnlyError
from vae_explorer.ui.cache import get_onnx, key_of
from vae_explorer.ui.files import offer_files
from vae_explorer.ui.text import plain
from vae_explorer.workspace import LONGEST, is_read_only

_MODEL = "model"  # the key of the sidebar's picker
_ROUND, _SAID, _FAULT = "own_models_round", "own_models_said", "own_models_fault"


def offer_models(checkpoint: Checkpoint) -> None:
    """Offer to save the model that is looked at; to add others, and to change one's own."""
    card = checkpoint.card
    offer_files(
        {
            "The model, as ZIP": (f"{card.name}.zip", lambda: pack_checkpoint(checkpoint.path)),
            "ONNX, as ZIP": (f"{card.name}-onnx.zip", lambda: get_onnx(key_of(card))),
        },
        note="Added to another copy of VAE Explorer, the ZIP is this model. ONNX is for use "
        "without PyTorch: encoder and decoder, compared with PyTorch first, which takes a while.",
    )
    said, fault = st.session_state.pop(_SAID, None), st.session_state.pop(_FAULT, None)
    with st.expander("Your models", icon=":material/inventory_2:", expanded=bool(said or fault)):
        if is_read_only():
            st.caption(
                "This copy is for looking: here no model can be added, renamed or deleted. Saving "
                "goes on."
            )
            return
        if said:
            st.success(plain(said))
        if fault:
            st.error(plain(fault))
        _ask_for_model()
        if is_shipped(card.name):
            st.caption(
                "The model you look at comes with the project, so it can be neither renamed nor "
                "deleted."
            )
        else:
            _offer_changes(card)


def _ask_for_model() -> None:
    # A file is let go with its widget: the next upload has another key.
    key = f"model_upload-{st.session_state.get(_ROUND, 0)}"
    st.file_uploader(
        "Add a model, from a ZIP that this page saved",
        "zip",
        key=key,
        on_change=_add,
        args=(key,),
        max_upload_size=MAX_BYTES // 2**20,
    )


def _offer_changes(card: ModelCard) -> None:
    # The fingerprint: for every version of a model, fields that hold what it is called.
    name, title = (f"{field}-{card.fingerprint}" for field in ("own_name", "own_title"))
    st.session_state.setdefault(title, card.title)
    st.session_state.setdefault(name, card.name)
    with st.form(f"rename-{card.fingerprint}", border=False):
        st.text_input("What this one is called", key=title, max_chars=MAX_TITLE)
        st.text_input("Its folder, and its name in links", key=name, max_chars=LONGEST)
        st.form_submit_button(
            "Rename",
            icon=":material/edit:",
            width="stretch",
            on_click=_rename,
            args=(card.name, name, title),
        )
    with st.popover("Delete this one", icon=":material/delete:", width="stretch"):
        st.markdown(
            f"**{plain(card.title)}** is deleted for good. Saved as ZIP, it could be added again."
        )
        st.button("Delete for good", on_click=_delete, args=(card,))


def _add(key: str) -> None:
    file = st.session_state.get(key)
    if file is None:
        return
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1

    def add() -> str:
        card = unpack_checkpoint(file.getvalue(), free=True)
        st.session_state[_MODEL] = card.name
        return f"{card.title} is added, as {card.name}, and is what you look at now."

    _try(add)


def _rename(name: str, name_key: str, title_key: str) -> None:
    new_name, title = st.session_state[name_key].strip(), st.session_state[title_key]

    def rename() -> str:
        card = rename_checkpoint(name, new_name, title)
        st.session_state[_MODEL] = card.name
        return f"It is called {card.title} now; its folder, {card.name}."

    _try(rename)


def _delete(card: ModelCard) -> None:
    def delete() -> None:
        delete_checkpoint(card.name)  # the sidebar says that it is gone, to every session

    _try(delete)


def _try(change: Callable[[], str | None]) -> None:
    """Do something before the page is drawn anew; there, say how it went."""
    try:
        st.session_state[_SAID] = change()
    except (CheckpointError, ReadOnlyError) as error:
        st.session_state[_FAULT] = str(error)
