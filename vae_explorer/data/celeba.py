"""CelebA: aligned faces with 40 attributes, from its official or mirrored archives."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from vae_explorer.data.base import SPLITS, Record, Source
from vae_explorer.data.files import ImageFiles, open_image_files
from vae_explorer.data.folder import parse_attributes
from vae_explorer.data.image_io import decode_image_file, to_array
from vae_explorer.data.tables import Row, collect, read_table, say_missing
from vae_explorer.errors import DatasetError, ImageError

FRAME = (178, 218)  # width, height of an aligned image
FACE = (15, 35, 163, 183)  # its central 148x148: left, top, right, bottom
IMAGES = ("img_align_celeba.zip", "img_align_celeba")
ATTRIBUTES = ("list_attr_celeba.csv", "list_attr_celeba.txt")
PARTITION = ("list_eval_partition.csv", "list_eval_partition.txt")
PARTITIONS = dict(zip("012", SPLITS, strict=True))


def read_celeba(root: Path, size: int, source: Path | None) -> Source:
    """Find the aligned images, the attributes and the published split.

    Parameters
    ----------
    root : Path
        ``<root>/celeba`` is looked into where there is no `source`.
    size : int
        Side of the images in pixels, after the crop.
    source : Path or None
        Folder with the images (a zip or a folder), the attributes and the partition (each as
        the CSV of the mirrors or as the original text).

    Raises
    ------
    DatasetError
        If a file is missing, or a table is not as it should be.

    References
    ----------
    Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015.
    """
    folder = (source or root / "celeba").expanduser().resolve()
    images, attributes_file, partition_file = _find_files(folder)
    names, attributes = _read_attributes(attributes_file)
    split = _read_partition(partition_file)
    with open_image_files(images) as image_files:
        pictures = image_files.pictures
        left_out, digest = (
            image_files.left_out,
            _digest(image_files, attributes_file, partition_file),
        )
    # The tables say 000001.jpg whatever the format of the image.
    stems = [PurePosixPath(picture).stem for picture in pictures]
    _check_listed(attributes_file, stems, attributes)
    _check_listed(partition_file, stems, split)

    def stream() -> Iterator[Record]:
        with open_image_files(images) as image_files:
            for picture, stem in zip(pictures, stems, strict=True):
                load = partial(_load_face, image_files, picture, size)
                yield Record(picture, load, attributes=attributes[stem], split=split[stem])

    return Source(
        stream(),
        len(pictures),
        attribute_names=names,
        path=folder,
        left_out=left_out,
        digest=digest,
    )


def digest_celeba(root: Path, source: Path | None) -> str:
    """Return the `digest` of the `Source` that `read_celeba` would find, without the rest of it.

    Raises
    ------
    DatasetError
        If a file is missing or cannot be read.
    """
    images, *tables = _find_files((source or root / "celeba").expanduser().resolve())
    with open_image_files(images) as image_files:
        return _digest(image_files, *tables)


def _digest(image_files: ImageFiles, *tables: Path) -> str:
    parts = hashlib.sha256(image_files.digest.encode())
    for table in tables:
        parts.update(hashlib.sha256(_read_bytes(table)).digest())
    return parts.hexdigest()[:16]


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{file} cannot be read ({error.strerror}): download it again."
        ) from error


def _find_files(folder: Path) -> list[Path]:
    found, missing = [], []
    for forms in (IMAGES, ATTRIBUTES, PARTITION):
        present = [folder / form for form in forms if (folder / form).exists()]
        if present:
            found.append(present[0])
        else:
            missing.append(" or ".join(forms))
    if missing:
        raise DatasetError(
            f"CelebA is not complete in {folder}; missing: {'; '.join(missing)}. Get them from "
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (Align&Cropped Images, "
            "Attributes Annotations, Train/Val/Test Partitions), put them there, or name their "
            "folder with --source."
        )
    return found


def _read_attributes(file: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    rows = _read_rows(file)
    if file.suffix == ".txt":
        del rows[:1]  # the number of images
        head = Row(2, ["", *rows[0].cells]) if rows else Row(2, [])
    else:
        head = rows[0] if rows else Row(1, [])
    names, parsed = parse_attributes(file.name, head, rows[1:])
    return names, collect(file.name, ((line, _stem(image), row) for line, image, row in parsed))


def _read_partition(file: Path) -> dict[str, str]:
    rows = _read_rows(file)
    if file.suffix == ".csv":
        del rows[:1]  # the head of the columns
    for row in rows:
        if len(row.cells) != 2 or row.cells[1] not in PARTITIONS:
            raise DatasetError(
                f"{file.name}, line {row.line}: every row must be an image's name and 0, 1 or 2, "
                f"for train, validation and test; found {','.join(row.cells)[:60]!r}."
            )
    parts = ((row.line, _stem(row.cells[0]), PARTITIONS[row.cells[1]]) for row in rows)
    return collect(file.name, parts)


def _check_listed(file: Path, stems: Iterable[str], listed: Container[str]) -> None:
    if missing := [stem for stem in stems if stem not in listed]:
        raise DatasetError(say_missing(file.name, missing))


def _stem(image: str) -> str:
    return PurePosixPath(image.replace("\\", "/")).stem


def _read_rows(file: Path) -> list[Row]:
    data = _read_bytes(file)
    if file.suffix == ".csv":
        return read_table(file.name, data, lambda cells: len(cells) > 1)
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} cannot be read ({error}): download it again.") from error
    rows = (Row(number, line.split()) for number, line in enumerate(lines, start=1))
    return [row for row in rows if row.cells]


def _load_face(image_files: ImageFiles, picture: str, size: int) -> np.ndarray:
    image = decode_image_file(image_files.read(picture))
    if image.size == FRAME:
        image = image.crop(FACE)
    elif image.width != image.height:
        raise ImageError(
            f"{image.width}x{image.height}: neither an aligned 178x218 frame nor a square"
        )
    return to_array(image, size)
