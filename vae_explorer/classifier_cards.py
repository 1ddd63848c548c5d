"""The card of a network of attributes: what it is, how it learnt, and how often it is right."""

from __future__ import annotations

from dataclasses import dataclass

from vae_explorer.attribute_networks import ClassifierConfig
from vae_explorer.checkpoints.card import DatasetInfo


@dataclass(frozen=True)
class ClassifierTraining:
    """How a network of attributes was trained: a record, which nothing is rebuilt from."""

    seed: int
    epochs: int
    """Passes over the rows that were learnt from."""
    best_epoch: int
    """Whose averaged weights these are."""
    batch_size: int
    learning_rate: float
    """Peak of a linear warm-up and a cosine to zero."""
    warmup_steps: int
    weight_decay: float
    weight_average: float
    """Decay per step of the averaged weights."""
    validation_fraction: float
    """Share of the train split that chose the epoch."""
    degraded_share: float
    """Of the batches that were blurred and rescaled."""
    seconds: float
    """Wall time of all steps, with whatever else the machine did meanwhile."""


@dataclass(frozen=True)
class ClassifierCard:
    """All that is known of a network of attributes without opening its weights."""

    format_version: int
    name: str
    network: ClassifierConfig
    parameters: int
    dataset: DatasetInfo
    training: ClassifierTraining
    mean_accuracy: float
    """Share of right answers, averaged over the attributes."""
    majority_accuracy: float
    """The same of answering each attribute's commoner value every time: what nothing reaches."""
    accuracy: dict[str, float]
    """By attribute."""
    protocol: str
    """On which pictures the shares were measured, and how."""
    versions: dict[str, str]
    """Versions of the packages it was trained with."""
    created: str
    """ISO date."""
    sha256: dict[str, str]
    """Hexadecimal digest of the weights' file, by its name."""
