from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import put_faces
from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.editing.recipe import (
    BEST,
    MAX_BYTES,
    Recipe,
    editable,
    editing_vectors,
    kinds_of,
    read_recipe,
    write_recipe,
)
from vae_explorer.errors import ModelFileError

RECIPE = Recipe({"Smiling": 1.5, "Male": -3.0}, "plain", ("Wearing_Hat",), 0.25)


@pytest.fixture
def faces(checkpoint_root: Path, tmp_path: Path) -> Checkpoint:
    put_faces(checkpoint_root / "digits-vae-2d", tmp_path / "faces")
    return load_checkpoint(tmp_path / "faces")


def changed(faces: Checkpoint, values: dict[str, object]) -> bytes:
    return json.dumps(json.loads(write_recipe(RECIPE, faces.card)) | values).encode()


@pytest.mark.parametrize("recipe", [RECIPE, Recipe()], ids=["full", "empty"])
def test_a_recipe_comes_back_as_it_was(faces: Checkpoint, recipe: Recipe) -> None:
    assert read_recipe(write_recipe(recipe, faces.card), faces) == recipe


def test_what_is_offered_has_a_vector_here(faces: Checkpoint) -> None:
    assert editable(faces) == ["Smiling", "Wearing_Hat", "Male"]
    assert kinds_of(faces) == [BEST, "plain", "regression"]


def test_a_kind_has_vectors_of_its_own(faces: Checkpoint) -> None:
    plain, regression = editing_vectors(faces, "plain"), editing_vectors(faces, "regression")
    for name, vector in editing_vectors(faces).items():
        np.testing.assert_allclose(vector, plain[name], atol=1e-6)
        np.testing.assert_allclose(vector, -regression[name], atol=1e-6)


def test_locked_means_orthogonal_for_all_but_the_locked(faces: Checkpoint) -> None:
    free = editing_vectors(faces)
    locked = editing_vectors(faces, BEST, ("Male", "Wearing_Hat"))
    np.testing.assert_array_equal(locked["Male"], free["Male"])
    for name in ("Male", "Wearing_Hat"):
        assert abs(free["Smiling"] @ free[name]) > 1e-4
        assert locked["Smiling"] @ free[name] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "else"}, "saved on this page"),
        ({"checkpoint": "other"}, "for the model 'other'"),
        ({"fingerprint": "0" * 64}, "another version"),
        ({"kind": "magic"}, "best, plain, regression"),
        ({"kind": ["plain"]}, "best, plain, regression"),
        ({"locked": ["Attractive"]}, "some of Smiling"),
        ({"locked": [["Male"]]}, "some of Smiling"),
        ({"locked": "Male"}, "a list"),
        ({"amounts": [1]}, "look like"),
        ({"amounts": {"Attractive": 1}}, "no attribute 'Attractive'"),
        ({"amounts": {"Smiling": 3.5}}, "from -3 to 3"),
        ({"amounts": {"Smiling": float("nan")}}, "from -3 to 3"),
        ({"amounts": {"Smiling": float("inf")}}, "from -3 to 3"),
        ({"amounts": {"Smiling": "1"}}, "from -3 to 3"),
        ({"amounts": {"Smiling": True}}, "from -3 to 3"),
        ({"detail": None}, "from 0 to 1"),
        ({"face": "…"}, "no 'face'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    faces: Checkpoint, values: dict[str, object], words: str
) -> None:
    with pytest.raises(ModelFileError, match=words):
        read_recipe(changed(faces, values), faces)


@pytest.mark.parametrize("name", ["format", "checkpoint", "fingerprint", "kind", "amounts"])
def test_what_is_missing_is_named(faces: Checkpoint, name: str) -> None:
    values = json.loads(write_recipe(RECIPE, faces.card))
    del values[name]
    with pytest.raises(ModelFileError, match=name if name != "format" else "not a recipe"):
        read_recipe(json.dumps(values).encode(), faces)


@pytest.mark.parametrize(
    "data",
    [b"", b"no JSON", b"[1]", b"\xff\xfe", b"[" * 10_000, b" " * (MAX_BYTES + 1)],
    ids=["empty", "text", "a list", "no text", "deep", "a million entries"],
)
def test_what_is_no_recipe_is_refused(faces: Checkpoint, data: bytes) -> None:
    with pytest.raises(ModelFileError):
        read_recipe(data, faces)
