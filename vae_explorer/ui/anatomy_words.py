"""What the page Anatomy says on demand."""

from __future__ import annotations

import streamlit as st

from vae_explorer.checkpoints.card import ModelCard

_NOISE = (
    "The bottleneck has no room for the noise: what gets through is what the decoder can draw, "
    "and it has only ever drawn clean pictures. So the output stays one, if not always the right "
    "one: with much noise the encoder takes the picture for another. A denoising autoencoder "
    "([Vincent et al. 2008](https://dl.acm.org/doi/10.1145/1390156.1390294)) is trained on noisy "
    "input for this; yours was not."
)
_BITS = (
    "A number without an error could hold any amount, so counting numbers flatters. In a VAE each "
    "of them is only known up to σ: the encoder says N(μ, σ²) instead of a point, and the KL "
    "divergence from the prior N(0, 1) is the price of saying it, in nats; one nat is 1.44 bits "
    "([Kingma & Welling 2014](https://arxiv.org/abs/1312.6114)). It is the honest measure of what "
    "the bottleneck keeps of this picture."
)
_POINTS = (
    "This is a plain autoencoder: it maps a picture to one point, with no σ around it, so there is "
    "nothing to sample and no KL. How much those numbers tell has no bound that could be written "
    "down. Choose a VAE in the sidebar to see μ, σ and ε."
)
_TILES = (
    "Each tile is one channel of a layer: white where it is 0, black where it is strongest, orange "
    "below 0, each layer on a scale of its own. The strongest channels for this picture come "
    "first, and stay in their places while you add noise."
)


def explain_anatomy(card: ModelCard) -> None:
    """Offer what is worth knowing of the stage."""
    with st.expander("How to read the tiles", icon=":material/grid_view:"):
        st.markdown(_TILES)
    with st.expander("Why the noise goes", icon=":material/blur_off:"):
        st.markdown(_NOISE)
    if card.model.kind == "vae":
        with st.expander("Why bits, not numbers", icon=":material/compress:"):
            st.markdown(_BITS)
    else:
        with st.expander("Why there is no σ", icon=":material/compress:"):
            st.markdown(_POINTS)
