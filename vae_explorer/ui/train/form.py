"""Training form: data, model and epochs; and the command that it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import streamlit as st

from vae_explorer import workspace
from vae_explorer.catalog.library import MAX_TITLE, SHIPPED, TITLE_RULE, check_title
from vae_explorer.cli.train import TrainRequest
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data.cache import FEWEST_IMAGES, say_too_few
from vae_explorer.errors import CheckpointError, ConfigError, FieldError, ReadOnlyError
from vae_explorer.models import count_model_parameters
from vae_explorer.presets import (
    FEW_IMAGES,
    PRESETS,
    fitting_presets,
    suggest_hyperparameters,
    suggest_widths,
)
from vae_explorer.publishing import default_title
from vae_explorer.runs.status import command_line
from vae_explorer.training.batches import count_validated
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.train.data import TrainingData, choose_data
from vae_explorer.ui.widgets import float_slider, int_input, select
from vae_explorer.workspace import (
    list_names,
    refuse_when_read_only,
    shorten,
    suggest_name,
)

_OF_THE_DATA = (
    "train_model",
    "train_epochs",
    "train_size",
    "train_channels",
    "train_latent",
    "train_likelihood",
)
_LABELS = {
    "image_size": "Image size (pixels)",
    "channels": "Channels",
    "latent_dim": "Latent dimensions",
    "likelihood": "Likelihood",
    "epochs": "Epochs",
    "beta": "β (weight of the KL term)",
    "patience": "Early stopping (epochs)",
    "seed": "Random seed",
}
"""What the form calls the fields of `ModelConfig` and `TrainConfig`."""
_NAME = "Name"
_FEW = (
    "{} images are few. The model will reconstruct these, blurred, and generate little else. "
    "Use 1,000 or more for better results."
)


def choose_training() -> list[str] | None:
    """Draw the choice of what to train, and the button that starts it.

    Returns
    -------
    list of str or None
        What stands behind the program's name, in the run in which the button was pressed.
    """
    try:
        refuse_when_read_only("training")
    except ReadOnlyError as error:
        st.info(escape_markdown(str(error)))
        return None
    choices, summary = st.columns([0.6, 0.4], gap="large")
    with choices:
        data = choose_data()
    if data is None:
        summary.caption("Choose a data set or add images to see a summary here.")
        return None
    with choices:
        _forget_numbers("data", f"{data.name} {data.source}", _OF_THE_DATA)
        model = choose_model(data)
        _forget_numbers("model", str(model.preset), ("train_epochs",))
        arguments = ["train", *data.arguments, *model.arguments]
        configs = _read_or_explain(arguments)
        suggested = "" if configs is None else default_title(data.title, configs[0])
        name, values = _choose_numbers(data, model, suggested)
    out = shorten(workspace.CHECKPOINTS / name.folder)
    arguments += ["--out", str(out), *_options(configs, values)]
    if name.title or data.source is not None:  # else all of the user's images have the same title
        arguments.append(f"--title={name.title or suggested}")
    arguments.append("--keep-epochs")
    with summary:
        is_few = 0 < data.pictures < FEWEST_IMAGES
        is_ready = configs is not None and name.is_usable and not is_few
        pressed = st.button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            disabled=not is_ready,
            width="stretch",
        )
        if is_few:
            st.error(escape_markdown(say_too_few(data.pictures)))
        if is_ready:
            _show_size(*read_command(arguments), data.counts)
            if 0 < data.pictures < FEW_IMAGES:
                st.warning(_FEW.format(data.pictures))
            st.caption("Equivalent command")
            st.code(command_line(arguments[1:]), language="bash", wrap_lines=True)
    return arguments if pressed and is_ready else None


def _show_size(model: ModelConfig, config: TrainConfig, counts: Mapping[str, int]) -> None:
    """Show the numbers of images, parameters and epochs of a training."""
    encoder, decoder = count_model_parameters(model)
    train = counts.get("train", 0)
    validated = count_validated(train, config)
    choosing = validated or counts.get("val", 0)  # see `split_rows`
    held_out = counts.get("test") or counts.get("val", 0)
    st.markdown(
        f"**{train - validated:,} images** for training, {choosing:,} to choose the best epoch, "
        f"{held_out:,} for the final evaluation"
    )
    st.markdown(
        f"**{encoder + decoder:,} parameters**: {encoder:,} in the encoder, {decoder:,} in the "
        "decoder"
    )
    at_most = ", fewer with early stopping" if config.patience else ""
    st.markdown(f"**{config.epochs:,} epoch{'s' if config.epochs > 1 else ''}**{at_most}")


def _choose_numbers(
    data: TrainingData, model: TrainingModel, suggested: str
) -> tuple[_Name, dict[str, float]]:
    """Return the model's name, and the fields of `TrainConfig` that were chosen."""
    pace = suggest_hyperparameters(data.counts.get("train", 0), model.preset)
    values: dict[str, float] = pace._asdict()
    left, right = st.columns(2)
    with left:
        values["epochs"] = int_input(
            "train_epochs",
            _LABELS["epochs"],
            (1, 1000),
            pace.epochs,
            help="One epoch is one pass over the training images. The model is saved as it was "
            "after the best one.",
        )
    with right:
        name = _ask_for_name(f"my {model.preset or data.short_name + ' vae'}", suggested)
    with st.expander("Advanced settings"):
        if model.is_variational:
            values["beta"] = float_slider(
                "train_beta",
                _LABELS["beta"],
                (0, 10),
                1,
                help="The KL term keeps z close to the prior, N(0, 1). A larger β gives a more "
                "regular latent space, but blurrier images.",
            )
        values["patience"] = int_input(
            "train_patience",
            _LABELS["patience"],
            (0, 1000),
            0,
            help="Stop after this many epochs without improvement. 0: never.",
        )
        values["seed"] = int_input(
            "train_seed",
            _LABELS["seed"],
            (0, 2**32 - 1),
            0,
            help="Determines the initial weights, the batches and the noise.",
        )
    return name, values


