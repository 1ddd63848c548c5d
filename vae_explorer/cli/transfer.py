"""Commands `encode`, `decode` and `export`: images to latents, latents to images, ONNX."""

from __future__ import annotations

import argparse
import csv
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.cli.data import open_checkpoint
from vae_explorer.data.base import list_left_out, say_no_image
from vae_explorer.data.files import ImageFiles, open_image_files
from vae_explorer.data.formats import FORMAT_NAMES
from vae_explorer.data.tables import Row, open_table, parse_number
from vae_explorer.device import choose_device
from vae_explorer.errors import DatasetError, ImageError, NoFaceError, TransferError
from vae_explorer.export import write_onnx
from vae_explorer.images import png_bytes
from vae_explorer.inference import decode, encode
from vae_explorer.models import Autoencoder
from vae_explorer.preprocessing import fit_image
from vae_explorer.workspace import atomic_write, staged_folder

__all__ = ["TransferError", "add_parsers", "run_decode", "run_encode", "run_export"]

_CHUNK = 2**20


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Say how these commands are called."""
    encoded = subparsers.add_parser(
        "encode",
        help="encode images and write their latents to a CSV file",
        description="Write z_mean (and z_log_var for a VAE) of each image to a CSV file. For face "
        "models, the main face of each image is found and aligned; for Fashion-MNIST models, the "
        "garment is cut out. The app does the same with uploads.",
    )
    encoded.add_argument("checkpoint", help="name, or path of the folder")
    encoded.add_argument("folder", type=Path, help="folder or zip file of images")
    encoded.add_argument("--out", type=Path, required=True, metavar="FILE.csv")
    encoded.add_argument(
        "--as-is",
        action="store_true",
        help="only crop to a square and resize, for images that already look like the data set's",
    )
    encoded.set_defaults(command=run_encode)

    decoded = subparsers.add_parser(
        "decode",
        help="decode the latents in a CSV file to PNG images",
        description="Decode each row's z1, z2, ... to a PNG image. Greyscale images are light on "
        "dark, as in the data set.",
    )
    decoded.add_argument("checkpoint", help="name, or path of the folder")
    decoded.add_argument("file", type=Path, help="CSV file with the columns z1, z2, ...")
    decoded.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    decoded.set_defaults(command=run_decode)

    exported = subparsers.add_parser(
        "export",
        help="export encoder and decoder as ONNX, or models as one HTML page",
        description="Write a model's encoder and decoder as ONNX files, or one or several models "
        "as a single HTML page. The page needs neither Python nor a network: open the file, send "
        "it, or put it on any web server.",
    )
    exported.add_argument(
        "checkpoints", nargs="+", metavar="checkpoint", help="name, or path of the folder"
    )
    target = exported.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="FOLDER", help="of the ONNX files of one model")
    target.add_argument(
        "--html", type=Path, metavar="FILE.html", help="the page; a file of that name is replaced"
    )
    exported.set_defaults(command=run_export)


def run_encode(args: argparse.Namespace) -> int:
    """Encode a folder or zip of images."""
    checkpoint = open_checkpoint(args.checkpoint)
    model = checkpoint.model.to(choose_device())
    with open_image_files(args.folder) as image_files:
        left_out = image_files.left_out
        if not image_files.pictures:
            raise TransferError(
                f"{say_no_image(args.folder, left_out)} {FORMAT_NAMES} are supported."
            )
        with tqdm(total=len(image_files.pictures), unit="image", disable=None) as bar:

            def show(name: str, fault: str | None) -> None:
                bar.update()
                if fault is not None:
                    tqdm.write(f"left out: {name}: {fault}")

            found = encode_image_files(
                image_files, model, checkpoint.card, args.out, as_is=args.as_is, on_picture=show
            )
    total = len(image_files.pictures)
    print(f"Encoded {found.written:,} of {total:,} images into {args.out}.")
    if found.without_face:
        print(f"{found.without_face:,} left out: no face found.")
    if found.unreadable:
        print(f"{found.unreadable:,} left out: cannot be read.")
    if left_out:
        files = "1 other file" if len(left_out) == 1 else f"{len(left_out):,} other files"
        print(f"{files} left out:", *list_left_out(left_out), sep="\n  ", file=sys.stderr)
    return 0


def run_decode(args: argparse.Namespace) -> int:
    """Decode a CSV to a folder of PNGs."""
    checkpoint = open_checkpoint(args.checkpoint)
    model = checkpoint.model.to(choose_device())
    with tqdm(total=_count_lines(args.file) - 1, unit="image", disable=None) as bar:
        count = decode_table(args.file, model, args.out, on_picture=bar.update)
    print(f"Decoded {count:,} images into {args.out}.")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write encoder.onnx and decoder.onnx, or an HTML page."""
    checkpoints = [open_checkpoint(name) for name in dict.fromkeys(args.checkpoints)]
    titles = ", ".join(checkpoint.card.title for checkpoint in checkpoints)
    if args.html is not None:
        from vae_explorer.webpage import write_page  # the figures' colours come with Plotly

        size = write_page(checkpoints, args.html)
        print(f"Exported {titles} to {args.html} ({size / 1e6:.2f} MB).")
        return 0
    if len(checkpoints) > 1:
        raise TransferError(
            f"--out takes one model; found {len(checkpoints)}. Export one after the other, or "
            "all to one page with --html FILE.html."
        )
    difference = write_onnx(checkpoints[0], args.out)
    print(f"Exported {titles} to {args.out}: encoder.onnx and decoder.onnx.")
    print(f"Largest difference from PyTorch on random inputs: {difference:.1e}.")
    return 0


