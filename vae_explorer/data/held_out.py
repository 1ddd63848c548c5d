"""Held-out images that come with the app: the test archives of MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_explorer.data.base import ImageDataset
from vae_explorer.data.registry import DATASETS
from vae_explorer.errors import DatasetError

ARCHIVES = Path(__file__).parent / "test_images"
_IMAGES, _LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
_SIZE = 28  # pixels a side
_SHA256 = {
    "mnist": (
        "MNIST",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    "fashion-mnist": (
        "FashionMNIST",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}
HELD_OUT = frozenset(_SHA256)
"""Names of the data sets whose test images come with the app."""


@dataclass(frozen=True)
class HeldOutImages(ImageDataset):
    """The test images of a data set, by the rows that they have in all of it.

    Attributes
    ----------
    first_row : int
        Row of the first of them: the train images come before it.
    """

    first_row: int = 0

    def rows(self, split: str) -> np.ndarray:
        """Rows of one split, ascending, as int64 (m,): only the test split has any."""
        return super().rows(split) + self.first_row

    def take(self, rows: np.ndarray, image_size: int | None = None) -> np.ndarray:
        """Read some of the test images; see `ImageDataset.take`.

        Raises
        ------
        DatasetError
            If one of the rows is no test image, or the images cannot be padded to `image_size`.
        """
        within = np.asarray(rows) - self.first_row
        if len(within) and not 0 <= within.min() <= within.max() < len(self.split):
            raise DatasetError(f"Only the test images of {self.name} come with the app.")
        return super().take(within, image_size)


def load_held_out(name: str) -> HeldOutImages:
    """Read the test images that come with the app.

    Parameters
    ----------
    name : str
        One of `HELD_OUT`.

    Raises
    ------
    DatasetError
        If there are none of this data set, or an archive is not the published one.

    References
    ----------
    LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
    Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747.
    """
    if name not in HELD_OUT:
        raise DatasetError(f"No test images of {name} come with the app.")
    folder, images_digest, labels_digest = _SHA256[name]
    spec = DATASETS[name]
    count = spec.counts["test"]
    pixels = _read(ARCHIVES / folder / _IMAGES, images_digest, offset=16)
    labels = _read(ARCHIVES / folder / _LABELS, labels_digest, offset=8)
    return HeldOutImages(
        name=name,
        images=pixels.reshape(count, spec.channels, _SIZE, _SIZE),
        labels=labels.astype(np.int64),
        label_names=spec.label_names,
        attributes=None,
        attribute_names=(),
        split=np.full(count, "test"),
        damaged=(),
        first_row=spec.counts["train"],
    )


def _read(file: Path, digest: str, offset: int) -> np.ndarray:
    """Read the bytes of an IDX archive behind its head of `offset` bytes."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read ({error.strerror}).") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise DatasetError(f"{file} is not the published archive. Get it again: git checkout.")
    return np.frombuffer(gzip.decompress(data), np.uint8, offset=offset)
