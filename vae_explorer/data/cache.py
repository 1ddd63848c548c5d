"""Cache of prepared data sets: written once, then opened as a memory map."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import psutil

from vae_explorer import workspace
from vae_explorer.config import read_json
from vae_explorer.data.base import SPLITS, ImageDataset, Known, Source, name_source
from vae_explorer.data.registry import DATASETS, DatasetSpec
from vae_explorer.errors import CacheError, DatasetError, ImageError, ReadOnlyError
from vae_explorer.workspace import is_read_only, refuse_when_read_only

DEFAULT_SIZE = 64  # pixels, where the data set leaves the size to us
SIZES = range(8, 513)

FORMAT_VERSION = 1
PROGRESS_EVERY = 100  # images
Progress = Callable[[int, int | None], None]


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
        Side of the cached images in pixels. Sets with a size of their own take no other one;
        the rest default to 64.
    source : Path, optional
        Where the originals lie, for the sets that are not downloaded.
    progress : callable (done, total), optional
        Called now and then with the number of images done.
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
    """Return what a data set's caches say of themselves, by the size of their images.

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
class CacheInfo:
    """What `dataset.json` says: everything but the arrays."""

    format_version: int
    name: str
    source: str | None
    channels: int
    size: int
    counts: dict[str, int]
    label_names: list[str]
    attribute_names: list[str]
    damaged: list[str]
    seed: int | None


