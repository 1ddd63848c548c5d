"""Pictures made to look like decoded ones: for networks that shall judge those too."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLUR = (0.2, 1.5)
"""Standard deviation in pixels, from and to."""
SHRUNK = (0.35, 1.0)
"""Side over the picture's, before it is enlarged again, from and to."""


def degraded(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur a batch and enlarge it from a smaller one.

    Parameters
    ----------
    images : Tensor, (n, channels, side, side)
        In [0, 1].
    rng : numpy.random.Generator
        Draws the width of the blur and the smaller side, one each for the batch.

    Returns
    -------
    Tensor, (n, channels, side, side)
        In [0, 1].
    """
    side, width = images.shape[-1], rng.uniform(*BLUR)
    smaller = max(1, round(side * rng.uniform(*SHRUNK)))
    # All of it is one matrix along the height and the same along the width.
    places = torch.arange(side, device=images.device)
    blur = torch.softmax(-((places[:, None] - places) ** 2) / (2 * width**2), dim=1)
    shrunk = F.interpolate(blur[None, None], (smaller, side), mode="bilinear", antialias=True)
    matrix = F.interpolate(shrunk, (side, side), mode="bilinear")[0, 0]
    return matrix @ images @ matrix.T
