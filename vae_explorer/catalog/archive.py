"""Import and export of checkpoints as zip archives; every import is checked.

What comes in may have been made by anybody. Nothing in it is ever run, and none of its names is
used as a path: only files that its card lists are taken, by their bare names, all of them
safetensors or CSV.
"""

from __future__ import annotations

import dataclasses
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import safetensors
from safetensors import SafetensorError

from vae_explorer.catalog.library import MARKUP, changing, check_free, check_title, free_name
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.storage import CARD, read_card, read_files
from vae_explorer.config import ModelConfig
from vae_explorer.errors import CardError, CheckpointError
from vae_explorer.images import zip_of_files
from vae_explorer.workspace import staged_folder, write_files

MAX_BYTES = 200 * 2**20
"""Of an archive, and of all that is in it."""

_MAX_CARD = 2**20  # bytes
_MAX_INDEX = 2**16  # bytes of a zip's list of entries: some hundreds
_AGAIN = "Choose a file exported from this app, or zip a whole folder of checkpoints/."

_SUFFIXES = (".safetensors", ".csv")
_MAX_MAP = 2**22  # values of an image's largest feature map: 16 MB


def pack_checkpoint(folder: Path) -> bytes:
    """Return a checkpoint as a zip: one folder of its name, its files verified.

    Raises
    ------
    CheckpointError
        If a file is missing or was changed.
    """
    try:
        card = read_card(folder)
        contents = {CARD: card.to_json().encode(), **read_files(folder, card.sha256)}
    except ValueError as error:
        raise CheckpointError(
            f"{folder.name!r} is broken and cannot be exported. {error}"
        ) from error
    return zip_of_files({f"{folder.name}/{file}": data for file, data in contents.items()})


def read_archive(data: bytes) -> tuple[ModelCard, dict[str, bytes]]:
    """Read a zipped checkpoint, whatever else it may be.

    Parameters
    ----------
    data : bytes
        As somebody sent it. The files lie at its top or all in one folder; what macOS adds is
        left out.

    Returns
    -------
    card : ModelCard
    contents : dict of str to bytes
        By bare names, `card.json` and exactly the files that it lists; not yet verified.

    Raises
    ------
    CheckpointError
        If it is no zip, too large, has entries that point elsewhere, or does not fit its card.
    """
    if len(data) > MAX_BYTES:
        raise CheckpointError(
            f"This file has {len(data) / 2**20:,.0f} MB; the limit is {MAX_BYTES // 2**20} MB. If "
            "you trust its source, unpack it into checkpoints/ by hand."
        )
    _check_index(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _find_entries(archive)
            card = read_untrusted_card(_read_entry(archive, entries[CARD]))
            _check_listed(card, entries.keys())
            return card, {file: _read_entry(archive, entry) for file, entry in entries.items()}
    # NotImplementedError, UnicodeDecodeError: a kind of zip, a name, that Python cannot read.
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        UnicodeDecodeError,
    ) as error:
        raise CheckpointError(f"This zip is damaged: {error}. Copy or create it again.") from error


def unpack_checkpoint(data: bytes, name: str | None = None, *, free: bool = False) -> ModelCard:
    """Take a zipped checkpoint in, under a name that is free; any fault leaves all as it was.

    Parameters
    ----------
    data : bytes
        As somebody sent it.
    name : str, optional
        Of its folder; the one it was packed under by default.
    free : bool
        Take a name near to that where it is taken, or cannot be.

    Returns
    -------
    ModelCard
        As it is listed now.

    Raises
    ------
    CheckpointError
        As `read_archive`, or if the name is taken, a hash is another than the card's, or anything
        in it cannot be loaded.
    ReadOnlyError
        If this copy writes nothing.
    """
    with changing("adding a model"):
        card, contents = read_archive(data)
        _check_tensors(contents)
        wanted = card.name if name is None else name
        path = check_free(free_name(wanted) if free else wanted)
        with staged_folder(path) as folder:
            # The card goes last: a folder without it is no checkpoint.
            write_files(folder, {**contents, CARD: contents.pop(CARD)})
            try:
                load_checkpoint(folder)  # what cannot be loaded is not kept
            except CheckpointError as error:
                fault = error.__cause__ or error  # without the staged folder's name
                raise CheckpointError(f"This checkpoint cannot be used. {fault}") from error
        return dataclasses.replace(card, name=path.name)


