"""Checkpoints: one folder per model, written atomically, verified whenever it is read.

| file | what |
|---|---|
| `model.safetensors` | the weights, under the names of the model's state_dict |
| `encodings.safetensors` | what the encoder says of the held-out images |
| `latent.safetensors` | t-SNE, attribute vectors; where there are any |
| `history.csv` | a line an epoch |
| `epochs.safetensors` | the epochs that training kept, where it did: see `playback.packed` |
| `card.json` | the `ModelCard`, with a sha256 of each of the others; written last |

A folder without a card is not a checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_explorer import workspace
from vae_explorer.checkpoints import format as files
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.storage import (
    CARD,
    has_card,
    list_folders,
    read_card,
    read_files,
    verify,
)
from vae_explorer.encodings import Encodings
from vae_explorer.errors import CheckpointError, did_you_mean
from vae_explorer.installation import shell_command
from vae_explorer.models import Autoencoder
from vae_explorer.workspace import CLASSIFIERS, staged_folder, write_files


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with what is known of it. Shared between sessions: never change it."""

    card: ModelCard
    model: Autoencoder
    """In eval mode and frozen, on the CPU."""
    encodings: Encodings
    """Of the held-out images."""
    latent: dict[str, np.ndarray]
    """All arrays of `latent.safetensors`; as `save_checkpoint` takes them."""
    history: dict[str, np.ndarray]
    """float64 (epochs,) by column name."""
    path: Path

    @property
    def attribute_vectors(self) -> dict[str, np.ndarray]:
        """Directions in latent space: float32 (latent_dim,) by attribute name."""
        prefix = files.ATTRIBUTE_VECTOR
        return {n.removeprefix(prefix): a for n, a in self.latent.items() if n.startswith(prefix)}

    @property
    def tsne(self) -> np.ndarray | None:
        """t-SNE of some encodings (m, 2), where there is one. It cannot be decoded."""
        return self.latent.get("tsne")

    @property
    def tsne_rows(self) -> np.ndarray | None:
        """Indices (m,) into the encodings: which ones `tsne` shows."""
        return self.latent.get("tsne_rows")


def save_checkpoint(
    path: Path,
    *,
    model: Autoencoder,
    card: ModelCard,
    encodings: Encodings,
    history: Mapping[str, np.ndarray],
    latent: Mapping[str, np.ndarray] | None = None,
    epochs: bytes | None = None,
) -> ModelCard:
    """Write a checkpoint, replacing the one at `path`; a crash at any moment leaves that one whole.

    Parameters
    ----------
    path : Path
        The folder. One that is there already must be a checkpoint, or empty.
    model : Autoencoder
        On any device.
    card : ModelCard
        Its name and sha256 are filled in here.
    encodings : Encodings
        Of the held-out images.
    history : mapping of str to ndarray (epochs,)
        Columns by name.
    latent : mapping of str to ndarray, optional
        `tsne` (m, 2) with `tsne_rows` (m,), `attribute_vector.NAME` (latent_dim,), and others.
    epochs : bytes, optional
        As `pack_epochs` gave.

    Returns
    -------
    ModelCard
        As written.

    Raises
    ------
    CheckpointError
        If what would be written could not be loaded, or the disk refuses.
    """
    path = path.resolve()
    if path.exists() and not has_card(path) and (path.is_file() or any(path.iterdir())):
        raise CheckpointError(
            f"{path.name!r} was not saved: a file or folder that is not a checkpoint has that "
            f"name. Choose another name, such as checkpoints/{path.name}-2."
        )
    try:
        contents = {
            files.MODEL: files.pack_model(model),
            files.ENCODINGS: files.pack_encodings(encodings),
            files.HISTORY: files.pack_history(history),
        }
        if latent:
            contents[files.LATENT] = files.pack_latent(latent)
        if epochs:
            contents[files.EPOCHS] = epochs
        digests = {file: hashlib.sha256(data).hexdigest() for file, data in contents.items()}
        card = dataclasses.replace(card, name=path.name, sha256=digests)
        with staged_folder(path) as folder:
            write_files(folder, {**contents, CARD: card.to_json().encode()})
            _read(folder)  # what cannot be loaded replaces nothing
    except (OSError, ValueError) as error:
        reason = f"{error.strerror}." if isinstance(error, OSError) else error
        raise CheckpointError(f"The checkpoint {path.name!r} was not saved: {reason}") from error
    return card


