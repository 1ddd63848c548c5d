"""Samples of a prior: its choice, and pinned samples that stay when the others are resampled.

A pinned slot holds how its sample was drawn, so a link reproduces the same images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.stage.tiles import ListTiles
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.widgets import select

_PINNED = "keep"
_SEEDS = 10**6
_FITTED = "fitted"
_SOURCES = {
    "standard": "z is sampled from the prior, N(0, I). Click an image to pin it.",
    "box": "A plain autoencoder has no prior, so z is sampled uniformly from the bounding box of "
    "its encodings. Much of that box contains no encodings, so many samples do not resemble the "
    "data. Click an image to pin it.",
    "fitted": "z is sampled from a Gaussian mixture fitted to the encodings of the training "
    "images. Click an image to pin it.",
    "both": "Left: {first}. Right: fitted prior. Click an image to enlarge it.",
}
_NAMES = {"standard": "N(0, I)", "box": "Box", "fitted": "Fitted", "both": "Both"}
_HELP = (
    "**N(0, I)**: the prior that the model was trained with. **Fitted**: a Gaussian mixture, "
    "fitted after training to the encodings of the training images ([Ghosh et al. 2020](https://arxiv.org/abs/1903.12436))."
)
_FITTED_ABOVE = 2  # dimensions: below, N(0, I) already fits, and is the lesson


class SampleSpec(NamedTuple):
    """How a sample was drawn; together with its slot it determines z."""

    seed: int
    temperature: float
    prior: str = ""
    """"fitted"; any other name stands for the model's first prior."""


def choose_prior(checkpoint: Checkpoint) -> tuple[str, tuple[str, ...]]:
    """Select a prior, and describe in a sentence how its latents are drawn.

    Returns
    -------
    prior : str
        As in the URL; "both" for all that the model has, side by side.
    sources : tuple of str
        The priors to draw from, as `sample_latents` knows them.
    """
    offered = available_priors(checkpoint)
    prior = offered[0]
    if len(offered) > 1:
        names = {name: _NAMES[name] for name in (*offered, "both")}
        if checkpoint.card.model.latent_dim > _FITTED_ABOVE:
            prior = _FITTED
        prior = select("prior", "Prior", names, prior, help=_HELP)
    st.caption(_SOURCES[prior].format(first=_NAMES[offered[0]]))
    return prior, offered if prior == "both" else (prior,)


def pinned_slots(count: int) -> dict[int, SampleSpec]:
    """Return the pinned slots below `count`."""
    nothing: dict[int, SampleSpec] = {}
    pinned = seed_from_url(_PINNED, nothing, _parse)
    write_to_url(_PINNED, ",".join(_write(slot, spec) for slot, spec in pinned.items()), "")
    return {slot: spec for slot, spec in pinned.items() if slot < count}


def toggle_pin(slot: int, spec: SampleSpec) -> None:
    """Pin a slot with its sample, or unpin it."""
    pinned = dict(st.session_state[_PINNED])
    if pinned.pop(slot, None) is None:
        pinned[slot] = spec
    st.session_state[_PINNED] = pinned


def unpin_all() -> None:
    """Unpin all slots."""
    st.session_state[_PINNED] = {}


def sample_tiles(
    checkpoint: Checkpoint, prior: str, count: int, seed: int, pinned: Mapping[int, SampleSpec]
) -> ListTiles:
    """Draw samples as tiles: pinned slots as they were, the others from the seed."""
    z = sample_latents(checkpoint, count, prior, 1.0, seed)
    fixed = np.zeros(count, bool)
    own, *others = available_priors(checkpoint)
    for slot, spec in pinned.items():
        source = spec.prior if spec.prior in others else own
        z[slot] = sample_latents(checkpoint, slot + 1, source, spec.temperature, spec.seed)[slot]
        fixed[slot] = True
    centre = sample_latents(checkpoint, count, prior, 0.0, seed)
    return ListTiles(z, centre, fixed, "temperature")


def _write(slot: int, spec: SampleSpec) -> str:
    text = f"{slot}:{spec.seed}:{spec.temperature:g}"
    return f"{text}:{spec.prior}" if spec.prior == _FITTED else text


def _parse(text: str) -> dict[int, SampleSpec]:
    pinned = {}
    for part in text.split(",")[:100]:
        try:
            slot, seed, temperature, *prior = part.split(":")
            pinned[int(slot)] = SampleSpec(int(seed), float(temperature), *prior)
        except (TypeError, ValueError):
            raise ValueError("it must be slot:seed:temperature, separated by commas") from None
        if prior not in ([], [_FITTED]):
            raise ValueError("it contains an unknown prior")
        if not (0 <= int(slot) < 100 and 0 <= int(seed) < _SEEDS):
            raise ValueError("it contains a slot or seed out of range")
        if not (math.isfinite(float(temperature)) and 0 <= float(temperature) <= 2):
            raise ValueError("it contains a temperature out of range")
    return pinned
