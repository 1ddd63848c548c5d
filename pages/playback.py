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

SENTENCE = "Replay how a latent space formed during training, epoch by epoch."
NOBODY = ":none"  # no checkpoint can be called so

stage, panel = open_page("Playback", SENTENCE)
with stage:
    sources = needs_sources()
with panel:
    titles = {key: source.title for key, source in sources.items()}
    first = select(
        "played",
        "Training run",
        titles,
        current_checkpoint().card.name,
        dropdown=True,
        help="Models and runs whose epochs were saved.",
    )
    others = {NOBODY: "None"} | {key: title for key, title in titles.items() if key != first}
    second = select("beside", "Compare with", others, dropdown=True) if len(others) > 1 else NOBODY
    chosen = [sources[first]] + ([sources[second]] if second != NOBODY else [])
    align = select("by", "Align by", ALIGNMENTS) if second != NOBODY else "epoch"
    follow = toggle(
        "follow",
        "Axes follow the points",
        help="Off: one fixed square with the points of all epochs. The decoded grid always "
        "covers that square.",
    )
with stage:
    recordings = load_sources(chosen)
    show_playback(chosen, "playback", align=align, follow=follow)
with panel:
    if any(recording.model.latent_dim > 2 for recording in recordings):
        st.caption(
            "With more than two latent dimensions, all epochs are projected onto the first two "
            "principal components of the last epoch's encodings."
        )
    if any(not recording.kept.decoders for recording in recordings):
        st.caption("Without a decoded grid: the decoders were too large to save.")
    elif any(len(recording.kept.decoders) > 1 for recording in recordings):
        st.caption(
            "The grid shows the decoder's output over the square. Snapshots were taken at selected "
            "epochs (more of them early on); the grid fades from one to the next."
        )
    offer_animation(chosen[0])
