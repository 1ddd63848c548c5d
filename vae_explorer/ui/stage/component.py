"""The component behind every live view: mounted here, drawn by the files of `browser/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.runtime.state.common import WidgetCallback

_HERE = Path(__file__).parents[1] / "browser"
_PARTS = (
    "source",
    "drawing",
    "latents",
    "channels",
    "map",
    "grid",
    "sliders",
    "strip",
    "box",
    "photo",
    "morph",
    "corners",
    "edit",
    "linked",
    "network",
    "layer",
    "curves",
    "recording",
    "playback",
    "mount",
)
"""One script in the browser, in this order: what is used by others comes first."""
_STYLES = ("live", "network", "playback")
_UNREACHABLE = "route_unreachable"

_mount = st.components.v2.component(
    "vae_explorer_stage",
    js="\n".join((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS),
    css="\n".join((_HERE / f"{part}.css").read_text(encoding="utf-8") for part in _STYLES),
    isolate_styles=False,  # Plotly writes its styles into the page
)


Callback = Callable[[Mapping[str, object]], None]


def is_live() -> bool:
    """Say whether the browser reaches the decode route, as far as it is known."""
    return not st.session_state.get(_UNREACHABLE, False)


def draw_view(
    key: str,
    data: Mapping[str, object],
    default: Mapping[str, object],
    **on_triggers: Callback,
) -> Mapping[str, object]:
    """Mount the component; each trigger's callback gets what the browser sent."""
    callbacks: dict[str, WidgetCallback] = {
        f"on_{name}_change": partial(hand_over, key, name, callback)
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


def hand_over(key: str, name: str, callback: Callback) -> None:
    """Call back with what a component's trigger brought."""
    sent = st.session_state.get(key)  # gone, where another page was opened meanwhile
    value = sent.get(name) if sent else None
    if isinstance(value, Mapping):  # a browser can send anything
        callback(value)


def _note_reach(key: str) -> None:
    st.session_state[_UNREACHABLE] = bool(st.session_state[key].get("unreachable"))
