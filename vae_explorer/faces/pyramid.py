"""A picture at many sizes, from which turned patches of any size are cut."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

_SHRINK = 0.5**0.5
_SMALLEST = 12

_Array = NDArray[np.float64]


class Pyramid:
    """A picture at smaller and smaller sizes, each of half the area of the one before.

    Parameters
    ----------
    image : Image
        RGB.

    Attributes
    ----------
    width, height : int
        Of the picture.
    levels : list of Tensor (1, 3, rows, columns)
        Values in [-1, 1], as MTCNN takes them; down to sides of 12 pixels.
    """

    def __init__(self, image: Image.Image) -> None:
        self.width, self.height = image.size
        self.levels: list[Tensor] = []
        width, height = image.size
        while min(width, height) >= _SMALLEST:
            small = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
            pixels = torch.from_numpy(np.asarray(small, np.float32)).permute(2, 0, 1)[None]
            self.levels.append((pixels - 127.5) / 128)
            shrink = _SHRINK ** len(self.levels)
            width, height = round(image.width * shrink), round(image.height * shrink)

    def cut(self, centres: _Array, sides: _Array, angles: _Array, size: int) -> Tensor:
        """Cut squares out of the picture, grey where they reach beyond it.

        Parameters
        ----------
        centres : ndarray (n, 2)
            As (x, y), in pixels of the picture.
        sides, angles : ndarray (n,)
            In pixels of the picture, and in radians from the x axis towards the y axis.
        size : int
            Side of a patch in its own pixels.

        Returns
        -------
        Tensor (n, 3, size, size)
            Sampled bilinearly from the level whose pixels are nearest in size to the patch's.
        """
        steps = (np.arange(size) + 0.5) / size - 0.5
        u, v = np.meshgrid(steps, steps)
        cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
        side = sides[:, None, None]
        x = centres[:, 0, None, None] + side * (cos * u - sin * v)
        y = centres[:, 1, None, None] + side * (sin * u + cos * v)
        places = np.stack([2 * x / self.width - 1, 2 * y / self.height - 1], axis=-1)
        patches = torch.empty(len(centres), 3, size, size)
        level = np.log(np.maximum(sides, 1e-6) / size) / -math.log(_SHRINK)
        levels = np.clip(np.rint(level), 0, len(self.levels) - 1)
        for index in np.unique(levels):
            rows = np.flatnonzero(levels == index)
            grid = torch.from_numpy(places[rows].astype(np.float32)).view(1, -1, size, 2)
            cuts = F.grid_sample(self.levels[int(index)], grid, align_corners=False)
            patches[rows] = cuts[0].view(3, len(rows), size, size).transpose(0, 1)
        return patches
