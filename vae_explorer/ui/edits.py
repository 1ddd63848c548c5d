"""What is to change in a face: amounts, which kind of vector, and what is to stay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from vae_explorer.attribute_vectors import OFFERED, lock
from vae_explorer.cards import ModelCard
from vae_explorer.checkpoints import Checkpoint
from vae_explorer.ui.colours import read_attribute
from vae_explorer.ui.controls import choose, choose_many
from vae_explorer.ui.sliders import show_sliders
from vae_explorer.ui.tiles import Setting
from vae_explorer.vector_choice import KINDS, stored_vectors

DETAIL = Setting("detail", "Detail of the photo", 0.0, 1.0, 1.0, 0.05)
_REACH = 3.0
_KEY = "edit_"
_KINDS = {
    "best": "Least drift",
    "plain": "Plain",
    "balanced": "Balanced",
    "regression": "Regression",
    "steered": "Steered",
}
_KIND_HELP = (
    "**Plain**: from the mean face without the attribute to the mean face with it. **Balanced**: "
    "the same, with all combinations of what goes along counted equally. **Regression**: the "
    "attribute's own part in z, others held. **Steered**: moved until the decoded faces have the "
    "attribute and keep the others. **Least drift**: for each attribute, the one of these that "
    "changed least beside it."
)
_LOCK_HELP = "Directions are made orthogonal to those of what is locked (Shen et al. 2020)."


def choose_vectors_to_edit(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Let the kind of vector and locks be chosen; return the vectors (latent_dim,) by attribute."""
    offered = {kind: _KINDS[kind] for kind in KINDS if stored_vectors(checkpoint, kind)}
    kind = "best"
    if offered:
        names = {"best": _KINDS["best"], **offered}
        kind = choose("vectors", "Directions", names, help=_KIND_HELP, dropdown=True)
    stored = stored_vectors(checkpoint, None if kind == "best" else kind)
    known = [name for group in OFFERED.values() for name in group if name in stored]
    options = {name: read_attribute(name) for name in known}
    locked = choose_many("locked", "Keep as it is", options, help=_LOCK_HELP)
    held = [stored[name] for name in locked]
    return {name: lock(stored[name], [] if name in locked else held) for name in known}


def choose_amounts(names: Mapping[str, object], channel: str) -> dict[str, float]:
    """Let each attribute be moved on a slider, by group; return the values by setting."""
    values: dict[str, float] = {}
    for index, (group, members) in enumerate(OFFERED.items()):
        settings = [
            Setting(setting_of(name), read_attribute(name), -_REACH, _REACH, 0.0)
            for name in members
            if name in names
        ]
        if settings:
            with st.expander(group, expanded=index == 0):
                values |= show_sliders(settings, f"{channel}-{index}", channel)
    return values


def setting_of(name: str) -> str:
    """Return the setting that moves an attribute."""
    return _KEY + name


def amounts_of(values: Mapping[str, float]) -> dict[str, float]:
    """Return what is to change, by attribute, of all settings' values."""
    return {n.removeprefix(_KEY): v for n, v in values.items() if n.startswith(_KEY) and v}


def show_drift(card: ModelCard, names: Mapping[str, object]) -> None:
    """Show how much else changes with each attribute, as measured on faces the model never saw."""
    rows = [(name, card.metrics.get(f"drift_of.{name}")) for name in names]
    measured = [(n, m.value) for n, m in rows if m is not None and isinstance(m.value, tuple)]
    if not measured:
        return
    with st.expander("What else changes", icon=":material/call_split:"):
        st.dataframe(
            {
                "Slider": [read_attribute(name) for name, _ in measured],
                "Others changed": [sum(flips) for _, flips in measured],
                "First of all": [_name_first(card, flips) for _, flips in measured],
            },
            column_config={
                "Others changed": st.column_config.ProgressColumn(
                    format="%.1f", min_value=0, max_value=5
                )
            },
            hide_index=True,
        )
        st.caption(
            "How many of the 40 attributes changed beside it, on average over faces that the "
            "model never saw, where nine in ten are taken to have it. Attributes are what "
            "CelebA's annotators saw; another network than any in training is the judge."
        )


def _name_first(card: ModelCard, flips: tuple[float, ...]) -> str:
    order = np.argsort(-np.array(flips), kind="stable")[:3]
    return ", ".join(f"{read_attribute(card.attribute_names[k])} {flips[k]:.0%}" for k in order)
