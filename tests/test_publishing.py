"""A checkpoint that is measured again: what is made anew, and what may stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vae_explorer.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from vae_explorer.checkpoints.card import Metric
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.models import build_model
from vae_explorer.publishing import publish, reevaluate

NAME, DRIFT = "attribute_vector.even", "drift.even.plain"


@pytest.fixture
def digits_with_attributes(digits: ImageDataset) -> ImageDataset:
    assert digits.labels is not None
    even = digits.labels[:, None] % 2 == 0
    return dataclasses.replace(digits, attributes=even, attribute_names=("even",))


@pytest.fixture
def marked(
    tmp_path: Path,
    digits_with_attributes: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> Checkpoint:
    """A checkpoint whose vector and number no measurement would give."""
    model = build_model(tiny_vae_config).eval()
    history = {"epoch": np.array([1.0])}
    publish(model, tiny_train_config, digits_with_attributes, history, tmp_path / "even")
    made = load_checkpoint(tmp_path / "even")
    latent = {**made.latent, NAME: np.full(tiny_vae_config.latent_dim, 7, np.float32)}
    planted = {**made.card.metrics, DRIFT: Metric(DRIFT, 7.0, "attributes", "planted")}
    save_checkpoint(
        made.path,
        model=made.model,
        card=dataclasses.replace(made.card, metrics=planted),
        encodings=made.encodings,
        history=made.history,
        latent=latent,
    )
    return load_checkpoint(made.path)


@pytest.mark.parametrize("keep_vectors", [True, False])
def test_vectors_and_their_numbers_stay_where_they_are_asked_to(
    marked: Checkpoint, digits_with_attributes: ImageDataset, keep_vectors: bool
) -> None:
    reevaluate(marked, digits_with_attributes, keep_vectors=keep_vectors)
    after = load_checkpoint(marked.path)
    assert np.array_equal(after.latent[NAME], marked.latent[NAME]) == keep_vectors
    assert (DRIFT in after.card.metrics) == keep_vectors
    assert after.latent.keys() == marked.latent.keys()
    for name, array in after.latent.items():
        if name.startswith("prior"):
            np.testing.assert_array_equal(array, marked.latent[name])
