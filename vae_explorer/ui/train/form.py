"""Training form: data, model and epochs; and the command that it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import streamlit as st

from vae_explorer import workspace
from vae_explorer.cli.train import TrainRequest
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data.cache import FEWEST_IMAGES, say_too_few
from vae_explorer.errors import ConfigError, ReadOnlyError
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
    check_name,
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
    taken = taken_names()
    with choices:
        _forget_numbers("data", f"{data.name} {data.source}", _OF_THE_DATA)
        model = choose_model(data)
        _forget_numbers("model", str(model.preset), ("train_epochs",))
        name, values = _choose_numbers(data, model, taken)
    out = shorten(workspace.CHECKPOINTS / name)
    arguments = ["train", *data.arguments, *model.arguments, "--out", str(out)]
    arguments += _options(arguments, data, values)
    with summary:
        problems = _find_problems(arguments, name, taken, data)
        pressed = st.button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(problems),
            width="stretch",
        )
        for problem in problems:
            st.error(escape_markdown(problem))
        if not problems:
            _show_size(*read_command(arguments), data.counts)
            if 0 < data.pictures < FEW_IMAGES:
                st.warning(_FEW.format(data.pictures))
            st.caption("Equivalent command")
            st.code(command_line(arguments[1:]), language="bash", wrap_lines=True)
    return arguments if pressed and not problems else None


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
    data: TrainingData, model: TrainingModel, taken: set[str]
) -> tuple[str, dict[str, float]]:
    """Return the model's name, and the fields of `TrainConfig` that were chosen."""
    pace = suggest_hyperparameters(data.counts.get("train", 0), model.preset)
    values: dict[str, float] = pace._asdict()
    left, right = st.columns(2)
    with left:
        values["epochs"] = int_input(
            "train_epochs",
            "Epochs",
            (1, 1000),
            pace.epochs,
            help="One epoch is one pass over the training images. The best epoch is published.",
        )
    suggested = suggest_name(f"my {model.preset or data.short_name + ' vae'}", taken)
    name = right.text_input(
        "Name",
        placeholder=suggested,
        key="train_name",
        help="Name of the model's folder: letters, digits, hyphens, underscores and dots.",
    )
    with st.expander("Advanced settings"):
        if model.is_variational:
            values["beta"] = float_slider(
                "train_beta",
                "β (weight of the KL term)",
                (0, 10),
                1,
                help="The KL term keeps z close to the prior, N(0, 1). A larger β gives a more "
                "regular latent space, but blurrier images.",
            )
        values["patience"] = int_input(
            "train_patience",
            "Early stopping (epochs)",
            (0, 1000),
            0,
            help="Stop after this many epochs without improvement. 0: never.",
        )
        values["seed"] = int_input(
            "train_seed",
            "Random seed",
            (0, 2**32 - 1),
            0,
            help="Determines the initial weights, the batches and the noise.",
        )
    return name.strip() or suggested, values


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
    """Let numbers begin anew where what they were meant for was exchanged."""
    seen = f"train_last_{of}"
    if st.session_state.get(seen, chosen) != chosen:
        for key in keys:
            st.session_state.pop(key, None)
            st.query_params.pop(key, None)
    st.session_state[seen] = chosen


def _options(arguments: list[str], data: TrainingData, values: Mapping[str, float]) -> list[str]:
    """Return the options for what is not so anyway, by the model's recipe or by default."""
    options = []
    try:
        model, usual = read_command(arguments)
    except ConfigError:  # to be said later
        return []
    for name, value in values.items():
        if getattr(usual, name) != value:
            options += [f"--{name.replace('_', '-')}", f"{value:.10g}"]
    if data.source is not None:  # else all models of the user images have the same title
        options += ["--title", default_title(data.title, model)]
    return [*options, "--keep-epochs"]


def _find_problems(
    arguments: list[str], name: str, taken: set[str], data: TrainingData
) -> list[str]:
    problems = []
    if 0 < data.pictures < FEWEST_IMAGES:
        problems.append(say_too_few(data.pictures))
    try:
        check_name(name, taken)
    except ValueError as error:
        problems.append(str(error))
    try:
        read_command(arguments)
    except ConfigError as error:
        problems.append(str(error))
    return problems


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
    """A published one's name; None for one's own."""
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
        f"it from them. {len(fitting)} of the {len(PRESETS)} published models fit these images.",
    )
    if not fitting:
        st.caption(f"None of the {len(PRESETS)} published models fits these images.")
    if name != OWN:
        model = PRESETS[name]
        return TrainingModel(name, ["--model", name], model.kind == "vae")
    return TrainingModel(None, _ask_for_own(data), True)


def _ask_for_own(data: TrainingData) -> list[str]:
    size = data.sizes[0]
    if len(data.sizes) > 1:
        sizes = {str(side): f"{side}×{side}" for side in data.sizes}
        size = int(select("train_size", "Image size (pixels)", sizes, "64"))
    wide, latent, likely = st.columns(3)
    with wide:
        widths = ",".join(str(width) for width in suggest_widths(size))
        channels = (
            st.text_input(
                "Channels",
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
            "Latent dimensions",
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
            "Likelihood",
            likelihoods,
            default,
            dropdown=True,
            help="Model of the pixel values. Bernoulli suits grayscale images that are mostly "
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
