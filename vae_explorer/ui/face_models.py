"""What the pages about faces ask of the model, and say of how close it comes."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint, list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import CheckpointError
from vae_explorer.evaluation.metrics import PERCENTILES
from vae_explorer.ui.cache import get_checkpoint, key_of
from vae_explorer.ui.page import close_page

FACES = "celeba"
_BEST = ("faces-vae-96", "faces-vae-64")


def needs_faces(card: ModelCard) -> None:
    """End the run with a way to a model of faces, where the one that was chosen is none."""
    if card.dataset.name == FACES:
        return
    models = _models_of_faces()
    st.info(f"{card.title} knows no faces, and this page is about them.")
    if models:
        best = models[0]
        st.button(f"Use {best.title}", type="primary", on_click=_use, args=(best.name,))
    else:
        st.caption("There is no model of faces here. README.md says how to train one.")
    close_page()
    st.stop()


def other_models_of_faces(card: ModelCard) -> list[Checkpoint]:
    """Return the other models of faces that can be read, the best first; two at most."""
    found = []
    for other in _models_of_faces():
        if other.name != card.name:
            with suppress(CheckpointError):
                found.append(get_checkpoint(key_of(other)))
    return found[:2]


def describe_likeness(card: ModelCard, squared_error: float) -> str:
    """Say in plain words how close a reconstruction came, among faces the model never saw."""
    metric = card.metrics.get("squared_error_percentiles")
    if metric is None or isinstance(metric.value, float):
        return ""
    worse = 100 - round(np.interp(squared_error, metric.value, PERCENTILES))
    if worse >= 99:
        return "The model came closer to this face than to nearly all that it never saw."
    if worse <= 1:
        return (
            "The model came less close to this face than to nearly all that it never saw: it is "
            "unlike those it learnt from, or it is turned, covered, or not a photo of one."
        )
    return (
        f"Of 100 faces that the model never saw, it redraws about **{worse} less closely** than "
        f"this one, and {100 - worse} more closely."
    )


def _models_of_faces() -> list[ModelCard]:
    cards, _ = list_checkpoints()
    models = [card for card in cards.values() if card.dataset.name == FACES]
    return sorted(models, key=lambda card: (*_BEST, card.name).index(card.name))


def _use(name: str) -> None:
    st.session_state["model"] = name
