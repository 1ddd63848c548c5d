"""View settings in the session and the URL, and the notices of a page.

A view setting has one key, the same in the session and in the URL, so that a link reopens the
view. A value in the URL that a page cannot use falls back to the default and leaves a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeVar

import streamlit as st

from vae_explorer.ui.text import escape_markdown

T = TypeVar("T")
LECTURE = "lecture"
"""Key of the current scene, counted from 1; 0 without a lecture."""
FOLLOW = "following"
"""Key of the lecture that the visitor follows; "" for none."""
_NOTICES = "notices"
_CURRENT_KEYS, _ALL_KEYS = "seeded_keys", "ever_seeded_keys"
_SHOWN = 40  # characters of an unusable value


def seed_from_url(key: str, default: T, parse: Callable[[str], T]) -> T:
    """Put a setting's first value into the session: from the URL if it can be used.

    Parameters
    ----------
    key : str
        Of the setting, in the session and in the URL.
    default : T
        Used, with a notice, if the URL holds something that `parse` does not accept.
    parse : callable
        Turns the URL's text into a value; raises ValueError, which says what is accepted.

    Returns
    -------
    T
        The setting's current value.
    """
    _record_key(key)
    if key not in st.session_state:
        st.session_state[key] = _parse_url(key, default, parse)
    value: T = st.session_state[key]
    return value


def recall(key: str, default: T) -> T:
    """Return what a page keeps in the session only, until it is reset."""
    _record_key(key)
    value: T = st.session_state.get(key, default)
    return value


def write_to_url(key: str, text: str, default: str) -> None:
    """Write a setting to the URL; a default is left out, so that links stay short."""
    if text == default:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != text:
        st.query_params[key] = text


def drop_unknown_settings() -> None:
    """Remove from the URL what is not a setting of the page that was just drawn.

    A notice names what came with a link, but not what another model or view left there.
    """
    for key in sorted(st.query_params.keys() - st.session_state[_CURRENT_KEYS]):
        if key not in st.session_state:
            add_notice(f"{_quote(key)} is not a setting of this page for this model")
        del st.query_params[key]


def reset_view(*, but: Container[str]) -> None:
    """Forget the settings of the page that was just drawn, so that it starts from its defaults."""
    for key in st.session_state.pop(_CURRENT_KEYS, set()):
        if key not in but:
            st.session_state.pop(key, None)
            st.query_params.pop(key, None)


def forget_settings(*, but: Container[str]) -> None:
    """Forget the settings of all pages, so that the next one starts from its link alone."""
    for key in st.session_state.pop(_ALL_KEYS, set()):
        if key not in but:
            st.session_state.pop(key, None)


def start_page() -> None:
    """Forget which settings the last page had, but not their values."""
    st.session_state[_CURRENT_KEYS] = set()


def is_lecturing() -> bool:
    """Say whether a lecture is in progress."""
    return bool(st.session_state.get(LECTURE, 0))


def add_notice(text: str) -> None:
    """Add a line to the notices at the top of the page."""
    notices = st.session_state.setdefault(_NOTICES, [])
    if text not in notices:
        notices.append(text)


def take_notices() -> list[str]:
    """Return the notices, and clear them."""
    notices: list[str] = st.session_state.pop(_NOTICES, [])
    return notices


def _record_key(key: str) -> None:
    for kind in (_CURRENT_KEYS, _ALL_KEYS):
        st.session_state.setdefault(kind, set()).add(key)


def _parse_url(key: str, default: T, parse: Callable[[str], T]) -> T:
    raw = st.query_params.get(key)
    if raw is None:
        return default
    try:
        return parse(raw)
    except ValueError as error:
        add_notice(f"{key} = {_quote(raw)} cannot be used: {escape_markdown(str(error))}")
        return default


def _quote(raw: str) -> str:
    """Format text of a link as code, so that it shows no link and no external image."""
    words = " ".join(raw[:_SHOWN].replace("`", "'").split()) or "(empty)"
    return f"`{words}…`" if len(raw) > _SHOWN else f"`{words}`"
