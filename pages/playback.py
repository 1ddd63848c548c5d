"""Playback: how a map forms, epoch by epoch."""

import streamlit as st

from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page
from vae_explorer.ui.train.playback import (
    ALIGNMENTS,
    load_sources,
    needs_sources,
    offer_animation,
    show_playback,
)
from vae_explorer.ui.widgets import select, toggle

SENTENCE = (
    "Press play, or drag the slider, to see a map form: an epoch is one pass of the training over "
    "all its pictures."
)
NOBODY = ":none"  # no checkpoint can be called so

stage, panel = open_page("Playback", SENTENCE)
with stage:
    sources = needs_sources()
with panel:
    titles = {key: source.title for key, source in sources.items()}
    first = select(
        "played",
        "Training",
        titles,
        current_checkpoint().card.name,
        dropdown=True,
        help="Models and runs that were trained with --keep-epochs.",
    )
    others = {NOBODY: "None"} | {key: title for key, title in titles.items() if key != first}
    second = select("beside", "Beside it", others, dropdown=True) if len(others) > 1 else NOBODY
    chosen = [sources[first]] + ([sources[second]] if second != NOBODY else [])
    align = select("by", "The slider counts", ALIGNMENTS) if second != NOBODY else "epoch"
    follow = toggle(
        "follow",
        "Axes follow the points",
        help="Off: one square that holds the points of all epochs. The decoded grid stays there.",
    )
with stage:
    recordings = load_sources(chosen)
    show_playback(chosen, "playback", align=align, follow=follow)
with panel:
    if any(recording.model.latent_dim > 2 for recording in recordings):
        st.caption(
            "With more than two latent dimensions you see the plane in which the last epoch's "
            "encodings spread most (their first two principal components); all epochs lie on it."
        )
    if any(not recording.kept.decoders for recording in recordings):
        st.caption("There is no decoded grid where the decoders were too large to be kept.")
    elif any(len(recording.kept.decoders) > 1 for recording in recordings):
        st.caption(
            "The grid is what the model draws all over the square. It was decoded at some epochs, "
            "more of the early ones; between two of them it fades from one to the other."
        )
    offer_animation(chosen[0])
