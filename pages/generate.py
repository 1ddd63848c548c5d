"""Generate: new pictures, decoded from random latents."""

import streamlit as st

from vae_explorer.latent import nearest
from vae_explorer.sampling import available_priors
from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.controls import choose, enter, slide
from vae_explorer.ui.downloads import offer_pictures
from vae_explorer.ui.keeps import Roll, draw_slots, forget_keeps, kept_slots, toggle_keep
from vae_explorer.ui.page import open_page
from vae_explorer.ui.points import name_label, show_latent
from vae_explorer.ui.sidebar import current_checkpoint
from vae_explorer.ui.stage import show_mosaic

SENTENCES = {
    "standard": "Each picture is new: z is drawn from the prior N(0, I), which the model was "
    "trained to follow, and decoded. Click those to keep, and re-roll the rest.",
    "box": "A plain autoencoder has no prior, so z is drawn evenly from the box around its "
    "encodings. Much of that box is empty: no picture was encoded there, so many samples fail.",
}
COLUMNS = {"4": "4 × 4", "6": "6 × 6", "8": "8 × 8", "10": "10 × 10"}
SEEDS = 100_000
_LAST, _CLICKS = "sample_clicked", "sample_clicks"


def reroll() -> None:
    """Move on to the next seed."""
    st.session_state["seed"] = (st.session_state["seed"] + 1) % SEEDS


checkpoint = current_checkpoint()
card, z_mean = checkpoint.card, checkpoint.encodings.z_mean
prior = available_priors(checkpoint)[0]
stage, panel = open_page("Generate", SENTENCES[prior])

with panel:
    side = int(choose("side", "Pictures", COLUMNS, "6"))
    temperature = slide(
        "temperature", "Temperature", (0.0, 2.0), 1.0, 0.05,
        help="Factor on the distance from the middle. Below 1: safer and more alike; "
        "above 1: bolder, and more often wrong.",
    )  # fmt: skip
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        seed = enter("seed", "Seed", (0, SEEDS - 1), 0)
    with right:
        st.button(
            "Re-roll", icon=":material/casino:", on_click=reroll, type="primary", width="stretch"
        )
    shown = choose(
        "look", "Show", {"samples": "Samples", "nearest": "Nearest encodings"},
        help="The nearest of the stored encodings to each sample, in the same places: how new "
        "is what you see?",
    )  # fmt: skip
    actions, details = st.container(), st.container()

roll = Roll(seed, temperature)
z = draw_slots(checkpoint, prior, side**2, roll)
keeps = kept_slots(side**2)
rows, distances = nearest(z, z_mean, 1)
images = get_decoded(key_of(card), z if shown == "samples" else z_mean[rows[:, 0]])


def keep(slot: int) -> None:
    """Keep what was clicked, or let it go, and show it larger."""
    toggle_keep(slot, keeps.get(slot, roll))
    st.session_state[_LAST] = (card.name, z[slot])
    # A new key forgets the click, so that the same picture can be clicked again.
    st.session_state[_CLICKS] = st.session_state.get(_CLICKS, 0) + 1


with stage:
    show_mosaic(
        images, side, f"samples-{card.name}-{st.session_state.get(_CLICKS, 0)}",
        on_click=keep,
        captions=[
            f"nearest: {name_label(checkpoint, row)}, {distance:.2f} away"
            for row, distance in zip(rows[:, 0], distances[:, 0], strict=True)
        ],
        framed=list(keeps),
    )  # fmt: skip
with actions:
    if keeps:
        st.button(f"Let {len(keeps)} kept go", icon=":material/undo:", on_click=forget_keeps)
    offer_pictures(images, side, f"{card.name}-samples", single=True)
with details:
    owner, last = st.session_state.get(_LAST, ("", None))
    if owner == card.name and last is not None:
        show_latent(checkpoint, last)
