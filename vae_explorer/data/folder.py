"""Any folder or zip of pictures, with sub-folders as labels and a table of attributes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from vae_explorer.data.albums import Album, open_album
from vae_explorer.data.attributes import check_listed, parse_attributes
from vae_explorer.data.pictures import crop_centre, decode_picture, to_array
from vae_explorer.data.sources import DatasetError, PictureError, Record, Source

ATTRIBUTES_FILE = "attributes.csv"
UNSORTED = "unsorted"  # the label of pictures beside the sub-folders


def read_folder(root: Path, size: int, source: Path | None) -> Source:
    """Find the pictures below a folder or in a zip.

    Parameters
    ----------
    root : Path
        Unused.
    size : int
        Side of the pictures in pixels, after a crop to the central square.
    source : Path
        The folder or zip. Where it has sub-folders, the first level gives the labels. A file
        ``attributes.csv`` at its top may give attributes: the first column names a picture (its
        path below `source`, or its bare name), the others hold 1 for yes and 0 or -1 for no.

    Raises
    ------
    DatasetError
        If there is no picture, or the table is not as it should be.
    """
    if source is None:
        raise DatasetError("Name the folder or zip of pictures with --source PATH.")
    with open_album(source) as album:
        pictures = album.pictures
        attribute_names, attributes = _read_attributes(album, pictures)
    if not pictures:
        raise DatasetError(
            f"There is no picture in {source}: JPEG, PNG, WebP, BMP, GIF, TIFF and PPM are read."
        )
    folders = [_first_folder(picture) for picture in pictures]
    label_names = tuple(sorted(set(folders))) if set(folders) != {UNSORTED} else ()

    def stream() -> Iterator[Record]:
        with open_album(source) as album:
            for picture, folder in zip(pictures, folders, strict=True):
                label = label_names.index(folder) if label_names else None
                load = partial(_load_square, album, picture, size)
                yield Record(picture, load, label=label, attributes=attributes.get(picture))

    return Source(stream(), len(pictures), label_names, attribute_names, source)


def _first_folder(picture: str) -> str:
    parts = PurePosixPath(picture).parts
    return parts[0] if len(parts) > 1 else UNSORTED


def _read_attributes(
    album: Album, pictures: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    if ATTRIBUTES_FILE not in album.names:
        return (), {}
    try:
        text = album.read(ATTRIBUTES_FILE).decode("utf-8-sig")
    except (PictureError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{ATTRIBUTES_FILE} cannot be read ({error}): save it as UTF-8, or take it away."
        ) from error
    head, *rows = list(csv.reader(text.splitlines())) or [[]]
    names = tuple(head[1:])
    table = parse_attributes(ATTRIBUTES_FILE, names, rows)
    keys = {p: p if p in table else PurePosixPath(p).name for p in pictures}
    check_listed(ATTRIBUTES_FILE, keys.values(), table)
    return names, {picture: table[key] for picture, key in keys.items()}


def _load_square(album: Album, picture: str, size: int) -> np.ndarray:
    return to_array(crop_centre(decode_picture(album.read(picture))), size)
