from __future__ import annotations

import numpy as np
import pytest

from vae_explorer.classifiers.network import ClassifierConfig, build_classifier
from vae_explorer.config import ModelConfig
from vae_explorer.editing.selection import KINDS, Networks, choose_vectors, plain_vectors
from vae_explorer.encodings import Encodings
from vae_explorer.models import build_model

NAMES = ("Smiling", "Young", "Attractive", "Wearing_Hat")
DIMENSIONS = 6


def encode(split: str, seed: int) -> Encodings:
    """Encodings of 300 faces in which attribute k is told by coordinate k; none wears a hat."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((300, DIMENSIONS)).astype(np.float32)
    has = z[:, :4] > 0.3
    has[:, 3] = False
    return Encodings(np.arange(300), np.full(300, split), z, np.zeros_like(z), None, has)


class Planted(Networks):
    """A judge that reads attributes off the latents themselves."""

    def predict(self, z: np.ndarray) -> np.ndarray:
        return z[:, :4] > 0.3


@pytest.fixture(scope="module")
def networks() -> Planted:
    model = build_model(
        ModelConfig(image_size=8, image_channels=3, latent_dim=DIMENSIONS, channels=(8,))
    ).eval()
    guide = build_classifier(
        ClassifierConfig(attributes=NAMES, architecture="strided", image_size=8, channels=(8,))
    ).eval()
    return Planted(model, guide, guide)


@pytest.fixture(scope="module")
def chosen(networks: Planted) -> tuple[dict, dict]:
    return choose_vectors(networks, encode("train", 0), encode("val", 1), NAMES, 0)


def test_every_attribute_that_tells_faces_apart_has_a_vector(chosen: tuple[dict, dict]) -> None:
    arrays, _ = chosen
    wanted = {"Smiling", "Young", "Attractive"}
    assert {n.removeprefix("attribute_vector.") for n in arrays if "attribute" in n} == wanted
    assert all(vector.shape == (DIMENSIONS,) for vector in arrays.values())


def test_those_offered_for_editing_have_all_kinds_and_the_default_drifts_least(
    chosen: tuple[dict, dict],
) -> None:
    arrays, metrics = chosen
    for name in ("Smiling", "Young"):
        kinds = {kind: arrays[f"{kind}_vector.{name}"] for kind in KINDS}
        default = arrays[f"attribute_vector.{name}"]
        same = [kind for kind, vector in kinds.items() if np.array_equal(vector, default)]
        assert same
        # The directions are planted apart, so that a good one drifts by little on other faces.
        alpha, accepted, drift = metrics[f"drift.{name}.{same[0]}"].value
        assert (alpha, accepted) >= (1.5, 0.9)
        assert drift < 0.3
        assert sum(metrics[f"drift_of.{name}"].value) == pytest.approx(drift)
        assert "val split" in metrics[f"drift_of.{name}"].protocol
    assert not any(name.endswith("_vector.Attractive") and "attr" not in name for name in arrays)
    assert not any("Attractive" in name for name in metrics)


def test_a_vector_reaches_its_attribute_well_inside_the_sliders_range(
    networks: Planted, chosen: tuple[dict, dict]
) -> None:
    z = encode("val", 2).z_mean
    for column, name in enumerate(NAMES[:2]):
        without = z[~networks.predict(z)[:, column]]
        moved = without + 2.5 * chosen[0][f"attribute_vector.{name}"]
        assert networks.predict(moved)[:, column].mean() >= 0.9


def test_without_a_guide_there_are_no_steered_vectors(networks: Planted) -> None:
    alone = Planted(networks.model, networks.evaluation_classifier, None)
    arrays, metrics = choose_vectors(alone, encode("train", 0), encode("val", 1), NAMES, 0)
    assert not any("steered" in name for name in (*arrays, *metrics))
    assert "regression_vector.Smiling" in arrays


def test_where_nothing_judges_the_plain_vectors_are_taken_as_they_are() -> None:
    train = encode("train", 0)
    vectors = plain_vectors(train, NAMES)
    assert set(vectors) == {f"attribute_vector.{name}" for name in NAMES[:3]}
    has = train.attributes[:, 0]
    wanted = train.z_mean[has].mean(axis=0) - train.z_mean[~has].mean(axis=0)
    np.testing.assert_allclose(vectors["attribute_vector.Smiling"], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("train_has", "held_out_has"),
    [("all", "all"), ("none", "none"), ("one", "all"), ("same", "all"), ("same", "none")],
)
def test_attributes_that_all_or_none_have_are_left_out(
    networks: Planted, train_has: str, held_out_has: str
) -> None:
    train, held_out = encode("train", 0).take(np.arange(30)), encode("val", 1).take(np.arange(3))
    for encodings, has in ((train, train_has), (held_out, held_out_has)):
        assert encodings.attributes is not None
        same = np.arange(len(encodings.row_id))[:, None] % 2 == 0
        encodings.attributes[:] = {"all": True, "none": False}.get(has, same)
        if has == "one":
            encodings.attributes[:] = np.arange(len(encodings.row_id))[:, None] == 0
    arrays, metrics = choose_vectors(networks, train, held_out, NAMES, 0)
    assert bool(arrays) == (train_has in ("one", "same"))
    assert bool(metrics) == (bool(arrays) and held_out_has == "none")
    assert all(np.isfinite(vector).all() for vector in arrays.values())
    assert all(np.isfinite(metric.value).all() for metric in metrics.values())
