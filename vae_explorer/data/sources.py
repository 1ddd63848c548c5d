"""What a reader hands to the cache: a description and a stream of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "val", "test")


def name_source(source: Path) -> str:
    """Return what the folder or zip is called that somebody's pictures come from."""
    return source.stem if source.suffix.lower() == ".zip" else source.name


@dataclass(frozen=True)
class Record:
    """One picture, not yet read.

    Attributes
    ----------
    name : str
        How the source calls it; listed where it turns out damaged.
    load : callable
        Returns the picture as uint8 (channels, size, size), or raises `PictureError`.
    label : int or None
        Index into the source's label names.
    attributes : ndarray of bool (k,) or None
    split : str or None
        "train", "val" or "test" as published; None where the cache is to draw it.
    """

    name: str
    load: Callable[[], np.ndarray]
    label: int | None = None
    attributes: np.ndarray | None = None
    split: str | None = None


class Known(NamedTuple):
    """What is kept of a record once it is written: a million of them must fit into memory."""

    split: str | None
    label: int | None
    attributes: np.ndarray | None


@dataclass(frozen=True)
class Source:
    """A data set as it lies on disk, before any picture is read.

    Attributes
    ----------
    records : iterable of Record
        Streamed once; a record is loaded before the next one is asked for.
    count : int
        Number of records.
    label_names, attribute_names : tuple of str
        Empty where there are none.
    path : Path or None
        The folder or archive it was read from; None where the name says it all.
    """

    records: Iterable[Record]
    count: int
    label_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    path: Path | None = None
