"""From a trained network of attributes to its folder: measure it, write the card."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vae_explorer.checkpoints.card import FORMAT_VERSION
from vae_explorer.classifiers.network import AttributeClassifier
from vae_explorer.classifiers.storage import (
    ClassifierCard,
    ClassifierTraining,
    predict_attributes,
    save_classifier,
)
from vae_explorer.config import TrainConfig
from vae_explorer.models import count_parameters
from vae_explorer.publication import describe_dataset, package_versions
from vae_explorer.training.classifier import DEGRADED_SHARE, WEIGHT_DECAY, ClassifierEpoch, best_of

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

ROWS_AT_ONCE = 1024  # pictures read from the memory map before they are judged


def publish_classifier(
    classifier: AttributeClassifier,
    config: TrainConfig,
    history: Sequence[ClassifierEpoch],
    dataset: ImageDataset,
    out: Path,
) -> ClassifierCard:
    """Measure a network on the held-out split and write its folder.

    Parameters
    ----------
    classifier : AttributeClassifier
        The weights of the best epoch, in eval mode.
    config : TrainConfig
        How it was trained.
    history : sequence of ClassifierEpoch
        All epochs of the training.
    dataset : ImageDataset
        The data it was trained on, with attributes.
    out : Path
        The folder; what is there is replaced.

    Returns
    -------
    ClassifierCard
        As written.
    """
    assert dataset.attributes is not None  # no network is trained without
    split = dataset.held_out
    rows = dataset.rows(split)
    right = measure_accuracy(classifier, dataset, rows)
    share = dataset.attributes[rows].mean(0)
    card = ClassifierCard(
        format_version=FORMAT_VERSION,
        name=out.name,
        network=classifier.config,
        parameters=count_parameters(classifier),
        dataset=describe_dataset(dataset),
        training=ClassifierTraining(
            seed=config.seed,
            epochs=len(history),
            best_epoch=best_of(history).epoch,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            warmup_steps=config.warmup_steps,
            weight_decay=WEIGHT_DECAY,
            weight_average=config.weight_average,
            validation_fraction=config.validation_fraction,
            degraded_share=DEGRADED_SHARE,
            seconds=round(sum(each.seconds for each in history), 1),
        ),
        mean_accuracy=float(right.mean()),
        majority_accuracy=float(np.maximum(share, 1 - share).mean()),
        accuracy=dict(zip(classifier.config.attributes, right.tolist(), strict=True)),
        protocol=(
            f"all {len(rows):,} pictures of the {split} split, which neither learnt from nor chose "
            "an epoch; an attribute is told at a probability of 0.5 and above; float32"
        ),
        versions=package_versions(),
        created=datetime.now(UTC).date().isoformat(),
        sha256={},
    )
    return save_classifier(out, classifier, card)


def measure_accuracy(
    classifier: AttributeClassifier, dataset: ImageDataset, rows: np.ndarray
) -> np.ndarray:
    """Return the share of right answers of each attribute.

    Parameters
    ----------
    classifier : AttributeClassifier
        In eval mode.
    dataset : ImageDataset
        With attributes.
    rows : ndarray of int64 (n,)
        At least one.

    Returns
    -------
    ndarray of float64 (attributes,)
    """
    assert dataset.attributes is not None  # what is measured against
    right = np.zeros(dataset.attributes.shape[1])
    for start in range(0, len(rows), ROWS_AT_ONCE):
        batch = rows[start : start + ROWS_AT_ONCE]
        images = dataset.take(batch).astype(np.float32) / 255
        told = predict_attributes(classifier, images) >= 0.5
        right += (told == dataset.attributes[batch]).sum(0)
    return right / len(rows)
