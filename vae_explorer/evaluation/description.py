"""A model card in words: facts, metrics with their meaning, and names of attributes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_explorer.checkpoints.card import ModelCard

_PHRASES = {"5_o_Clock_Shadow": "5_o’clock_shadow"}
_SHOWN = 3  # other attributes below a slider
METRICS = {
    "negative_elbo": (
        "−ELBO",
        "Negative evidence lower bound: an upper bound on −log p(x). The sum of reconstruction "
        "error and KL divergence; lower is better.",
    ),
    "reconstruction": (
        "Reconstruction",
        "Reconstruction error: −log p(x | z), averaged over z ~ q(z | x). Lower is better.",
    ),
    "kl": (
        "KL divergence",
        "KL(q(z | x) ‖ p(z)), from the posterior to the prior. On average, an upper bound on the "
        "information that z carries about the image.",
    ),
    "active_units": (
        "Active dimensions",
        "Latent dimensions whose posterior mean varies between images.",
    ),
    "psnr": ("PSNR", "Peak signal-to-noise ratio of the reconstructions. Higher is better."),
    "sharpness": (
        "Sharpness",
        "Fine contrast of the reconstructions, relative to the originals. 1 means equally sharp.",
    ),
    "frechet_reconstructions": (
        "Fréchet, reconstructions",
        "Fréchet distance between reconstructions and real images, in the features of a network "
        "that was not used in training. Lower is more realistic.",
    ),
    "frechet_samples_fitted": (
        "Fréchet, samples",
        "Fréchet distance between real images and images generated from the fitted prior. Lower "
        "is more realistic.",
    ),
    "importance_weighted_nll": (
        "−log p(x), IWAE",
        "Importance-weighted bound: a tighter upper bound on −log p(x), from several samples of z.",
    ),
}
_SHORT_UNITS = {
    "nats per image": "nats",
    "as a share of the originals'": "",
    "squared distance in the judge's pooled features": "",
}


class Figure(NamedTuple):
    """A metric as it is shown."""

    title: str
    value: str
    explanation: str
    """What it means, its unit, and how it was measured, in paragraphs."""


def describe_metrics(card: ModelCard) -> list[Figure]:
    """Describe the card's scalar metrics, the most important ones first."""
    figures = []
    for name, (title, meaning) in METRICS.items():
        if name not in card.metrics:
            continue
        metric = card.metrics[name]
        value = f"{metric.value:.4g}" if isinstance(metric.value, float) else ""
        unit = _SHORT_UNITS.get(metric.unit, metric.unit.removesuffix(" latent dimensions"))
        whole_unit = metric.unit.replace("the judge's", "an evaluation classifier's")
        explanation = f"{meaning}\n\nUnit: {whole_unit}. Protocol: {metric.protocol}."
        figures.append(Figure(title, f"{value} {unit}", explanation))
    return figures


def describe_card(card: ModelCard) -> dict[str, str]:
    """Describe architecture, data and training: what is said, by its name."""
    model, train = card.model, card.train
    size = f"{model.image_size}×{model.image_size}"
    colours = "greyscale" if model.image_channels == 1 else "colour"
    images = [card.dataset.title, size, colours]
    if card.dataset.title.endswith(size):
        images.remove(size)
    network = "MLP" if model.architecture == "mlp" else "Convolutional"
    kind = "variational autoencoder" if model.kind == "vae" else "autoencoder"
    epochs = f"up to {train.epochs:,} {'epoch' if train.epochs == 1 else 'epochs'}"
    epochs += f", batch size {train.batch_size}, seed {card.seed}"
    if train.start_from:
        epochs += f", starting from the weights of {Path(train.start_from).name}"
    facts = {
        "Model": f"{network} {kind}",
        "Latent dimensions": str(model.latent_dim),
        "Images": ", ".join(images),
        "Likelihood": model.likelihood.capitalize(),
        "β": f"{train.beta:g}",
        "Parameters": f"{sum(card.parameters.values()):,}",
        "Trained": f"{card.created}; {epochs}",
    }
    if model.kind == "autoencoder":
        del facts["β"]
    return facts


def format_attribute(name: str) -> str:
    """Return an attribute's name as a phrase: `Bags_Under_Eyes` is "Bags under eyes"."""
    first, *others = _PHRASES.get(name, name).split("_")
    return " ".join([first, *(word.lower() if word.istitle() else word for word in others)])


def most_drifting(card: ModelCard, name: str) -> tuple[tuple[str, float], ...]:
    """Return the attributes that change most with one, and in what share of faces."""
    metric = card.metrics.get(f"drift_of.{name}")
    if metric is None or not isinstance(metric.value, tuple):
        return ()
    flips = np.array(metric.value)
    order = np.argsort(-flips, kind="stable")[:_SHOWN]
    return tuple((format_attribute(card.attribute_names[k]), float(flips[k])) for k in order)
