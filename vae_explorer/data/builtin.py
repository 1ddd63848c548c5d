"""Built-in data sets: scikit-learn's digits, and torchvision's downloads."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import torch

from vae_explorer.data.base import Record, Source
from vae_explorer.errors import DatasetError

ARCHIVES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def read_digits(root: Path, size: int, source: Path | None) -> Source:
    """Read the 1,797 digits, their values 0 .. 16 scaled to 0 .. 255.

    Parameters
    ----------
    root, size, source
        Unused: the images come with scikit-learn, at 8x8.

    References
    ----------
    Alpaydin, Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    from sklearn.datasets import load_digits  # late: half a second that no other set needs

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # (n, 1, 8, 8)
    records = (
        Record(str(index), partial(np.ndarray.copy, images[index]), label=int(label))
        for index, label in enumerate(digits.target)
    )
    return Source(records, len(images))


class _PublishedSplit(Protocol):
    data: torch.Tensor  # (n, 28, 28) uint8
    targets: torch.Tensor  # (n,)


def read_torchvision(class_name: str, root: Path, size: int, source: Path | None) -> Source:
    """Fetch one of torchvision's 28x28 sets, or use the archives that already lie there.

    Parameters
    ----------
    class_name : str
        "MNIST" or "FashionMNIST": the class in ``torchvision.datasets``.
    root : Path
        The archives belong in ``<root>/<class_name>/raw``; what is missing is downloaded there.
    size, source
        Unused: the size is the published one, the place is fixed by `root`.

    Raises
    ------
    DatasetError
        If an archive is missing or has the wrong checksum, and cannot be downloaded.

    References
    ----------
    LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
    Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747.
    """
    dataset_class = getattr(import_torchvision().datasets, class_name)
    try:
        splits = {
            "train": dataset_class(root, train=True, download=True),
            "test": dataset_class(root, train=False, download=True),
        }
    # torchvision reports a file cut short by a killed unpacking as an AssertionError.
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        folder = root / class_name / "raw"
        missing = [name for name in ARCHIVES if not (folder / name).is_file()]
        found = f"missing: {', '.join(missing)}" if missing else "all four are there"
        raise DatasetError(
            f"{class_name} could be neither read nor downloaded ({_first_line(error)}). Check your "
            f"internet connection and try again. Or put the archives {', '.join(ARCHIVES)} into "
            f"{folder} ({found}), delete every other file in it, and make sure you can write to it."
        ) from error
    count = sum(len(split.data) for split in splits.values())
    return Source(_records(splits), count)


@cache
def import_torchvision() -> ModuleType:
    """Import torchvision beside any torch.

    The default torchvision wheel wants the CUDA libraries. Beside a CPU-only torch its compiled
    operators stay unloaded, and the import stops at registering a shape rule for one of them
    (``operator torchvision::nms does not exist``). Declaring the two operators is enough: data
    sets, transforms and models never call them.

    Returns
    -------
    ModuleType
        The package ``torchvision``, with ``torchvision.datasets`` imported.

    Raises
    ------
    ImportError
        If torchvision is not installed.
    RuntimeError
        If its import fails for another reason than the missing operators.
    """
    try:
        torchvision = importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare_operators()
        torchvision = importlib.import_module("torchvision")
    importlib.import_module("torchvision.datasets")
    return torchvision


def _records(splits: dict[str, _PublishedSplit]) -> Iterator[Record]:
    for split, dataset in splits.items():
        images = dataset.data.numpy()[:, None]  # (n, 1, 28, 28) uint8
        labels = dataset.targets.tolist()
        for index, label in enumerate(labels):
            load = partial(np.ndarray.copy, images[index])
            yield Record(f"{split}/{index}", load, label=label, split=split)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(":") if lines else type(error).__name__


@cache
def _declare_operators() -> torch.library.Library:
    # The cache keeps the library alive: once collected, its operators are gone.
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
