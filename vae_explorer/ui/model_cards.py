"""The model card, in the words of people: what it is, how well it does, on what terms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.ui.cache import find_originals, get_decoded, key_of
from vae_explorer.ui.originals import offer_originals, take_originals
from vae_explorer.ui.stage.views import show_row

_STRIP = 12
_SHORT_UNITS = {
    "nats per image": "nats",
    "as a share of the originals'": "",
    "squared distance in the judge's pooled features": "",
}

_METRICS = {
    "negative_elbo": (
        "−ELBO",
        "Negative evidence lower bound: how many nats a picture costs, at most, under this model. "
        "Reconstruction plus KL; lower is better.",
    ),
    "reconstruction": (
        "Reconstruction",
        "How badly the decoder's picture explains the original, in nats: −log p(x|z).",
    ),
    "kl": ("KL", "How many nats z tells of the picture: how far the posterior is from the prior."),
    "active_units": ("Active dimensions", "Dimensions of z that the model uses at all."),
    "psnr": ("PSNR", "Peak signal-to-noise ratio of reconstructions, in dB; higher is closer."),
    "sharpness": (
        "Sharpness",
        "How much fine contrast reconstructions have, as a share of the originals': 1 is as sharp.",
    ),
    "frechet_reconstructions": (
        "Fréchet, redrawn",
        "How far reconstructions are from real pictures, as a set, in the features of a network "
        "that took no part in training; lower is more real.",
    ),
    "frechet_samples_fitted": (
        "Fréchet, samples",
        "The same of pictures that the model makes up, by the prior fitted to its encodings.",
    ),
    "importance_weighted_nll": (
        "−log p(x), IWAE",
        "A tighter bound on the cost of a picture, from many samples of z.",
    ),
}


def show_metrics(card: ModelCard) -> None:
    """Show the card's single numbers, each with what it means and how it was measured."""
    shown = [name for name in _METRICS if name in card.metrics]
    for start in range(0, len(shown), 2):
        for place, name in zip(st.columns(2), shown[start : start + 2], strict=False):
            metric = card.metrics[name]
            title, meaning = _METRICS[name]
            value = f"{metric.value:.4g}" if isinstance(metric.value, float) else ""
            unit = _SHORT_UNITS.get(metric.unit, metric.unit.removesuffix(" latent dimensions"))
            explained = f"{meaning}\n\nMeasured in {metric.unit} on the {metric.protocol}."
            place.metric(title, f"{value} {unit}", help=explained)


def show_facts(card: ModelCard) -> None:
    """Show what was trained, on what, and how."""
    model, train = card.model, card.train
    size = "×".join(str(side) for side in model.image_shape)
    network = "MLP" if model.architecture == "mlp" else "Convolutional"
    kind = "variational autoencoder" if model.kind == "vae" else "autoencoder"
    parameters = sum(card.parameters.values())
    epochs = f"{train.epochs} epochs at most, batches of {train.batch_size}, seed {card.seed}"
    if train.start_from:
        epochs += f", from the weights of {Path(train.start_from).name}"
    facts = {
        "Model": f"{network} {kind}, {model.latent_dim}-D",
        "Images": f"{card.dataset.title}, {size}",
        "Likelihood": model.likelihood.capitalize(),
        "β": f"{train.beta:g}",
        "Parameters": f"{parameters:,}",
        "Trained": f"{card.created}; {epochs}",
    }
    if model.kind == "autoencoder":
        del facts["β"]
    first, *rest = (f"| {name} | {value} |" for name, value in facts.items())
    st.markdown("\n".join([first, "|---|---|", *rest]))


def show_terms(card: ModelCard) -> None:
    """Show on what terms the data, and so the model, may be used."""
    with st.expander("Data and licence", icon=":material/gavel:"):
        st.markdown(f"**{card.dataset.title}**: {card.dataset.licence}. {card.dataset.terms}")
        st.caption(f"{card.dataset.citation}. {card.dataset.url}")


def show_strip(checkpoint: Checkpoint) -> None:
    """Show some held-out pictures, where they are at hand, over their reconstructions."""
    card, encodings = checkpoint.card, checkpoint.encodings
    unseen = np.flatnonzero(encodings.split != "train")
    rows = unseen[:: max(1, len(unseen) // _STRIP)][:_STRIP]
    reconstructions = get_decoded(key_of(card), encodings.z_mean[rows])
    originals = find_originals(card)
    scale = max(1, 600 // (_STRIP * (card.model.image_size + 4)))
    if originals is None:
        offer_originals(card)
    else:
        st.caption("Held-out pictures")
        show_row(take_originals(card, originals, encodings.row_id[rows]), scale)
    st.caption("Their reconstructions: encoded to z, and decoded again")
    show_row(reconstructions, scale)
