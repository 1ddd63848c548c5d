"""Folders of few, equal or plain images, as people have them, and trainings of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SIDE = 8
CONVOLUTIONAL = {"image_size": SIDE, "image_channels": 3, "latent_dim": 3, "channels": [4, 4, 4]}
NORMALIZED = {**CONVOLUTIONAL, "normalization": "batch", "activate_projection": True}
"""Down to one pixel: a batch of one image has one value per channel there."""
DENSE = {
    "image_size": SIDE,
    "image_channels": 3,
    "latent_dim": 2,
    "architecture": "mlp",
    "hidden_dim": 8,
    "likelihood": "gaussian",
}


class FewImages(NamedTuple):
    """A folder of images, and how a model is trained on it."""

    images: list[np.ndarray]
    """uint8 (height, width, 3)."""
    model: dict[str, object]
    train: dict[str, object]
    label: Callable[[int], str] = lambda _: ""
    """Sub-folder of an image."""
    attributes: tuple[str, ...] = ()
    """Lines of `attributes.csv`."""
    said: tuple[str, ...] = ()
    """Parts of what the terminal says."""

    def write(self, folder: Path) -> Path:
        """Write the images, and return the path of a configuration beside them."""
        for number, image in enumerate(self.images):
            path = folder / self.label(number) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        if self.attributes:
            text = "\n".join(self.attributes)
            (folder / "attributes.csv").write_text(text, encoding="utf-8")
        config = folder.with_suffix(".json")
        train = {"dataset": "folder", "epochs": 1, "precision": "float32", **self.train}
        config.write_text(json.dumps({"model": self.model, "train": train}), encoding="utf-8")
        return config


def make_noise(count: int) -> list[np.ndarray]:
    """Return images that all differ."""
    return list(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8))


_PLAIN = [np.zeros((SIDE, SIDE, 3), np.uint8)]
SETS = {
    "one in each split, one a batch": FewImages(
        make_noise(3),
        NORMALIZED,
        {"batch_size": 1, "keep_epochs": True, "mirror": True},
        said=(
            "There is only one training image: the best epoch is chosen on the val split.",
            "A batch of 1 image cannot be normalized in layers with one value per channel",
            "t-SNE needs at least 4 different encodings; this set has 1.",
            "Active dimensions need at least 2 held-out images.",
        ),
    ),
    "equal, in many dimensions": FewImages(
        make_noise(1) * 30,
        {**CONVOLUTIONAL, "latent_dim": 128, "kind": "autoencoder"},
        {"batch_size": 5, "adversarial_weight": 1, "adversarial_start": 0},
        said=("All 3 encodings are equal", "t-SNE needs at least 4 different encodings"),
    ),
    "black, of one class": FewImages(
        _PLAIN * 4, DENSE, {}, label=lambda _: "dark", said=("Active dimensions",)
    ),
    "as many classes as images": FewImages(
        make_noise(5),
        {**NORMALIZED, "kind": "autoencoder"},
        {"batch_size": 2, "adversarial_weight": 1, "adversarial_start": 0}
        | {"discriminator": "global"},
        label=str,
    ),
    "attributes that all or none have": FewImages(
        make_noise(12) + _PLAIN * 8,
        NORMALIZED,
        {"batch_size": 5, "keep_epochs": True},
        attributes=("name,All,None,Smiling", *(f"{k}.png,1,0,{k % 2}" for k in range(20))),
        said=("there is none for All, None.",),
    ),
}
