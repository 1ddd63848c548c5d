"""Workspace: the folders that the app reads and writes, their names, and atomic writes.

`CHECKPOINTS`, `SHIPPED_SHELF`, `RUNS` and `DATA` are read at each use (``workspace.CHECKPOINTS``),
so that setting one of them here is enough.

Checkpoints are on one shelf or two. In a checkout, those that come with the app and the user's are
in the same folder. In an installed copy, and wherever a home is named, the user's are in the home,
and those that come with the app stay in the app's folder, where nothing is ever written.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
import threading
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vae_explorer.errors import HomeError, ReadOnlyError
from vae_explorer.installation import APP, IS_INSTALLED

HOME = "VAE_EXPLORER_HOME"
"""The environment variable that names the home, the folder of the user's models, runs and data."""

CHECKPOINTS = Path("checkpoints") if IS_INSTALLED else APP / "checkpoints"
"""The user's checkpoints, by name; where `SHIPPED_SHELF` is None, all checkpoints."""
SHIPPED_SHELF: Path | None = APP / "checkpoints" if IS_INSTALLED else None
"""Checkpoints that come with the app, where they have a shelf of their own. Only read."""
RUNS = Path("runs")
"""Training runs, by name."""
DATA = Path("data")
"""Downloaded, uploaded and prepared data sets."""
CLASSIFIERS = "classifiers"
"""Name of the folder of attribute classifiers on a shelf; it is no checkpoint itself."""


def use_home(home: Path) -> None:
    """Keep the user's models, runs and data in a folder, here and in the processes started by this.

    Parameters
    ----------
    home : Path
        Made by what is first written into it.
    """
    global CHECKPOINTS, SHIPPED_SHELF, RUNS, DATA
    home = home.expanduser().absolute()
    os.environ[HOME] = str(home)
    RUNS, DATA = home / "runs", home / "data"
    CHECKPOINTS, SHIPPED_SHELF = home / "checkpoints", APP / "checkpoints"
    if only := os.environ.get(_ONLY):
        CHECKPOINTS, SHIPPED_SHELF = Path(only), None


_ONLY = "VAE_EXPLORER_CHECKPOINTS"  # a folder of all checkpoints
if _home := os.environ.get(HOME):
    use_home(Path(_home))
elif _only := os.environ.get(_ONLY):
    CHECKPOINTS, SHIPPED_SHELF = Path(_only), None


def ensure_home(*, writable: bool) -> None:
    """Check the home before anything is done that would be lost.

    In a checkout without a named home, where each folder may be elsewhere, nothing is checked.

    Parameters
    ----------
    writable : bool
        Whether it must take files, and is made where it is missing.

    Raises
    ------
    HomeError
        Saying what is wrong with the folder, and how to name another.
    """
    if SHIPPED_SHELF is None:
        return
    home = RUNS.absolute().parent
    fault, way_out = "", f"Name another with --home DIR or {HOME}"
    if home.exists() and not home.is_dir():
        fault = "is not a folder"
    elif writable:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=home):
                pass
        except OSError as error:
            fault = f"cannot be written to ({error.strerror})"
            way_out += ", or add --read-only to look only at what there is"
    if fault:
        raise HomeError(
            f"{home} {fault}, so your models, runs and data cannot be kept there. {way_out}."
        )


def shelves() -> tuple[Path, ...]:
    """Return the folders of checkpoints: those that come with the app first, then the user's."""
    return (CHECKPOINTS,) if SHIPPED_SHELF is None else (SHIPPED_SHELF, CHECKPOINTS)


def list_names() -> set[str]:
    """Return all names in the folders of checkpoints, of whatever kind the files are."""
    return {path.name for shelf in shelves() if shelf.is_dir() for path in shelf.iterdir()}


