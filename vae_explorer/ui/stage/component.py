"""The Streamlit component of all live views, drawn by the modules of `browser/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st
from streamlit.runtime.state.common import WidgetCallback

from vae_explorer.bundling import ROOT, bundle_script, join_styles

Callback = Callable[[Mapping[str, object]], None]
_UNREACHABLE = "route_unreachable"
_mount = st.components.v2.component(
    "vae_explorer_stage",
    js=bundle_script(ROOT / "main.js"),
    css=join_styles(),
    isolate_styles=False,  # Plotly writes its styles into the page
)


def has_live_route() -> bool:
    """Say whether the browser reaches the decode route, as far as is known."""
    return not st.session_state.get(_UNREACHABLE, False)


def draw_view(
    key: str,
    data: Mapping[str, object],
    default: Mapping[str, object],
    **on_triggers: Callback,
) -> Mapping[str, object]:
    """Mount the component, and return its state.

    Parameters
    ----------
    key : str
        Of the view, unique on the page.
    data : mapping of str to object
        What the view's module is given; `data["view"]` names it.
    default : mapping of str to object
        The state that the view reports, and its first values.
    **on_triggers : callable
        Called with what the browser sent, by the trigger's name.
    """
    callbacks: dict[str, WidgetCallback] = {
        f"on_{name}_change": partial(forward_trigger, key, name, callback)
        for name, callback in on_triggers.items()
    }
    callbacks |= {f"on_{name}_change": lambda: None for name in default}
    callbacks["on_unreachable_change"] = partial(_note_reach, key)
    state: Mapping[str, object] = _mount(
        key=key,
        data=data,
        default={**default, "unreachable": False},
        width="stretch",
        height="content",
        **callbacks,
    )
    return state


def forward_trigger(key: str, name: str, callback: Callback) -> None:
    """Call back with what a component's trigger sent."""
    sent = st.session_state.get(key)  # missing, where another page was opened meanwhile
    value = sent.get(name) if sent else None
    if isinstance(value, Mapping):  # a browser can send anything
        callback(value)


def _note_reach(key: str) -> None:
    st.session_state[_UNREACHABLE] = bool(st.session_state[key].get("unreachable"))
