"""Configurations of models and trainings, and strict reading of dataclasses from JSON.

`ModelConfig` and `TrainConfig` are frozen, validated once, and go to JSON and back without loss.
The published architectures are in `vae_explorer.presets`; any other model is a `ModelConfig` with
other values. Cards and the descriptions of data sets are read by `read_json`.

pydantic was tried in its place: translating its errors into one sentence for the user takes as
many lines, it adds 70 ms to the first card that is read, and it collects every fault before any
is shown: 450 MB for a hostile card of 1 MB, where `read_json` stops at the first.
"""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, NoReturn, Self, TypeVar

from vae_explorer.errors import ConfigError, FieldError, did_you_mean
from vae_explorer.installation import shell_command

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True)
class Config:
    """JSON round trip and type checks that all configurations share."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, JsonValue]) -> Self:
        """Build a configuration from `to_dict`'s output; absent fields take their defaults.

        Raises
        ------
        ConfigError
            For an unknown or missing field, or a value of the wrong type or range.
        """
        known = {field.name: field for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ConfigError(did_you_mean(f"{cls.__name__} field", name, list(known)))
        missing = [
            f.name
            for f in known.values()
            if f.default is dataclasses.MISSING and f.name not in values
        ]
        if missing:
            raise ConfigError(f"{cls.__name__} lacks {', '.join(missing)}.")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def check_types(self) -> None:
        """Raise a `ConfigError` for a value of another type than its field's."""
        for name, kind in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            if not _fits(value, kind):
                raise ConfigError(f"{name} must be {_describe(kind)}; found {value!r}.")

    def check_minimum(self, minimum: float, *names: str) -> None:
        """Raise a `ConfigError` for a number below the minimum, or none at all; None passes."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not minimum <= value < math.inf:
                raise ConfigError(f"{name} must be at least {minimum:g}; found {value!r}.")


def _fits(value: object, kind: object) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, arguments[0]) for item in value)
    if arguments:  # a union
        return any(_fits(value, argument) for argument in arguments)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, typing.cast(type, kind))


def _describe(kind: object) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(value) for value in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
        return "a list of " + ("names" if kind is str else "whole numbers")
    if typing.get_args(kind):
        return " or ".join(_describe(argument) for argument in typing.get_args(kind))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(typing.cast(type, kind), "nothing")


@dataclass(frozen=True)
class ModelConfig(Config):
    """Everything that is needed to build a model, and nothing else."""

    image_size: int
    """Height and width of the (square) images, in pixels."""
    image_channels: int
    """1 for grey, 3 for colour."""
    latent_dim: int
    """Number of latent dimensions."""
    kind: Literal["vae", "autoencoder"] = "vae"
    """A variational autoencoder, or a plain one: no variance, no KL term, no prior."""
    architecture: Literal["conv", "mlp"] = "conv"
    """Convolutions of stride 2, or one hidden layer on flattened pixels."""
    channels: tuple[int, ...] = ()
    """Output channels of the encoder's convolutions; the decoder mirrors them. `()` for an MLP."""
    decoder_channels: tuple[int, ...] = ()
    """Channels of the decoder's feature maps, from its first; `()` mirrors the encoder."""
    upsampling: Literal["transposed", "nearest", "bilinear"] = "transposed"
    """How the decoder doubles the size: transposed convolutions; nearest neighbours and a 3x3
    convolution, which leaves no checkerboard (Odena et al. 2016); or the same with a blur between
    the two, [1 2 1] / 4 along both sides, which leaves no edges of doubled pixels to weave a
    texture of (Karras et al. 2019): nearest neighbours so blurred are bilinear interpolation."""
    kernel_size: int = 3
    """Height and width of the other convolutions' kernels."""
    hidden_dim: int | None = None
    """Width of a dense layer before the heads. An MLP has it on both sides and needs it."""
    normalization: Literal["none", "batch"] = "none"
    """Batch normalisation after every convolution and after the decoder's first dense layer."""
    activation: Literal["relu", "leaky_relu"] = "relu"
    """Non-linearity of all hidden layers; the leaky one has slope 0.3 below zero, as in Keras 2."""
    activate_projection: bool = False
    """Whether the decoder's first dense layer is normalised and activated like the others."""
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    """p(x|z): Bernoulli on pixels in [0, 1], or Gaussian with a fixed variance."""
    variance: float = 1.0
    """Variance of the Gaussian likelihood, in squared units of a pixel in [0, 1]."""

    def __post_init__(self) -> None:
        self.check_types()
        self.check_minimum(1, "image_size", "kernel_size", "hidden_dim")
        self.check_minimum(2, "latent_dim")  # what the app shows are planes
        if self.image_channels not in (1, 3):
            raise ConfigError(
                f"image_channels must be 1 (greyscale) or 3 (colour); found {self.image_channels}."
            )
        if not 0 < self.variance < math.inf:
            raise ConfigError(f"variance must be a positive number; found {self.variance}.")
        if self.architecture == "mlp":
            self._check_mlp()
        else:
            self._check_convolutions()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return (self.image_channels, self.image_size, self.image_size)

    @property
    def feature_size(self) -> int:
        """Height and width of the encoder's last feature map."""
        return self.image_size // 2 ** len(self.channels)

    def _check_mlp(self) -> None:
        if self.hidden_dim is None:
            raise ConfigError("An mlp needs hidden_dim, the width of its hidden layer (say 400).")
        if self.channels:
            raise ConfigError(
                f"An mlp has no convolutions: leave channels empty, not {self.channels}."
            )
        if self.normalization != "none":
            raise ConfigError("An mlp has no batch normalisation: normalization must be 'none'.")
        if self.decoder_channels or self.upsampling != "transposed":
            raise ConfigError(
                "An mlp does not upsample: leave decoder_channels and upsampling out."
            )

    def _check_convolutions(self) -> None:
        if not self.channels or min(self.channels) < 1:
            raise FieldError(
                "channels",
                "must be one positive number per convolution, for example 32,64; found "
                f"{','.join(map(str, self.channels)) or 'none'}.",
            )
        stages = len(self.channels) + 1
        if self.decoder_channels and (
            len(self.decoder_channels) != stages or min(self.decoder_channels) < 1
        ):
            raise ConfigError(
                f"decoder_channels needs {stages} positive numbers, one more than channels: of "
                f"the first feature map, and after each doubling; found {self.decoder_channels}."
            )
        step = 2 ** len(self.channels)
        if self.image_size % step:
            below = self.image_size // step * step
            sizes = " or ".join(str(size) for size in (below, below + step) if size)
            most = (self.image_size & -self.image_size).bit_length() - 1
            raise FieldError(
                "channels",
                f"must be at most {most} number{'s' if most != 1 else ''} for images of "
                f"{self.image_size}×{self.image_size} pixels, because each halves the size; found "
                f"{len(self.channels)}, which need a multiple of {step}, such as {sizes}.",
            )


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a model is trained: all that the weights depend on, beside the model and the data."""

    dataset: str
    """Name in the registry of data sets."""
    epochs: int = 20
    """Passes over the training rows, at most."""
    batch_size: int = 128
    """Images per step, over all devices together."""
    beta: float = 1.0
    """Weight of the KL term (Higgins et al. 2017); a plain autoencoder ignores it."""
    learning_rate: float = 2e-3
    """Peak of the schedule, reached by a linear warm-up."""
    schedule: Literal["cosine", "held"] = "cosine"
    """What comes after it: a cosine to zero at the last step; or the peak held for half of the
    steps, then a line down to a tenth of it, for trainings of several sittings."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    weight_average: float = 0.999
    """Decay per step of the EMA weights, which are evaluated and published; 0 turns it off."""
    patience: int = 0
    """Stop after so many epochs without a lower validation loss; 0 never stops early."""
    validation_fraction: float = 0.05
    """Share of the train split set aside to choose the best epoch by."""
    seed: int = 0
    """Seeds the initial weights, the validation rows, the order of the batches, and ε."""
    mirror: bool = False
    """Whether training images are flipped horizontally, each with probability 0.5."""
    clip_norm: float = 0.0
    """Largest norm of a step's gradient; 0 does not clip."""
    feature_network: str = ""
    """Classifier below checkpoints/classifiers by whose features reconstructions are compared."""
    feature_weight: float = 0.0
    """Nats per unit of `perceptual.feature_distance`; 0 leaves it out."""
    feature_layers: int = 3
    """Of the classifier's blocks, from the image on, whose features are compared."""
    adversarial_weight: float = 0.0
    """Nats per unit of the decoder's adversarial loss; 0 trains without a discriminator."""
    discriminator: Literal["patch", "global"] = "patch"
    """Discriminator: of patches with a hinge loss, or of whole images with a logistic loss and
    R1; see `vae_explorer.training.perceptual`."""
    adversarial_start: float = 0.15
    """Share of the steps after which the adversarial loss counts."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Precision of the forward pass; losses are always float32. "auto": bf16 where it pays."""
    start_from: str = ""
    """Folder of a checkpoint or a run whose weights are the first ones; "" draws them."""
    keep_epochs: bool = False
    """Keep every epoch's encodings of the held-out split in the run's folder."""

    def __post_init__(self) -> None:
        self.check_types()
        self.check_minimum(1, "epochs", "batch_size", "feature_layers")
        self.check_minimum(0, "beta", "warmup_steps", "patience", "clip_norm")
        self.check_minimum(0, "feature_weight", "adversarial_weight")
        if self.feature_weight and not self.feature_network:
            raise ConfigError(
                "A feature_weight needs feature_network, the name of a classifier in "
                f"checkpoints/classifiers. Train one: {shell_command('train-classifier')}"
            )
        if not 0 <= self.adversarial_start < 1:
            raise ConfigError(
                "adversarial_start must be a share of the run, at least 0 and below 1 (say 0.15); "
                f"found {self.adversarial_start}."
            )
        if not 0 <= self.seed < 2**32:  # what scikit-learn's t-SNE takes
            raise ConfigError(f"seed must lie in 0 ... {2**32 - 1}; found {self.seed}.")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(
                f"learning_rate must be a positive number; found {self.learning_rate}."
            )
        if not 0 <= self.weight_average < 1:
            raise ConfigError(
                f"weight_average must be at least 0 and below 1; found {self.weight_average}."
            )
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(
                "validation_fraction must lie between 0 and 1 (say 0.05); "
                f"found {self.validation_fraction}."
            )


