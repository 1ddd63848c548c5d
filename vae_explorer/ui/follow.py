"""Following a lecture: what the lecturer's page offers, and the bar on a follower's page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vae_explorer.bundling import ROOT, bundle_script
from vae_explorer.errors import RequestError
from vae_explorer.installation import APP
from vae_explorer.server.follow import LECTURES, Leader
from vae_explorer.teaching.lecture import read_link
from vae_explorer.ui.share import show_address
from vae_explorer.ui.stage.component import forward_trigger
from vae_explorer.ui.state import (
    FOLLOW,
    LECTURE,
    forget_settings,
    is_lecturing,
    seed_from_url,
    write_to_url,
)

_LEADER, _FOLLOWER = "lecture_leader", "lecture_follower"
_SCENE, _EXPLORES = "followed_scene", "explores_alone"
_REFUSED = "lecture_refused"
_BUTTON = "Let the class follow"
_LONGEST_ID = 40
_STYLE = """
<style>
  .st-key-follow_bar { border-bottom: 1px solid #8884; padding-bottom: .4rem; }
  .st-key-follow_bar .stHorizontalBlock { flex-wrap: nowrap; }
  .st-key-follow_bar .stMarkdown { min-width: 0; }
</style>
"""

_mount = st.components.v2.component(
    "vae_explorer_follower",
    js=bundle_script(ROOT / "learn" / "follower.js"),
)


def offer_following(scene: str) -> None:
    """Draw the lecturer's button: it opens the lecture to followers, and shows the link.

    Parameters
    ----------
    scene : str
        Link of the current scene, from the app's root.
    """
    leads = _LEADER in st.session_state
    pressed = st.button(
        "Show link" if leads else _BUTTON,
        icon=":material/qr_code_2:",
        type="primary" if leads else "secondary",
        key="lead",
        on_click=_begin,
        args=(scene,),
    )
    if pressed and leads:
        _show_link()
    if refusal := st.session_state.pop(_REFUSED, ""):
        st.warning(refusal)


def leading(scene: str) -> dict[str, str] | None:
    """Return what the lecturer's page needs to send its state; None if nobody can follow."""
    leader: Leader | None = st.session_state.get(_LEADER)
    return leader and {"id": leader.id, "token": leader.token, "scene": scene}


def stop_leading() -> None:
    """End the lecture for those who follow it, if there are any."""
    leader: Leader | None = st.session_state.pop(_LEADER, None)
    if leader:
        LECTURES.end(leader.id)


def follow_lecture(page: str) -> None:
    """Show a follower the lecturer's scene, and draw the bar above the page.

    Call it before the page is drawn.

    Parameters
    ----------
    page : str
        Name of the page that the visitor has opened.
    """
    id = seed_from_url(FOLLOW, "", _read_id)
    if is_lecturing():
        id = st.session_state[FOLLOW] = ""
    write_to_url(FOLLOW, id, "")
    if not id:
        return
    scene = LECTURES.scene(id)
    if scene is None:
        _say_ended()
        return
    opened, settings = read_link(scene)
    if _SCENE not in st.session_state and opened in page_names():
        st.session_state[_SCENE] = scene
        st.session_state[_EXPLORES] = False
        forget_settings(but={FOLLOW, "smooth"})
        settings.pop(LECTURE, None)
        st.switch_page(f"pages/{opened}.py", query_params={**settings, FOLLOW: id})
    if page != read_link(st.session_state.get(_SCENE, scene))[0]:
        st.session_state[_EXPLORES] = True
    _draw_bar(id)


@cache
def page_names() -> frozenset[str]:
    """Return the names of all pages."""
    return frozenset(path.stem for path in (APP / "pages").glob("*.py"))


def _begin(scene: str) -> None:
    if _LEADER not in st.session_state:
        try:
            st.session_state[_LEADER] = LECTURES.begin(scene)
        except RequestError as refusal:
            st.session_state[_REFUSED] = str(refusal)


def _draw_bar(id: str) -> None:
    explores: bool = st.session_state.get(_EXPLORES, False)
    with _open_bar():
        if explores:
            st.markdown("Exploring on your own", width="stretch")
            st.button(
                "Return to the lecturer", icon=":material/undo:", type="primary", on_click=_return
            )
        else:
            st.markdown("Following the lecturer", width="stretch")
            st.button(
                "Explore on my own",
                icon=":material/explore:",
                on_click=_explore,
                help="Stay here when the lecturer goes on to another scene.",
            )
        st.button("Leave", type="tertiary", on_click=_leave, help="Stop following.")
    _mount(
        key=_FOLLOWER,
        data={"id": id, "scene": st.session_state.get(_SCENE, ""), "follows": not explores},
        height="content",
        on_moved_change=partial(forward_trigger, _FOLLOWER, "moved", _go_along),
        on_ended_change=lambda: None,  # the next run finds no such lecture
    )


def _open_bar() -> DeltaGenerator:
    st.html(_STYLE)
    outer = st.container(key="follow_bar")
    return outer.container(horizontal=True, vertical_alignment="center")


def _say_ended() -> None:
    with _open_bar():
        st.markdown("The lecture has ended. You can go on exploring.", width="stretch")
        st.button("Close", type="tertiary", on_click=_leave)


@st.dialog("Let the class follow", width="medium")
def _show_link() -> None:
    if _LEADER not in st.session_state:  # stopped
        st.rerun()
    st.html("<style>.vae-qr { max-width: 50vh; }</style>")  # so that Stop is seen at 1280 x 720
    st.markdown(
        "Whoever opens this link sees this scene and your pointer on the latent map. Photos and "
        "drawings are never sent."
    )
    show_address(f"{_root()}/?{FOLLOW}={st.session_state[_LEADER].id}", _BUTTON)
    st.button(
        "Stop",
        icon=":material/stop:",
        on_click=stop_leading,
        help="The link no longer works then.",
    )


def _root() -> str:
    """Return the app's address, below which the pages are; the home page is at it."""
    url = (st.context.url or "").partition("?")[0].rstrip("/")
    root, _, page = url.rpartition("/")
    return root if page in page_names() else url


def _go_along(_moved: Mapping[str, object]) -> None:
    """Open the scene that the lecturer has now, which the browser only reports as a change."""
    if not st.session_state.get(_EXPLORES, False):
        st.session_state.pop(_SCENE, None)


def _explore() -> None:
    st.session_state[_EXPLORES] = True


def _return() -> None:
    st.session_state.pop(_SCENE, None)


def _leave() -> None:
    st.session_state[FOLLOW] = ""
    for key in (_SCENE, _EXPLORES):
        st.session_state.pop(key, None)


def _read_id(text: str) -> str:
    if len(text) > _LONGEST_ID or not text.isascii():
        raise ValueError("it is not the id of a lecture")
    return text
