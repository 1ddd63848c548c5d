"""Publishing of trained weights: evaluate, embed, write the card, rename into place."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_explorer.checkpoints import Checkpoint, save_checkpoint
from vae_explorer.checkpoints.card import FORMAT_VERSION, DatasetInfo, Metric, ModelCard
from vae_explorer.classifiers.network import AttributeClassifier
from vae_explorer.classifiers.storage import (
    EVALUATION_CLASSIFIER,
    GUIDANCE_CLASSIFIER,
    ClassifierCard,
    ClassifierTraining,
    find_classifier,
    predict_attributes,
    save_classifier,
)
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import DATASETS
from vae_explorer.editing.selection import (
    Networks,
    choose_vectors,
    is_drift,
    is_vector,
    plain_vectors,
)
from vae_explorer.encodings import Encodings, encode_dataset, join_encodings
from vae_explorer.errors import DatasetError
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.latent.prior import fit_prior
from vae_explorer.latent.statistics import embed
from vae_explorer.models import Autoencoder, count_parameters
from vae_explorer.playback.packed import pack_epochs, read_packed
from vae_explorer.random_streams import RandomStream, stream
from vae_explorer.training.classifier import DEGRADED_SHARE, WEIGHT_DECAY, best_of
from vae_explorer.training.snapshots import EpochSnapshots
from vae_explorer.training.state import ClassifierEpoch

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

TRAIN_ROWS = 4_000  # whose encodings are stored where there are attributes to learn from

ROWS_AT_ONCE = 1024  # images read from the memory map at a time


def publish(
    model: Autoencoder,
    config: TrainConfig,
    dataset: ImageDataset,
    history: Mapping[str, np.ndarray],
    out: Path,
    *,
    title: str | None = None,
    importance_samples: int = 0,
    epochs: EpochSnapshots | None = None,
) -> ModelCard:
    """Evaluate a trained model and write its checkpoint to `out`, replacing what is there.

    Parameters
    ----------
    model : Autoencoder
        The final weights, in eval mode.
    config : TrainConfig
        How it was trained.
    dataset : ImageDataset
        The data it was trained on; its held-out split gives the card's numbers.
    history : mapping of str to ndarray
        Columns of the training history, one value an epoch.
    out : Path
        Folder of the checkpoint.
    title : str, optional
        What people call the model; made of the data set, the kind and the latent size by default.
    importance_samples : int
        Samples per image for the importance-weighted bound; 0 leaves it out.
    epochs : EpochSnapshots, optional
        Snapshots of the training's epochs; the checkpoint holds up to 5 MB of them, and
        the dozen originals only of data that may be passed on.

    Returns
    -------
    ModelCard
        As written.
    """
    found = _measure(model, dataset, config, importance_samples)
    spec = DATASETS[dataset.name]
    card = ModelCard(
        format_version=FORMAT_VERSION,
        name=out.name,
        title=title or default_title(spec.title, model.config),
        dataset=describe_dataset(dataset),
        model=model.config,
        train=config,
        seed=config.seed,
        metrics=found.metrics,
        label_names=dataset.label_names,
        attribute_names=dataset.attribute_names,
        parameters={
            "encoder": count_parameters(model.encoder),
            "decoder": count_parameters(model.decoder),
        },
        versions=package_versions(),
        created=datetime.now(UTC).date().isoformat(),
        sha256={},
    )
    return save_checkpoint(
        out,
        model=model,
        card=card,
        encodings=found.encodings,
        history=dict(history),
        latent=found.latent,
        epochs=None if epochs is None else pack_epochs(epochs),
    )


def reevaluate(
    checkpoint: Checkpoint,
    dataset: ImageDataset,
    *,
    importance_samples: int = 0,
    keep_vectors: bool = False,
) -> ModelCard:
    """Measure a checkpoint anew and put the numbers into its card; its weights stay as they were.

    Parameters
    ----------
    checkpoint : Checkpoint
    dataset : ImageDataset
        The data it was trained on.
    importance_samples : int
        Samples per image for the importance-weighted bound; 0 leaves it out.
    keep_vectors : bool
        Whether the attribute vectors and their numbers, which depend on the weights and the data
        alone and take the most time, stay as they are.

    Returns
    -------
    ModelCard
        As written. A number that was not measured this time is no longer in it.
    """
    kept = checkpoint if keep_vectors else None
    found = _measure(checkpoint.model, dataset, checkpoint.card.train, importance_samples, kept)
    return save_checkpoint(
        checkpoint.path,
        model=checkpoint.model,
        card=dataclasses.replace(checkpoint.card, metrics=found.metrics),
        encodings=found.encodings,
        history=checkpoint.history,
        latent=found.latent,
        epochs=read_packed(checkpoint),
    )


def check_training_data(checkpoint: Checkpoint, dataset: ImageDataset) -> None:
    """Check that a checkpoint was trained on these data, as far as it tells.

    Cards of earlier versions do not name the content: of those, names, splits and labels of the
    encoded images are compared.

    Raises
    ------
    DatasetError
        If it was trained on others.
    """
    card, encodings = checkpoint.card, checkpoint.encodings
    if card.dataset.content and dataset.content:
        card.check_data(dataset.content)
        return
    rows, names = encodings.row_id, (dataset.label_names, dataset.attribute_names)
    fits = (card.label_names, card.attribute_names) == names and (
        rows.max(initial=0) < len(dataset.split)
        and np.array_equal(dataset.split[rows], encodings.split)
        and (
            encodings.labels is None
            or dataset.labels is None
            or np.array_equal(dataset.labels[rows], encodings.labels)
        )
    )
    if not fits:
        raise DatasetError(
            f"These are not the images that {card.name} was trained on: number, names, splits or "
            "labels differ. Restore the earlier images, or train a model on the present ones."
        )


def default_title(dataset_title: str, model: ModelConfig) -> str:
    """Name a model: "Fashion-MNIST VAE (2-D)", "CelebA VAE 64×64 (128-D)"."""
    kind = "VAE" if model.kind == "vae" else "autoencoder"
    network = " MLP" if model.architecture == "mlp" else ""
    size = f" {model.image_size}×{model.image_size}" if model.image_channels == 3 else ""
    return f"{dataset_title.replace(',', '')}{network} {kind}{size} ({model.latent_dim}-D)"


class _Measured(NamedTuple):
    metrics: dict[str, Metric]
    encodings: Encodings
    latent: dict[str, np.ndarray]


def describe_dataset(dataset: ImageDataset) -> DatasetInfo:
    """Say in a card which data it was, and on which terms."""
    spec = DATASETS[dataset.name]
    return DatasetInfo(
        name=spec.name,
        title=spec.title_with(dataset.source_name),
        licence=spec.licence,
        terms=spec.terms,
        citation=spec.citation,
        url=spec.url,
        image_size=dataset.images.shape[-1],
        content=dataset.content,
    )


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a training depends on."""
    packages = ("torch", "numpy", "scikit-learn", "safetensors")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version(), **versions}


