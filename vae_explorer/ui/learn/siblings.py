"""Comparison of sibling models: maps under one cursor, interpolations, loss terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import streamlit as st

from vae_explorer.catalog.table import comparable
from vae_explorer.checkpoints import Checkpoint, list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import CheckpointError
from vae_explorer.figures import CLASS_COLOURS, panels_figure
from vae_explorer.latent.statistics import SMALLEST_HALF, share_far_from_prior
from vae_explorer.random_streams import RandomStream, stream
from vae_explorer.ui.cache import get_checkpoint, key_of
from vae_explorer.ui.originals import name_held_out
from vae_explorer.ui.page import close_page, theme
from vae_explorer.ui.stage.component import draw_view, has_live_route
from vae_explorer.ui.stage.tiles import pack_floats
from vae_explorer.ui.stage.views import explain_release
from vae_explorer.ui.text import escape_markdown, format_share
from vae_explorer.ui.widgets import int_input, select

LOOKS = {
    "cursor": "Linked cursor",
    "walk": "Interpolation",
    "samples": "Samples",
    "cover": "Coverage",
    "p": "Quantiles",
}
LINKS = {"place": "Same position", "z": "Same z", "picture": "Same image"}
SOURCES = {"prior": "N(0, I)", "box": "Bounding box"}
WHY = {
    "link": (
        "**Same position**: the same relative position in each map, each on its own scale. "
        "**Same z**: the same coordinates, with all maps on one scale. **Same image**: where each "
        "model encodes the image nearest to the cursor."
    ),
    "cursor": (
        "Each point is an encoded image, coloured by class. The circles mark 1σ, 2σ and 3σ of the "
        "prior N(0, I), from which new images are sampled. The autoencoder was not trained to "
        "match the prior or to avoid gaps. The prior's 99% circle contains 99% of its samples."
    ),
    "walk": (
        "Linear interpolation between the encodings of the same two images in each latent space. A "
        "VAE is trained on samples around each encoding, so its decoder also learns the space "
        "between neighbours. The autoencoder's decoder was never trained in the gaps. Transitions "
        "between classes are abrupt in both: try several pairs."
    ),
    "samples": (
        "To generate images, z has to be sampled from some distribution. For a VAE it is the "
        "prior. An autoencoder has none: N(0, I) covers only a part of its encodings, and their "
        "bounding box contains empty regions."
    ),
    "cover": (
        "2,000 samples from the prior. Orange: no encoding is nearby, so the decoder was hardly "
        "trained there. Nearby is the distance within which 99% of the samples would find an "
        "encoding if the encodings followed the prior, so a perfect match gives 1%."
    ),
    "p": (
        "Each coordinate is mapped through Φ, the cumulative distribution function of N(0, 1). "
        "Encodings that follow the prior fill the square evenly; those far from it accumulate at "
        "the edges."
    ),
}
_LOSS = (
    r"\underbrace{\mathbb{E}_q[-\log p(x|z)]}_{\text{reconstruction}}"
    r"+ \beta\, \underbrace{\mathrm{KL}(q\,\|\,p)}_{\text{KL divergence}}"
)
_PAPERS = (
    "Here q = q(z | x) and p = p(z). The autoencoder minimises only the first term, with a point "
    "instead of q. β = 1 is the VAE ([Kingma & "
    "Welling 2014](https://arxiv.org/abs/1312.6114), [Rezende et al. 2014]"
    "(https://arxiv.org/abs/1401.4082)); other values of β give the β-VAE ([Higgins et al. 2017]"
    "(https://openreview.net/forum?id=Sy2fzU9gl)). On the relation between encodings and prior: "
    "[Hoffman & Johnson 2016]"
    "(http://approximateinference.org/accepted/HoffmanJohnson2016.pdf)."
)
_TRUNK, _TRAINER = "Trouser", "Sneaker"
_MOST = 4
_POINTS = 2_000
REACH = 3.6
"""Half a side of a map on which all models are shown in the same units: σ of the prior."""
_CAUGHT = 0.995


def has_siblings(card: ModelCard, cards: Mapping[str, ModelCard]) -> bool:
    """Say whether a model of a plane has others to compare it with."""
    return card.model.latent_dim == 2 and len(comparable(cards.values(), card)) > 1


def find_siblings(card: ModelCard) -> Mapping[str, Checkpoint]:
    """Return this model and those comparable to it, by unambiguous names; none if it is alone."""
    cards, _ = list_checkpoints()
    family: list[Checkpoint] = []
    shown = get_checkpoint(key_of(card)).encodings.row_id[:_POINTS]
    for other in comparable(cards.values(), card):
        with suppress(CheckpointError):
            found = get_checkpoint(key_of(other))
            # Of data that grew between two trainings, each model encodes others.
            if np.array_equal(found.encodings.row_id[:_POINTS], shown):
                family.append(found)
    if len(family) > _MOST:  # the one that was chosen is among them
        family = [c for c in family if c.card.name != card.name][: _MOST - 1]
        family.append(get_checkpoint(key_of(card)))
    if len(family) > 1 and card.model.latent_dim == 2:
        return _disambiguate(family)
    return {}


def require_siblings(card: ModelCard, family: Mapping[str, Checkpoint]) -> None:
    """Stop the script with an explanation if a model has none to be compared with."""
    if family:
        return
    st.info(
        f"There is no model to compare {escape_markdown(card.title)} with. This page needs two or "
        "more models with two latent dimensions and the same training data, such as an autoencoder "
        "and a VAE."
    )
    st.page_link("pages/train.py", label="Train a model", icon=":material/model_training:")
    close_page()
    st.stop()


def choose_two(checkpoint: Checkpoint) -> tuple[int, int]:
    """Select two images by their class; return their rows in the encodings."""
    labels, names = checkpoint.encodings.labels, checkpoint.card.label_names
    pair = int_input("pair", "Pair", (0, 999), 0, help="Each number selects other images.")
    rng = stream(pair, RandomStream.IMAGE_PAIR)
    count = len(checkpoint.encodings.row_id)
    if labels is None:
        first, second = rng.choice(count, 2, replace=count < 2)
        return int(first), int(second)
    options = {names[label]: names[label] for label in np.unique(labels)}  # encoded ones
    left, right = st.columns(2)
    with left:
        start = select("from", "From", options, _TRUNK, dropdown=True)
    with right:
        end = select("to", "To", options, _TRAINER, dropdown=True)
    first, second = (
        rng.choice(np.flatnonzero(labels == names.index(name))) for name in (start, end)
    )
    return int(first), int(second)


def show_linked(family: Mapping[str, Checkpoint], key: str, link: str) -> None:
    """Show the maps of several models, and what each decodes at a shared cursor.

    Parameters
    ----------
    family : mapping of str to Checkpoint
        By unambiguous name; all encode the same images.
    link : str
        One of `LINKS`: the cursor is at the same relative position in each map, at the same z on
        maps of equal size, or at the encoding of the same image.
    """
    rows = np.arange(len(_first(family).encodings.row_id))[:_POINTS]
    encoded = {name: c.encodings.z_mean[rows] for name, c in family.items()}
    labels = _first(family).encodings.labels
    classes = np.zeros(len(rows), int) if labels is None else labels[rows]
    if not has_live_route():
        explain_release()
        figure = panels_figure(encoded, classes, template=theme())
        st.plotly_chart(figure, theme=None, key=f"{key}-still", config={"displayModeBar": False})
        return
    maps = []
    for (name, z), checkpoint in zip(encoded.items(), family.values(), strict=True):
        middle, half = _frame(z) if link != "z" else (np.zeros(2), REACH)
        card, away = checkpoint.card, share_far_from_prior(checkpoint.encodings.z_mean)
        maps.append(
            {
                "checkpoint": card.name,
                "fingerprint": card.fingerprint,
                "title": name,
                "note": f"{format_share(away)} outside the prior's 99% circle",
                "z": pack_floats(z),
                "middle": middle.tolist(),
                "half": half,
                "ink": card.is_inverted,
            }
        )
    data = {
        "view": "linked",
        "maps": maps,
        "labels": classes.tolist(),
        "label_names": list(_first(family).card.label_names),
        "colours": list(CLASS_COLOURS),
        "link": link,
        "description": "Latent maps of several models. Arrow keys move their shared cursor.",
    }
    draw_view(key, data, {})


def show_loss_terms(family: Mapping[str, Checkpoint]) -> None:
    """Show the terms of each model's loss."""
    parts = ("reconstruction", "kl", "negative_elbo")
    lines = ["| | Recon. | KL | −ELBO |", "|---|---|---|---|"]
    for name, checkpoint in family.items():
        found = [checkpoint.card.metrics.get(part) for part in parts]
        numbers = [f"{m.value:.4g}" if m and isinstance(m.value, float) else "–" for m in found]
        lines.append(f"| {' | '.join([escape_markdown(name), *numbers])} |")
    st.markdown("\n".join(lines))
    st.caption(f"Nats per image, on {name_held_out(_first(family).encodings)}.")
    with st.expander("Loss functions", icon=":material/function:"):
        st.latex(_LOSS)
        st.markdown(_PAPERS)


def _name_model(card: ModelCard) -> str:
    """Return a model's kind and β: "Autoencoder", or "VAE, β = 0.1"."""
    if card.model.kind == "autoencoder":
        return "Autoencoder"
    return "VAE" if card.train.beta == 1 else f"VAE, β = {card.train.beta:g}"


def _disambiguate(family: Sequence[Checkpoint]) -> dict[str, Checkpoint]:
    names = [_name_model(checkpoint.card) for checkpoint in family]
    return {
        name if names.count(name) == 1 else checkpoint.card.title: checkpoint
        for name, checkpoint in zip(names, family, strict=True)
    }


def _frame(z: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the middle and half the side of a square that nearly all encodings are in."""
    low, high = np.quantile(z, [1 - _CAUGHT, _CAUGHT], axis=0)
    half = max(float((high - low).max() / 2 * 1.05), SMALLEST_HALF)
    return (low + high) / 2, half


def _first(family: Mapping[str, Checkpoint]) -> Checkpoint:
    return next(iter(family.values()))