class _Name(NamedTuple):
    title: str
    """What was typed; "" for the suggested title."""
    folder: str
    is_usable: bool


def _ask_for_name(usual_folder: str, suggested: str) -> _Name:
    """Ask for a title, and show below it the folder's name that is made from it."""
    title = st.text_input(
        _NAME,
        placeholder=suggested,
        key="train_name",
        max_chars=MAX_TITLE,
        help="Title of the model in the app. The name of its folder is made from it.",
    ).strip()
    folder = suggest_name(title or usual_folder, taken_names() | SHIPPED)
    try:
        check_title(title or folder)
    except CheckpointError:
        st.error(f"{_NAME} {TITLE_RULE}.")
        return _Name(title, folder, is_usable=False)
    st.caption(f"Folder: {escape_markdown(folder)}")
    return _Name(title, folder, is_usable=True)


def read_command(arguments: list[str]) -> tuple[ModelConfig, TrainConfig]:
    """Read a command's configurations as the command line will.

    Raises
    ------
    ConfigError
        If it would be refused there.
    """
    return TrainRequest.parse(arguments[1:]).read_configs()


def taken_names() -> set[str]:
    """Return the names that a checkpoint or a run has."""
    runs = workspace.RUNS
    return list_names() | {path.name for path in (runs.iterdir() if runs.is_dir() else ())}


def _forget_numbers(of: str, chosen: str, keys: Iterable[str]) -> None:
    """Reset numbers to their defaults when what they were chosen for is replaced."""
    seen = f"train_last_{of}"
    if st.session_state.get(seen, chosen) != chosen:
        for key in keys:
            st.session_state.pop(key, None)
            st.query_params.pop(key, None)
    st.session_state[seen] = chosen


def _options(
    configs: tuple[ModelConfig, TrainConfig] | None, values: Mapping[str, float]
) -> list[str]:
    """Return the options for what is not so anyway, by the model's recipe or by default."""
    if configs is None:  # nothing will be started
        return []
    options = []
    for name, value in values.items():
        if getattr(configs[1], name) != value:
            options += [f"--{name.replace('_', '-')}", f"{value:.10g}"]
    return options


