"""Sliders that move a live view: the component's, or Streamlit's where the view is not live."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import streamlit as st

from vae_explorer.ui.stage.component import draw_view, has_live_route
from vae_explorer.ui.stage.tiles import Setting
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import float_slider, read_number


def show_sliders(
    settings: Sequence[Setting], key: str, channel: str, *, pad: tuple[str, str] | None = None
) -> dict[str, float]:
    """Show sliders, and return their values as of the last release.

    Parameters
    ----------
    settings : sequence of Setting
        One slider each.
    key : str
        Of the view.
    channel : str
        Of the views that follow while a slider moves.
    pad : tuple of two str, optional
        Names of two settings that a knob on a square pad moves together.

    Returns
    -------
    dict of str to float
        By the settings' names.
    """
    if not has_live_route():
        return {setting.name: _still_slider(setting) for setting in settings}
    values = {setting.name: setting_value(setting) for setting in settings}
    data = {
        "view": "sliders",
        "settings": [asdict(setting) for setting in settings],
        "pad": pad,
        "channel": channel,
        "values": values,
    }
    draw_view(key, data, {}, values=take_values)
    return values


def setting_value(setting: Setting) -> float:
    """Return a setting's value as of the last release, and keep the URL in step."""
    if setting.private:
        kept: float = st.session_state.setdefault(setting.name, setting.reset)
        return kept

    def parse(text: str) -> float:
        return read_number(text, float, setting.low, setting.high)

    value = min(max(seed_from_url(setting.name, setting.reset, parse), setting.low), setting.high)
    st.session_state[setting.name] = value  # the model, and so the range, may have changed
    write_to_url(setting.name, f"{value:g}", f"{setting.reset:g}")
    return value


def take_values(values: Mapping[str, object]) -> None:
    """Store what the browser sent when a drag ended, except unknown names and non-numbers."""
    for name, value in values.items():
        known = isinstance(st.session_state.get(name), float)
        if known and isinstance(value, int | float) and math.isfinite(value):
            st.session_state[name] = round(float(value), 3)


def _still_slider(setting: Setting) -> float:
    limits = setting.low, setting.high
    if not setting.private:
        return float_slider(setting.name, setting.label, limits, setting.reset, setting.step)
    st.session_state.setdefault(setting.name, setting.reset)
    return st.slider(
        escape_markdown(setting.label),
        *limits,
        step=setting.step,
        key=setting.name,
        persist_state="session",
    )
