"""The commands that carry pictures, latents and models in and out: encode, decode, export."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.checkpoints.storage import has_card
from vae_explorer.data.files import open_album
from vae_explorer.device import choose_device
from vae_explorer.errors import TransferError
from vae_explorer.export import write_onnx
from vae_explorer.transfer import decode_table, encode_album

__all__ = ["TransferError", "add_parsers", "run_decode", "run_encode", "run_export"]

_CHUNK = 2**20


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Say how these commands are called."""
    encoded = subparsers.add_parser(
        "encode",
        help="write the latents of pictures to a CSV",
        description="Write z_mean, and a VAE's z_log_var, of each picture to a CSV. For a model "
        "of faces each picture's main face is found and aligned, for one of garments the garment "
        "is cut out, as the app does with uploads.",
    )
    encoded.add_argument("checkpoint", help="a name below checkpoints/, or a path")
    encoded.add_argument("folder", type=Path, help="folder or zip of pictures")
    encoded.add_argument("--out", type=Path, required=True, metavar="FILE.csv")
    encoded.add_argument(
        "--as-is",
        action="store_true",
        help="the pictures are like the data set's own: only crop them to a square and resize",
    )
    encoded.set_defaults(command=run_encode)

    decoded = subparsers.add_parser(
        "decode",
        help="draw the latents of a CSV as PNGs",
        description="Draw each line's z1, z2, ... as a PNG, in grey sets as light ink on dark.",
    )
    decoded.add_argument("checkpoint", help="a name below checkpoints/, or a path")
    decoded.add_argument("file", type=Path, help="CSV with columns z1, z2, ...")
    decoded.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    decoded.set_defaults(command=run_decode)

    exported = subparsers.add_parser("export", help="write encoder and decoder as ONNX")
    exported.add_argument("checkpoint", help="a name below checkpoints/, or a path")
    exported.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    exported.set_defaults(command=run_export)


def run_encode(args: argparse.Namespace) -> int:
    """Encode a folder or zip of pictures."""
    checkpoint = _load(args.checkpoint)
    model = checkpoint.model.to(choose_device())
    with open_album(args.folder) as album:
        if not album.pictures:
            raise TransferError(f"There is no picture in {args.folder}.")
        with tqdm(total=len(album.pictures), unit="picture", disable=None) as bar:

            def show(name: str, fault: str | None) -> None:
                bar.update()
                if fault is not None:
                    tqdm.write(f"left out: {name}: {fault}")

            found = encode_album(
                album, model, checkpoint.card, args.out, as_is=args.as_is, on_picture=show
            )
    total = len(album.pictures)
    print(f"Encoded {found.written:,} of {total:,} pictures into {args.out}.")
    if found.without_face:
        print(f"{found.without_face:,} left out: no face was found in them.")
    if found.unreadable:
        print(f"{found.unreadable:,} left out: they cannot be read.")
    return 0


def run_decode(args: argparse.Namespace) -> int:
    """Decode a CSV to a folder of PNGs."""
    checkpoint = _load(args.checkpoint)
    model = checkpoint.model.to(choose_device())
    with tqdm(total=_count_lines(args.file) - 1, unit="picture", disable=None) as bar:
        count = decode_table(args.file, model, args.out, on_picture=bar.update)
    print(f"Decoded {count:,} pictures into {args.out}.")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write encoder.onnx and decoder.onnx."""
    checkpoint = _load(args.checkpoint)
    difference = write_onnx(checkpoint, args.out)
    print(f"Exported {checkpoint.card.title} to {args.out}: encoder.onnx and decoder.onnx.")
    print(f"Farthest from PyTorch on random inputs: {difference:.1e}.")
    return 0


def _load(name_or_path: str) -> Checkpoint:
    path = Path(name_or_path)
    return load_checkpoint(path if has_card(path) else name_or_path)


def _count_lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))
    except OSError as error:
        raise TransferError(f"{path} cannot be read: {error.strerror}.") from error
