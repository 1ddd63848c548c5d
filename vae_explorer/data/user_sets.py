"""The user's data sets: zips of images, checked, stored below `data/own`, deleted.

| file | what |
|---|---|
| `own/<name>/<name>.zip` | the images, as they came; nothing is ever unpacked to disk |
| `own/<name>/set.json` | what the check found |

A set is the data set `folder` with that zip as its source: ``--dataset folder --source
data/own/<name>/<name>.zip``.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from vae_explorer import workspace
from vae_explorer.config import read_json
from vae_explorer.data.base import Source
from vae_explorer.data.cache import (
    FEWEST_IMAGES,
    PROGRESS_EVERY,
    Progress,
    draw_split,
    remove_prepared,
    say_too_few,
)
from vae_explorer.data.files import open_image_files
from vae_explorer.data.folder import read_folder
from vae_explorer.data.registry import DATASETS
from vae_explorer.errors import DatasetError, ImageError
from vae_explorer.workspace import atomic_write, check_name, is_read_only, refuse_when_read_only

USER_SETS = "own"
MAX_BYTES = 200 * 2**20  # of the zip; larger sets are named by their folder
MAX_ENTRIES = 100_000
MAX_UNPACKED_BYTES = 4 * 2**30
MAX_SECONDS = 600  # of reading through it: few bytes may hold many pixels
_CHECKED_SIZE = 32  # what an image is shrunk to when it is looked at
_NAMED = 20  # files that a message or `set.json` names
_ENTRY = b"PK\x01\x02"  # what each line of a zip's list of contents begins with
_PIECE = 2**20
_ABANDONED = 3600  # seconds after which a half-written set is one that was killed


@dataclass(frozen=True)
class UserSet:
    """One person's images, as they were found when they came."""

    name: str
    source: Path
    """The zip, for ``--source``."""
    pictures: int
    """That can be used."""
    label_names: tuple[str, ...]
    damaged: int
    damaged_names: tuple[str, ...]
    """The first of them."""
    others: int
    """Files that are no images, archives in the archive among them; they are not looked into."""
    other_names: tuple[str, ...]
    stamp: tuple[int, ...] = ()
    """Size of the zip in bytes, and its time of modification in ns; empty in sets of earlier
    versions."""
    fault: str = ""
    """Why the zip, which was replaced since it was added, cannot be used."""

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each split that will be drawn; none of a set that cannot be used."""
        return {} if self.fault else split_counts(self.pictures)


def split_counts(pictures: int) -> dict[str, int]:
    """Return how many images of the user train, validate and are held out."""
    shares = DATASETS["folder"].shares
    assert shares is not None
    return dict(Counter(draw_split(pictures, shares, 0).tolist()))


def add_user_set(
    name: str, file: BinaryIO, root: Path | None = None, *, progress: Progress | None = None
) -> UserSet:
    """Check a zip of images, and keep it: whole, or not at all.

    Parameters
    ----------
    name : str
        What it is to be called.
    file : binary file
        The zip, whatever it is; read from its beginning.
    root : Path, optional
        Folder of the data, by default `workspace.DATA`.
    progress : callable (done, total), optional
        Called now and then with the number of images looked at.

    Raises
    ------
    DatasetError
        If the name cannot be taken, or the file is no zip, larger than `MAX_BYTES`, with more than
        `MAX_ENTRIES` entries, with more than `MAX_UNPACKED_BYTES` in them, with one that is a link
        or points outside, or has fewer than three images that can be read. What was there
        before is as it was.
    ReadOnlyError
        In a copy that is for looking.
    """
    refuse_when_read_only("adding images")
    root = workspace.DATA if root is None else root
    try:
        check_name(name, [path.name for path in (root / USER_SETS).glob("*")])
    except ValueError as error:
        raise DatasetError(str(error)) from error
    try:
        with _staged(root / USER_SETS / name) as folder:
            path = folder / f"{name}.zip"
            _copy(file, path)
            found = _look_through(name, path, progress)
            _write(found, folder)
            # Of a set of that name that was deleted by hand: its caches would be taken for this.
            remove_prepared("folder", root, source=root / USER_SETS / name / path.name)
    except OSError as error:
        raise DatasetError(
            f"{name} cannot be saved in {root} ({error.strerror or error}). Free some space and "
            "try again."
        ) from error
    return _read(root / USER_SETS / name)


def list_user_sets(root: Path | None = None) -> list[UserSet]:
    """Return the sets by name; a folder that is none, or is damaged, is left out."""
    root = workspace.DATA if root is None else root
    found = []
    for path in sorted((root / USER_SETS).glob("*/set.json")):
        try:
            each = _read(path.parent)
            stamp = _stamp(each.source)
            if each.stamp and each.stamp != stamp and not is_read_only():
                # The zip was replaced by hand, or copied here: what was found in it may not hold.
                each = _look_again(each, stamp)
                _write(each, path.parent)
            found.append(each)
        except (OSError, ValueError):
            continue
    return found


def delete_user_set(name: str, root: Path | None = None) -> None:
    """Delete a set and the caches made of it; models that were trained on it stay.

    Raises
    ------
    DatasetError
        If there is no such set.
    ReadOnlyError
        In a copy that is for looking.
    """
    refuse_when_read_only("deleting images")
    root = workspace.DATA if root is None else root
    known = {each.name: each for each in list_user_sets(root)}  # a name is only ever compared
    if name not in known:
        raise DatasetError(f"The data set {name!r} no longer exists.")
    remove_prepared("folder", root, source=known[name].source)
    (root / USER_SETS / name / "set.json").unlink()  # no longer listed, however far the rest gets
    shutil.rmtree(root / USER_SETS / name)


def _read(folder: Path) -> UserSet:
    found = read_json(UserSet, (folder / "set.json").read_bytes(), "set.json")
    source = folder / f"{folder.name}.zip"
    if not source.is_file():
        raise ValueError(f"{source.name} is missing")
    return replace(found, name=folder.name, source=source)


def _look_again(own: UserSet, stamp: tuple[int, ...]) -> UserSet:
    try:
        return _look_through(own.name, own.source, None)
    except DatasetError as error:
        return replace(own, pictures=0, label_names=(), stamp=stamp, fault=str(error))


def _write(found: UserSet, folder: Path) -> None:
    values = asdict(found) | {"source": found.source.name}
    text = json.dumps(values, indent=2, ensure_ascii=False)
    with atomic_write(folder / "set.json") as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _copy(file: BinaryIO, path: Path) -> None:
    """Copy the zip, as long as it is neither too long nor too full to be opened."""
    size, entries, tail = 0, 0, b""
    file.seek(0)
    with path.open("wb") as copy:
        while piece := file.read(_PIECE):
            size += len(piece)
            entries += (tail + piece).count(_ENTRY)
            tail = piece[-len(_ENTRY) + 1 :]
            if size > MAX_BYTES:
                raise DatasetError(
                    f"This zip exceeds the limit of {MAX_BYTES // 2**20} MB. Upload fewer or "
                    "smaller images: 128 pixels per side are enough."
                )
            if entries > MAX_ENTRIES:  # counted before it is opened: a list fills the memory
                raise DatasetError(
                    f"This zip exceeds the limit of {MAX_ENTRIES:,} entries. Upload fewer images."
                )
            copy.write(piece)


def _look_through(name: str, path: Path, progress: Progress | None) -> UserSet:
    """Read every image once, as training will; refuse the zip, or say what is in it."""
    if not zipfile.is_zipfile(path):
        raise DatasetError(
            "This file is not a zip file, or it is incomplete. Zip a folder of images."
        )
    try:
        with open_image_files(path) as image_files:
            unpacked = image_files.unpacked_bytes
        if unpacked > MAX_UNPACKED_BYTES:
            raise DatasetError(
                f"This zip unpacks to {unpacked / 2**30:.3g} GB; the limit is "
                f"{MAX_UNPACKED_BYTES / 2**30:.3g} GB. Upload fewer or smaller images."
            )
        source = read_folder(path, _CHECKED_SIZE, path)
        usable, damaged = _try_images(source, progress)
    except DatasetError as error:
        said = str(error).replace(str(path), "this zip").replace(path.name, "this zip")
        if said.startswith("this zip"):
            said = said.replace("this", "This", 1)
        raise DatasetError(said) from error
    if usable < FEWEST_IMAGES:
        reasons = "".join(f" {file}: {reason}." for file, reason in list(damaged.items())[:3])
        raise DatasetError(say_too_few(usable, source.count) + reasons)
    others = list(source.left_out)
    return UserSet(
        name=name,
        source=path,
        pictures=usable,
        label_names=source.label_names,
        damaged=len(damaged),
        damaged_names=tuple(damaged)[:_NAMED],
        others=len(others),
        other_names=tuple(others[:_NAMED]),
        stamp=_stamp(path),
    )


def _try_images(source: Source, progress: Progress | None) -> tuple[int, dict[str, str]]:
    damaged, began = {}, time.monotonic()
    for done, record in enumerate(source.records):
        if progress and done % PROGRESS_EVERY == 0:
            progress(done, source.count)
        if time.monotonic() - began > MAX_SECONDS:
            raise DatasetError(
                f"Only {done:,} of {source.count:,} images were read within the limit of "
                f"{MAX_SECONDS // 60} minutes. Upload fewer or smaller images."
            )
        try:
            record.load()
        except ImageError as error:
            damaged[record.name] = str(error)
    return source.count - len(damaged), damaged


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Give an empty sibling to fill; rename it to `folder` if the block ends without an error."""
    for partial in folder.parent.glob(".*.partial-*"):
        if time.time() - partial.stat().st_mtime > _ABANDONED:
            shutil.rmtree(partial, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}.partial-{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
