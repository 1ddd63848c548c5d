"""The tray as people see it: the session's faces with their names, to rename and to remove."""

from __future__ import annotations

import streamlit as st

from vae_explorer.ui.photos import forget_photo
from vae_explorer.ui.stage import show_picture
from vae_explorer.ui.tray import faces_in_tray, remove_all_faces, remove_face, rename_face

_SIDE = 64


def show_tray() -> None:
    """Show the session's faces; each can be renamed or removed, or all at once."""
    tray = faces_in_tray()
    if not tray:
        return
    st.markdown(f"**Your faces** · {len(tray)}", help="For every face page, until a reload.")
    for kept in tray:
        picture, name, button = st.columns([0.2, 0.62, 0.18], vertical_alignment="center")
        with picture:
            show_picture(kept.pixels(_SIDE), "", _SIDE)
        key = f"name-{kept.name}"
        name.text_input(
            "Name", kept.name, key=key, label_visibility="collapsed", max_chars=40,
            on_change=_rename, args=(kept.name, key),
        )  # fmt: skip
        button.button(
            "", icon=":material/close:", key=f"remove-{kept.name}", help=f"Forget {kept.name}",
            on_click=remove_face, args=(kept.name,), type="tertiary",
        )  # fmt: skip
    if len(tray) > 1:
        st.button("Forget all", icon=":material/delete:", on_click=_forget_all, type="tertiary")


def _rename(name: str, key: str) -> None:
    if not rename_face(name, st.session_state[key]):
        st.session_state[key] = name


def _forget_all() -> None:
    remove_all_faces()
    forget_photo()
