"""Checkpoint folders on disk: listing, reading, and verification by sha256.

Whatever is wrong raises ValueError; `vae_explorer.checkpoints` adds which checkpoint it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.format import ENCODINGS, HISTORY, MODEL

CARD = "card.json"


def has_card(folder: Path) -> bool:
    """Say whether a folder is a checkpoint; one that may not be looked into is none."""
    try:
        return (folder / CARD).is_file()
    except (OSError, ValueError):  # no permission, a name too long, a NUL in it
        return False


def list_folders(root: Path) -> list[Path]:
    """Return the checkpoints' folders, broken ones too, without the attribute classifiers."""
    if not root.is_dir():
        return []
    return sorted(
        folder
        for folder in root.iterdir()
        if folder.name[0] not in "._" and folder.name != "classifiers" and has_card(folder)
    )


def read_card(folder: Path) -> ModelCard:
    """Read the card, which takes the folder's name.

    Raises
    ------
    ValueError
        If it cannot be read, or lists too few files.
    """
    card = ModelCard.from_json(read_file(folder, CARD).decode(errors="replace"))
    if missing := {MODEL, ENCODINGS, HISTORY} - card.sha256.keys():
        raise ValueError(f"sha256 in {CARD} lacks {', '.join(sorted(missing))}.")
    return dataclasses.replace(card, name=folder.name)


def read_files(folder: Path, sha256: Mapping[str, str]) -> dict[str, bytes]:
    """Read the files that a card lists by their digests; what is returned is what was hashed.

    Raises
    ------
    ValueError
        If a file is missing, or its sha256 is not the card's.
    """
    contents = {file: read_file(folder, file) for file in sha256}
    for file, wanted in sha256.items():
        found = hashlib.sha256(contents[file]).hexdigest()
        if found != wanted:
            raise ValueError(
                f"{file} is damaged or was changed: its sha256 begins with {found[:8]}, "
                f"the card's with {wanted[:8]}."
            )
    return contents


def verify(folder: Path) -> ModelCard:
    """Read the card and check every file's hash, once for each state of the folder.

    Raises
    ------
    ValueError
        As `read_card` and `read_files` do.
    """
    try:
        stats = sorted((path.name, path.stat()) for path in folder.iterdir())
    except OSError as error:
        raise ValueError(f"Its files cannot be listed: {error.strerror}.") from error
    return _verify(folder, tuple((name, s.st_mtime_ns, s.st_size) for name, s in stats))


@lru_cache(maxsize=256)
def _verify(folder: Path, _state: tuple[tuple[str, int, int], ...]) -> ModelCard:
    card = read_card(folder)
    read_files(folder, card.sha256)
    return card


def read_file(folder: Path, file: str) -> bytes:
    """Read one file; ValueError where it is missing or cannot be read."""
    try:
        return (folder / file).read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{file} is missing.") from error
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}.") from error
