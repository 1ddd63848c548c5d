"""Data set of any folder or zip of images; labels from sub-folders or a table; attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vae_explorer.data.base import Record, Source, say_no_image
from vae_explorer.data.files import (
    ATTRIBUTES_FILE,
    LABELS_FILE,
    ImageFiles,
    open_image_files,
)
from vae_explorer.data.formats import FORMAT_NAMES
from vae_explorer.data.image_io import crop_centre, decode_image_file, to_array
from vae_explorer.data.tables import ImageNames, Row, read_table, sort_labels
from vae_explorer.errors import DatasetError, ImageError

MAX_LABELS = 1_000
MAX_TABLE_BYTES = 64 * 2**20
UNSORTED = "unsorted"  # the label of images beside the sub-folders

VALUES = {"1": True, "0": False, "-1": False}
_WORDS = VALUES | {"yes": True, "no": False, "true": True, "false": False}
_WORDS |= {f"{number}.0": value for number, value in VALUES.items()}  # as pandas saves them


def read_folder(root: Path, size: int, source: Path | None) -> Source:
    """Find the images below a folder or in a zip.

    Parameters
    ----------
    root : Path
        Unused.
    size : int
        Side of the images in pixels, after a crop to the central square.
    source : Path
        The folder or zip. Where it has sub-folders, the first level gives the labels; a folder
        that wraps all images does not count. Two tables at its top, or in that folder, may say
        more, as `open_table` reads them; their first column names an image as `ImageNames`
        understands it. ``labels.csv`` has one more column, the label, and wins over the
        sub-folders; a line with the heads of the columns may come first. ``attributes.csv`` must
        have that line; its other columns are attributes, and hold 1 for yes and 0 or -1 for no,
        or those words, or true and false.

    Raises
    ------
    DatasetError
        If there is no image, there are more than `MAX_LABELS` labels, or a table is not as it
        should be: an image has no row, a row may mean several images, or two rows contradict
        each other.
    """
    if source is None:
        raise DatasetError("Give the folder or zip file of images with --source PATH.")
    with open_image_files(source) as image_files:
        pictures = image_files.pictures
        left_out, digest = image_files.left_out, image_files.digest
        if not pictures:
            raise DatasetError(f"{say_no_image(source, left_out)} {FORMAT_NAMES} are supported.")
        names = ImageNames(image_files)
        attribute_names, attributes = _read_attributes(image_files, names)
        labels = _read_labels(image_files, names)
    label_names = tuple(sort_labels(set(labels))) if set(labels) != {UNSORTED} else ()
    if len(label_names) > MAX_LABELS:
        raise DatasetError(
            f"{source.name} has {len(label_names):,} different labels; the limit is "
            f"{MAX_LABELS:,}. Use fewer folders at its top, or add a {LABELS_FILE}."
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
        raise DatasetError("Give the folder or zip file of images with --source PATH.")
    with open_image_files(source) as image_files:
        return image_files.digest


def parse_attributes(
    name: str, head: Row, rows: Iterable[Row], values: Mapping[str, bool] = VALUES
) -> tuple[tuple[str, ...], list[tuple[int, str, np.ndarray]]]:
    """Parse a table of attributes.

    Parameters
    ----------
    name : str
        What errors call the table.
    head : Row
        A heading for the images' names, then the attributes' names.
    rows : iterable of Row
        An image's name, then its values.
    values : mapping of str to bool
        What a cell may hold, in lower case.

    Returns
    -------
    names : tuple of str (k,)
        The attributes.
    rows : list of (line, image's name, ndarray of bool (k,))

    Raises
    ------
    DatasetError
        If there are no attributes, two of one name, a row is too short or too long, or a value is
        none of `values`; naming line and column.
    """
    names = tuple(head.cells[1:])
    if not names:
        raise DatasetError(
            f"{name} names no attributes. Its first line must be a header, the image's name first, "
            "separated by commas, semicolons or tabs."
        )
    for column, attribute in enumerate(names, start=2):
        if not attribute or attribute in names[: column - 2]:
            fault = f"repeats {attribute!r}" if attribute else "has no name"
            raise DatasetError(
                f"{name}, line {head.line}: column {column} {fault}. Each attribute needs its "
                "own name."
            )
    return names, [_parse_flags(name, names, row, values) for row in rows]


def _parse_flags(
    name: str, names: Sequence[str], row: Row, values: Mapping[str, bool]
) -> tuple[int, str, np.ndarray]:
    picture, *cells = row.cells
    where = f"{name}, line {row.line}"
    if len(cells) != len(names):
        missing = names[len(cells) : len(cells) + 1]
        said = f"; column {len(cells) + 2} ({missing[0]}) is empty" if missing else ""
        raise DatasetError(
            f"{where}: the row of {picture} has {len(cells)} values for {len(names)} attributes "
            f"({', '.join(names[:3])}{' ...' if len(names) > 3 else ''}){said}."
        )
    try:
        return row.line, picture, np.array([values[cell.lower()] for cell in cells])
    except KeyError as error:
        column = next(k for k, cell in enumerate(cells) if cell.lower() not in values)
        raise DatasetError(
            f"{where}: column {column + 2} ({names[column]}) holds {cells[column]!r}; an attribute "
            "must be 1, 0 or -1."
        ) from error


def _first_folder(picture: str) -> str:
    folder, slash, _ = picture.partition("/")
    return folder if slash else UNSORTED


def _read_attributes(
    image_files: ImageFiles, images: ImageNames
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    def is_expected(cells: list[str]) -> bool:
        return len(cells) > 1 and images.is_named(cells[0])

    name = _find_table(image_files, ATTRIBUTES_FILE)
    if name is None:
        return (), {}
    head, *rows = _read_table(image_files, name, is_expected) or [Row(1, [])]
    if is_expected(head.cells):
        raise DatasetError(
            f"{name}, line {head.line}: this is the row of {head.cells[0]}. The first line must be "
            "a header: file, then the names of the attributes."
        )
    names, parsed = parse_attributes(name, head, rows, _WORDS)
    return names, images.match(name, parsed)


def _read_labels(image_files: ImageFiles, images: ImageNames) -> list[str]:
    """Return each image's label: from the table where there is one, else its first folder."""

    def is_expected(cells: list[str]) -> bool:
        return len(cells) == 2 and images.is_named(cells[0])

    name = _find_table(image_files, LABELS_FILE)
    if name is None:
        return [_first_folder(picture) for picture in image_files.pictures]
    rows = _read_table(image_files, name, is_expected)
    if not rows:
        raise DatasetError(
            f"{name} is empty. Save it as UTF-8 with one line per image, its name and its label, "
            "or remove it."
        )
    for row in rows:
        if len(row.cells) != 2 or not row.cells[0]:
            column = 3 if len(row.cells) > 2 else 2 if row.cells[0] else 1
            found = f"holds {row.cells[2]!r}" if column == 3 else "is empty"
            raise DatasetError(
                f"{name}, line {row.line}: the row {','.join(row.cells)[:60]!r} is not an image's "
                "name and its label, separated by a comma, semicolon or tab; column "
                f"{column} {found}."
            )
    if not is_expected(rows[0].cells):
        del rows[0]  # the heads of the columns
    table = images.match(name, [(row.line, row.cells[0], row.cells[1]) for row in rows])
    return [table[picture] for picture in image_files.pictures]


def _find_table(image_files: ImageFiles, kind: str) -> str | None:
    names = image_files.tables[kind]
    if len(names) > 1:
        raise DatasetError(
            f"There are {len(names)} tables of one kind: {' and '.join(names)}. Keep one of them."
        )
    return names[0] if names else None


def _read_table(
    image_files: ImageFiles, name: str, is_expected: Callable[[list[str]], bool]
) -> list[Row]:
    try:
        data = image_files.read(name)
        if len(data) > MAX_TABLE_BYTES:
            raise ImageError(f"larger than {MAX_TABLE_BYTES // 2**20} MB")
    except ImageError as error:
        raise DatasetError(f"{name} cannot be read ({error}). Repair or remove it.") from (error)
    return read_table(name, data, is_expected)


def _load_square(image_files: ImageFiles, picture: str, size: int) -> np.ndarray:
    return to_array(crop_centre(decode_image_file(image_files.read(picture))), size)