def _read_or_explain(arguments: list[str]) -> tuple[ModelConfig, TrainConfig] | None:
    """Return a command's configurations, or show below the fields why there are none."""
    try:
        return read_command([*arguments, "--out", "NAME"])
    except FieldError as error:
        st.error(escape_markdown(f"{_LABELS.get(error.field, error.field)} {error.reason}"))
    except ConfigError as error:
        st.error(escape_markdown(str(error)))
    return None


OWN = "own"
_WORDS = {
    "fashion-vae": "convolutional, 2-D, 32×32 (Foster 2022)",
    "fashion-ae": "the same network as a plain autoencoder",
    "mnist-vae": "convolutional, 2-D, 28×28 (Keras, Chollet 2020)",
    "mnist-mlp-vae": "one hidden layer, 20-D (PyTorch, after Kingma & Welling 2014)",
    "faces-vae-32": "convolutional, 200-D, 32×32 (Foster 2022)",
    "faces-vae-64": "128-D, 64×64, with a perceptual loss; slow to train",
}


@dataclass(frozen=True)
class TrainingModel:
    """The model that was chosen."""

    preset: str | None
    """Name of a built-in model; None for a custom one."""
    arguments: list[str]
    """What names it on the command line."""
    is_variational: bool


def choose_model(data: TrainingData) -> TrainingModel:
    """Draw the choice."""
    fitting = fitting_presets(data.channels, data.sizes, resized=data.is_resized)
    options = {name: f"{name} · {_WORDS[name]}" for name in fitting}
    options[OWN] = "Custom · you choose the size"
    # Of those that fit, the one that was published for these images.
    named = (name for name in fitting if name.startswith(f"{data.short_name}-"))
    first = OWN if data.is_resized and data.name == "folder" else next(named, next(iter(options)))
    name = select(
        "train_model",
        "Model",
        options,
        first,
        dropdown=True,
        help="A variational autoencoder (VAE) encodes each image as z, a few numbers, and decodes "
        f"it from them. {len(fitting)} of the {len(PRESETS)} built-in models fit these images.",
    )
    if not fitting:
        st.caption(f"None of the {len(PRESETS)} built-in models fits these images.")
    if name != OWN:
        model = PRESETS[name]
        return TrainingModel(name, ["--model", name], model.kind == "vae")
    return TrainingModel(None, _ask_for_own(data), True)


def _ask_for_own(data: TrainingData) -> list[str]:
    size = data.sizes[0]
    if len(data.sizes) > 1:
        sizes = {str(side): f"{side}×{side}" for side in data.sizes}
        size = int(select("train_size", _LABELS["image_size"], sizes, "64"))
    wide, latent, likely = st.columns(3)
    with wide:
        widths = ",".join(str(width) for width in suggest_widths(size))
        channels = (
            st.text_input(
                _LABELS["channels"],
                placeholder=widths,
                key="train_channels",
                help="Channels of the encoder's convolutions, separated by commas. Each one "
                "halves the image size; the decoder mirrors them.",
            )
            or widths
        )
    with latent:
        usual = 2 if data.channels == 1 else 32
        latent_dim = int_input(
            "train_latent",
            _LABELS["latent_dim"],
            (2, 512),
            usual,
            help="Length of z. With 2, the latent map shows the whole latent space; with more, "
            "reconstructions are sharper.",
        )
    with likely:
        likelihoods = {"bernoulli": "Bernoulli", "gaussian": "Gaussian"}
        default = "gaussian" if data.channels == 3 else "bernoulli"
        likelihood = select(
            "train_likelihood",
            _LABELS["likelihood"],
            likelihoods,
            default,
            dropdown=True,
            help="Model of the pixel values. Bernoulli suits greyscale images that are mostly "
            "black and white; Gaussian suits colour images and photos.",
        )
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
