"""The page Anatomy: what its two live views are given, and what chance is left to."""

from __future__ import annotations

import base64

import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.server.trace import MAX_NOISE, MAX_SEED, Subject, pack_passage
from vae_explorer.ui.stage.component import draw_view, is_live
from vae_explorer.ui.stage.sliders import show_sliders, take_values
from vae_explorer.ui.stage.tiles import Setting, pack_floats
from vae_explorer.ui.stage.views import describe_model, explain_release
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.subjects import ChosenPicture
from vae_explorer.ui.widgets import read_number, switch

NOISE = Setting("noise", "Noise added to it, σ", 0.0, MAX_NOISE, 0.0, step=0.01)
_MOST = {"noise_seed": MAX_SEED, "epsilon_seed": MAX_SEED, "layer": 99}
_FIRST_LAYER = 1  # the first that does something


def choose_subject(checkpoint: Checkpoint, picture: ChosenPicture, channel: str) -> Subject:
    """Let noise be added to a picture, and z be its sample or its mean."""
    noise = show_sliders([NOISE], f"{channel}-sliders", channel)[NOISE.name]
    sampled = False
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Other noise", disabled=not noise, on_click=_draw_other_noise)
        if checkpoint.card.model.kind == "vae":
            sampled = not switch("mean", "z = μ", help="Without ε. Else z is drawn: μ + σ × ε.")
    return Subject(picture.image, noise, _recall("noise_seed"), _recall("epsilon_seed"), sampled)


def show_network(
    checkpoint: Checkpoint, subject: Subject, picture: ChosenPicture, channel: str
) -> None:
    """Show every layer of the network, and what a picture is there."""
    answer = None
    if not is_live():
        explain_release()
        packed = pack_passage(subject.follow(checkpoint.model))
        answer = base64.b64encode(packed).decode("ascii")
    data = {
        "view": "network",
        "image": pack_floats(picture.image),
        "name": picture.name,
        "noise": subject.noise,
        "sampled": subject.sampled,
        "values": {name: _recall(name) for name in _MOST},
        "channel": channel,
        "answer": answer,
        **describe_model(checkpoint.card),
    }
    draw_view(channel, data, {}, values=take_values)


def show_layer(channel: str) -> None:
    """Show what the chosen layer does, and all that it makes of the picture."""
    draw_view(f"{channel}-layer", {"view": "layer", "channel": channel}, {})


def _draw_other_noise() -> None:
    st.session_state["noise_seed"] = (st.session_state["noise_seed"] + 1) % (MAX_SEED + 1)


def _recall(name: str) -> int:
    """Return a whole number that the stage counts on, kept in the session and the URL."""
    most, default = _MOST[name], _FIRST_LAYER if name == "layer" else 0
    kept = seed_from_url(name, float(default), lambda text: float(read_number(text, int, 0, most)))
    value = min(max(round(kept), 0), most)
    st.session_state[name] = float(value)  # a browser can send anything
    write_to_url(name, str(value), str(default))
    return value
