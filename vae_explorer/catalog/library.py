"""The user's checkpoints: named, renamed, deleted. Shipped checkpoints are protected.

A checkpoint is shipped by its name, wherever its folder lies: `SHIPPED` names those that come with
the project, whether they have a shelf of their own or not (see `vae_explorer.workspace`). No upload
and no renaming takes such a name, so what bears it is the shipped model, or what somebody put in
its place at the command line; neither is ever renamed or deleted here.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae_explorer import workspace
from vae_explorer.checkpoints import find_checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.storage import CARD, list_folders, read_card, read_files
from vae_explorer.errors import CheckpointError
from vae_explorer.runs.run import list_runs
from vae_explorer.workspace import (
    check_name,
    list_names,
    refuse_when_read_only,
    remove_folder,
    staged_folder,
    suggest_name,
    write_files,
)

SHIPPED = frozenset(
    (
        "faces-vae-32",
        "faces-vae-64",
        "fashion-ae-2d",
        "fashion-vae-2d",
        "fashion-vae-2d-beta-0.1",
        "fashion-vae-2d-beta-10",
        "mnist-mlp-vae-20d",
        "mnist-vae-2d",
    )
)
"""Names of the checkpoints that come with the project."""

MAX_TITLE = 120
TITLE_RULE = f"must be one line of 1 to {MAX_TITLE} characters, without markup"
MARKUP = re.compile(r"!\[|\]\(|<|[\x00-\x1f]")
"""What makes a link, an image or HTML of words where Markdown is read."""

_CHANGES = threading.RLock()  # sessions are threads of one process: one change at a time


@contextmanager
def changing(what: str) -> Iterator[None]:
    """Let one session at a time change the folder of checkpoints, where anything may be changed.

    Parameters
    ----------
    what : str
        As `refuse_when_read_only` takes it.

    Raises
    ------
    ReadOnlyError
        If this copy writes nothing.
    CheckpointError
        If the disk refuses.
    """
    refuse_when_read_only(what)
    with _CHANGES:
        try:
            yield
        except OSError as error:
            raise CheckpointError(f"{what.capitalize()} failed: {error.strerror}.") from error


def is_shipped(name: str) -> bool:
    """Say whether a name is that of a checkpoint that comes with the project."""
    shelf = workspace.SHIPPED_SHELF
    there = {folder.name.casefold() for folder in list_folders(shelf)} if shelf else set()
    return name.casefold() in SHIPPED | there


def check_free(name: str) -> Path:
    """Return the folder that a new checkpoint of this name gets, which is not there yet.

    Raises
    ------
    CheckpointError
        If the name cannot be, is taken by anything, or is kept for a shipped checkpoint.
    """
    if is_shipped(name):
        raise CheckpointError(
            f"The name “{name}” is reserved for a model that comes with the app. Choose another "
            f"name, for example “{free_name(name)}”."
        )
    try:
        check_name(name, _taken())
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return workspace.CHECKPOINTS / name


def free_name(wanted: str) -> str:
    """Return a name that `check_free` takes: the one wanted, or the nearest to it."""
    return suggest_name(wanted, _taken() | SHIPPED)


def rename_checkpoint(name: str, new_name: str, title: str) -> ModelCard:
    """Give one's own checkpoint another folder name, another title, or both.

    Its files are verified and copied to their new place before they leave the old one.

    Returns
    -------
    ModelCard
        As it is now.

    Raises
    ------
    CheckpointError
        If it is a shipped one or broken, or the name or the title cannot be.
    """
    with changing("renaming a model"):
        folder = _user_checkpoint(name, "renamed")
        title = check_title(title)
        same = name == new_name
        target = folder if same else check_free(new_name)
        try:
            card = read_card(folder)
            contents = read_files(folder, card.sha256)
        except ValueError as error:
            raise CheckpointError(f"{name!r} is broken and cannot be renamed. {error}") from error
        card = dataclasses.replace(card, name=new_name, title=title)
        with staged_folder(target) as place:
            write_files(place, {**contents, CARD: card.to_json().encode()})
        if not same:
            remove_folder(folder)
        return card


def delete_checkpoint(name: str) -> None:
    """Delete one's own checkpoint, at once or not at all.

    Raises
    ------
    CheckpointError
        If there is none of that name, or it is a shipped one.
    """
    with changing("deleting a model"):
        remove_folder(_user_checkpoint(name, "deleted"))


def check_title(title: str) -> str:
    """Return a title without space at its ends; `CheckpointError` where it cannot be one."""
    title = title.strip()
    if not 0 < len(title) <= MAX_TITLE or not title.isprintable() or MARKUP.search(title):
        raise CheckpointError(f"A title {TITLE_RULE}; found {title[: MAX_TITLE + 1]!r}.")
    return title


def _user_checkpoint(name: str, changed: str) -> Path:
    folder = find_checkpoint(name)
    if is_shipped(name):
        raise CheckpointError(f"{name!r} comes with the app and cannot be {changed}.")
    return folder


def _taken() -> set[str]:
    """Return all names among the checkpoints, and of the runs that will be published there."""
    return list_names() | {s.name for s in list_runs() if s.phase != "finished"}
