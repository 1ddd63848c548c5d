"""The card of a model: what it is, what it was trained on, and how well it does. One JSON file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import reprlib
import sys
import types
import typing
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from vae_explorer.config import Config, JsonValue, ModelConfig, TrainConfig
from vae_explorer.errors import CardError, ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT_VERSION = 1
"""Of the checkpoint's files. It rises when an older version could no longer read them."""

_WANTED: dict[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    tuple: "a list",
    dict: "an object {...}",
}

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


@dataclass(frozen=True)
class ModelCard:
    """All that is known of a checkpoint without opening its weights."""

    format_version: int
    name: str
    """The folder's name: who renames the folder renames the model."""
    title: str
    """What people call it: "Fashion, VAE, 2-D"."""
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
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CardError(f"card.json is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise CardError(f"card.json must hold one JSON object; found {reprlib.repr(values)}.")
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CardError(
            f"It was made by a newer version of VAE Explorer: format {version}, where this "
            f"one reads {FORMAT_VERSION}. Update this copy: git pull."
        )
    if version != FORMAT_VERSION:
        raise CardError(f"format_version must be {FORMAT_VERSION}; found {version!r}.")
    return _read_fields(cls, values, "card.json")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _read_fields(cls: type[T], values: JsonValue, where: str) -> T:
    """Build a dataclass from a JSON object that has exactly its fields."""
    if not isinstance(values, dict):
        raise CardError(f"{where} must be an object {{...}}; found {reprlib.repr(values)}.")
    if issubclass(cls, Config):
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise CardError(f"{where}: {error}") from error
    hints = typing.get_type_hints(cls)
    if missing := hints.keys() - values.keys():
        raise CardError(f"{where} lacks {', '.join(sorted(missing))}.")
    if unknown := values.keys() - hints.keys():
        raise CardError(f"{where} has unknown fields: {', '.join(sorted(unknown))}.")
    return cls(**{name: _read(values[name], kind, name) for name, kind in hints.items()})


def _read(value: JsonValue, kind: object, where: str) -> object:
    """Turn a JSON value into the type of a field."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # one number, or a list of them
        is_list = isinstance(value, list)
        kind = next(part for part in arguments if (typing.get_origin(part) is tuple) == is_list)
        return _read(value, kind, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(item, arguments[0], where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {name: _read(item, arguments[1], f"{where}.{name}") for name, item in value.items()}
    if origin is None and isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, where)
    return _read_scalar(value, kind, where)


def _read_scalar(value: JsonValue, kind: object, where: str) -> str | int | float:
    if kind is str and isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind is int and isinstance(value, int):
            return value
        if kind is float and abs(value) <= sys.float_info.max:
            return float(value)
    wanted = _WANTED[typing.get_origin(kind) or kind]
    raise CardError(f"{where} must be {wanted}; found {reprlib.repr(value)}.")
