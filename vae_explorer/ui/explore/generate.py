"""Which samples are kept while the rest are rolled anew: slots with the roll they came from.

A roll says how to draw the sample again, so a link reopens the very same pictures.
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

_KEEPS = "keep"

_SEEDS = 10**6

_FITTED = "fitted"

_SOURCES = {
    "standard": "z is drawn from the prior N(0, I), which the model was trained to follow.",
    "box": "A plain autoencoder has no prior, so z is drawn evenly from the box around its "
    "encodings. Much of that box is empty: no picture was encoded there, so many samples fail.",
    "fitted": "z is drawn from a mixture of Gaussians, fitted to where the encoder put the "
    "training pictures.",
    "both": "Left, z is drawn from the first prior; right, from the fitted one. Click a picture "
    "to see it larger.",
}

_NAMES = {"standard": "N(0, I)", "box": "Box", "fitted": "Fitted", "both": "Both"}

_HELP = (
    "**N(0, I)** is what the KL term pulls the encodings towards. **Fitted**: a mixture of "
    "Gaussians, fitted to the encodings of the training pictures once the model was trained "
    "(Ghosh et al. 2020)."
)

_PLAIN_DIMENSIONS = 2  # where the model's own prior already fits, and is the lesson


class SampleSpec(NamedTuple):
    """How a sample was drawn, beside its slot."""

    seed: int
    temperature: float
    prior: str = ""
    """Of those the model offers; any other name is the model's own."""


def choose_prior(checkpoint: Checkpoint) -> tuple[str, tuple[str, ...]]:
    """Let a prior be chosen, and say in a sentence where its latents come from.

    Returns
    -------
    prior : str
        As the URL has it; "both" for all that there are, side by side.
    sources : tuple of str
        The priors to draw from, as `sample_latents` knows them.
    """
    offered = available_priors(checkpoint)
    prior = offered[0]
    if len(offered) > 1:
        names = {name: _NAMES[name] for name in (*offered, "both")}
        plain = checkpoint.card.model.latent_dim <= _PLAIN_DIMENSIONS
        prior = select("prior", "Prior", names, prior if plain else "fitted", help=_HELP)
    st.caption(_SOURCES[prior])
    return prior, offered if prior == "both" else (prior,)


def pinned_slots(count: int) -> dict[int, SampleSpec]:
    """Return the kept slots below `count` with their rolls."""
    nothing: dict[int, SampleSpec] = {}
    keeps = seed_from_url(_KEEPS, nothing, _parse)
    write_to_url(_KEEPS, ",".join(_write(slot, roll) for slot, roll in keeps.items()), "")
    return {slot: roll for slot, roll in keeps.items() if slot < count}


def toggle_pin(slot: int, roll: SampleSpec) -> None:
    """Keep a slot as it was rolled, or let it go."""
    keeps = dict(st.session_state[_KEEPS])
    if keeps.pop(slot, None) is None:
        keeps[slot] = roll
    st.session_state[_KEEPS] = keeps


def unpin_all() -> None:
    """Let all slots go."""
    st.session_state[_KEEPS] = {}


def sample_tiles(
    checkpoint: Checkpoint, prior: str, count: int, seed: int, keeps: Mapping[int, SampleSpec]
) -> ListTiles:
    """Draw samples: kept slots as they were rolled, the others anew, for a temperature to move."""
    z = sample_latents(checkpoint, count, prior, 1.0, seed)
    fixed = np.zeros(count, bool)
    own, *others = available_priors(checkpoint)
    for slot, roll in keeps.items():
        source = roll.prior if roll.prior in others else own
        z[slot] = sample_latents(checkpoint, slot + 1, source, roll.temperature, roll.seed)[slot]
        fixed[slot] = True
    centre = sample_latents(checkpoint, count, prior, 0.0, seed)
    return ListTiles(z, centre, fixed, "temperature")


def _write(slot: int, roll: SampleSpec) -> str:
    text = f"{slot}:{roll.seed}:{roll.temperature:g}"
    return f"{text}:{roll.prior}" if roll.prior == _FITTED else text


def _parse(text: str) -> dict[int, SampleSpec]:
    keeps = {}
    for part in text.split(",")[:100]:
        try:
            slot, seed, temperature, *prior = part.split(":")
            keeps[int(slot)] = SampleSpec(int(seed), float(temperature), *prior)
        except (TypeError, ValueError):
            raise ValueError("it takes slot:seed:temperature, joined by commas") from None
        if prior not in ([], [_FITTED]):
            raise ValueError("a prior in it is none")
        if not (0 <= int(slot) < 100 and 0 <= int(seed) < _SEEDS):
            raise ValueError("a slot or seed in it is out of range")
        if not (math.isfinite(float(temperature)) and 0 <= float(temperature) <= 2):
            raise ValueError("a temperature in it is out of range")
    return keeps
