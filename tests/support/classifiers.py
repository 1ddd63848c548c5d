"""Small attribute classifiers, and images whose attributes they learn."""

from __future__ import annotations

import numpy as np
import pytest

from vae_explorer.classifiers.network import (
    CHANNELS,
    AttributeClassifier,
    ClassifierConfig,
    build_classifier,
)
from vae_explorer.config import TrainConfig

NAMES = ("Bright", "Red", "Blue")
TINY = {
    name: ClassifierConfig(architecture=name, attributes=NAMES, channels=(8, 12), image_size=16)
    for name in CHANNELS
}
EPOCHS = 8
TRAIN = TrainConfig(
    dataset="celeba",
    epochs=EPOCHS,
    batch_size=32,
    learning_rate=1e-2,
    warmup_steps=4,
    weight_average=0.9,
    validation_fraction=0.1,
    precision="float32",
)
architectures = pytest.mark.parametrize("architecture", TINY)


def make_faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 3, 16, 16) that are bright or not, red or not, blue below or not."""
    rng = np.random.default_rng(7)
    attributes = rng.random((count, len(NAMES))) < 0.5
    images = rng.integers(0, 40, (count, 3, 16, 16)) + 20
    images[attributes[:, 0]] += 80
    images[attributes[:, 1], 0] += 80
    images[attributes[:, 2], 2, 8:] += 80  # the lower half: a flip changes nothing
    return images.astype(np.uint8), attributes


def make_images(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(2).random((count, 3, side, side), dtype=np.float32)


def make_network(architecture: str = "strided") -> AttributeClassifier:
    return build_classifier(TINY[architecture], seed=1).eval()