_WANTED: dict[object, str] = {
    str: "text",
    Path: "text",
    int: "a whole number",
    float: "a finite number",
    tuple: "a list",
    list: "a list",
    dict: "an object {...}",
}

T = TypeVar("T")


def read_json(kind: type[T], text: str | bytes, file: str, *, version: int | None = None) -> T:
    """Read a dataclass from JSON: no field too many, none missing, none of another type.

    Parameters
    ----------
    kind : type
        A dataclass; its fields are standard types, such dataclasses, and `Config`s. What else has
        to hold is up to its ``__post_init__``.
    text : str or bytes
    file : str
        What a message calls it.
    version : int, optional
        The `format_version` that it must have, which is checked before all else.

    Raises
    ------
    ValueError
        If it is not JSON, of another version, or does not fit: which field, what it must be, and
        what was found.
    """
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file} must hold one JSON object; found {reprlib.repr(values)}.")
    if version is not None:
        _check_version(values.get("format_version"), version)
    return _read_fields(kind, values, file, "")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _check_version(found: JsonValue, wanted: int) -> None:
    if isinstance(found, int) and found > wanted:
        raise ValueError(
            f"It was made by a newer version of VAE Explorer: format {found}, where this one "
            f"reads {wanted}. Update this copy: git pull."
        )
    if found != wanted:
        raise ValueError(f"format_version must be {wanted}; found {found!r}.")