def load_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Read a checkpoint, verifying every file against the card's sha256 first.

    Parameters
    ----------
    name_or_path : str or Path
        A str without a separator is a name on a shelf. A Path, or a str with a separator, is a
        path; only a Path may go up by `..`. What comes from a URL goes through
        `find_checkpoint`, which knows names only.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or anything in it is broken.
    """
    if isinstance(name_or_path, str) and not {"/", os.sep}.intersection(name_or_path):
        folder = find_checkpoint(name_or_path)
    else:
        folder = Path(name_or_path)
        if isinstance(name_or_path, str) and ".." in folder.parts:
            raise CheckpointError(
                f"The name of a checkpoint must not contain '..'; found {name_or_path!r}."
            )
    if not has_card(folder):
        raise CheckpointError(
            f"There is no checkpoint in {folder.name!r}: it has no {CARD}. "
            f"To list all checkpoints: {shell_command('list')}"
        )
    folder = folder.resolve()
    try:
        return _read(folder)
    except ValueError as error:
        raise CheckpointError(describe_damage(folder, error)) from error


def list_checkpoints(root: Path | None = None) -> tuple[dict[str, ModelCard], dict[str, str]]:
    """Find the checkpoints in a folder, by default on all shelves, and verify their files.

    A folder that has not changed since (times and sizes of its files) is not read again.

    Returns
    -------
    cards : dict of str to ModelCard
        By name, sorted.
    errors : dict of str to str
        What is broken and how to mend it, by name.
    """
    cards, errors = {}, {}
    folders, hidden = _list_shelves((root,) if root else workspace.shelves())
    for name, folder in folders.items():
        try:
            cards[name] = verify(folder)
        except ValueError as error:
            errors[name] = describe_damage(folder, error)
    for folder in hidden:
        errors[folder.name] = (
            "Your model of this name is not shown, because a model that comes with VAE Explorer "
            f"has the same name. Rename its folder, checkpoints/{folder.name}."
        )
    return cards, errors


def find_checkpoint(name: str) -> Path:
    """Return the folder of a checkpoint by name, and never one outside the shelves.

    Raises
    ------
    CheckpointError
        If there is none of that name; the message lists those there are.
    """
    # The name is only compared, so that no path is ever made of what a stranger typed.
    folders, _ = _list_shelves(workspace.shelves())
    if not folders:
        raise CheckpointError(f"There are no checkpoints yet. Train one: {shell_command('train')}")
    if name not in folders:
        raise CheckpointError(did_you_mean("checkpoint", name[:80], list(folders)))
    return folders[name]


def _list_shelves(shelves: Sequence[Path]) -> tuple[dict[str, Path], list[Path]]:
    """Return the checkpoints by name, sorted, and those whose name an earlier shelf has."""
    folders: dict[str, Path] = {}
    hidden = []
    for folder in (folder for shelf in shelves for folder in list_folders(shelf)):
        if folders.setdefault(folder.name, folder) is not folder:
            hidden.append(folder)
    return dict(sorted(folders.items())), hidden


def _read(folder: Path) -> Checkpoint:
    card = read_card(folder)
    at_once = {file: digest for file, digest in card.sha256.items() if file != files.EPOCHS}
    contents = read_files(folder, at_once)
    encodings = files.unpack_encodings(card, contents[files.ENCODINGS])
    latent: dict[str, np.ndarray] = {}
    if files.LATENT in contents:
        rows = len(encodings.row_id)
        latent = files.unpack_latent(card.model.latent_dim, rows, contents[files.LATENT])
    return Checkpoint(
        card=card,
        model=files.unpack_model(card.model, contents[files.MODEL]),
        encodings=encodings,
        latent=latent,
        history=files.unpack_history(contents[files.HISTORY]),
        path=folder,
    )


def describe_damage(folder: Path, fault: ValueError) -> str:
    """Say that a checkpoint is broken, why, and how to mend it."""
    return f"The checkpoint {folder.name!r} is broken. {fault} {say_repair(folder, 'train')}"


def say_repair(folder: Path, training: str) -> str:
    """Say how a broken checkpoint or classifier is mended.

    Parameters
    ----------
    folder : Path
        On a shelf, or anywhere.
    training : str
        The command that makes one: "train" or "train-classifier".
    """
    kept = f"{CLASSIFIERS}/{folder.name}" if training != "train" else folder.name
    # Visitors of a page may read this: no path of this machine.
    again = shell_command(f"{training} --out {shlex.quote(f'checkpoints/{kept}')} --replace ...")
    if workspace.SHIPPED_SHELF is None:
        return (
            f"If it came with the app, restore it: git checkout -- checkpoints/{kept}. Otherwise "
            f"train it again: {again}"
        )
    if folder.resolve().is_relative_to(workspace.SHIPPED_SHELF.resolve()):
        return "It comes with VAE Explorer: install VAE Explorer again to restore it."
    return f"Train it again: {again}"
