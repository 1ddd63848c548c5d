from __future__ import annotations

import numpy as np
import pytest
import torch

from vae_explorer.classifiers.network import ClassifierConfig, build_classifier
from vae_explorer.config import ModelConfig
from vae_explorer.editing.selection import ALPHAS, measure_drift, scale_vector
from vae_explorer.editing.vectors import steered_vector
from vae_explorer.models import build_model

RNG = np.random.default_rng(0)
FACES = RNG.standard_normal((400, 4)).astype(np.float32) - [3, 0, 0, 0]


def predict(z: np.ndarray) -> np.ndarray:
    """Attribute k is said of a face whose coordinate k is above 0."""
    return z > 0


def test_a_pure_direction_reaches_its_attribute_and_changes_nothing_else() -> None:
    found = measure_drift(predict, FACES, [2, 0, 0, 0], 0, [1, 2, 3])
    assert found.reached
    assert found.alpha == 2.5  # 3 + 1.28 σ lies between 4 and 5
    assert found.total == 0


def test_what_else_changes_is_counted_by_attribute() -> None:
    found = measure_drift(predict, FACES, [2, 4, 0, 0], 0, [1, 2, 3])
    assert found.flips[1] == pytest.approx(0.5, abs=0.1)  # half of them had it already
    assert found.total == pytest.approx(found.flips[1])


def test_what_is_entailed_does_not_count() -> None:
    found = measure_drift(predict, FACES, [2, 4, 0, 0], 0, [2, 3])
    assert found.total == 0


def test_a_direction_that_leads_elsewhere_is_said_not_to_reach() -> None:
    found = measure_drift(predict, FACES, [0, 1, 0, 0], 0, [1, 2, 3])
    assert not found.reached
    assert found.alpha == ALPHAS[-1]


@pytest.mark.parametrize("length", [0.1, 1.0, 3.0])
def test_scaled_a_vector_reaches_its_attribute_at_two_lengths_on_other_faces_too(
    length: float,
) -> None:
    vector, drift = scale_vector(predict, FACES, np.array([length, 0, 0, 0]), 0, [1, 2, 3])
    assert drift.reached
    others = np.random.default_rng(1).standard_normal((400, 4)).astype(np.float32) - [3, 0, 0, 0]
    assert measure_drift(predict, others, vector, 0, [1, 2, 3]).alpha == 2.0
    np.testing.assert_allclose(vector[1:], 0)


def test_a_vector_that_leads_nowhere_keeps_its_length() -> None:
    vector, drift = scale_vector(predict, FACES, np.array([0, 1, 0, 0]), 0, [1])
    np.testing.assert_array_equal(vector, [0, 1, 0, 0])
    assert not drift.reached


def test_faces_that_are_accepted_as_they_are_do_not_shorten_a_vector() -> None:
    shown = FACES + np.array([9, 0, 0, 0], np.float32)  # lack it by their labels alone
    mixed = np.concatenate([FACES[:40], shown])  # nine of ten are accepted without a move
    direction = np.array([1, 0, 0, 0], np.float32)
    of_all, _ = scale_vector(predict, mixed, direction, 0, [1, 2, 3])
    of_lacking, _ = scale_vector(predict, FACES[:40], direction, 0, [1, 2, 3])
    np.testing.assert_array_equal(of_all, of_lacking)
    kept, _ = scale_vector(predict, shown, direction, 0, [1, 2, 3])
    np.testing.assert_array_equal(kept, direction)


def test_steering_makes_faces_gain_the_attribute_and_keep_the_others_better() -> None:
    config = ModelConfig(image_size=16, image_channels=3, latent_dim=6, channels=(8, 8))
    model = build_model(config, seed=1).eval()
    guide = build_classifier(
        ClassifierConfig(
            attributes=("a", "b", "c"), architecture="strided", image_size=16, channels=(8, 8)
        ),
        seed=2,
    ).eval()
    with torch.no_grad():  # so that an untrained network tells untrained faces apart
        for parameter in model.decoder.parameters():
            parameter.mul_(2)
        for parameter in guide.head.parameters():
            parameter.mul_(20)
    z = RNG.standard_normal((200, 6)).astype(np.float32)
    start = RNG.standard_normal(6).astype(np.float32)

    def judge(vector: np.ndarray) -> tuple[float, float]:
        with torch.no_grad():
            before, after = (
                torch.sigmoid(guide(torch.sigmoid(model.decoder(torch.from_numpy(each)))))
                for each in (z, z + vector)
            )
        return float(after[:, 0].mean()), float((after - before)[:, 1:].abs().sum(1).mean())

    states = [p.clone() for p in (*model.parameters(), *guide.parameters())]
    found = steered_vector(model, guide, z, start, wanted=0, others=[1, 2], steps=150)
    gained, moved = judge(found)
    free, moved_freely = judge(
        steered_vector(model, guide, z, start, wanted=0, others=[], steps=150)
    )
    assert gained > judge(start)[0]
    assert moved < moved_freely
    assert free >= gained - 0.05
    after = (*model.parameters(), *guide.parameters())
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(states, after, strict=True))


def test_the_same_seed_gives_the_same_direction_and_no_faces_are_an_error() -> None:
    config = ModelConfig(image_size=16, image_channels=3, latent_dim=6, channels=(8, 8))
    model = build_model(config).eval()
    guide = build_classifier(
        ClassifierConfig(
            attributes=("a", "b"), architecture="strided", image_size=16, channels=(8, 8)
        )
    ).eval()
    z, start = RNG.standard_normal((60, 6)), np.zeros(6)
    one, again, other = (
        steered_vector(model, guide, z, start, wanted=0, others=[1], steps=3, seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    with pytest.raises(ValueError, match="there are none"):
        steered_vector(model, guide, z[:0], start, wanted=0, others=[1])
