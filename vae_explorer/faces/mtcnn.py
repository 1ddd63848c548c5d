"""The MTCNN cascade: three networks with their weights, image pyramid, non-maximum suppression.

The weights lie inside the installed package `mtcnn`.

References
----------
Zhang, Zhang, Li & Qiao 2016, "Joint Face Detection and Alignment using Multi-task Cascaded
Convolutional Networks" (https://arxiv.org/abs/1604.02878), figure 2.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vae_explorer.errors import WeightsError

SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
"""Of the weight files in `mtcnn` 1.0.0, by network."""

_INSTALL = "Install it with: pip install 'mtcnn>=1,<2'"
_loading = threading.Lock()
_loaded: list[Networks] = []

Network = TypeVar("Network", bound=nn.Module)

Floats = NDArray[np.float64]
Boxes = Floats
"""(n, 4), as x0, y0, x1, y1."""
Scores = NDArray[np.float32]
"""(n,), in [0, 1]."""

_SHRINK = 0.5**0.5
_SMALLEST = 12


class ProposalNet(nn.Module):
    """P-Net: looks at every window of 12x12 pixels, two pixels apart."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolve(3, 10, 3), _pool(2), *_convolve(10, 16, 3), *_convolve(16, 32, 3)
        )
        self.offsets = nn.Conv2d(32, 4, 1)
        self.logits = nn.Conv2d(32, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (n, 3, height, width) to a map of windows.

        Returns
        -------
        offsets : Tensor (n, 4, rows, columns)
            Of the face's box from the window's, x0, y0, x1, y1, in widths of a window.
        scores : Tensor (n, rows, columns)
            Probabilities that it is a face.
        """
        features = self.body(images)
        return self.offsets(features), self.logits(features).softmax(dim=1)[:, 1]


class RefineNet(nn.Module):
    """R-Net: takes a second look at patches of 24x24 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolve(3, 28, 3), _pool(3), *_convolve(28, 48, 3), _pool(3), *_convolve(48, 64, 2)
        )
        self.dense = nn.Sequential(nn.Linear(576, 128), nn.PReLU(128))
        self.offsets = nn.Linear(128, 4)
        self.logits = nn.Linear(128, 2)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Map patches (n, 3, 24, 24) to offsets (n, 4) and scores (n,), as `ProposalNet`."""
        features = self.dense(_flatten(self.body(patches)))
        return self.offsets(features), self.logits(features).softmax(dim=1)[:, 1]


class OutputNet(nn.Module):
    """O-Net: takes a last look at patches of 48x48 pixels, and finds the landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolve(3, 32, 3),
            _pool(3),
            *_convolve(32, 64, 3),
            _pool(3),
            *_convolve(64, 64, 3),
            _pool(2),
            *_convolve(64, 128, 2),
        )
        self.dense = nn.Sequential(nn.Linear(1152, 256), nn.PReLU(256))
        self.offsets = nn.Linear(256, 4)
        self.landmarks = nn.Linear(256, 10)
        self.logits = nn.Linear(256, 2)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map patches (n, 3, 48, 48) to offsets (n, 4), landmarks and scores (n,).

        The landmarks, (n, 5, 2) as (x, y), are in widths of the patch from its top left corner.
        """
        features = self.dense(_flatten(self.body(patches)))
        landmarks = self.landmarks(features).unflatten(1, (2, 5)).transpose(1, 2)
        return self.offsets(features), landmarks, self.logits(features).softmax(dim=1)[:, 1]


class Networks(NamedTuple):
    """The cascade, in eval mode and frozen, on the CPU."""

    proposal: ProposalNet
    refine: RefineNet
    output: OutputNet


def load_networks() -> Networks:
    """Return the networks, read once and then shared by all threads.

    Raises
    ------
    WeightsError
        If `mtcnn` is not installed, lacks a weight file, or has one with other contents.
    """
    with _loading:
        if not _loaded:
            folder = find_weights()
            _loaded.append(
                Networks(
                    _fill(ProposalNet(), read_weights(folder, "pnet")),
                    _fill(RefineNet(), read_weights(folder, "rnet")),
                    _fill(OutputNet(), read_weights(folder, "onet")),
                )
            )
        return _loaded[0]


def find_weights() -> Path:
    """Return the folder of weight files inside the installed package `mtcnn`.

    Raises
    ------
    WeightsError
        If the package is not installed.
    """
    # Only looked up: its own modules would import TensorFlow, which it does not bring along.
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"Finding faces needs the package mtcnn, for its weights. {_INSTALL}")
    return Path(spec.submodule_search_locations[0]) / "assets" / "weights"


def read_weights(folder: Path, name: str) -> list[np.ndarray]:
    """Read one network's weight file, after its contents are known to be the expected ones.

    The one place in this project where a pickle is loaded: the files are joblib's, which are
    pickles, and a pickle can do anything. So the bytes that are loaded are the bytes that were
    hashed, and nothing else gets here.

    Parameters
    ----------
    folder : Path
        That of `find_weights`.
    name : str
        A key of `SHA256`.

    Returns
    -------
    list of ndarray of float32
        In Keras's layout: kernels (height, width, inputs, outputs), dense (inputs, outputs).

    Raises
    ------
    WeightsError
        If the file is missing or has another sha256.
    """
    path = folder / f"{name}.lz4"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}). {_INSTALL}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256[name]:
        raise WeightsError(
            f"{path} is not the expected weight file and was not loaded: its sha256 is "
            f"{found}, that of mtcnn 1.0.0 is {SHA256[name]}. "
            "Reinstall it with: pip install --force-reinstall mtcnn==1.0.0"
        )
    weights: list[np.ndarray] = joblib.load(io.BytesIO(data))
    return weights


def squares(boxes: Boxes) -> tuple[Floats, Floats]:
    """Return the centres (n, 2) and sides (n,) of the squares around boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


