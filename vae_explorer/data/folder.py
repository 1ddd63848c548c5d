"""Data set of any folder or zip of images; labels from sub-folders or a table; attributes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from vae_explorer.data.base import Record, Source
from vae_explorer.data.files import (
    ATTRIBUTES_FILE,
    LABELS_FILE,
    ImageFiles,
    open_image_files,
)
from vae_explorer.data.image_io import crop_centre, decode_image_file, to_array
from vae_explorer.errors import DatasetError, ImageError

MAX_LABELS = 1_000
MAX_TABLE_BYTES = 64 * 2**20
UNSORTED = "unsorted"  # the label of images beside the sub-folders

VALUES = {"1": True, "0": False, "-1": False}


def read_folder(root: Path, size: int, source: Path | None) -> Source:
    """Find the images below a folder or in a zip.

    Parameters
    ----------
    root : Path
        Unused.
    size : int
        Side of the images in pixels, after a crop to the central square.
    source : Path
        The folder or zip. Where it has sub-folders, the first level gives the labels. Two tables
        at its top may say more; each has a line with the heads of its columns, of which the first
        names an image (its path below `source`, or its bare name). ``labels.csv`` has one more
        column, the label, and wins over the sub-folders. The other columns of ``attributes.csv``
        are attributes, and hold 1 for yes and 0 or -1 for no.

    Raises
    ------
    DatasetError
        If there is no image, there are more than `MAX_LABELS` labels, or a table is not as it
        should be.
    """
    if source is None:
        raise DatasetError("Name the folder or zip of pictures with --source PATH.")
    with open_image_files(source) as image_files:
        pictures = image_files.pictures
        attribute_names, attributes = _read_attributes(image_files, pictures)
        labels = _read_labels(image_files, pictures)
        left_out, digest = image_files.left_out, image_files.digest
    if not pictures:
        raise DatasetError(
            f"There is no picture in {source}: JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, HEIC and AVIF "
            "are read."
        )
    label_names = tuple(sorted(set(labels))) if set(labels) != {UNSORTED} else ()
    if len(label_names) > MAX_LABELS:
        raise DatasetError(
            f"{source.name} has {len(label_names):,} different labels, and at most {MAX_LABELS:,} "
            f"can be told apart: give fewer sub-folders at its top, or a {LABELS_FILE}."
        )

    def stream() -> Iterator[Record]:
        with open_image_files(source) as image_files:
            for picture, name in zip(pictures, labels, strict=True):
                label = label_names.index(name) if label_names else None
                load = partial(_load_square, image_files, picture, size)
                yield Record(picture, load, label=label, attributes=attributes.get(picture))

    return Source(stream(), len(pictures), label_names, attribute_names, source, left_out, digest)


def digest_folder(root: Path, source: Path | None) -> str:
    """Return the `digest` of the `Source` that `read_folder` would find, without the rest of it.

    Raises
    ------
    DatasetError
        If there is no such folder or zip.
    """
    if source is None:
        raise DatasetError("Name the folder or zip of pictures with --source PATH.")
    with open_image_files(source) as image_files:
        return image_files.digest


def parse_attributes(
    file: str, names: Sequence[str], rows: Iterable[Sequence[str]]
) -> dict[str, np.ndarray]:
    """Parse the rows of a table.

    Parameters
    ----------
    file : str
        What errors call the table.
    names : sequence of str (k,)
        The attributes.
    rows : iterable of sequences of str (1 + k,)
        An image's name, then its values. Empty rows are passed over.

    Returns
    -------
    dict of str to ndarray of bool (k,)
        By the image's name.

    Raises
    ------
    DatasetError
        If there are no attributes, a row is too short or too long, or a value is none of 1, 0
        and -1.
    """
    if not names:
        raise DatasetError(
            f"{file} names no attribute: its first line must be the head of the columns, the "
            "picture's name first, separated by commas."
        )
    table = {}
    for row in rows:
        if not row:
            continue
        picture, *values = row
        if len(values) != len(names):
            raise DatasetError(
                f"{file}: the row of {picture} has {len(values)} values for {len(names)} "
                f"attributes ({', '.join(names[:3])} ...)."
            )
        try:
            table[picture] = np.array([VALUES[value.strip()] for value in values])
        except KeyError as error:
            raise DatasetError(
                f"{file}: the row of {picture} holds {error}; an attribute is 1, 0 or -1."
            ) from error
    return table


def check_listed(file: str, pictures: Iterable[str], listed: Iterable[str]) -> None:
    """Check that a table has a row for every image.

    Raises
    ------
    DatasetError
        Naming some of those that have none.
    """
    known = set(listed)
    missing = [picture for picture in pictures if picture not in known]
    if missing:
        raise DatasetError(
            f"{file} has no row for {len(missing)} pictures ({', '.join(missing[:3])} ...): add "
            "the rows, or take the pictures away."
        )


def _first_folder(picture: str) -> str:
    parts = PurePosixPath(picture).parts
    return parts[0] if len(parts) > 1 else UNSORTED


def _read_attributes(
    image_files: ImageFiles, pictures: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    if not image_files.tables[ATTRIBUTES_FILE]:
        return (), {}
    head, *rows = _read_table(image_files, ATTRIBUTES_FILE)
    names = tuple(head[1:])
    table = parse_attributes(ATTRIBUTES_FILE, names, rows)
    keys = _find_rows(ATTRIBUTES_FILE, pictures, table)
    return names, {picture: table[key] for picture, key in zip(pictures, keys, strict=True)}


def _read_labels(image_files: ImageFiles, pictures: tuple[str, ...]) -> list[str]:
    """Return each image's label: from the table where there is one, else its first folder."""
    if not image_files.tables[LABELS_FILE]:
        return [_first_folder(picture) for picture in pictures]
    head, *rows = _read_table(image_files, LABELS_FILE)
    for row in (head, *rows):
        if row and (len(row) != 2 or not row[1].strip()):
            raise DatasetError(
                f"{LABELS_FILE}: the row {','.join(row)[:60]!r} is not a picture's name and its "
                "label, with a comma between them."
            )
    table = {row[0]: row[1].strip() for row in rows if row}
    return [table[key] for key in _find_rows(LABELS_FILE, pictures, table)]


def _read_table(image_files: ImageFiles, file: str) -> list[list[str]]:
    try:
        data = image_files.read(image_files.tables[file][0])
        if len(data) > MAX_TABLE_BYTES:
            raise ImageError(f"larger than {MAX_TABLE_BYTES // 2**20} MB")
        return list(csv.reader(data.decode("utf-8-sig").splitlines())) or [[]]
    except (ImageError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{file} cannot be read ({error}): save it as UTF-8, or take it away."
        ) from error


def _find_rows(file: str, pictures: tuple[str, ...], table: Mapping[str, object]) -> list[str]:
    """Return the name under which a table lists each image: its path, or its bare name."""
    keys = [p if p in table else PurePosixPath(p).name for p in pictures]
    check_listed(file, keys, table)
    return keys


def _load_square(image_files: ImageFiles, picture: str, size: int) -> np.ndarray:
    return to_array(crop_centre(decode_image_file(image_files.read(picture))), size)