def write_cache(
    folder: Path,
    spec: DatasetSpec,
    source: Source,
    *,
    size: int,
    seed: int,
    progress: Progress | None = None,
) -> None:
    """Stream a source into the files of a cache; `dataset.json` comes last.

    Parameters
    ----------
    folder : Path
        Exists and is empty.
    spec : DatasetSpec
    source : Source
        Its records load as uint8 (spec.channels, size, size).
    size : int
        Side of the images in pixels.
    seed : int
        Of the split, where none is published.
    progress : callable (done, total), optional

    Raises
    ------
    DatasetError
        If no image can be used, or too few to split.
    """
    shape = (spec.channels, size, size)
    kept, damaged = _write_images(folder / "images.npy", source, shape, progress)
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(damaged.items())[:3])
        raise DatasetError(
            f"No picture of {spec.name} in {source.path} can be used. Of {len(damaged)} looked "
            f"at, the first: {reasons}."
        )
    if spec.shares is None:
        split = np.array([known.split for known in kept])
    else:
        split = draw_split(len(kept), spec.shares, seed)
    np.save(folder / "split.npy", split)
    label_names = source.label_names or spec.label_names
    if label_names:
        np.save(folder / "labels.npy", np.array([known.label for known in kept], dtype=np.int64))
    if source.attribute_names:
        attributes = np.array([known.attributes for known in kept], dtype=bool)
        np.save(folder / "attributes.npy", attributes)
    info = CacheInfo(
        format_version=FORMAT_VERSION,
        name=spec.name,
        source=None if source.path is None else str(source.path),
        channels=spec.channels,
        size=size,
        counts=_count(split),
        label_names=list(label_names),
        attribute_names=list(source.attribute_names),
        damaged=list(damaged),
        seed=None if spec.shares is None else seed,
    )
    text = json.dumps(asdict(info), indent=2, ensure_ascii=False)
    (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")


def draw_split(count: int, shares: tuple[float, float, float], seed: int) -> np.ndarray:
    """Draw which rows are train, val and test, at least one of each.

    Returns
    -------
    ndarray of str (count,)

    Raises
    ------
    DatasetError
        If there are fewer than three rows.
    """
    if count < len(SPLITS):
        raise DatasetError(
            f"{count} usable pictures are too few: three are the least, one each to train on, "
            "to validate and to hold out. Add some."
        )
    _, val, test = (max(1, round(share * count)) for share in shares)
    split = np.full(count, "train")
    order = np.random.default_rng(seed).permutation(count)
    split[order[:val]] = "val"
    split[order[val : val + test]] = "test"
    return split


def read_info(folder: Path) -> CacheInfo:
    """Read and check `dataset.json`.

    Raises
    ------
    CacheError
        If it is missing, no JSON, of another version, does not fit, or counts no images.
    """
    try:
        text = (folder / "dataset.json").read_bytes()
        info = read_json(CacheInfo, text, "dataset.json", version=FORMAT_VERSION)
    except (OSError, ValueError) as error:
        raise CacheError(f"dataset.json cannot be used ({error})") from error
    if not sum(info.counts.values()):
        raise CacheError("dataset.json counts no pictures")
    return info


def open_cache(folder: Path, info: CacheInfo) -> ImageDataset:
    """Open the arrays of a cache, the images as a memory map.

    Raises
    ------
    CacheError
        If a file is missing, cut short, or not as long as the others.
    """
    count = sum(info.counts.values())
    shape = (count, info.channels, info.size, info.size)
    images = _open_array(folder / "images.npy", np.uint8, shape, mmap_mode="r")
    split = _open_array(folder / "split.npy", np.str_, (count,))
    if _count(split) != info.counts or sum(info.counts.values()) != len(split):
        raise CacheError("split.npy and the counts in dataset.json differ")
    labels = attributes = None
    if info.label_names:
        labels = _open_array(folder / "labels.npy", np.int64, (count,))
        if labels.min() < 0 or labels.max() >= len(info.label_names):
            raise CacheError(f"labels.npy goes beyond the {len(info.label_names)} label names")
    if info.attribute_names:
        attributes_shape = (count, len(info.attribute_names))
        attributes = _open_array(folder / "attributes.npy", np.bool_, attributes_shape)
    needs_source = DATASETS[info.name].needs_source
    return ImageDataset(
        name=info.name,
        images=images,
        labels=labels,
        label_names=tuple(info.label_names),
        attributes=attributes,
        attribute_names=tuple(info.attribute_names),
        split=split,
        damaged=tuple(info.damaged),
        source_name=name_source(Path(info.source or "")) if needs_source else "",
    )


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
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
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


def _count(split: np.ndarray) -> dict[str, int]:
    """Count the rows of each split, without a Python string for every row."""
    return {name: count for name in SPLITS if (count := int(np.count_nonzero(split == name)))}


def _write_images(
    path: Path, source: Source, shape: tuple[int, int, int], progress: Progress | None
) -> tuple[list[Known], dict[str, str]]:
    """Write what can be read; return what is known of it, and what was wrong with the others."""
    kept: list[Known] = []
    damaged: dict[str, str] = {}
    with path.open("wb") as file:
        _write_header(file, 0, shape)
        for done, record in enumerate(source.records):
            if progress and done % PROGRESS_EVERY == 0:
                progress(done, source.count)
            try:
                image = record.load()
            except ImageError as error:
                damaged[record.name] = str(error)
                continue
            if image.dtype != np.uint8 or image.shape != shape:
                raise TypeError(f"{record.name} is {image.dtype} {image.shape}, not uint8 {shape}")
            file.write(image.tobytes())
            kept.append(Known(record.split, record.label, record.attributes))
        _write_header(file, len(kept), shape)
    if progress:
        progress(source.count, source.count)
    return kept, damaged


def _write_header(file: BinaryIO, count: int, shape: tuple[int, int, int]) -> None:
    # NumPy pads a header so that its length does not depend on the first axis: the count is
    # filled in at the end, and damaged images leave no holes.
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _open_array(
    path: Path,
    dtype: type[np.generic],
    shape: tuple[int, ...],
    mmap_mode: Literal["r"] | None = None,
) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CacheError(f"{path.name} cannot be read ({error})") from error
    if not np.issubdtype(array.dtype, dtype) or array.shape != shape:
        raise CacheError(
            f"{path.name} holds {array.dtype} {array.shape} instead of {dtype.__name__} {shape}"
        )
    return array