def move_edges(centres: Floats, sides: Floats, offsets: NDArray[np.float32]) -> Boxes:
    """Move the four edges of squares by offsets (n, 4), given in sides of the square."""
    half = sides[:, None] / 2
    edges = np.concatenate([centres - half, centres + half], axis=1)
    return edges + sides[:, None] * offsets


def suppress(
    boxes: Boxes,
    scores: Scores,
    overlap: float,
    nested: bool = False,
    most: int | None = None,
) -> NDArray[np.intp]:
    """Choose the boxes that no better one overlaps: non-maximum suppression.

    Parameters
    ----------
    boxes, scores : ndarray
        n boxes and how good each is.
    overlap : float
        In [0, 1]; a box goes if its overlap with a better one, intersection over union, is more.
    nested : bool
        Measure the overlap by the smaller of the two instead: a box inside another goes.
    most : int, optional
        How many to keep at most. Five times as many are looked at.

    Returns
    -------
    ndarray of int
        Rows, best first.
    """
    order = np.argsort(-scores, kind="stable")[: None if most is None else 5 * most]
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept: list[int] = []
    while len(order) and (most is None or len(kept) < most):
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        least = np.minimum(area[best], area[order])
        whole = least if nested else area[best] + area[order] - shared
        order = order[shared <= overlap * whole]
    return np.array(kept, dtype=np.intp)


class Pyramid:
    """An image at smaller and smaller sizes, each of half the area of the one before.

    Parameters
    ----------
    image : Image
        RGB.

    Attributes
    ----------
    width, height : int
        Of the image.
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

    def cut(self, centres: Floats, sides: Floats, angles: Floats, size: int) -> Tensor:
        """Cut squares out of the image, grey where they reach beyond it.

        Parameters
        ----------
        centres : ndarray (n, 2)
            As (x, y), in pixels of the image.
        sides, angles : ndarray (n,)
            In pixels of the image, and in radians from the x axis towards the y axis.
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


def _convolve(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)


def _pool(kernel: int) -> nn.Module:
    # Caffe, where the networks come from, rounds the size of a pooled map up.
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


def _flatten(maps: Tensor) -> Tensor:
    """Flatten maps (n, channels, height, width) in the weights' order: width, height, channels."""
    return maps.permute(0, 3, 2, 1).flatten(1)


def _fill(network: Network, weights: Sequence[np.ndarray]) -> Network:
    """Give a network its weights: both list them layer by layer."""
    with torch.no_grad():
        for parameter, array in zip(network.parameters(), weights, strict=True):
            if parameter.ndim == 4:
                array = array.transpose(3, 2, 0, 1)  # noqa: PLW2901
            elif parameter.ndim == 2:
                array = array.T  # noqa: PLW2901
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)).view_as(parameter))
    # Three times as fast: the first network slides over images, with few channels.
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network.eval().requires_grad_(False)
