"""The lecture mode: a bar above every page, and keys that move between scenes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from vae_explorer.bundling import ROOT, bundle_script
from vae_explorer.teaching.lecture import MAX_BYTES, Scene, read_lecture, shipped_lecture
from vae_explorer.ui.follow import leading, offer_following, page_names, stop_leading
from vae_explorer.ui.stage.component import forward_trigger
from vae_explorer.ui.state import LECTURE, forget_settings, seed_from_url, write_to_url
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import read_number

_USER_LIST, _REQUESTED, _KEYS = "lecture_own", "lecture_goes", "lecture_keys"
_LIST, _SEEN = "lecture_list", "lecture_list_seen"
_STYLE = """
<style>
  .st-key-lecture_bar { border-bottom: 1px solid #8884; padding-bottom: .4rem; }
  .st-key-lecture_bar .lecture-sentence { font-size: 1.55rem; line-height: 1.25; font-weight: 600; }
  .st-key-lecture_bar .lecture-try { font-size: 1.2rem; line-height: 1.3; }
  .stMainBlockContainer .stMarkdown p, .stMainBlockContainer label p { font-size: 1.12rem; }
</style>
"""

_mount = st.components.v2.component(
    "vae_explorer_presenter",
    js=bundle_script(ROOT / "learn" / "presenter.js"),
)


def lead_lecture() -> None:
    """Open the requested scene; during a lecture, draw the bar and listen for keys.

    Call it before the page is drawn.
    """
    scenes, _ = read_scenes()
    count = len(scenes)
    current = seed_from_url(LECTURE, 0, lambda text: read_number(text, int, 0, count))
    current = st.session_state[LECTURE] = min(current, count)
    write_to_url(LECTURE, str(current), "0")
    if st.session_state.pop(_REQUESTED, False) and current:
        scene = scenes[current - 1]
        forget_settings(but={LECTURE, "smooth"})
        st.switch_page(
            f"pages/{scene.page}.py", query_params={**scene.settings, LECTURE: str(current)}
        )
    if current:
        _draw_bar(scenes[current - 1], current, count)
        listen_for_keys(count, scenes[current - 1].link)


def start_lecture() -> None:
    """Open the first scene."""
    _go(1)


def listen_for_keys(count: int, scene: str = "") -> None:
    """Move through a lecture of `count` scenes with PageUp and PageDown.

    Parameters
    ----------
    count : int
        Number of scenes.
    scene : str
        Link of the current scene, which is sent to those who follow.
    """
    _mount(
        key=_KEYS,
        data={"lead": leading(scene)},
        height=1,
        on_moved_change=partial(forward_trigger, _KEYS, "moved", partial(_move, count)),
        on_lost_change=stop_leading,
    )


def read_scenes() -> tuple[list[Scene], list[str]]:
    """Return the scenes of the user's list, or of the app's, and the errors in it."""
    text: str = st.session_state.get(_USER_LIST) or shipped_lecture()
    return read_lecture(text, page_names())


def take_list() -> list[str]:
    """Ask for the user's own list of scenes; return the errors in it, a sentence each.

    A list stays for the session, also when the user leaves this page.
    """
    file = st.file_uploader("Your own lecture (text file)", "txt", key=_LIST, max_upload_size=1)
    problems: list[str] = []
    if file is not None and st.session_state.get(_SEEN) != file.file_id:
        try:
            text = file.read(MAX_BYTES + 1).decode("utf-8")
        except UnicodeDecodeError:
            return ["This is not a text file in UTF-8. Save it as plain text with this encoding."]
        if len(text.encode()) > MAX_BYTES:
            return [f"This file is too large: a lecture can have at most {MAX_BYTES // 1024} kB."]
        scenes, problems = read_lecture(text, page_names())
        if not scenes:
            return [*problems, "The file contains no usable scene, so the lecture is unchanged."]
        st.session_state[_USER_LIST], st.session_state[_SEEN] = text, file.file_id
        st.rerun()  # the page's first line counts the scenes
    elif _USER_LIST in st.session_state:
        problems = read_scenes()[1]
    if _USER_LIST in st.session_state:
        st.button("Restore the built-in lecture", on_click=_forget_user_list)
    return problems


def _draw_bar(scene: Scene, current: int, count: int) -> None:
    st.html(_STYLE)
    with st.container(key="lecture_bar"):
        with st.container(horizontal=True, vertical_alignment="center", key="lecture_head"):
            st.markdown(
                f"**{escape_markdown(scene.title)}** ({current} of {count})", width="stretch"
            )
            if scene.notes:
                st.popover("Notes", icon=":material/notes:").markdown(escape_markdown(scene.notes))
            st.button(
                "Back",
                icon=":material/arrow_back:",
                disabled=current == 1,
                help="Page Up",
                on_click=_go,
                args=(current - 1,),
            )
            st.button(
                "Next",
                icon=":material/arrow_forward:",
                disabled=current == count,
                help="Page Down",
                on_click=_go,
                args=(current + 1,),
            )
            st.button(
                "Reset scene",
                icon=":material/replay:",
                on_click=_go,
                args=(current,),
                help="Open this scene again as it was at first.",
            )
            offer_following(scene.link)
            st.button("End", icon=":material/close:", on_click=_end)
        words = f'<div class="lecture-sentence">{_escape(scene.sentence)}</div>'
        if scene.attempt:
            words += f'<div class="lecture-try">Try this: {_escape(scene.attempt)}</div>'
        st.html(words)


def _move(count: int, moved: Mapping[str, object]) -> None:
    by = moved.get("by")
    if by in (1, -1):
        _go(min(max(int(st.session_state.get(LECTURE, 0)) + int(by), 1), count))


def _go(scene: int) -> None:
    st.session_state[LECTURE] = scene
    st.session_state[_REQUESTED] = True


def _forget_user_list() -> None:
    del st.session_state[_USER_LIST]


def _end() -> None:
    stop_leading()
    st.session_state[LECTURE] = 0


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