def publish_classifier(
    classifier: AttributeClassifier,
    config: TrainConfig,
    history: Sequence[ClassifierEpoch],
    dataset: ImageDataset,
    out: Path,
) -> ClassifierCard:
    """Evaluate an attribute classifier on the held-out split and write its folder.

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
    assert dataset.attributes is not None  # no classifier is trained without
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
            f"all {len(rows):,} images of the {split} split, used neither for training nor for "
            "choosing the epoch; attributes predicted at a probability of 0.5 or more; float32"
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


def _measure(
    model: Autoencoder,
    dataset: ImageDataset,
    config: TrainConfig,
    importance_samples: int,
    kept: Checkpoint | None = None,
) -> _Measured:
    """Learn from the train split's encodings; measure on the held-out ones.

    The vectors of `kept`, and their numbers, are taken as they are.
    """
    seed, rows = config.seed, dataset.rows("train")
    train = encode_dataset(model, dataset, rows)
    turned = encode_dataset(model, dataset, rows, mirror=True).z_mean if config.mirror else None
    latent = fit_prior(train.z_mean, seed, turned)
    names = dataset.attribute_names
    evaluation_classifier = find_classifier(EVALUATION_CLASSIFIER, names)
    metrics, encodings = evaluate(
        model,
        dataset,
        latent=latent,
        evaluation_classifier=evaluation_classifier,
        importance_samples=importance_samples,
    )
    latent |= embed(encodings.z_mean, seed)
    if train.attributes is not None:
        if kept is not None:
            latent |= {name: a for name, a in kept.latent.items() if is_vector(name)}
            metrics |= {name: m for name, m in kept.card.metrics.items() if is_drift(name)}
        elif evaluation_classifier is None:
            latent |= plain_vectors(train, names)
        else:
            guidance_classifier = find_classifier(GUIDANCE_CLASSIFIER, names)
            networks = Networks(model, evaluation_classifier, guidance_classifier)
            vectors, drifts = choose_vectors(networks, train, encodings, names, seed)
            latent, metrics = latent | vectors, metrics | drifts
        rows = stream(seed, RandomStream.STORED_TRAIN_ENCODINGS).permutation(len(train.row_id))[
            :TRAIN_ROWS
        ]
        encodings = join_encodings(encodings, train.take(np.sort(rows)))
    return _Measured(metrics, encodings, latent)
