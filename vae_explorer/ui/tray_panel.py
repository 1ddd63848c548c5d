"""The tray as people see it: the session's faces with their names, to rename and to forget."""

from __future__ import annotations

import streamlit as st

from vae_explorer.ui.photos import current_photo, forget_photo, is_example
from vae_explorer.ui.stage.views import show_picture
from vae_explorer.ui.tray import (
    TrayFace,
    faces_in_tray,
    remove_all_faces,
    remove_face,
    rename_face,
)

_SIDE = 64


def show_tray() -> None:
    """Show the session's faces; each can be renamed or forgotten, or all with their photos."""
    tray = faces_in_tray()
    if tray:
        st.markdown(f"**Your faces** · {len(tray)}", help="For every face page, until a reload.")
    for kept in tray:
        picture, name, button = st.columns([0.2, 0.62, 0.18], vertical_alignment="center")
        with picture:
            show_picture(kept.pixels(_SIDE), "", _SIDE)
        key = f"name-{kept.id}"
        st.session_state.setdefault(key, kept.name)
        name.text_input(
            "Name",
            key=key,
            label_visibility="collapsed",
            max_chars=40,
            on_change=_rename,
            args=(kept, key),
        )
        button.button(
            "",
            icon=":material/close:",
            key=f"remove-{kept.id}",
            help="Forget this face",
            on_click=_remove,
            args=(kept,),
            type="tertiary",
        )
    if tray or not is_example(current_photo()):
        st.button("Forget all", icon=":material/delete:", on_click=_forget_all, type="tertiary")


def _rename(kept: TrayFace, key: str) -> None:
    if not rename_face(kept.id, st.session_state[key]):
        st.session_state[key] = kept.name


def _remove(kept: TrayFace) -> None:
    remove_face(kept.id)
    if current_photo().image is kept.photo and all(
        other.photo is not kept.photo for other in faces_in_tray()
    ):
        forget_photo()


def _forget_all() -> None:
    remove_all_faces()
    forget_photo()
