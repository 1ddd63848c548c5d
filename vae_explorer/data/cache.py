"""Prepare a data set once, open it ever after."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vae_explorer import workspace
from vae_explorer.data.dataset import ImageDataset
from vae_explorer.data.registry import DATASETS, DatasetSpec
from vae_explorer.data.sources import name_source
from vae_explorer.data.storage import CacheInfo, Progress, open_cache, read_info, write_cache
from vae_explorer.errors import CacheError, DatasetError, ReadOnlyError
from vae_explorer.workspace import is_read_only, refuse_when_read_only

DEFAULT_SIZE = 64  # pixels, where the data set leaves the size to us
SIZES = range(8, 513)


def prepare(
    name: str,
    root: Path | None = None,
    *,
    size: int | None = None,
    source: Path | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> ImageDataset:
    """Write the cache of a data set, or open it where it is there already.

    A cache does not follow later changes of its source: delete its folder to read it anew.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    root : Path, optional
        By default `workspace.DATA`. The cache is written to ``<root>/cache/<name>-<size>``, in one
        rename.
    size : int, optional
        Side of the cached pictures in pixels. Sets with a size of their own take no other one;
        the rest default to 64.
    source : Path, optional
        Where the originals lie, for the sets that are not downloaded.
    progress : callable (done, total), optional
        Called now and then with the number of pictures done.
    seed : int
        Of the split, where none is published.

    Raises
    ------
    DatasetError
        If the originals or the arguments are not as they should be, if the cache was made from
        another source or with another seed, if it is damaged, or if this copy writes nothing.
    """
    place = _Place.find(name, root, size, source)
    if not is_read_only():
        place.remove_abandoned()
    if not place.folder.is_dir():
        place.write(progress, seed)
    return place.open(seed)


def load_dataset(
    name: str, root: Path | None = None, *, size: int | None = None, source: Path | None = None
) -> ImageDataset:
    """Open the cache of a data set. A set that comes with a package is prepared at once.

    Parameters
    ----------
    name, root, size, source
        As for `prepare`.

    Raises
    ------
    DatasetError
        If there is no cache, naming the command that writes it; or if it is damaged.
    """
    place = _Place.find(name, root, size, source)
    if place.folder.is_dir():
        return place.open()
    if place.spec.bundled:
        return prepare(name, root, size=size, source=source)
    raise DatasetError(
        f"{place.spec.title} is not prepared in {place.folder}. Run `{place.command}`."
    )


def find_prepared(
    name: str, root: Path | None = None, *, source: Path | None = None
) -> dict[int, CacheInfo]:
    """Return what a data set's caches say of themselves, by the size of their pictures.

    Nothing but each `dataset.json` is read. What is damaged, or of another source, is left out.
    """
    wanted = None if source is None else str(source.expanduser().resolve())
    found = {}
    for folder in _cache_folders(name, root, source):
        with suppress(CacheError):
            info = read_info(folder)
            if wanted in (None, info.source):
                found[info.size] = info
    return dict(sorted(found.items()))


def remove_prepared(name: str, root: Path | None = None, *, source: Path) -> None:
    """Delete the caches of one source, damaged ones too; the originals stay."""
    for folder in _cache_folders(name, root, source):
        try:
            found = read_info(folder).source
        except CacheError:
            found = str(source.resolve())
        if found == str(source.resolve()):
            shutil.rmtree(folder)


@dataclass(frozen=True)
class _Place:
    """Where the cache of one data set lies, and the command that writes it."""

    spec: DatasetSpec
    root: Path
    size: int
    source: Path | None
    folder: Path
    command: str

    @classmethod
    def find(cls, name: str, root: Path | None, size: int | None, source: Path | None) -> _Place:
        root = workspace.DATA if root is None else root
        if name not in DATASETS:
            raise DatasetError(f"There is no data set {name!r}: choose from {', '.join(DATASETS)}.")
        spec = DATASETS[name]
        command = f"python -m vae_explorer prepare {name} --root {shlex.quote(str(root))}"
        if size is not None:
            command += f" --size {size}"
        if source is None and spec.needs_source:
            raise DatasetError(
                f"{spec.title}: which? Name the folder or zip: `{command} --source PATH`."
            )
        if source is not None:
            command += f" --source {shlex.quote(str(source))}"
            source = source.expanduser().resolve()
        side = _check_size(spec, size)
        folder = root / "cache" / f"{_cache_key(spec, source)}-{side}"
        return cls(spec, root, side, source, folder, command)

    def write(self, progress: Progress | None, seed: int) -> None:
        """Fill a sibling folder, and rename it into place."""
        try:
            refuse_when_read_only(f"preparing {self.spec.title}")
        except ReadOnlyError as error:
            raise DatasetError(str(error)) from error
        found = self.spec.read(self.root, self.size, self.source)
        partial = self.folder.with_name(f"{self._partial_prefix}{os.getpid()}.{uuid.uuid4().hex}")
        try:
            partial.mkdir(parents=True)
            write_cache(partial, self.spec, found, size=self.size, seed=seed, progress=progress)
            partial.rename(self.folder)
        except OSError as error:
            if not self.folder.is_dir():  # else another process was faster: its cache serves
                raise DatasetError(
                    f"The cache {self.folder} cannot be written ({error}). Make room there, or "
                    "choose a folder that you may write to with --root."
                ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def open(self, seed: int | None = None) -> ImageDataset:
        """Open what lies there, if it is what was asked for."""
        try:
            info = read_info(self.folder)
            dataset = open_cache(self.folder, info)
        except CacheError as error:
            raise DatasetError(
                f"The cache {self.folder} is damaged: {error}. Delete that folder and run "
                f"`{self.command}`."
            ) from error
        if self.source is not None and info.source != str(self.source):
            raise DatasetError(
                f"The cache {self.folder} was made from {info.source}, not from {self.source}. "
                "Rename one of the two, delete the cache, or choose another --root."
            )
        if seed is not None and info.seed not in (None, seed):
            raise DatasetError(
                f"The cache {self.folder} was split with seed {info.seed}, not {seed}. Take that "
                "seed, delete the cache, or choose another root."
            )
        return dataset

    def remove_abandoned(self) -> None:
        """Delete what killed runs on this machine left half-written."""
        for partial in self.folder.parent.glob(f"{self._partial_prefix}*"):
            pid = partial.name.removeprefix(self._partial_prefix).partition(".")[0]
            if pid.isdigit() and not _is_running(int(pid)):
                shutil.rmtree(partial, ignore_errors=True)

    @property
    def _partial_prefix(self) -> str:
        return f".{self.folder.name}.partial.{platform.node()}."


def _check_size(spec: DatasetSpec, size: int | None) -> int:
    if spec.image_size is not None:
        if size not in (None, spec.image_size):
            raise DatasetError(
                f"{spec.title} comes at {spec.image_size}x{spec.image_size}: leave out --size."
            )
        return spec.image_size
    if size is not None and size not in SIZES:
        raise DatasetError(f"--size {size}: from {SIZES[0]} to {SIZES[-1]} pixels would do.")
    return size or DEFAULT_SIZE


def _cache_folders(name: str, root: Path | None, source: Path | None) -> list[Path]:
    root = workspace.DATA if root is None else root
    key = _cache_key(DATASETS[name], source)
    found = (root / "cache").glob(f"{key}-*")
    return [folder for folder in found if folder.name.removeprefix(f"{key}-").isdigit()]


def _cache_key(spec: DatasetSpec, source: Path | None) -> str:
    if source is None or not spec.needs_source:
        return spec.name
    source = source.expanduser().resolve()
    slug = re.sub(r"[^\w]+", "-", name_source(source).lower()).strip("-") or "pictures"
    # Of folders of one name in different places, each has its own.
    return f"{spec.name}-{slug}-{hashlib.sha256(str(source).encode()).hexdigest()[:8]}"


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
