"""What the session and the URL hold of a view, and the notices of a page.

A view setting has one key, the same in the session and in the URL, so that a link reopens the
view. A value in the URL that a page cannot use falls back to the default and leaves a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeVar

import streamlit as st

T = TypeVar("T")

LECTURE = "lecture"
"""Which scene is shown, counted from 1, in the session and in the URL; 0 without a lecture."""
_NOTICES = "notices"
_SEEDED, _EVER = "seeded_keys", "ever_seeded_keys"
_SHOWN = 40  # characters of a value that cannot be used


def seed_from_url(key: str, default: T, parse: Callable[[str], T]) -> T:
    """Put a setting's first value into the session: from the URL if it can be used.

    Parameters
    ----------
    key : str
        Of the setting, in the session and in the URL.
    default : T
        Used, with a notice, where the URL holds something else than `parse` takes.
    parse : callable
        Turns the URL's text into a value; raises ValueError, saying what would be right.

    Returns
    -------
    T
        The setting's current value.
    """
    _note(key)
    if key not in st.session_state:
        st.session_state[key] = _parse_url(key, default, parse)
    value: T = st.session_state[key]
    return value


def recall(key: str, default: T) -> T:
    """Return what a page remembers beside its settings, until it is reset."""
    _note(key)
    value: T = st.session_state.get(key, default)
    return value


def write_to_url(key: str, text: str, default: str) -> None:
    """Keep the URL in step; a default is left out, so that links stay short."""
    if text == default:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != text:
        st.query_params[key] = text


def drop_unknown_settings() -> None:
    """Take out of the URL what no setting of the page that was just drawn stands for.

    What a link brought is told of; what another model or view left goes without a word.
    """
    for key in sorted(st.query_params.keys() - st.session_state[_SEEDED]):
        if key not in st.session_state:
            add_notice(f"{_quote(key)} is no setting of this page for this model")
        del st.query_params[key]


def reset_view(*, but: Container[str]) -> None:
    """Forget the settings of the page that was just drawn, so that it starts from its defaults."""
    for key in st.session_state.pop(_SEEDED, set()):
        if key not in but:
            st.session_state.pop(key, None)
            st.query_params.pop(key, None)


def forget_settings(*, but: Container[str]) -> None:
    """Forget the settings of all pages, so that a link alone says how the next one begins."""
    for key in st.session_state.pop(_EVER, set()):
        if key not in but:
            st.session_state.pop(key, None)


def start_page() -> None:
    """Forget which settings the last page had; not their values."""
    st.session_state[_SEEDED] = set()


def add_notice(text: str) -> None:
    """Leave one line for the top of the page."""
    notices = st.session_state.setdefault(_NOTICES, [])
    if text not in notices:
        notices.append(text)


def take_notices() -> list[str]:
    """Return the notices that were left, and forget them."""
    notices: list[str] = st.session_state.pop(_NOTICES, [])
    return notices


def _note(key: str) -> None:
    for kind in (_SEEDED, _EVER):
        st.session_state.setdefault(kind, set()).add(key)


def _parse_url(key: str, default: T, parse: Callable[[str], T]) -> T:
    raw = st.query_params.get(key)
    if raw is None:
        return default
    try:
        return parse(raw)
    except ValueError as error:
        add_notice(f"{key} = {_quote(raw)} cannot be used: {error}")
        return default


def _quote(raw: str) -> str:
    """Write what a link holds as code, where nothing is markup: no link, no foreign picture."""
    words = " ".join(raw[:_SHOWN].replace("`", "'").split()) or "(empty)"
    return f"`{words}…`" if len(raw) > _SHOWN else f"`{words}`"


def is_lecturing() -> bool:
    """Say whether a lecture is going on."""
    return bool(st.session_state.get(LECTURE, 0))
