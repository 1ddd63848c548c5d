"""What the page of several models asks, and says of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.ui.widgets import choose, enter

LOOKS = {
    "cursor": "One cursor",
    "walk": "A walk",
    "samples": "Samples",
    "cover": "Coverage",
    "p": "p-values",
}
SOURCES = {"prior": "N(0, I)", "box": "Box of encodings"}
WHY = {
    "link": (
        "Same place: as far from each map's middle, in its own size. Same z: all maps in units of "
        "the prior. Same picture: where each model has put the picture nearest to the cursor."
    ),
    "cursor": (
        "A point is a picture, its colour what it shows; the circles are 1, 2 and 3 σ of the prior "
        "N(0, I), from which new pictures are drawn. The autoencoder was never asked to stay near "
        "it, or to leave no gaps. Out of reach are pictures farther out than 99 % of samples."
    ),
    "walk": (
        "A straight line between the same two pictures in each space. A VAE learns from a cloud "
        "around each picture, so it has also learnt what lies between neighbours. In a gap an "
        "autoencoder draws what nobody has seen. Borders between kinds are steep in both: try "
        "several walks."
    ),
    "samples": (
        "A model can invent pictures if one knows where to look. Of a VAE that is the prior. Of an "
        "autoencoder nobody knows: N(0, I) finds a part of its pictures only, and the box around "
        "all of them has corners where none is."
    ),
    "cover": (
        "2,000 samples of the prior. Orange: no encoding is near, so the decoder never learnt what "
        "to draw there. Near is the distance within which 99 % of the samples would find one, had "
        "the encodings come from the prior: 1 % is as good as it gets."
    ),
    "p": (
        "Each coordinate as its p-value, the share of N(0, 1) below it. Encodings that fill the "
        "prior fill this square evenly; those far outside pile up at its edges."
    ),
}
_LOSS = (
    r"\underbrace{\mathbb{E}_q[-\log p(x|z)]}_{\text{reconstruction}}"
    r"+ \beta\, \underbrace{\mathrm{KL}(q\,\|\,p)}_{\text{straying}}"
)
_PAPERS = (
    "The autoencoder has the first term alone, and a point for q. β = 1 is the VAE of [Kingma & "
    "Welling 2014](https://arxiv.org/abs/1312.6114) and [Rezende et al. 2014]"
    "(https://arxiv.org/abs/1401.4082); other β are from [Higgins et al. 2017]"
    "(https://openreview.net/forum?id=Sy2fzU9gl). What prior and encodings have to do with each "
    "other: [Hoffman & Johnson 2016]"
    "(http://approximateinference.org/accepted/HoffmanJohnson2016.pdf)."
)
_TRUNK, _TRAINER = "Trouser", "Sneaker"


def choose_two(checkpoint: Checkpoint) -> tuple[int, int]:
    """Let two pictures be chosen by their class; return their rows in the encodings."""
    labels, names = checkpoint.encodings.labels, checkpoint.card.label_names
    pair = enter("pair", "Which of them", (0, 999), 0, help="Another number, another two.")
    rng = np.random.default_rng([pair, 15])
    if labels is None:
        first, second = rng.choice(len(checkpoint.encodings.row_id), 2, replace=False)
        return int(first), int(second)
    options = {name: name for name in names}
    left, right = st.columns(2)
    with left:
        start = choose("from", "From", options, _TRUNK, dropdown=True)
    with right:
        end = choose("to", "To", options, _TRAINER, dropdown=True)
    first, second = (
        rng.choice(np.flatnonzero(labels == names.index(name))) for name in (start, end)
    )
    return int(first), int(second)


def show_losses(family: Mapping[str, Checkpoint]) -> None:
    """Show the parts of each model's loss."""
    parts = ("reconstruction", "kl", "negative_elbo")
    lines = ["| | Recon. | KL | −ELBO |", "|---|---|---|---|"]
    for name, checkpoint in family.items():
        found = [checkpoint.card.metrics.get(part) for part in parts]
        numbers = [f"{m.value:.4g}" if m and isinstance(m.value, float) else "–" for m in found]
        lines.append(f"| {' | '.join([name, *numbers])} |")
    st.markdown("\n".join(lines))
    st.caption("Nats per image, on pictures that no model has seen.")
    with st.expander("What they minimise", icon=":material/function:"):
        st.latex(_LOSS)
        st.markdown(_PAPERS)