def read_untrusted_card(data: bytes) -> ModelCard:
    """Read a stranger's card.

    Raises
    ------
    CheckpointError
        If it is no card, lists files that are neither safetensors nor CSV, holds markup, or
        describes a model that would take too much memory.
    """
    try:
        card = ModelCard.from_json(data.decode(errors="replace"))
    except CardError as error:
        raise CheckpointError(f"Its card cannot be read. {error}") from error
    if unknown := [file for file in card.sha256 if not file.endswith(_SUFFIXES)]:
        raise CheckpointError(
            f"A checkpoint may only hold safetensors and CSV files; found {unknown[0][:80]!r}."
        )
    check_title(card.title)
    for words in _words(dataclasses.asdict(card)):
        # Pages write them as Markdown: an image from elsewhere would tell its owner of visits.
        if found := MARKUP.search(words):
            raise CheckpointError(
                f"{CARD} may only hold plain text; found {found[0]!r} in {words[:40]!r}."
            )
    if (largest := largest_map(card.model)) > _MAX_MAP:
        raise CheckpointError(
            f"This model has feature maps of {largest:,} values per image; the limit is "
            f"{_MAX_MAP:,}."
        )
    return card


def largest_map(config: ModelConfig) -> int:
    """Return how many values an image takes at most between two layers."""
    size, channels = config.image_size, config.channels
    maps = [config.image_channels * size**2]
    maps += [count * (size >> k + 1) ** 2 for k, count in enumerate(channels)]
    decoder = config.decoder_channels or (*channels[-1:], *reversed(channels))
    maps += [count * (config.feature_size << k) ** 2 for k, count in enumerate(decoder)]
    return max(maps)


def _check_index(data: bytes) -> None:
    """Refuse what is no zip, and a list of entries so long that reading it would cost memory."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise CheckpointError(f"This file is not a zip file, or it is incomplete. {_AGAIN}")
    # The record at the end, where `zipfile` looks for it: the last bytes, or before a comment.
    end = len(data) - 22
    if not data.startswith(b"PK\x05\x06", end) or not data.endswith(b"\0\0"):
        end = data.rfind(b"PK\x05\x06")
    (index,) = struct.unpack_from("<L", data, end + 12)
    if data.startswith(b"PK\x06\x06", max(end - 76, 0)):  # a zip64 has the length in another
        (index,) = struct.unpack_from("<Q", data, end - 36)
    if index > _MAX_INDEX:
        raise CheckpointError(f"This zip has far more files than a checkpoint. {_AGAIN}")


def _find_entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by their bare names; refuses those that are links or point elsewhere."""
    entries: dict[str, zipfile.ZipInfo] = {}  # by their paths
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        if _points_outside(name) or stat.S_ISLNK(entry.external_attr >> 16):
            raise CheckpointError(
                f"This zip is refused: its entry {name[:80]!r} is a link or points outside the zip."
            )
        if name in entries:
            raise CheckpointError(f"This zip has {name[:80]!r} twice. {_AGAIN}")
        if not entry.is_dir() and not _is_left_out(name):
            entries[name] = entry
    folders = {name.rpartition("/")[0] for name in entries}
    if len(folders) != 1 or "/" in min(folders):
        raise CheckpointError(f"A checkpoint's files must be in one folder. {_AGAIN}")
    found = {name.rpartition("/")[2]: entry for name, entry in entries.items()}
    if CARD not in found:
        raise CheckpointError(f"This zip is not a checkpoint: it has no {CARD}. {_AGAIN}")
    size = sum(entry.file_size for entry in found.values())
    if size > MAX_BYTES or found[CARD].file_size > _MAX_CARD:
        raise CheckpointError(
            f"This zip unpacks to {size / 2**20:,.0f} MB, with {CARD} of "
            f"{found[CARD].file_size / 2**20:,.0f} MB; the limits are {MAX_BYTES // 2**20} and "
            f"{_MAX_CARD // 2**20} MB."
        )
    return found


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Unpack one entry; never more than its declared size, whatever it would grow to."""
    if entry.flag_bits & 1:
        raise CheckpointError(f"This zip is protected by a password. {_AGAIN}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CheckpointError(f"The compression method of this zip is not supported. {_AGAIN}")
    with archive.open(entry) as file:
        data = file.read(entry.file_size)
    if len(data) < entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename[:80]!r} is cut short")
    return data


def _check_listed(card: ModelCard, found: Set[str]) -> None:
    wanted = {CARD, *card.sha256}
    if unknown := sorted(found - wanted):
        names = ", ".join(file[:80] for file in unknown[:5])
        raise CheckpointError(
            f"This zip has files that its card does not list: {names}. Zip it without them."
        )
    if missing := sorted(wanted - found):
        raise CheckpointError(f"This zip lacks what its card lists: {', '.join(missing[:5])}.")


def _check_tensors(contents: Mapping[str, bytes]) -> None:
    """Refuse what only bears the name of safetensors, also in files of other versions."""
    for file, data in contents.items():
        if file.endswith(".safetensors"):
            try:
                safetensors.deserialize(data)
            except SafetensorError as error:
                raise CheckpointError(f"{file} is not a safetensors file: {error}.") from error


def _points_outside(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/") or bool(re.match(r"[A-Za-z]:", name))


def _is_left_out(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1].startswith(".")


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _words([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _words(part)
