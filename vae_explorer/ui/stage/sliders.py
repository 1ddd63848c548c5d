"""Settings that move a live view: as the component's sliders, or as Streamlit's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import streamlit as st

from vae_explorer.ui.stage.component import is_live
from vae_explorer.ui.stage.tiles import Setting
from vae_explorer.ui.stage.views import draw_sliders
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.text import plain
from vae_explorer.ui.widgets import read_number, slide


def show_sliders(
    settings: Sequence[Setting], key: str, channel: str, *, pad: tuple[str, str] | None = None
) -> dict[str, float]:
    """Let settings be moved, and return their values as of the last release.

    Parameters
    ----------
    settings : sequence of Setting
    channel : str
        Of the views that follow while a slider moves.
    pad : tuple of two str, optional
        Names of two settings to be moved together, by the place of a knob.
    """
    if not is_live():
        return {s.name: _slide(s) for s in settings}
    values = {setting.name: current_value(setting) for setting in settings}
    draw_sliders(settings, key, channel=channel, values=values, pad=pad, on_values=take_values)
    return values


def take_values(values: Mapping[str, object]) -> None:
    """Take up what the browser sent when a drag ended; unknown names and non-numbers are not."""
    for name, value in values.items():
        known = isinstance(st.session_state.get(name), float)
        if known and isinstance(value, int | float) and math.isfinite(value):
            st.session_state[name] = round(float(value), 3)


def _slide(setting: Setting) -> float:
    limits = setting.low, setting.high
    if not setting.private:
        return slide(setting.name, setting.label, limits, setting.reset, setting.step)
    st.session_state.setdefault(setting.name, setting.reset)
    return st.slider(
        plain(setting.label), *limits, step=setting.step, key=setting.name, persist_state="session"
    )


def current_value(setting: Setting) -> float:
    """Return a setting's value as of the last release, and keep the address in step."""
    if setting.private:
        kept: float = st.session_state.setdefault(setting.name, setting.reset)
        return kept

    def parse(text: str) -> float:
        return read_number(text, float, setting.low, setting.high)

    value = min(max(seed_from_url(setting.name, setting.reset, parse), setting.low), setting.high)
    st.session_state[setting.name] = value  # the model, and so the range, may have changed
    write_to_url(setting.name, f"{value:g}", f"{setting.reset:g}")
    return value
