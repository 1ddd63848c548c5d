"""Data set types: the memory-mapped `ImageDataset`, and the `Source` it is prepared from."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_explorer.errors import DatasetError

_SOME = 64  # images that stand for all
_NAMED_LABELS = 8  # in a summary

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ImageDataset:
    """Pictures with what is known of them; row ``i`` of every array is one image.

    The row is the ``row_id`` that encodings refer to: it stays the same as long as the source
    does.

    Attributes
    ----------
    name : str
        Of the entry in ``DATASETS``.
    images : ndarray of uint8 (n, channels, size, size)
        Memory-mapped: only the rows that are asked for are read.
    labels : ndarray of int64 (n,) or None
        Indices into `label_names`.
    label_names : tuple of str
    attributes : ndarray of bool (n, k) or None
    attribute_names : tuple of str
        k of them.
    split : ndarray of str (n,)
        "train", "val" or "test".
    damaged : tuple of str
        Names of the images left out because they could not be read.
    left_out : mapping of str to str
        Why a file was left out, by name: the damaged ones, and what is no image. Of many, the
        first.
    content : str
        64 hexadecimal digits of all images, labels, attributes and the split; empty where the
        cache was written before it was computed.
    left_out_count : int
        Number of all files left out.
    source_name : str
        What the folder or zip is called that they came from; empty where no ``--source`` is named.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    attributes: np.ndarray | None
    attribute_names: tuple[str, ...]
    split: np.ndarray
    damaged: tuple[str, ...]
    source_name: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    left_out_count: int = 0

    @property
    def held_out(self) -> str:
        """The split that no training sees: "test" if there is one, else "val"."""
        return "test" if np.any(self.split == "test") else "val"

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that tell these images from others, by some of them.

        What caches and runs without `content` are compared by.
        """
        some = np.linspace(0, len(self.split) - 1, min(len(self.split), _SOME)).astype(np.int64)
        parts = hashlib.sha256(np.ascontiguousarray(self.split).tobytes())
        parts.update(repr((self.name, self.images.shape, self.label_names)).encode())
        parts.update(self.take(some).tobytes())
        return parts.hexdigest()[:16]

    @property
    def summary(self) -> str:
        """How many images there are, and their labels: "30 images; labels cat, dog"."""
        count = f"{len(self.split):,} images"
        if not self.label_names:
            return f"{count}; no labels"
        more = ", …" if len(self.label_names) > _NAMED_LABELS else ""
        return f"{count}; labels {', '.join(self.label_names[:_NAMED_LABELS])}{more}"

    def check_unchanged(self, before: str, summary: str = "") -> None:
        """Check that these are the data of a `content` or `digest`; an empty one is not known.

        Parameters
        ----------
        before : str
        summary : str
            What the data were then, if that is known.

        Raises
        ------
        DatasetError
            If they are others.
        """
        if before in ("", self.content, self.digest):
            return
        then = f" (then: {summary}; now: {self.summary})" if summary else ""
        raise DatasetError(
            f"The data have changed since this training began{then}. Restore the earlier images "
            "and resume, or start over with the current ones (--restart)."
        )

    def rows(self, split: str) -> np.ndarray:
        """Rows of one split, ascending, as int64 (m,); none where the set has no such split.

        Raises
        ------
        DatasetError
            If `split` is none of "train", "val" and "test".
        """
        if split not in SPLITS:
            raise DatasetError(f"There is no split {split!r}: choose one of {', '.join(SPLITS)}.")
        return np.flatnonzero(self.split == split).astype(np.int64)

    def take(self, rows: np.ndarray, image_size: int | None = None) -> np.ndarray:
        """Read some images, zero-padded where the model wants them larger.

        Parameters
        ----------
        rows : ndarray of int (m,)
            In any order, repeats allowed.
        image_size : int, optional
            The cached size, or larger by an even number: 28 becomes 32 with a border of 2.

        Returns
        -------
        ndarray of uint8 (m, channels, image_size, image_size)
            A copy, the caller's to change.

        Raises
        ------
        DatasetError
            If the images cannot be padded to `image_size`.
        """
        size = self.images.shape[-1]
        side = size if image_size is None else image_size
        border, odd = divmod(side - size, 2)
        if border < 0 or odd:
            raise DatasetError(
                f"{self.name} is cached at {size}x{size} and cannot be padded to "
                f"{side}x{side}: {size}, {size + 2}, {size + 4} and so on are possible. "
                "Choose such an image size, or prepare the data at another one (--size)."
            )
        images = np.asarray(self.images).take(rows, axis=0)
        if border == 0:
            return images
        padded = np.zeros((len(images), images.shape[1], side, side), dtype=np.uint8)
        padded[:, :, border:-border, border:-border] = images
        return padded


def name_source(source: Path) -> str:
    """Return what the folder or zip is called that somebody's images come from."""
    return source.stem if source.suffix.lower() == ".zip" else source.name


@dataclass(frozen=True)
class Record:
    """One image, not yet read.

    Attributes
    ----------
    name : str
        How the source calls it; listed where it turns out damaged.
    load : callable
        Returns the image as uint8 (channels, size, size), or raises `ImageError`.
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
    """A data set as it lies on disk, before any image is read.

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
    left_out : mapping of str to str
        Why each file is not used that was found beside the images, by its name.
    digest : str
        16 hexadecimal digits that change if the images or their tables do; empty where the
        name says it all.
    """

    records: Iterable[Record]
    count: int
    label_names: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()
    path: Path | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def list_left_out(
    left_out: Mapping[str, str], most: int = 20, count: int | None = None
) -> list[str]:
    """Return a line for each file that is not used, "name: reason"; the last counts the rest.

    Parameters
    ----------
    left_out : mapping of str to str
        Reasons, by name.
    most : int
        Files that get a line.
    count : int, optional
        Number of all files, where `left_out` holds the first only.
    """
    lines = [f"{name}: {reason}" for name, reason in itertools.islice(left_out.items(), most)]
    more = (len(left_out) if count is None else count) - len(lines)
    return [*lines, f"and {more:,} more"] if more else lines


def say_no_image(source: Path, left_out: Mapping[str, str]) -> str:
    """Say that there is no image in a folder or zip, and what was found instead."""
    if not left_out:
        return f"{source} has no images: it is empty."
    found = ", ".join(itertools.islice(left_out, 3)) + (" ..." if len(left_out) > 3 else "")
    files = "1 file" if len(left_out) == 1 else f"{len(left_out):,} files"
    return f"{source} has no images, only {files} of other kinds ({found})."
