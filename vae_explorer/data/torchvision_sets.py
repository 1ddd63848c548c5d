"""MNIST and Fashion-MNIST, as torchvision fetches and verifies them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from vae_explorer.data.sources import Record, Source
from vae_explorer.data.torchvision_compat import import_torchvision
from vae_explorer.errors import DatasetError

ARCHIVES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


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
        found = f"missing there: {', '.join(missing)}" if missing else "all four lie there"
        raise DatasetError(
            f"{class_name} could be neither read nor downloaded ({_first_line(error)}). Put the "
            f"archives {', '.join(ARCHIVES)} into {folder} ({found}), delete every other file "
            "in it, and try again; the folder must be one that you may write to."
        ) from error
    count = sum(len(split.data) for split in splits.values())
    return Source(_records(splits), count)


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
