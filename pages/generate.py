"""Generate: images decoded from samples of the prior."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import streamlit as st

from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.explore.generate import (
    SampleSpec,
    choose_prior,
    pinned_slots,
    sample_tiles,
    toggle_pin,
    unpin_all,
)
from vae_explorer.ui.explore.map_points import find_nearest, show_latent, show_walk
from vae_explorer.ui.files import offer_images
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import fit_height, open_page
from vae_explorer.ui.stage.sliders import show_sliders
from vae_explorer.ui.stage.tiles import Setting, fixed_tiles
from vae_explorer.ui.stage.views import GRID_HEIGHT, show_grid
from vae_explorer.ui.state import recall
from vae_explorer.ui.widgets import int_input, select

SENTENCE = "Decode random samples from the prior. Pin the ones you like and resample the rest."
SIDES = {"4": "4 × 4", "6": "6 × 6", "8": "8 × 8", "10": "10 × 10"}
TEMPERATURE = Setting("temperature", "Temperature", 0.0, 2.0, 1.0, 0.05)
LOOKS = {"samples": "Samples", "nearest": "Nearest encodings"}
LOOK_HELP = (
    "**Nearest encodings** replaces each sample with the closest encoded image, reconstructed. "
    "Compare the two to see how different a sample is from the data."
)
SEEDS = 100_000
_LAST = "sample_clicked"


def resample() -> None:
    """Continue with the next seed."""
    st.session_state["seed"] = (st.session_state["seed"] + 1) % SEEDS


def pin(clicked: Mapping[str, object]) -> None:
    """Pin or unpin the clicked sample, and show it larger."""
    toggle_pin(cast(int, clicked["tile"]), SampleSpec(seed, values["temperature"], prior))
    enlarge(clicked)


def enlarge(clicked: Mapping[str, object]) -> None:
    """Show the clicked sample larger."""
    st.session_state[_LAST] = (card.name, np.array(clicked["z"], np.float32))


checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page("Generate", SENTENCE)
channel = f"samples-{card.name}"

with panel:
    prior, sources = choose_prior(checkpoint)
    side = int(select("side", "Grid size", SIDES, "6"))
    values = show_sliders([TEMPERATURE], f"{channel}-temperature", channel)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = int_input("seed", "Seed", (0, SEEDS - 1), 0)
        st.button("New samples", icon=":material/casino:", on_click=resample, width="stretch")
    look = select("look", "Show", LOOKS, help=LOOK_HELP)
    actions, details = st.container(), st.container()

pinned = pinned_slots(side**2) if prior != "both" else {}
grids = {}
for source in sources:
    tiles = sample_tiles(checkpoint, source, side**2, seed, pinned)
    z = tiles.latents(values)
    found, captions = find_nearest(checkpoint, z)
    grids[source] = fixed_tiles(found) if look == "nearest" else tiles, captions
with stage:
    places = st.columns(len(grids))
    for source, (tiles, captions) in grids.items():
        with places.pop(0):
            show_grid(
                tiles,
                channel if source == prior else f"{channel}-{source}",
                card,
                channel=channel,
                values=values,
                columns=side,
                height=fit_height(GRID_HEIGHT),
                on_click=pin if source == prior else enlarge,
                framed=list(pinned),
                captions=captions,
                description=f"Grid of {side} × {side} samples",
            )
    show_walk(checkpoint, z[list(pinned)])
with actions:
    if pinned:
        st.button(f"Unpin all ({len(pinned)})", icon=":material/keep_off:", on_click=unpin_all)
    offer_images(
        lambda: get_decoded(
            key_of(card), np.vstack([t.latents(values) for t, _ in grids.values()])
        ),
        side,
        f"{card.name}-samples",
        single=True,
    )
with details:
    owner, last = recall(_LAST, ("", None))
    if owner == card.name and last is not None:
        show_latent(checkpoint, last)
