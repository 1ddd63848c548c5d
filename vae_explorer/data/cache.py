"""Cache of prepared data sets: written once, then opened as a memory map."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import re
import shlex
import shutil
import time
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
from vae_explorer.data.base import (
    SPLITS,
    ImageDataset,
    Known,
    Source,
    list_left_out,
    name_source,
)
from vae_explorer.data.registry import DATASETS, DatasetSpec
from vae_explorer.errors import CacheError, DatasetError, ImageError, ReadOnlyError
from vae_explorer.images import LUMA
from vae_explorer.installation import shell_command
from vae_explorer.workspace import is_read_only, refuse_when_read_only

DEFAULT_SIZE = 64  # pixels, where the data set leaves the size to us
SIZES = range(8, 513)

FORMAT_VERSION = 1
MOST_LEFT_OUT = 1_000
"""Files that `dataset.json` names."""
PROGRESS_EVERY = 100  # images
_TRIES, _PAUSE = 20, 0.02  # of opening a cache that another process replaces; in seconds
FEWEST_IMAGES = len(SPLITS)
"""That make a data set: one for each split."""
Progress = Callable[[int, int | None], None]


def prepare(
    name: str,
    root: Path | None = None,
    *,
    size: int | None = None,
    source: Path | None = None,
    channels: int | None = None,
    progress: Progress | None = None,
    report: Callable[[str], None] = lambda _message: None,
    seed: int = 0,
) -> ImageDataset:
    """Write the cache of a data set, or open it where it is there already.

    A cache is written again when its source has changed since: files, their sizes or times of
    modification, or the tables beside them.

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
    channels : int, optional
        1 to have colour images in grey; by default the set's own.
    progress : callable (done, total), optional
        Called now and then with the number of images done.
    report : callable (sentence), optional
        Called if an earlier cache is out of date, or its source is gone.
    seed : int
        Of the split, where none is published.

    Raises
    ------
    DatasetError
        If the originals or the arguments are not as they should be, if the cache was made from
        another source or with another seed, if it is damaged, or if this copy writes nothing.
    """
    place = _Place.find(name, root, size, source, channels)
    if not is_read_only():
        place.remove_abandoned()
    exists = place.exists()
    if exists and place.is_stale():
        report(f"{place.title} has changed since it was prepared; preparing it again.")
        place.write(progress, seed)
    elif not exists:
        place.write(progress, seed)
    elif place.source is not None and not place.source.exists():
        report(f"{place.title} no longer exists: the images prepared from it are used.")
    return place.open(seed)


def load_dataset(
    name: str,
    root: Path | None = None,
    *,
    size: int | None = None,
    source: Path | None = None,
    channels: int | None = None,
) -> ImageDataset:
    """Open the cache of a data set. A set that comes with a package is prepared at once.

    Parameters
    ----------
    name, root, size, source, channels
        As for `prepare`.

    Raises
    ------
    DatasetError
        If there is no cache, or its source has changed since, naming the command that writes it;
        or if it is damaged.
    """
    place = _Place.find(name, root, size, source, channels)
    if place.exists():
        if place.is_stale():
            raise DatasetError(
                f"{place.title} has changed since it was prepared. Run `{place.command}`."
            )
        return place.open()
    if place.spec.bundled:
        return prepare(name, root, size=size, source=source, channels=channels)
    raise DatasetError(
        f"{place.spec.title} is not prepared in {place.folder}. Run `{place.command}`."
    )


def find_prepared(
    name: str, root: Path | None = None, *, source: Path | None = None
) -> dict[int, CacheInfo]:
    """Return what a data set's caches say of themselves, by the size of their images.

    Nothing but each `dataset.json` is read. What is damaged, of another source, or older than the
    last change of `source`, is left out.
    """
    wanted = None if source is None else str(source.expanduser().resolve())
    found = {}
    for folder in _cache_folders(name, root, source):
        with suppress(CacheError, DatasetError):
            info, spec = read_info(folder), DATASETS[name]
            if info.channels != spec.channels:
                continue
            if source is not None:
                place = root or workspace.DATA
                if info.source != wanted or _has_changed(info, spec, place, source):
                    continue
            found[info.size] = info
    return dict(sorted(found.items()))


def find_content(name: str, content: str, root: Path | None = None) -> Path | None:
    """Find the cache that holds exactly what a model was trained on, whatever its source is now.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    content : str
        `ImageDataset.content`; of "" there is none.
    root : Path, optional
        By default `workspace.DATA`.
    """
    if not content or name not in DATASETS:
        return None
    root = workspace.DATA if root is None else root
    for folder in sorted((root / "cache").glob(f"{name}-*")):
        with suppress(CacheError):
            info = read_info(folder)
            if (info.name, info.content) == (name, content):
                return folder
    return None


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
    left_out: dict[str, str] | None = None
    """Why each file was left out, by name; as many as `MOST_LEFT_OUT`."""
    source_digest: str = ""
    """`Source.digest` of what it was made from; empty in caches of earlier versions."""
    content: str = ""
    """`ImageDataset.content`; empty in caches of earlier versions."""
    left_out_count: int = 0
    """Of all files left out; 0 in caches of earlier versions."""


def write_cache(
    folder: Path,
    spec: DatasetSpec,
    source: Source,
    *,
    size: int,
    seed: int,
    channels: int | None = None,
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
    channels : int, optional
        1 to write colour images in grey.
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
    content = hashlib.sha256()
    shape = (channels or spec.channels, size, size)
    kept, damaged = _write_images(folder / "images.npy", source, shape, progress, content)
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(damaged.items())[:3])
        raise DatasetError(
            f"None of the {len(damaged)} images of {source.path or spec.title} can be used. The "
            f"first: {reasons}."
        )
    if spec.shares is not None and len(kept) < FEWEST_IMAGES:
        lines = list_left_out({**damaged, **source.left_out}, most=3)
        said = f" Left out: {'; '.join(lines)}." if lines else ""
        raise DatasetError(say_too_few(len(kept), source.count) + said)
    if spec.shares is None:
        split = np.array([known.split for known in kept])
    else:
        split = draw_split(len(kept), spec.shares, seed)
    label_names = source.label_names or spec.label_names
    arrays = {"split": split}
    if label_names:
        arrays["labels"] = np.array([known.label for known in kept], dtype=np.int64)
    if source.attribute_names:
        arrays["attributes"] = np.array([known.attributes for known in kept], dtype=bool)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        content.update(array.tobytes())
    content.update(repr((shape, label_names, source.attribute_names)).encode())
    left_out = {**damaged, **source.left_out}
    info = CacheInfo(
        format_version=FORMAT_VERSION,
        name=spec.name,
        source=None if source.path is None else str(source.path),
        channels=shape[0],
        size=size,
        counts=_count(split),
        label_names=list(label_names),
        attribute_names=list(source.attribute_names),
        damaged=list(damaged),
        seed=None if spec.shares is None else seed,
        left_out=dict(itertools.islice(left_out.items(), MOST_LEFT_OUT)),
        source_digest=source.digest,
        content=content.hexdigest(),
        left_out_count=len(left_out),
    )
    text = json.dumps(asdict(info), indent=2, ensure_ascii=False)
    (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")


def say_too_few(count: int, of: int | None = None) -> str:
    """Say that a number of usable images does not make a data set."""
    found = f"{count:,}" if of in (None, count) else f"{count:,} of {of:,}"
    images = "image is" if count == 1 and of in (None, 1) else "images are"
    return (
        f"{found} {images} usable; at least {FEWEST_IMAGES} are needed, one each for training, "
        "validation and testing. Add more images."
    )


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
    if count < FEWEST_IMAGES:
        raise DatasetError(say_too_few(count))
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
        raise CacheError("dataset.json counts no images")
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
        left_out=info.left_out or dict.fromkeys(info.damaged, "damaged"),
        left_out_count=info.left_out_count or len(info.left_out or info.damaged),
        content=info.content,
    )


@dataclass(frozen=True)
class _Place:
    """Where the cache of one data set lies, and the command that writes it."""

    spec: DatasetSpec
    root: Path
    size: int
    channels: int
    source: Path | None
    folder: Path
    command: str

    @classmethod
    def find(
        cls,
        name: str,
        root: Path | None,
        size: int | None,
        source: Path | None,
        channels: int | None,
    ) -> _Place:
        root = workspace.DATA if root is None else root
        if name not in DATASETS:
            raise DatasetError(f"There is no data set {name!r}. Available: {', '.join(DATASETS)}.")
        spec = DATASETS[name]
        command = shell_command(f"prepare {name} --root {shlex.quote(str(root))}")
        if size is not None:
            command += f" --size {size}"
        if source is None and spec.needs_source:
            raise DatasetError(
                f"Give the folder or zip file of your images: `{command} --source PATH`."
            )
        if source is not None:
            command += f" --source {shlex.quote(str(source))}"
            source = source.expanduser().resolve()
        side = _check_size(spec, size)
        planes = _check_channels(spec, channels)
        if planes != spec.channels:
            command += f" --channels {planes}"
        folder = root / "cache" / f"{_cache_key(spec, source, planes)}-{side}"
        return cls(spec, root, side, planes, source, folder, command)

    @property
    def title(self) -> str:
        """What messages call the data."""
        return self.spec.title if self.source is None else str(self.source)

    def is_stale(self) -> bool:
        """Whether the cache was made of a source that is there, and has changed since."""
        try:
            info = read_info(self.folder)
        except CacheError:
            return False  # `open` explains it
        if self.source is not None and info.source != str(self.source):
            return False  # likewise
        return _has_changed(info, self.spec, self.root, self.source)

    def write(self, progress: Progress | None, seed: int) -> None:
        """Fill a sibling folder, and rename it into place; what was there goes.

        A process that has the earlier files mapped keeps them.
        """
        try:
            refuse_when_read_only(f"preparing {self.spec.title}")
        except ReadOnlyError as error:
            raise DatasetError(str(error)) from error
        found = self.spec.read(self.root, self.size, self.source)
        partial = self.folder.with_name(f"{self._partial_prefix}{os.getpid()}.{uuid.uuid4().hex}")
        try:
            partial.mkdir(parents=True)
            write_cache(
                partial,
                self.spec,
                found,
                size=self.size,
                seed=seed,
                channels=self.channels,
                progress=progress,
            )
            if self.spec.digest and self.spec.digest(self.root, self.source) != found.digest:
                raise DatasetError(
                    f"{self.title} changed while it was read. Run `{self.command}` again once "
                    "its files no longer change."
                )
            if self.folder.is_dir() and self.is_stale():
                with suppress(FileNotFoundError):  # another process replaces it, too
                    self.folder.rename(f"{partial}.old")
            partial.rename(self.folder)
        except OSError as error:
            if not self.folder.is_dir():  # else another process was faster: its cache serves
                raise DatasetError(
                    f"The cache {self.folder} cannot be written ({error}). Make room there, or "
                    "choose a folder that you may write to with --root."
                ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(f"{partial}.old", ignore_errors=True)

    def open(self, seed: int | None = None) -> ImageDataset:
        """Open what lies there, if it is what was asked for."""
        try:
            info, dataset = self._open_files()
        except CacheError as error:
            raise DatasetError(
                f"The cache {self.folder} is damaged: {error}. Delete that folder and run "
                f"`{self.command}`."
            ) from error
        if self.source is not None and info.source != str(self.source):
            raise DatasetError(
                f"The cache {self.folder} was made from {info.source}, not from {self.source}. "
                "Rename one of the two folders, delete the cache, or choose another --root."
            )
        if seed is not None and info.seed not in (None, seed):
            raise DatasetError(
                f"The cache {self.folder} was split with seed {info.seed}, not {seed}. Take that "
                "seed, delete the cache, or choose another root."
            )
        return dataset

    def exists(self) -> bool:
        """Whether there is a cache, also while another process replaces it."""
        for _ in range(_TRIES):
            if self.folder.is_dir():
                return True
            if not any(self.folder.parent.glob(f".{self.folder.name}.partial.*.old")):
                break
            time.sleep(_PAUSE)
        return self.folder.is_dir()

    def _open_files(self) -> tuple[CacheInfo, ImageDataset]:
        """Open the files of one cache, though another process may replace the folder meanwhile."""
        for _ in range(_TRIES):
            before = self._identity()
            try:
                info = read_info(self.folder)
                dataset = open_cache(self.folder, info)
            except CacheError:
                if before is not None and self._identity() == before:
                    raise
            else:
                if self._identity() == before:
                    return info, dataset
            time.sleep(_PAUSE)
        raise CacheError("it is missing, or replaced again and again")

    def _identity(self) -> tuple[int, int] | None:
        """Return what tells the folder from one that replaces it; None if there is none."""
        try:
            found = self.folder.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

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
        raise DatasetError(
            f"--size {size} is not possible: it must be from {SIZES[0]} to {SIZES[-1]} pixels."
        )
    return size or DEFAULT_SIZE


def _check_channels(spec: DatasetSpec, channels: int | None) -> int:
    if channels is None or channels == spec.channels:
        return spec.channels
    if channels == 1:
        return 1
    raise DatasetError(
        f"{spec.title} is greyscale: image_channels must be 1 (--image-channels 1); found "
        f"{channels}."
    )


def _has_changed(info: CacheInfo, spec: DatasetSpec, root: Path, source: Path | None) -> bool:
    """Whether a source that is still there differs from what a cache was made of.

    Raises
    ------
    DatasetError
        If the folder or zip of the user's images is there, and can no longer be read.
    """
    if spec.digest is None:
        return False
    try:
        if info.source_digest:
            return spec.digest(root, source) != info.source_digest
        if not spec.needs_source:
            return False
        # Of an earlier version, which did not follow changes: see at least what there is now.
        found = spec.read(root, info.size, source)
        return (
            found.count != sum(info.counts.values()) + len(info.damaged)
            or list(found.label_names) != info.label_names
            or list(found.attribute_names) != info.attribute_names
        )
    except DatasetError:
        if spec.needs_source and source is not None and source.exists():
            raise  # it changed, to something that cannot be read
        return False  # the originals are gone: the cache is what is left of them


def _cache_folders(name: str, root: Path | None, source: Path | None) -> list[Path]:
    root = workspace.DATA if root is None else root
    spec = DATASETS[name]
    # Those in grey, too.
    keys = {_cache_key(spec, source, channels) for channels in (1, spec.channels)}
    return [
        folder
        for key in keys
        for folder in (root / "cache").glob(f"{key}-*")
        if folder.name.removeprefix(f"{key}-").isdigit()
    ]


def _cache_key(spec: DatasetSpec, source: Path | None, channels: int) -> str:
    name = spec.name if channels == spec.channels else f"{spec.name}-grey"
    if source is None or not spec.needs_source:
        return name
    source = source.expanduser().resolve()
    slug = re.sub(r"[^\w]+", "-", name_source(source).lower()).strip("-") or "pictures"
    # Of folders of one name in different places, each has its own.
    return f"{name}-{slug}-{hashlib.sha256(str(source).encode()).hexdigest()[:8]}"


def _count(split: np.ndarray) -> dict[str, int]:
    """Count the rows of each split, without a Python string for every row."""
    return {name: count for name in SPLITS if (count := int(np.count_nonzero(split == name)))}


def _write_images(
    path: Path,
    source: Source,
    shape: tuple[int, int, int],
    progress: Progress | None,
    content: hashlib._Hash,
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
            if shape[0] == 1 and len(image) == 3:
                image = _to_grey(image)
            if image.dtype != np.uint8 or image.shape != shape:
                raise TypeError(f"{record.name} is {image.dtype} {image.shape}, not uint8 {shape}")
            file.write(data := image.tobytes())
            content.update(data)
            kept.append(Known(record.split, record.label, record.attributes))
        _write_header(file, len(kept), shape)
    if progress:
        progress(source.count, source.count)
    return kept, damaged


def _to_grey(image: np.ndarray) -> np.ndarray:
    """Return the luma (1, height, width) of an image (3, height, width), ITU-R BT.601."""
    return np.rint(np.tensordot(LUMA, image, axes=1)).astype(np.uint8)[None]


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
