"""A face becoming another: the path in latent space, and what of the photos is laid over it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vae_explorer.latent.interpolation import Images


def enlarge(images: Images, size: int) -> Images:
    """Enlarge images (n, channels, s, s) to `size` by a bicubic filter, as float32 in [0, 1]."""
    bands = np.asarray(images, np.float32)
    n, channels = bands.shape[:2]
    large = np.empty((n, channels, size, size), np.float32)
    for i in range(n):
        for c in range(channels):
            band = Image.fromarray(bands[i, c], "F")
            large[i, c] = np.asarray(band.resize((size, size), Image.Resampling.BICUBIC))
    return large.clip(0, 1)
