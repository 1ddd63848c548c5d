"""scikit-learn's 8x8 handwritten digits: inside the package, nothing to download."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from vae_explorer.data.sources import Record, Source


def read_digits(root: Path, size: int, source: Path | None) -> Source:
    """Read the 1,797 digits, their values 0 .. 16 scaled to 0 .. 255.

    Parameters
    ----------
    root, size, source
        Unused: the pictures come with scikit-learn, at 8x8.

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
