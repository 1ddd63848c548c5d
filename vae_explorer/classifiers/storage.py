"""Attribute classifiers on disk: `checkpoints/classifiers/<name>/`.

| file | what |
|---|---|
| `model.safetensors` | the weights |
| `card.json` | the `ClassifierCard`, with a sha256 of the weights; written last |

The guidance classifier, "attributes-strided", supplies feature losses and gradients; the evaluation
classifier, "attributes-judge", measures the results. Both inherit the biases of their labels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_explorer import workspace
from vae_explorer.checkpoints import say_repair
from vae_explorer.checkpoints.card import DatasetInfo, format_card, parse_card
from vae_explorer.checkpoints.format import MODEL, fill, pack_model
from vae_explorer.checkpoints.storage import CARD, has_card, read_file, read_files
from vae_explorer.classifiers.network import (
    IMAGE_CHANNELS,
    AttributeClassifier,
    ClassifierConfig,
    build_classifier,
)
from vae_explorer.errors import CheckpointError, did_you_mean
from vae_explorer.inference import CHUNK
from vae_explorer.installation import shell_command
from vae_explorer.workspace import CLASSIFIERS, shelves, shorten, staged_folder, write_files

__all__ = [
    "CLASSIFIERS",
    "AttributeClassifier",
    "ClassifierConfig",
    "load_classifier",
    "pooled_features",
    "predict_attributes",
    "save_classifier",
]


def save_classifier(
    path: Path, classifier: AttributeClassifier, card: ClassifierCard
) -> ClassifierCard:
    """Write an attribute classifier; a crash at any moment leaves the one at `path` intact.

    Parameters
    ----------
    path : Path
        The folder. One that is there already must hold a card, or nothing.
    classifier : AttributeClassifier
        On any device.
    card : ClassifierCard
        Its name, configuration and sha256 are filled in here.

    Returns
    -------
    ClassifierCard
        As written.

    Raises
    ------
    CheckpointError
        If what would be written could not be loaded, or the disk refuses.
    """
    path = path.resolve()
    if path.exists() and not has_card(path) and (path.is_file() or any(path.iterdir())):
        raise CheckpointError(
            f"{path.name!r} was not saved: something that is no classifier has that name, and is "
            f"kept. Choose another name, such as {path.name}-2."
        )
    weights = pack_model(classifier)
    digest = hashlib.sha256(weights).hexdigest()
    card = dataclasses.replace(
        card, name=path.name, network=classifier.config, sha256={MODEL: digest}
    )
    try:
        with staged_folder(path) as folder:
            write_files(folder, {MODEL: weights, CARD: format_card(card).encode()})
            _read(folder)  # what cannot be loaded replaces nothing
    except (OSError, ValueError) as error:
        reason = f"{error.strerror}." if isinstance(error, OSError) else error
        raise CheckpointError(f"The classifier {path.name!r} was not saved: {reason}") from error
    return card


def load_classifier(name_or_path: str | Path) -> AttributeClassifier:
    """Read an attribute classifier, verifying its weights against the card's sha256 first.

    Parameters
    ----------
    name_or_path : str or Path
        A str without a separator is a name below `classifiers` on a shelf; anything else a path.

    Returns
    -------
    AttributeClassifier
        In eval mode and frozen, on the CPU, in channels_last.

    Raises
    ------
    CheckpointError
        If there is none, or anything in it is broken.
    """
    folder = _find(name_or_path)
    try:
        return _read(folder)
    except ValueError as error:
        raise CheckpointError(
            f"The classifier {folder.name!r} is broken. {error} "
            f"{say_repair(folder, 'train-classifier')}"
        ) from error


def predict_attributes(classifier: AttributeClassifier, images: np.ndarray) -> np.ndarray:
    """Return the probability of each attribute in each image.

    Parameters
    ----------
    classifier : AttributeClassifier
        In eval mode, on any device; it is not changed.
    images : ndarray of float32 (n, 3, height, width)
        In [0, 1], of any size; n may be 0.

    Returns
    -------
    ndarray of float32 (n, attributes)
        Probabilities, columns as `classifier.config.attributes`.

    Raises
    ------
    ValueError
        If the images have another dtype or shape, or are not finite.
    """
    width = len(classifier.config.attributes)
    return _in_chunks(classifier, lambda chunk: torch.sigmoid(classifier(chunk)), images, width)


def pooled_features(classifier: AttributeClassifier, images: np.ndarray) -> np.ndarray:
    """Return the features of each image: the last feature map, averaged over its positions.

    Parameters
    ----------
    classifier, images
        As for `predict_attributes`.

    Returns
    -------
    ndarray of float32 (n, channels[-1])

    Raises
    ------
    ValueError
        As `predict_attributes` does.
    """
    return _in_chunks(classifier, classifier.pooled, images, classifier.config.channels[-1])


def _in_chunks(
    classifier: AttributeClassifier,
    function: Callable[[Tensor], Tensor],
    images: np.ndarray,
    width: int,
) -> np.ndarray:
    """Map images to rows (n, width), a few at a time."""
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[1] != IMAGE_CHANNELS:
        raise ValueError(
            f"images must be float32 (n, {IMAGE_CHANNELS}, height, width); "
            f"found {images.dtype} {images.shape}."
        )
    if not np.isfinite(images).all():
        count = np.count_nonzero(~np.isfinite(images))
        raise ValueError(f"images must be finite; found {count} values that are NaN or infinite.")
    device = next(classifier.parameters()).device
    rows = np.empty((len(images), width), np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), CHUNK):
            chunk = torch.from_numpy(images[start : start + CHUNK].copy()).to(device)
            rows[start : start + CHUNK] = function(chunk).float().cpu().numpy()
    return rows


def _find(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, Path) or {"/", os.sep}.intersection(name_or_path):
        folder = Path(name_or_path)
        if has_card(folder):
            return folder.resolve()
        raise CheckpointError(
            f"There is no classifier in {folder}: it has no {CARD}. To train one: "
            f"{shell_command(f'train-classifier --out {shlex.quote(str(folder))}')}"
        )
    # The name is only compared, so that no path is ever made of what was typed.
    folders = _list_folders()
    if name_or_path in folders:
        return folders[name_or_path]
    own = workspace.CHECKPOINTS / CLASSIFIERS
    known = f"There are no classifiers in {own}."
    if folders:
        known = did_you_mean("classifier", name_or_path[:80], list(folders))
    out = shlex.quote(str(shorten(own / "NAME")))
    raise CheckpointError(f"{known} To train one: {shell_command(f'train-classifier --out {out}')}")


def _list_folders() -> dict[str, Path]:
    """Return the classifiers' folders by name; what comes with the app precedes the user's."""
    cards = [card for shelf in shelves() for card in shelf.glob(f"{CLASSIFIERS}/*/{CARD}")]
    return {card.parent.name: card.parent for card in reversed(cards)}


def _read(folder: Path) -> AttributeClassifier:
    card = parse_card(ClassifierCard, read_file(folder, CARD).decode(errors="replace"))
    if card.sha256.keys() != {MODEL}:
        raise ValueError(f"sha256 in {CARD} must name {MODEL} alone; found {list(card.sha256)}.")
    contents = read_files(folder, card.sha256)
    with torch.device("meta"):
        classifier = build_classifier(card.network)
    return fill(classifier, contents[MODEL])


@dataclass(frozen=True)
class ClassifierTraining:
    """How an attribute classifier was trained: a record, from which nothing is rebuilt."""

    seed: int
    epochs: int
    """Passes over the training rows."""
    best_epoch: int
    """The epoch after which the EMA weights were taken."""
    batch_size: int
    learning_rate: float
    """Peak of a linear warm-up and a cosine to zero."""
    warmup_steps: int
    weight_decay: float
    weight_average: float
    """Decay per step of the EMA."""
    validation_fraction: float
    """Share of the train split that chose the epoch."""
    degraded_share: float
    """Share of the batches that were degraded: blurred and rescaled."""
    seconds: float
    """Wall time of all steps, with whatever else the machine did meanwhile."""


@dataclass(frozen=True)
class ClassifierCard:
    """Everything known of an attribute classifier without opening its weights."""

    format_version: int
    name: str
    network: ClassifierConfig
    parameters: int
    dataset: DatasetInfo
    training: ClassifierTraining
    mean_accuracy: float
    """Share of correct predictions, averaged over the attributes."""
    majority_accuracy: float
    """The same for always predicting each attribute's commoner value: the baseline."""
    accuracy: dict[str, float]
    """By attribute."""
    protocol: str
    """On which images the accuracies were measured, and how."""
    versions: dict[str, str]
    """Versions of the packages it was trained with."""
    created: str
    """ISO date."""
    sha256: dict[str, str]
    """Hexadecimal digest of the weights' file, by its name."""


EVALUATION_CLASSIFIER, GUIDANCE_CLASSIFIER = "attributes-judge", "attributes-strided"
"""In checkpoints/classifiers. No model is trained and no attribute vector fitted by the first."""


def find_classifier(name: str, attributes: tuple[str, ...]) -> AttributeClassifier | None:
    """Return the shipped classifier of that name, if it has these attributes.

    None if there is none: it was not trained yet, or the data set is another one.

    Raises
    ------
    CheckpointError
        If it is there, and broken.
    """
    if not any((shelf / CLASSIFIERS / name).is_dir() for shelf in shelves()):
        return None
    classifier = load_classifier(name)
    return classifier if classifier.config.attributes == attributes else None
