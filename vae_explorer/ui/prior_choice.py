"""Which prior latents are drawn from, as far as there is a choice."""

from __future__ import annotations

import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.sampling import available_priors
from vae_explorer.ui.widgets import choose

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
        prior = choose("prior", "Prior", names, prior if plain else "fitted", help=_HELP)
    st.caption(_SOURCES[prior])
    return prior, offered if prior == "both" else (prior,)
