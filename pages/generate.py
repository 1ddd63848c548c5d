"""Generate: new pictures, decoded from random latents."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import streamlit as st

from vae_explorer.latent import nearest
from vae_explorer.sampling import available_priors
from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.controls import choose, enter
from vae_explorer.ui.downloads import offer_pictures
from vae_explorer.ui.keeps import draw_tiles, forget_keeps, kept_slots, toggle_keep
from vae_explorer.ui.page import open_page
from vae_explorer.ui.points import name_label, show_latent, show_walk
from vae_explorer.ui.sidebar import current_checkpoint
from vae_explorer.ui.sliders import show_sliders, take_values
from vae_explorer.ui.stage import show_grid
from vae_explorer.ui.state import recall
from vae_explorer.ui.tiles import ListTiles, Setting

SENTENCES = {
    "standard": "Each picture is new: z is drawn from the prior N(0, I), which the model was "
    "trained to follow, and decoded. Click those to keep, and re-roll the rest.",
    "box": "A plain autoencoder has no prior, so z is drawn evenly from the box around its "
    "encodings. Much of that box is empty: no picture was encoded there, so many samples fail.",
}
SIDES = {"4": "4 × 4", "6": "6 × 6", "8": "8 × 8", "10": "10 × 10"}
TEMPERATURE = Setting("temperature", "Temperature: distance from the middle", 0.0, 2.0, 1.0, 0.05)
LOOKS = {"samples": "Samples", "nearest": "Nearest encodings"}
LOOK_HELP = "The nearest stored encoding to each sample, in the same place: how new is a sample?"
SEEDS = 100_000
_LAST = "sample_clicked"


def reroll() -> None:
    """Move on to the next seed."""
    st.session_state["seed"] = (st.session_state["seed"] + 1) % SEEDS


def keep(clicked: Mapping[str, object]) -> None:
    """Keep what was clicked, or let it go, and show it larger."""
    toggle_keep(cast(int, clicked["tile"]), seed, values["temperature"])
    st.session_state[_LAST] = (card.name, np.array(clicked["z"], np.float32))


checkpoint = current_checkpoint()
card, z_mean = checkpoint.card, checkpoint.encodings.z_mean
prior = available_priors(checkpoint)[0]
stage, panel = open_page("Generate", SENTENCES[prior])
channel = f"samples-{card.name}"

with panel:
    side = int(choose("side", "Pictures", SIDES, "6"))
    values = show_sliders([TEMPERATURE], f"{channel}-temperature", channel)
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        seed = enter("seed", "Seed", (0, SEEDS - 1), 0)
    right.button("Re-roll", icon=":material/casino:", on_click=reroll, width="stretch")
    look = choose("look", "Show", LOOKS, help=LOOK_HELP)
    actions, details = st.container(), st.container()

keeps = kept_slots(side**2)
tiles = draw_tiles(checkpoint, prior, side**2, seed)
z = tiles.latents(values)
rows, distances = nearest(z, z_mean, 1)
if look == "nearest":
    found = z_mean[rows[:, 0]]
    tiles = ListTiles(found, found[0], np.ones(len(found), bool), "temperature")
with stage:
    show_grid(
        tiles, channel, card, channel=channel, values=values, columns=side, on_click=keep,
        on_values=take_values, framed=list(keeps), description=f"{side} by {side} samples",
        captions=[f"nearest: {name_label(checkpoint, row) or 'a picture'}, {distance:.2f} away"
                  for row, distance in zip(rows[:, 0], distances[:, 0], strict=True)],
    )  # fmt: skip
    show_walk(checkpoint, z[list(keeps)])
with actions:
    if keeps:
        st.button(f"Let {len(keeps)} kept go", icon=":material/undo:", on_click=forget_keeps)
    offer_pictures(
        lambda: get_decoded(key_of(card), tiles.latents(values)), side, f"{card.name}-samples",
        single=True,
    )  # fmt: skip
with details:
    owner, last = recall(_LAST, ("", None))
    if owner == card.name and last is not None:
        show_latent(checkpoint, last)
