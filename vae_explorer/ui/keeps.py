"""Which samples are kept while the rest are rolled anew: slots with the roll they came from.

A roll says how to draw the sample again, so a link reopens the very same pictures.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.sampling import sample_latents
from vae_explorer.ui.state import seed_from_url, write_to_url

_KEEPS = "keep"
_SEEDS = 10**6


class Roll(NamedTuple):
    """How a sample was drawn, beside its slot."""

    seed: int
    temperature: float


def kept_slots(count: int) -> dict[int, Roll]:
    """Return the kept slots below `count` with their rolls."""
    keeps = seed_from_url(_KEEPS, {}, _parse)
    text = ",".join(f"{slot}:{roll.seed}:{roll.temperature:g}" for slot, roll in keeps.items())
    write_to_url(_KEEPS, text, "")
    return {slot: roll for slot, roll in keeps.items() if slot < count}


def toggle_keep(slot: int, roll: Roll) -> None:
    """Keep a slot as it was rolled, or let it go."""
    keeps = dict(st.session_state[_KEEPS])
    if keeps.pop(slot, None) is None:
        keeps[slot] = roll
    st.session_state[_KEEPS] = keeps


def forget_keeps() -> None:
    """Let all slots go."""
    st.session_state[_KEEPS] = {}


def draw_slots(checkpoint: Checkpoint, prior: str, count: int, roll: Roll) -> np.ndarray:
    """Draw latents (count, latent_dim): kept slots as they were rolled, the others by `roll`."""
    z = sample_latents(checkpoint, count, prior, roll.temperature, roll.seed)
    for slot, kept in kept_slots(count).items():
        z[slot] = sample_latents(checkpoint, slot + 1, prior, kept.temperature, kept.seed)[slot]
    return z


def _parse(text: str) -> dict[int, Roll]:
    keeps = {}
    for part in text.split(",")[:100]:
        try:
            slot, seed, temperature = part.split(":")
            keeps[int(slot)] = Roll(int(seed), float(temperature))
        except ValueError:
            raise ValueError("it takes slot:seed:temperature, joined by commas") from None
        if not (0 <= int(slot) < 100 and 0 <= int(seed) < _SEEDS):
            raise ValueError("a slot or seed in it is out of range")
        if not (math.isfinite(float(temperature)) and 0 <= float(temperature) <= 2):
            raise ValueError("a temperature in it is out of range")
    return keeps
