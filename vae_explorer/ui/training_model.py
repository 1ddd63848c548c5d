"""Which model to train: a published one that fits the pictures, or one's own."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from vae_explorer.presets import PRESETS, fitting_presets, suggest_widths
from vae_explorer.ui.training_data import TrainingData
from vae_explorer.ui.widgets import choose, enter

OWN = "own"
_WORDS = {
    "fashion-vae": "convolutional, 2-D, on 32×32; Foster 2022",
    "fashion-ae": "the same as a plain autoencoder",
    "mnist-vae": "convolutional, 2-D, on 28×28; Keras, Chollet 2020",
    "mnist-mlp-vae": "one hidden layer, 20-D; PyTorch, after Kingma & Welling 2014",
    "faces-vae-32": "convolutional, 200-D, on 32×32; Foster 2022",
    "faces-vae-64": "128-D, on 64×64, for faces: learns by features too, and slowly",
}


@dataclass(frozen=True)
class TrainingModel:
    """The model that was chosen."""

    preset: str | None
    """A published one's name; None for one's own."""
    arguments: list[str]
    """What names it on the command line."""
    is_variational: bool


def choose_model(data: TrainingData) -> TrainingModel:
    """Draw the choice."""
    fitting = fitting_presets(data.channels, data.sizes, resized=data.is_resized)
    options = {name: f"{name} · {_WORDS[name]}" for name in fitting}
    options[OWN] = "Your own · you say how large"
    first = OWN if data.is_resized and data.name == "folder" else next(iter(options))
    name = choose(
        "train_model",
        "Model",
        options,
        first,
        dropdown=True,
        help="A variational autoencoder (VAE) squeezes each picture into z, a few numbers, and "
        f"draws it again from them. Of {len(PRESETS)} published models, {len(fitting)} fit these "
        "pictures.",
    )
    if not fitting:
        st.caption(f"None of the {len(PRESETS)} published models fits these pictures.")
    if name != OWN:
        model = PRESETS[name]
        return TrainingModel(name, ["--model", name], model.kind == "vae")
    return TrainingModel(None, _ask_for_own(data), True)


def _ask_for_own(data: TrainingData) -> list[str]:
    size = data.sizes[0]
    if len(data.sizes) > 1:
        sizes = {str(side): f"{side}×{side}" for side in data.sizes}
        size = int(choose("train_size", "Size of the pictures, in pixels", sizes, "64"))
    wide, latent, likely = st.columns(3)
    with wide:
        widths = ",".join(str(width) for width in suggest_widths(size))
        channels = (
            st.text_input(
                "Channels",
                placeholder=widths,
                key="train_channels",
                help="Of the encoder's "
                "convolutions, each of which halves the picture; the decoder mirrors them.",
            )
            or widths
        )
    with latent:
        usual = 2 if data.channels == 1 else 32
        latent_dim = enter(
            "train_latent",
            "Latent size",
            (2, 512),
            usual,
            help="How many numbers z is. "
            "With 2 the latent map shows all there is; with more, pictures are redrawn sharper.",
        )
    with likely:
        likelihoods = {"bernoulli": "Bernoulli", "gaussian": "Gaussian"}
        default = "gaussian" if data.channels == 3 else "bernoulli"
        likelihood = choose("train_likelihood", "Likelihood", likelihoods, default, dropdown=True)
    return [
        "--image-size",
        str(size),
        "--image-channels",
        str(data.channels),
        "--channels",
        channels,
        "--latent-dim",
        str(latent_dim),
        "--likelihood",
        likelihood,
        *(["--variance", "0.05"] if likelihood == "gaussian" else []),
        *(["--normalization", "batch"] if data.channels == 3 else []),
    ]
