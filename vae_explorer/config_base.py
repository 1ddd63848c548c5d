"""What configurations have in common: JSON there and back, and values checked by their types."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self

from vae_explorer.errors import ConfigError, unknown_name

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
                raise ConfigError(unknown_name(f"{cls.__name__} field", name, list(known)))
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
