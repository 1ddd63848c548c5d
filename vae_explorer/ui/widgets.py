"""Streamlit widgets, each bound to the session and the URL by one key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import streamlit as st

from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.text import escape_markdown

N = TypeVar("N", int, float)
Name = TypeVar("Name", bound=str)


def select(
    key: str,
    label: str,
    options: Mapping[Name, str],
    default: Name | None = None,
    *,
    help: str | None = None,
    dropdown: bool = False,
    hide_label: bool = False,
) -> Name:
    """Select one option; the URL holds its name.

    Parameters
    ----------
    options : mapping of str to str
        Labels by name.
    default : str, optional
        A name; the first one if not given.
    dropdown : bool
        Show a drop-down list, for more options than fit side by side.
    hide_label : bool
        Leave the label of a drop-down list to screen readers.
    """
    first = default if default is not None and default in options else next(iter(options))

    def parse(text: str) -> Name:
        for option in options:
            if option == text:
                return option
        raise ValueError("it must be one of " + ", ".join(options))

    if seed_from_url(key, first, parse) not in options:  # of another model
        st.session_state[key] = first
    value: Name | None
    if dropdown:
        value = st.selectbox(
            label,
            list(options),
            format_func=options.__getitem__,
            key=key,
            help=help,
            label_visibility="collapsed" if hide_label else "visible",
            persist_state="session",
        )
    else:
        value = st.segmented_control(
            label,
            list(options),
            # Unlike a drop-down list, it reads Markdown.
            format_func=lambda option: escape_markdown(options[option]),
            key=key,
            help=help,
            required=True,
            persist_state="session",
            width="stretch",
        )
    chosen = value or first
    write_to_url(key, chosen, first)
    return chosen


def multiselect(
    key: str, label: str, options: Mapping[str, str], *, help: str | None = None
) -> list[str]:
    """Select any number of options; the URL holds their names, joined by commas."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if not set(names) <= set(options):
            raise ValueError("it must be some of " + ", ".join(options))
        return names

    nothing: list[str] = []
    kept = seed_from_url(key, nothing, parse)
    st.session_state[key] = [name for name in kept if name in options]
    chosen = st.pills(
        label,
        list(options),
        format_func=lambda option: escape_markdown(options[option]),
        key=key,
        help=help,
        selection_mode="multi",
        persist_state="session",
    )
    write_to_url(key, ",".join(chosen), "")
    return chosen


def toggle(key: str, label: str, default: bool = False, *, help: str | None = None) -> bool:
    """Turn something on or off."""

    def parse(text: str) -> bool:
        if text not in ("0", "1"):
            raise ValueError("it must be 0 or 1")
        return text == "1"

    seed_from_url(key, default, parse)
    value = st.toggle(label, key=key, help=help, persist_state="session")
    write_to_url(key, str(int(value)), str(int(default)))
    return value


def float_slider(
    key: str,
    label: str,
    limits: tuple[float, float],
    default: float,
    step: float = 0.1,
    *,
    help: str | None = None,
) -> float:
    """Select a number on a slider."""
    return _slide(key, label, limits, default, step, help=help)


def int_slider(
    key: str, label: str, limits: tuple[int, int], default: int, *, help: str | None = None
) -> int:
    """Select a whole number on a slider."""
    return _slide(key, label, limits, default, 1, help=help)


def int_input(
    key: str, label: str, limits: tuple[int, int], default: int, *, help: str | None = None
) -> int:
    """Enter a whole number."""
    seed_from_url(key, default, lambda text: read_number(text, int, *limits))
    value = st.number_input(label, *limits, key=key, help=help, step=1, persist_state="session")
    write_to_url(key, str(value), str(default))
    return int(value)


def read_number(text: str, kind: Callable[[str], N], minimum: float, maximum: float) -> N:
    """Read a number within limits; raise a ValueError that says what is accepted otherwise."""
    wanted = "a whole number" if kind is int else "a number"
    try:
        value = kind(text)
        if minimum <= value <= maximum:
            return value
    except ValueError:
        pass  # the same answer as for a number out of range
    raise ValueError(f"it must be {wanted} from {minimum:g} to {maximum:g}")


def _slide(
    key: str, label: str, limits: tuple[N, N], default: N, step: N, *, help: str | None
) -> N:
    kind = type(step)
    low, high = kind(limits[0]), kind(limits[1])
    current = seed_from_url(key, default, lambda text: read_number(text, kind, low, high))
    st.session_state[key] = min(max(kind(current), low), high)  # the model may have changed
    value = st.slider(label, low, high, step=step, key=key, help=help, persist_state="session")
    write_to_url(key, f"{value:g}", f"{default:g}")
    return value
