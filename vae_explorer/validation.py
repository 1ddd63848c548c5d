"""Strict reading of dataclasses from JSON: of cards, and of what a data set says of itself.

Not by pydantic, which was tried: the sentences about its errors take as many lines as this reader,
it adds 70 ms to the first card that is read, and it lists every fault before any can be shown.
Of a stranger's card of 1 MB those take 450 MB, where the first one ends the reading here.
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
import sys
import types
import typing
from pathlib import Path
from typing import NoReturn, TypeVar

from vae_explorer.config import Config, JsonValue
from vae_explorer.errors import ConfigError

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