def _count_lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(_CHUNK), b"")
            return sum(max(chunk.count(b"\n"), chunk.count(b"\r")) for chunk in chunks)
    except OSError as error:
        raise TransferError(f"{path} cannot be read: {error.strerror}.") from error


BATCH = 64
"""Pictures in memory at once."""
_LONGEST_NAME = 60  # characters of an image's name that its decoded one keeps

_LARGEST = float(np.finfo(np.float32).max)

T = TypeVar("T")


class Encoded(NamedTuple):
    """What became of a folder of images."""

    written: int
    without_face: int
    unreadable: int


def encode_image_files(
    image_files: ImageFiles,
    model: Autoencoder,
    card: ModelCard,
    out: Path,
    *,
    as_is: bool = False,
    on_picture: Callable[[str, str | None], None] = lambda _name, _fault: None,
) -> Encoded:
    """Encode the images of a folder or zip to a CSV, which is there when all of it is.

    Parameters
    ----------
    image_files : ImageFiles
        Open.
    model : Autoencoder
        On any device.
    card : ModelCard
        The model's.
    out : Path
        A file that is not there yet.
    as_is : bool
        As for `fit_image`.
    on_picture : callable (name, fault)
        Called with each image; with why, where it is left out.

    Returns
    -------
    Encoded

    Raises
    ------
    TransferError
        If no image can be encoded, or `out` is there already or cannot be written.
    """
    faults = {"face": 0, "unreadable": 0}

    def read() -> Iterator[tuple[str, NDArray[np.float32]]]:
        for name in image_files.pictures:
            try:
                image = fit_image(image_files.read(name), card, as_is=as_is)
            except ImageError as error:
                faults["face" if isinstance(error, NoFaceError) else "unreadable"] += 1
                on_picture(name, str(error))
            else:
                yield name, image
                on_picture(name, None)

    dimensions = range(1, card.model.latent_dim + 1)
    written = 0
    with _new_file(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        variances = [f"log_var{k}" for k in dimensions] if card.model.kind == "vae" else []
        writer.writerow(["file", *(f"z{k}" for k in dimensions), *variances])
        for batch in _batches(read()):
            z_mean, z_log_var = encode(model, np.stack([image for _, image in batch]))
            rows = z_mean if z_log_var is None else np.hstack([z_mean, z_log_var])
            for (name, _), row in zip(batch, rows, strict=True):
                # Nine digits are enough for the very same float32.
                writer.writerow([name, *(f"{value:.9g}" for value in row)])
            written += len(batch)
        if not written:
            raise TransferError("None of these images can be encoded, so nothing was written.")
    return Encoded(written, faults["face"], faults["unreadable"])


def decode_table(
    table: Path,
    model: Autoencoder,
    out: Path,
    *,
    on_picture: Callable[[int], object] = lambda _count: None,
) -> int:
    """Decode the latents of a CSV to PNGs in a folder, which is there when all of them are.

    Parameters
    ----------
    table : Path
        As `open_table` reads it. Columns `z1` to `zn`, in any order, and any others, with decimal
        points or commas. A column `file` gives the images part of their names; they are numbered
        by line.
    model : Autoencoder
        On any device.
    out : Path
        A folder that is not there yet, or empty.
    on_picture : callable (count)
        Called now and then with the number of images written since.

    Returns
    -------
    int
        The number of images, as light as the data set's: of digits and clothes, ink is white.

    Raises
    ------
    TransferError
        If a line cannot be decoded, or `out` holds something or cannot be written.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TransferError(f"{out.name} already exists. Choose another --out.")
    written = 0
    try:
        with staged_folder(out) as folder:
            for batch in _batches(_read_table(table, model.config.latent_dim)):
                images = _decode_batch(model, batch)
                for (line, name, _), image in zip(batch, images, strict=True):
                    (folder / f"{line:06d}{name}.png").write_bytes(png_bytes(image))
                written += len(batch)
                on_picture(len(batch))
            if not written:
                raise TransferError(f"{table.name} has no rows below its header.")
    except OSError as error:
        raise TransferError(f"{out.name} cannot be written: {error.strerror}.") from error
    return written


def _read_table(table: Path, latent_dim: int) -> Iterator[tuple[int, str, NDArray[np.float32]]]:
    """Yield (number, name, z) of each line."""
    wanted = [f"z{k + 1}" for k in range(latent_dim)]

    def is_head(cells: list[str]) -> bool:
        return wanted[0] in map(str.lower, cells)

    try:
        with table.open("rb") as file:
            rows = open_table(table.name, file, is_head).rows
            names = [name.lower() for name in next(rows, Row(1, [])).cells]
            if missing := [name for name in wanted if name not in names]:
                raise TransferError(
                    f"{table.name} must begin with a header row, with {wanted[0]} to "
                    f"{wanted[-1]} for this model, between commas, semicolons or tabs; it lacks "
                    f"{missing[0]}."
                )
            if f"z{latent_dim + 1}" in names:
                raise TransferError(
                    f"{table.name} is for a model of more than {latent_dim} dimensions."
                )
            if twice := [name for name in wanted if names.count(name) > 1]:
                raise TransferError(f"{table.name} has two columns {twice[0]}. Keep one of them.")
            columns = {name: names.index(name) for name in wanted}
            named = names.index("file") if "file" in names else None
            marks: dict[str, int] = {}  # by decimal point or comma: the first line that has one
            for number, row in enumerate(rows, start=1):
                where = f"{table.name}, line {row.line}"
                if len(row.cells) > len(names):
                    raise TransferError(
                        f"{where}: {len(row.cells)} cells for {len(names)} names. Between decimal "
                        "commas, columns must be separated by semicolons or tabs."
                    )
                z = _read_cells(row.cells, columns, where)
                for column in columns.values():
                    for mark in ".,":
                        if mark in row.cells[column]:
                            marks.setdefault(mark, row.line)
                if len(marks) > 1:
                    raise TransferError(
                        f"{table.name}: line {marks['.']} has a decimal point, and line "
                        f"{marks[',']} a comma. Use one of them throughout, and none between "
                        "thousands."
                    )
                stem = "" if named is None else "".join(row.cells[named : named + 1])  # or short
                yield number, _safe(stem), z
    except OSError as error:
        raise TransferError(f"{table.name} cannot be read: {error.strerror}.") from error
    except DatasetError as error:
        raise TransferError(str(error)) from error


def _read_cells(cells: list[str], columns: Mapping[str, int], where: str) -> NDArray[np.float32]:
    z = []
    for name, column in columns.items():
        found = cells[column] if column < len(cells) else ""
        try:
            value = parse_number(found)
        except ValueError as error:
            said = f"holds {found[:60]!r}" if found else "is empty"
            raise TransferError(
                f"{where}: every z must be a number; column {column + 1} ({name}) {said}."
            ) from error
        if not abs(value) <= _LARGEST:
            raise TransferError(
                f"{where}: every z must be finite and fit float32; column {column + 1} ({name}) "
                f"holds {found[:60]!r}."
            )
        z.append(value)
    return np.array(z, np.float32)


def _decode_batch(
    model: Autoencoder, batch: list[tuple[int, str, NDArray[np.float32]]]
) -> NDArray[np.float32]:
    try:
        return decode(model, np.stack([z for _, _, z in batch]))
    except ValueError as error:
        raise TransferError(f"Images {batch[0][0]} to {batch[-1][0]}: {error}") from error


def _safe(name: str) -> str:
    """Return what a file name may keep of an image's name: letters, digits and a few signs."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    kept = re.sub(r"[^\w-]+", "-", stem).strip("-")[:_LONGEST_NAME]
    return f"-{kept}" if kept else ""


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Give the path of a sibling to write; rename it to `path` if the block ends without error."""
    if path.exists():
        raise TransferError(f"{path.name} already exists. Choose another --out.")
    try:
        with atomic_write(path) as partial:
            yield partial
    except OSError as error:
        raise TransferError(f"{path.name} cannot be written: {error.strerror}.") from error


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch
