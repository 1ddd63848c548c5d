"""Checkpoints made by hand: variants of trained ones, and what no test data set gives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from vae_explorer.checkpoints import CARD, load_checkpoint, save_checkpoint
from vae_explorer.checkpoints.card import Metric, ModelCard
from vae_explorer.checkpoints.format import MODEL
from vae_explorer.config import ModelConfig
from vae_explorer.editing.selection import plain_vectors
from vae_explorer.encodings import Encodings
from vae_explorer.evaluation.metrics import PERCENTILES
from vae_explorer.latent.prior import fit_prior
from vae_explorer.models import build_model


def put(
    source: Path,
    path: Path,
    *,
    count: int | None = None,
    seed: int | None = None,
    scale: float = 1,
    **changes: object,
) -> ModelCard:
    """Copy a checkpoint to `path`, changed.

    Parameters
    ----------
    source, path : Path
        Folders.
    count : int, optional
        Encodings to keep, from the first on; t-SNE is left out then.
    seed : int, optional
        Draws other weights.
    scale : float
        Moves the encodings away from the origin.
    **changes
        Fields of the card.
    """
    checkpoint = load_checkpoint(source)
    encodings, latent, model = checkpoint.encodings, checkpoint.latent, checkpoint.model
    if count is not None:
        arrays = {name: None if a is None else a[:count] for name, a in vars(encodings).items()}
        encodings, latent = Encodings(**arrays), {}
    encodings = replace(encodings, z_mean=(scale * encodings.z_mean).astype(np.float32))
    if seed is not None:
        model = build_model(model.config, seed).eval()
    return save_checkpoint(
        path,
        model=model,
        card=replace(checkpoint.card, **changes),
        encodings=encodings,
        history=checkpoint.history,
        latent=latent,
    )


def put_colour_mlp(source: Path, path: Path) -> ModelCard:
    """Save an untrained MLP for colour pictures in somebody's folder: five, without labels."""
    config = ModelConfig(
        image_size=4, image_channels=3, latent_dim=3, architecture="mlp", hidden_dim=8
    )
    z_mean = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    checkpoint = load_checkpoint(source)
    dataset = replace(checkpoint.card.dataset, name="folder", title="Your own pictures")
    return save_checkpoint(
        path,
        model=build_model(config).eval(),
        card=replace(
            checkpoint.card, title="Mine", model=config, dataset=dataset, label_names=(), metrics={}
        ),
        encodings=Encodings(
            row_id=np.arange(5),
            split=np.full(5, "test"),
            z_mean=z_mean,
            z_log_var=np.full_like(z_mean, -2),
            labels=None,
            attributes=None,
        ),
        history=checkpoint.history,
    )


def put_faces(source: Path, path: Path, *, image_size: int = 16, title: str = "Faces") -> ModelCard:
    """Save an untrained model of faces, whose fitted prior is far from N(0, I)."""
    config = ModelConfig(image_size=image_size, image_channels=3, latent_dim=6, channels=(8, 8))
    z_mean = 3 + np.random.default_rng(0).standard_normal((400, 6)).astype(np.float32)
    checkpoint = load_checkpoint(source)
    dataset = replace(checkpoint.card.dataset, name="celeba", title="CelebA")
    errors = tuple(np.linspace(0, 3 * image_size**2, len(PERCENTILES)).tolist())
    name = "squared_error_percentiles"
    metrics = {name: Metric(name, errors, "squared error", "made up")}
    names = ("Male", "Smiling", "Wearing_Hat")
    encodings = Encodings(
        row_id=np.arange(400),
        split=np.full(400, "train"),
        z_mean=z_mean,
        z_log_var=np.full_like(z_mean, -2),
        labels=None,
        attributes=z_mean[:, :3] > 3,
    )
    # Long ones: an untrained decoder hardly notices those of the encodings' own length.
    vectors = {key: 20 * vector for key, vector in plain_vectors(encodings, names).items()}
    for key, vector in list(vectors.items()):
        attribute = key.partition(".")[2]
        vectors |= {f"plain_vector.{attribute}": vector, f"regression_vector.{attribute}": -vector}
        found = {
            f"drift.{attribute}.plain": (1.5, 0.95, 0.75),
            f"drift_of.{attribute}": (0.5, 0.2, 0.05),
        }
        metrics |= {key: Metric(key, value, "made up", "made up") for key, value in found.items()}
    return save_checkpoint(
        path,
        model=build_model(config).eval(),
        card=replace(
            checkpoint.card,
            title=title,
            model=config,
            dataset=dataset,
            label_names=(),
            attribute_names=names,
            metrics=metrics,
        ),
        encodings=encodings,
        history=checkpoint.history,
        latent=fit_prior(z_mean) | vectors,
    )


def poison_weights(path: Path) -> None:
    """Write weights that are no numbers, with the right hash: only loading them tells."""
    tensors = safetensors.numpy.load_file(path / MODEL)
    data = safetensors.numpy.save({name: np.full_like(t, np.nan) for name, t in tensors.items()})
    (path / MODEL).write_bytes(data)
    card = json.loads((path / CARD).read_text(encoding="utf-8"))
    card["sha256"][MODEL] = hashlib.sha256(data).hexdigest()
    (path / CARD).write_text(json.dumps(card), encoding="utf-8")
