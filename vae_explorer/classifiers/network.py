"""Attribute classifiers: convolutional networks with one logit per attribute.

There are two architectures, so that a model is not evaluated by the classifier that it was trained
with: "strided" supplies early activations for a feature loss, "residual" pooled features for the
evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_explorer.config import Config
from vae_explorer.errors import ConfigError
from vae_explorer.models import BatchNorm2d

CHANNELS = {"strided": (32, 64, 128, 160), "residual": (48, 96, 160, 192)}
"""Of the shipped classifiers, by architecture."""
IMAGE_CHANNELS = 3
PIXEL_MEAN, PIXEL_DEVIATION = 0.5, 0.25  # about those of photos; both architectures expect 0 and 1


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """Everything that is needed to build an attribute classifier, and nothing else."""

    architecture: Literal["strided", "residual"]
    """Plain strided convolutions, or residual blocks with average pooling."""
    attributes: tuple[str, ...]
    """Names of the attributes, by column of the logits."""
    channels: tuple[int, ...]
    """Channels of each block, from the image on."""
    image_size: int = 64
    """Height and width of the training images, in pixels; others are resized to it."""

    def __post_init__(self) -> None:
        self.check_types()
        self.check_minimum(1, "image_size")
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise ConfigError(f"attributes must be distinct names; found {self.attributes}.")
        if not self.channels or min(self.channels) < 1:
            raise ConfigError(
                "channels needs one positive number per block, such as (32, 64); "
                f"found {self.channels}."
            )
        step = 2 ** len(self.channels)
        if self.image_size % step:
            raise ConfigError(
                f"{len(self.channels)} blocks need an image_size that is a multiple of {step}; "
                f"found {self.image_size}."
            )


class Block(nn.Module):
    """A block whose first activations serve as features."""

    first: nn.Module

    def activations(self, inputs: Tensor) -> Tensor:
        """Map (n, inputs, s, s) to the first convolution's activations (n, outputs, s, s)."""
        return self.first(inputs)

    def output(self, inputs: Tensor, activations: Tensor) -> Tensor:
        """Map the block's input and its activations to (n, outputs, s / 2, s / 2)."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, inputs, s, s) to (n, outputs, s / 2, s / 2)."""
        return self.output(inputs, self.activations(inputs))


class StridedBlock(Block):
    """A 3x3 convolution and a strided one, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _normalized(inputs, outputs)
        self.second = _normalized(outputs, outputs, stride=2)

    def output(self, _inputs: Tensor, activations: Tensor) -> Tensor:
        """Map the activations (n, outputs, s, s) to (n, outputs, s / 2, s / 2)."""
        return self.second(activations)


class ResidualBlock(Block):
    """Two 3x3 convolutions around which the input is added; norm and activation come first.

    References
    ----------
    He, Zhang, Ren & Sun 2016, "Identity Mappings in Deep Residual Networks"
    (https://arxiv.org/abs/1603.05027), figure 1b; here with SiLU, and average pooling at the end.
    """

    def __init__(self, inputs: int, outputs: int, *, pool: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(
            BatchNorm2d(inputs),
            nn.SiLU(),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            BatchNorm2d(outputs),
            nn.SiLU(),
        )
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.pool = nn.AvgPool2d(2) if pool else nn.Identity()

    def output(self, inputs: Tensor, activations: Tensor) -> Tensor:
        """Map input and activations to (n, outputs, s / 2, s / 2), or s where nothing is pooled."""
        # The shortcut's convolution comes after the pooling, where it costs a quarter.
        return self.pool(self.second(activations)) + self.shortcut(self.pool(inputs))


class AttributeClassifier(nn.Module):
    """Maps images to the logits of their attributes, and gives access to its features."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        parts = _strided(config) if config.architecture == "strided" else _residual(config)
        self.stem, self.blocks, self.last, self.head = parts

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, 3, height, width) in [0, 1] to logits (n, attributes)."""
        return self.head(self._feature_map(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Map images (n, 3, height, width) in [0, 1] to features (n, channels[-1]).

        They are the last feature map, averaged over its positions, as a Fréchet distance takes them
        (Heusel et al. 2017, https://arxiv.org/abs/1706.08500).
        """
        return self._feature_map(images).mean((2, 3))

    def features(self, images: Tensor, blocks: int | None = None) -> list[Tensor]:
        """Return the activations after the first convolution of each block.

        Their differences are a loss (Hou et al. 2017, https://arxiv.org/abs/1610.00291).

        Parameters
        ----------
        images : Tensor, (n, 3, height, width)
            In [0, 1].
        blocks : int, optional
            Take only so many, from the image on, and compute nothing beyond; default all.

        Returns
        -------
        list of Tensor, (n, channels[i], s, s)
            After norm and activation; s halves from one block to the next.
        """
        values = self._enter(images)
        chosen = list(self.blocks)[:blocks]
        found: list[Tensor] = []
        for block in chosen:
            assert isinstance(block, Block)
            found.append(block.activations(values))
            if block is not chosen[-1]:
                values = block.output(values, found[-1])
        return found

    def _feature_map(self, images: Tensor) -> Tensor:
        """Map images to what the head reads: (n, channels[-1], s, s)."""
        values = self._enter(images)
        for block in self.blocks:
            values = block(values)
        return self.last(values)

    def _enter(self, images: Tensor) -> Tensor:
        side = self.config.image_size
        if images.shape[2:] != (side, side):
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        return self.stem((images - PIXEL_MEAN) / PIXEL_DEVIATION)


def build_classifier(config: ClassifierConfig, seed: int = 0) -> AttributeClassifier:
    """Build a classifier with weights drawn from the seed; global random state is unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AttributeClassifier(config)


def _strided(config: ClassifierConfig) -> tuple[nn.Module, nn.ModuleList, nn.Module, nn.Module]:
    inputs = (IMAGE_CHANNELS, *config.channels)
    blocks = nn.ModuleList(map(StridedBlock, inputs, config.channels))
    size = config.image_size // 2 ** len(config.channels)
    # Flattened, not pooled: faces are aligned, so a position is a part of the face.
    head = nn.Linear(config.channels[-1] * size**2, len(config.attributes))
    return nn.Identity(), blocks, nn.Identity(), nn.Sequential(nn.Flatten(), head)


def _residual(config: ClassifierConfig) -> tuple[nn.Module, nn.ModuleList, nn.Module, nn.Module]:
    stem = nn.Conv2d(IMAGE_CHANNELS, config.channels[0], 4, stride=2, padding=1)
    inputs = (config.channels[0], *config.channels)
    final = len(config.channels) - 1  # whose map is averaged by the head
    blocks = nn.ModuleList(
        ResidualBlock(inputs[index], outputs, pool=index < final)
        for index, outputs in enumerate(config.channels)
    )
    last = nn.Sequential(BatchNorm2d(config.channels[-1]), nn.SiLU())
    linear = nn.Linear(config.channels[-1], len(config.attributes))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    return stem, blocks, last, head


def _normalized(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, BatchNorm2d(outputs), nn.ReLU())
