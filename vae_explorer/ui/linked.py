"""Models of the same pictures: which there are, and their maps under one cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import streamlit as st

from vae_explorer.catalog.table import comparable
from vae_explorer.checkpoints import Checkpoint, list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import CheckpointError
from vae_explorer.figures import CLASS_COLOURS, panels_figure
from vae_explorer.latent.statistics import out_of_reach
from vae_explorer.ui.cache import get_checkpoint, key_of
from vae_explorer.ui.page import close_page, theme
from vae_explorer.ui.sidebar import FIRST_MODEL
from vae_explorer.ui.stage.component import draw_view, is_live
from vae_explorer.ui.stage.tiles import pack_floats
from vae_explorer.ui.stage.views import explain_release

LINKS = {"place": "Same place", "z": "Same z", "picture": "Same picture"}
_MOST = 4
_POINTS = 2_000
REACH = 3.6
"""Half a side of a map on which all models are shown in the same units: σ of the prior."""
_CAUGHT = 0.995


def needs_siblings(card: ModelCard) -> Mapping[str, Checkpoint]:
    """Return the models to compare this one with, and it, by what tells them apart.

    Ends the run with a way to models that can be compared, where there is none for this one.
    """
    cards, _ = list_checkpoints()
    family: list[Checkpoint] = []
    for other in comparable(cards.values(), card):
        with suppress(CheckpointError):
            family.append(get_checkpoint(key_of(other)))
    if len(family) > _MOST:  # the one that was chosen is among them
        family = [c for c in family if c.card.name != card.name][: _MOST - 1]
        family.append(get_checkpoint(key_of(card)))
    if len(family) > 1 and card.model.latent_dim == 2:
        return _tell_apart(family)
    st.info(
        f"{card.title} has no other to be compared with: two or more models with two latent "
        "dimensions that learnt from the same pictures, such as an autoencoder beside a VAE."
    )
    if FIRST_MODEL in cards and card.name != FIRST_MODEL:
        st.button(f"Use {cards[FIRST_MODEL].title}", type="primary", on_click=_use_first)
    close_page()
    return st.stop()


def draw_linked(family: Mapping[str, Checkpoint], key: str, link: str) -> None:
    """Draw the maps of some models, and what each decodes under a cursor that they share.

    Parameters
    ----------
    family : mapping of str to Checkpoint
        By the words that tell the models apart; the same pictures encoded by each.
    link : str
        One of `LINKS`: the cursor stands at the same share of each map's own side, at the same z
        on maps of the same side, or in each map where the same picture is.
    """
    rows = np.arange(len(_first(family).encodings.row_id))[:_POINTS]
    encoded = {name: c.encodings.z_mean[rows] for name, c in family.items()}
    labels = _first(family).encodings.labels
    classes = np.zeros(len(rows), int) if labels is None else labels[rows]
    if not is_live():
        explain_release()
        figure = panels_figure(encoded, classes, template=theme())
        st.plotly_chart(figure, theme=None, key=f"{key}-still", config={"displayModeBar": False})
        return
    maps = []
    for (name, z), checkpoint in zip(encoded.items(), family.values(), strict=True):
        middle, half = _frame(z) if link != "z" else (np.zeros(2), REACH)
        card, away = checkpoint.card, out_of_reach(checkpoint.encodings.z_mean)
        maps.append(
            {
                "checkpoint": card.name,
                "title": name,
                "note": f"{away:.0%} out of reach",
                "z": pack_floats(z),
                "middle": middle.tolist(),
                "half": half,
                "ink": card.model.image_channels == 1,
            }
        )
    data = {
        "view": "linked",
        "maps": maps,
        "labels": classes.tolist(),
        "label_names": list(_first(family).card.label_names),
        "colours": list(CLASS_COLOURS),
        "link": link,
        "description": "Maps of several models: arrow keys move a cursor that they share.",
    }
    draw_view(key, data, {})


def name_model(card: ModelCard) -> str:
    """Return what a model of a family is: "Autoencoder", or "VAE, β = 0.1"."""
    if card.model.kind == "autoencoder":
        return "Autoencoder"
    return "VAE" if card.train.beta == 1 else f"VAE, β = {card.train.beta:g}"


def _tell_apart(family: Sequence[Checkpoint]) -> dict[str, Checkpoint]:
    names = [name_model(checkpoint.card) for checkpoint in family]
    return {
        name if names.count(name) == 1 else checkpoint.card.title: checkpoint
        for name, checkpoint in zip(names, family, strict=True)
    }


def _frame(z: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the middle and half the side of a square that nearly all encodings are in."""
    low, high = np.quantile(z, [1 - _CAUGHT, _CAUGHT], axis=0)
    return (low + high) / 2, float((high - low).max() / 2 * 1.05)


def _first(family: Mapping[str, Checkpoint]) -> Checkpoint:
    return next(iter(family.values()))


def _use_first() -> None:
    st.session_state["model"] = FIRST_MODEL
