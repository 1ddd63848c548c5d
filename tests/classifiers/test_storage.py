"""Attribute classifiers: their files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.classifiers import (
    EPOCHS,
    NAMES,
    TINY,
    TRAIN,
    make_images,
)
from vae_explorer import workspace
from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.classifiers.network import (
    ClassifierConfig,
)
from vae_explorer.classifiers.storage import (
    load_classifier,
    predict_attributes,
    save_classifier,
)
from vae_explorer.config import JsonValue
from vae_explorer.data import ImageDataset
from vae_explorer.errors import CheckpointError
from vae_explorer.publishing import measure_accuracy, publish_classifier
from vae_explorer.training.classifier import (
    load_best,
)


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory,
    classifier_faces: ImageDataset,
    classifier_runs: dict[str, Path],
) -> Path:
    """The folder of the strided network; only to be read."""
    out = tmp_path_factory.mktemp("checkpoints") / "classifiers" / "tiny"
    classifier, history = load_best(classifier_runs["strided"])
    publish_classifier(classifier, TRAIN, history, classifier_faces, out)
    return out


@pytest.fixture
def copied(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be broken, below the folder where names are looked for."""
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path)
    return shutil.copytree(published, tmp_path / "classifiers" / "tiny")


# Files


def test_a_saved_network_is_loaded_frozen_and_tells_the_same(
    copied: Path, classifier_runs: dict[str, Path]
) -> None:
    images = make_images(4)
    want = predict_attributes(load_best(classifier_runs["strided"])[0], images)
    for name_or_path in ("tiny", copied, str(copied)):
        network = load_classifier(name_or_path)
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())
        np.testing.assert_allclose(predict_attributes(network, images), want, atol=1e-6)


def test_the_card_says_what_is_known(published: Path, classifier_faces: ImageDataset) -> None:
    card = json.loads((published / "card.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in published.iterdir()) == ["card.json", "model.safetensors"]
    assert ClassifierConfig.from_dict(card["network"]) == TINY["strided"]
    rows = classifier_faces.rows("val")
    right = measure_accuracy(load_classifier(published), classifier_faces, rows)
    assert card["accuracy"] == dict(zip(NAMES, right.tolist(), strict=True))
    assert card["mean_accuracy"] == right.mean()
    assert 0.5 <= card["majority_accuracy"] < 0.7
    assert "all 80 images of the val split" in card["protocol"]
    assert "non-commercial research" in card["dataset"]["terms"]
    assert card["training"]["epochs"] == EPOCHS
    assert set(card["versions"]) >= {"python", "torch"}


def test_networks_of_attributes_are_not_listed_as_models(copied: Path) -> None:
    assert list_checkpoints(copied.parents[1]) == ({}, {})


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tinny", "no classifier 'tinny'. Did you mean 'tiny'"),
        ("..", "no classifier '..'"),
        (Path("nowhere"), "no classifier in nowhere: it has no card.json"),
        ("some/where", "train-classifier --out some/where"),
    ],
)
def test_one_that_is_not_there(copied: Path, name: str | Path, advice: str) -> None:
    assert copied.is_dir()
    with pytest.raises(CheckpointError, match=advice):
        load_classifier(name)


def test_where_there_is_none_the_command_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path)
    with pytest.raises(CheckpointError, match=r"no classifiers in .* train-classifier --out"):
        load_classifier("tiny")


def change_card(folder: Path, **changes: JsonValue) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps(card | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "advice"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"no"), "is damaged or was changed"),
        (lambda f: (f / "card.json").write_text("{"), "card.json is not JSON"),
        (lambda f: change_card(f, format_version=99), "newer version"),
        (lambda f: change_card(f, sha256={}), "must name model.safetensors alone"),
        (lambda f: change_card(f, parameters="many"), "parameters must be a whole number"),
        (
            lambda f: change_card(f, network=replace(TINY["strided"], channels=(8, 16)).to_dict()),
            r"must be torch.float32 of shape \(",
        ),
        (lambda f: change_card(f, network=TINY["residual"].to_dict()), "lacks .* weights"),
        (lambda f: change_card(f, network={"channels": []}), "ClassifierConfig lacks architecture"),
    ],
)
def test_a_broken_one_says_what_is_wrong(
    copied: Path, damage: Callable[[Path], object], advice: str
) -> None:
    damage(copied)
    with pytest.raises(CheckpointError, match=rf"'tiny' is broken.*{advice}.*git checkout --"):
        load_classifier("tiny")


def test_what_cannot_be_loaded_replaces_nothing(
    copied: Path, classifier_faces: ImageDataset, classifier_runs: dict[str, Path]
) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    classifier, history = load_best(classifier_runs["strided"])
    with torch.no_grad():
        next(classifier.parameters()).fill_(torch.nan)
    with pytest.raises(CheckpointError, match=r"'tiny' was not saved: .*must hold finite weights"):
        publish_classifier(classifier, TRAIN, history, classifier_faces, copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    assert [path.name for path in copied.parent.iterdir()] == ["tiny"]


def test_something_else_is_not_replaced(tmp_path: Path, published: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("one")
    classifier = load_classifier(published)
    with pytest.raises(CheckpointError, match="something that is no classifier"):
        save_classifier(tmp_path / "thesis", classifier, None)  # type: ignore[arg-type]
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "one"