def shorten(path: Path) -> Path:
    """Return a path as it can be typed here: relative if it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def refuse_shipped(path: Path) -> None:
    """Let nothing be written in the place of what comes with the app, or under its name.

    Nothing is refused where all checkpoints are in one folder.

    Parameters
    ----------
    path : Path
        The folder that would be written or removed.

    Raises
    ------
    ReadOnlyError
        Saying which name is meant.
    """
    if SHIPPED_SHELF is None:
        return
    path, shipped = path.parent.resolve() / path.name, SHIPPED_SHELF.resolve()
    if path.is_relative_to(shipped):
        raise ReadOnlyError(
            f"{path.name!r} comes with VAE Explorer and cannot be changed. Save what is new under "
            f"another name, for example “{path.name}-2”."
        )
    parent, user = path.parent, CHECKPOINTS.resolve()
    if not parent.is_relative_to(user):
        return
    shelf = shipped / parent.relative_to(user)
    taken = {each.name.casefold() for each in (shelf.iterdir() if shelf.is_dir() else ())}
    if path.name.casefold() in taken:
        raise ReadOnlyError(
            f"The name {path.name!r} is that of a model that comes with VAE Explorer. Choose "
            f"another, for example “{path.name}-2”."
        )


LONGEST = 64
"""Characters of a name."""
_RESERVED = frozenset({CLASSIFIERS})
_NAME = re.compile(rf"(?=.{{1,{LONGEST}}}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")


def check_name(name: str, taken: Collection[str] = ()) -> None:
    """Check that a name can be a folder's on any system, and is free.

    Parameters
    ----------
    name : str
    taken : collection of str
        Names that cannot be had; file systems that know no case see them as one.

    Raises
    ------
    ValueError
        Saying what would be right.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"“{name[:LONGEST]}” is not a valid name. Use at most {LONGEST} letters a–z, digits, "
            "hyphens, underscores and dots, starting with a letter or digit and not ending with a "
            f"dot, for example “{suggest_name(name, taken)}”."
        )
    if name.casefold() in _RESERVED | {each.casefold() for each in taken}:
        raise ValueError(
            f"“{name}” is already in use. Choose another name, for example "
            f"“{suggest_name(name, taken)}”."
        )


def suggest_name(wanted: str, taken: Collection[str] = ()) -> str:
    """Make a name that `check_name` takes of any words, with a number behind it if it needs one."""
    plain = unicodedata.normalize("NFKD", re.sub("['’]", "", wanted))  # "Sam's", "é"
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("._-")[: LONGEST - 5].rstrip(".")
    base = slug if slug == wanted else slug.lower()
    base = base or "mine"
    used = _RESERVED | {each.casefold() for each in taken}
    free = (base, *(f"{base}-{number}" for number in range(2, len(used) + 3)))
    return next(each for each in free if each.casefold() not in used)


def disambiguate(titles: Mapping[str, str]) -> dict[str, str]:
    """Return titles by name; where several share one, with the name behind it."""
    shared = Counter(titles.values())
    return {
        name: title if shared[title] == 1 else f"{title} ({name})" for name, title in titles.items()
    }


READ_ONLY = "VAE_EXPLORER_READ_ONLY"
"""The environment variable; "1", "true" or "yes" turns off whatever writes."""

_NO = {"", "0", "false", "no", "off"}


def is_read_only() -> bool:
    """Say whether this copy writes nothing, as the environment has it now.

    What is neither yes nor no counts as yes: a public host with a typing error stays closed.
    """
    return os.environ.get(READ_ONLY, "").strip().lower() not in _NO


def refuse_when_read_only(what: str) -> None:
    """Let nothing be written in a copy that is for looking.

    Parameters
    ----------
    what : str
        What would be done, as the subject of a sentence: "training", "deleting a model".

    Raises
    ------
    ReadOnlyError
        If this copy is read-only.
    """
    if is_read_only():
        raise ReadOnlyError(
            f"This copy of VAE Explorer is read-only: {what} is turned off. "
            f"To turn it on, start the app without {READ_ONLY}."
        )


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Give the path of a sibling to write; rename it to `path` if the block ends without error.

    What was at `path` stays whole until then, and is put back if the renaming fails.

    Raises
    ------
    ReadOnlyError
        If this copy writes nothing, or the folder is one that comes with the app.
    """
    refuse_when_read_only(f"writing {path.name}")
    refuse_shipped(path)
    _clear_leftovers(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        yield partial
        _swap(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a sibling to write; rename it to `path` if the block raises nothing.

    A kill at any moment leaves the old file or the new one, never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}-{threading.get_ident()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # half of one, where the disk is full


def remove_folder(folder: Path) -> None:
    """Delete a folder, or the link to one, so that half of it is never listed.

    What a kill leaves has a name that no list shows and that the next `staged_folder` of this
    name clears up.

    Raises
    ------
    ReadOnlyError
        If the folder is one that comes with the app.
    """
    refuse_shipped(folder)
    if folder.is_symlink():
        folder.unlink()
        return
    aside = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files in order, each on the disk before the next."""
    for name, data in contents.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _clear_leftovers(path: Path) -> None:
    """Undo what a killed save left: put back what it had moved aside, remove the rest."""
    leftovers = f".{glob.escape(path.name)}"
    for replaced in path.parent.glob(f"{leftovers}.replaced-*"):
        if not path.exists():
            replaced.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)
    for partial in path.parent.glob(f"{leftovers}.partial-*"):
        shutil.rmtree(partial, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    aside = path.with_name(f".{path.name}.replaced-{os.getpid()}")
    if path.exists():
        path.rename(aside)
    try:
        new.rename(path)
    finally:
        if aside.exists() and not path.exists():
            aside.rename(path)
    shutil.rmtree(aside, ignore_errors=True)
