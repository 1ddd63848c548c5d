"""Model card: architecture, data, training and metrics of a checkpoint, as one JSON file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import reprlib
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeVar

from vae_explorer.config import ModelConfig, TrainConfig, read_json
from vae_explorer.data.registry import is_inverted
from vae_explorer.errors import CardError, DatasetError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT_VERSION = 1
"""Of the checkpoint's files. It rises when an older version could no longer read them."""

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """One measured number, or one per latent dimension."""

    name: str
    value: float | tuple[float, ...]
    unit: str
    """Such as "nats per image"."""
    protocol: str
    """On which images it was measured, and how."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a model was trained on, and on which terms."""

    name: str
    """In the registry of data sets."""
    title: str
    licence: str
    terms: str
    """What the licence asks for, in one sentence."""
    citation: str
    url: str
    image_size: int
    """Height and width of the prepared images in pixels, before any padding for the model."""
    content: str = ""
    """`ImageDataset.content` of what it was trained on; empty in cards of earlier versions."""


@dataclass(frozen=True)
class ModelCard:
    """All that is known of a checkpoint without opening its weights."""

    format_version: int
    name: str
    """The folder's name: who renames the folder renames the model."""
    title: str
    """What people call it: "Fashion-MNIST VAE (2-D)"."""
    dataset: DatasetInfo
    model: ModelConfig
    train: TrainConfig
    seed: int
    metrics: dict[str, Metric]
    """By name, each with its unit and protocol."""
    label_names: tuple[str, ...]
    """By label; empty where the data set has no labels."""
    attribute_names: tuple[str, ...]
    """By column of the encodings' attributes; empty where there are none."""
    parameters: dict[str, int]
    """Number of parameters of the "encoder" and of the "decoder"."""
    versions: dict[str, str]
    """Versions of the packages it was trained with."""
    created: str
    """ISO date, such as "2026-01-31"."""
    sha256: dict[str, str]
    """Hexadecimal digest of every other file of the checkpoint, by file name."""

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.created)
        except ValueError as error:
            found = reprlib.repr(self.created)
            raise CardError(f"created must be a date like 2026-01-31; found {found}.") from error
        for file, digest in self.sha256.items():
            # A name with a separator could point out of the checkpoint's folder.
            if not re.fullmatch(r"\w[\w.-]*", file):
                raise CardError(f"sha256 must name files of this folder; found {file!r}.")
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise CardError(f"sha256.{file} must be 64 hexadecimal digits; found {digest!r}.")

    def check_data(self, content: str) -> None:
        """Check that data prepared now are those that the model was trained on, if that is known.

        Raises
        ------
        DatasetError
            If they are others: the encodings' rows would name other images.
        """
        if self.dataset.content and content and content != self.dataset.content:
            raise DatasetError(
                f"{self.dataset.title} has changed since {self.name} was trained on it. Restore "
                "the earlier images, or train a model on the present ones."
            )

    @property
    def is_inverted(self) -> bool:
        """Whether the model's images are shown inverted."""
        return is_inverted(self.dataset.name, self.model.image_channels)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with anything in the checkpoint; a key for caches.

        Recipes and directions name it, so it must outlive new versions of the program: a field
        that was added to a configuration later counts only where it differs from its default.
        """
        canonical = json.dumps(self, default=_identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the text of `card.json`.

        Raises
        ------
        CardError
            If a number is infinite or NaN, which JSON does not have.
        """
        return format_card(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote, strictly: no field too many, none missing, no other type.

        Raises
        ------
        CardError
            If it is not JSON, was made by a newer version, or does not fit.
        """
        return parse_card(cls, text)


_HASHED_DEFAULTS = """
    kind architecture channels decoder_channels upsampling kernel_size hidden_dim normalization
    activation activate_projection likelihood variance
    epochs batch_size beta learning_rate warmup_steps weight_average patience validation_fraction
    seed mirror clip_norm feature_network feature_weight feature_layers adversarial_weight
    adversarial_start precision start_from keep_epochs
"""
"""Fields of the two configurations that have a default and were always hashed. A field that is
added to a configuration is not added here, and none is taken away: old fingerprints would change.
"""


def _identity(record: DataclassInstance) -> dict[str, object]:
    """Return the fields that a fingerprint is made of, nested dataclasses as they are."""
    always = _HASHED_DEFAULTS.split()
    values = {field: getattr(record, field.name) for field in dataclasses.fields(record)}
    return {
        field.name: value
        for field, value in values.items()
        if field.name in always or value != field.default
    }


def format_card(card: DataclassInstance) -> str:
    """Return the text of a card's file; `CardError` where a number is infinite or NaN."""
    values = dataclasses.asdict(card)
    try:
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise CardError("Every number of a card must be finite; found inf or NaN.") from error


def parse_card(cls: type[T], text: str) -> T:
    """Read what `format_card` wrote, strictly; raises `CardError` as `ModelCard.from_json` does."""
    try:
        return read_json(cls, text, "card.json", version=FORMAT_VERSION)
    except ValueError as error:
        raise CardError(str(error)) from error