def _read_fields(kind: type[T], values: JsonValue, where: str, prefix: str) -> T:
    """Build a dataclass from a JSON object that has exactly its fields, or all without default."""
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be an object {{...}}; found {reprlib.repr(values)}.")
    if issubclass(kind, Config):
        try:
            return kind.from_dict(values)
        except ConfigError as error:
            raise ValueError(f"{where}: {error}") from error
    hints = typing.get_type_hints(kind)
    missing = [n for n in hints if n not in values and not hasattr(kind, n)]  # it has its default
    if missing:
        raise ValueError(f"{where} lacks {', '.join(sorted(missing))}.")
    if unknown := values.keys() - hints.keys():
        raise ValueError(f"{where} has unknown fields: {', '.join(sorted(unknown))}.")
    return kind(**{n: _read(value, hints[n], prefix + n) for n, value in values.items()})


def _read(value: JsonValue, kind: object, where: str) -> object:
    """Turn a JSON value into the type of a field."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # a number or a list of them; something or None
        if value is None and types.NoneType in arguments:
            return None
        is_list = isinstance(value, list)
        kinds = [part for part in arguments if part is not types.NoneType]
        fitting = (part for part in kinds if (typing.get_origin(part) is tuple) == is_list)
        return _read(value, next(fitting, kinds[0]), where)
    if origin in (tuple, list) and isinstance(value, list):
        return origin(_read(item, arguments[0], where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {name: _read(item, arguments[1], f"{where}.{name}") for name, item in value.items()}
    if isinstance(kind, type) and origin is None and dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, where, f"{where}.")
    return _read_scalar(value, kind, where)


def _read_scalar(value: JsonValue, kind: object, where: str) -> str | int | float | Path:
    if isinstance(value, str) and kind in (str, Path):
        return Path(value) if kind is Path else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is int and isinstance(value, int):
            return value
        if kind is float and abs(value) <= sys.float_info.max:
            return float(value)
    wanted = _WANTED[typing.get_origin(kind) or kind]
    raise ValueError(f"{where} must be {wanted}; found {reprlib.repr(value)}.")
