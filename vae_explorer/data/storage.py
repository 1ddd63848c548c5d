"""The files of a cache: written once, row after row, and checked whenever they are opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from vae_explorer.data.dataset import ImageDataset
from vae_explorer.data.registry import DATASETS, DatasetSpec
from vae_explorer.data.sources import SPLITS, Known, Source, name_source
from vae_explorer.errors import CacheError, DatasetError, PictureError

FORMAT_VERSION = 1
PROGRESS_EVERY = 100  # pictures
Progress = Callable[[int, int | None], None]


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
        Side of the pictures in pixels.
    seed : int
        Of the split, where none is published.
    progress : callable (done, total), optional

    Raises
    ------
    DatasetError
        If no picture can be used, or too few to split.
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
        If it is missing, no JSON, of another version, or lacks a field.
    """
    try:
        fields = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        if fields["format_version"] != FORMAT_VERSION:
            raise CacheError(
                f"dataset.json is of format {fields['format_version']}, and this version of the "
                f"program reads format {FORMAT_VERSION}"
            )
        info = CacheInfo(**fields)
        total = sum(info.counts.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"dataset.json cannot be used ({error})") from error
    lists = (info.label_names, info.attribute_names, info.damaged)
    if total == 0 or not all(isinstance(names, list) for names in lists):
        raise CacheError("dataset.json counts no pictures, or its lists of names are none")
    return info


def open_cache(folder: Path, info: CacheInfo) -> ImageDataset:
    """Open the arrays of a cache, the pictures as a memory map.

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
            except PictureError as error:
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
    # filled in at the end, and damaged pictures leave no holes.
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
