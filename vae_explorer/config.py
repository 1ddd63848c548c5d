"""What a model is and how it was trained: two frozen dataclasses, validated once.

Both go to JSON and back without loss (`to_dict`, `from_dict`). The published architectures are
in `vae_explorer.presets`; any other model is a `ModelConfig` with other values.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self

from vae_explorer.errors import ConfigError, did_you_mean

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
    upsampling: Literal["transposed", "nearest"] = "transposed"
    """How the decoder doubles the size: transposed convolutions, or nearest neighbours and a 3x3
    convolution, which leaves no checkerboard (Odena et al. 2016)."""
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
                f"image_channels must be 1 (grey) or 3 (colour); found {self.image_channels}."
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
            raise ConfigError(
                "channels needs one positive number per convolution, such as (32, 64); "
                f"found {self.channels}."
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
            raise ConfigError(
                f"{len(self.channels)} convolutions of stride 2 need an image_size that is a "
                f"multiple of {step}; found {self.image_size}, the nearest are {sizes}."
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
    """Peak of the schedule: a linear warm-up, then a cosine to zero at the last step."""
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
    """Nats per unit of `perceptual.hinge_generator_loss`; 0 trains without a discriminator."""
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
                "checkpoints/classifiers. Train one: python -m vae_explorer train-classifier"
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
