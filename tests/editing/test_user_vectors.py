from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.editing.user_vectors import (
    MAX_BYTES,
    make_user_vector,
    read_user_vector,
    write_user_vector,
)
from vae_explorer.errors import ModelFileError


@pytest.fixture
def card(checkpoint_root: Path) -> ModelCard:
    return load_checkpoint(checkpoint_root / "digits-vae-2d").card


def test_a_planted_direction_is_found() -> None:
    generator = np.random.default_rng(0)
    planted = np.array([3.0, 0, 0, -4])
    z = generator.standard_normal((400, 4))
    own = make_user_vector("planted", z[:200] + planted, z[200:])
    np.testing.assert_allclose(own.vector, planted, atol=0.4)
    # Unit variance on both sides: sqrt(1/200 + 1/200), over a length of 5.
    assert own.standard_error == pytest.approx(0.1 / 5, rel=0.2)
    assert own.steadiness > 0.999


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    generator = np.random.default_rng(1)
    along = np.array([2.0, 0])
    draw = generator.standard_normal
    made = [make_user_vector("x", draw((5, 2)) + along, draw((9, 2))) for _ in range(500)]
    spread = np.std([own.vector[0] for own in made]) / 2
    assert np.median([own.standard_error for own in made]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("dimensions", [2, 20, 200])
def test_chance_is_about_all_of_what_noise_gives(dimensions: int) -> None:
    draw = np.random.default_rng(3).standard_normal
    noise = [make_user_vector("x", draw((5, dimensions)), draw((5, dimensions))) for _ in range(99)]
    assert np.median([own.chance for own in noise]) == pytest.approx(1, abs=0.25)
    far = make_user_vector("x", draw((50, dimensions)) + 2, draw((50, dimensions)))
    assert far.chance < 0.3


def test_steadiness_is_that_of_leaving_each_picture_out() -> None:
    z = np.random.default_rng(4).standard_normal((9, 3))
    own = make_user_vector("x", z[:4], z[4:])

    def cosine(k: int) -> float:
        rest = np.arange(9) != k
        other = z[:4][rest[:4]].mean(axis=0) - z[4:][rest[4:]].mean(axis=0)
        return other @ own.vector / np.linalg.norm(other) / np.linalg.norm(own.vector)

    assert own.steadiness == pytest.approx(min(map(cosine, range(9))), abs=1e-5)


def test_few_pictures_are_shakier_than_many() -> None:
    z = np.random.default_rng(2).standard_normal((64, 3))
    few, many = (make_user_vector("x", z[:n] + 2, z[-n:]) for n in (2, 32))
    assert few.standard_error > many.standard_error
    assert few.steadiness < many.steadiness


def test_of_one_picture_each_nothing_can_be_said() -> None:
    own = make_user_vector("x", [[1.0, 2]], [[0.0, 0]])
    np.testing.assert_array_equal(own.vector, [1, 2])
    assert math.isnan(own.standard_error)
    assert math.isnan(own.steadiness)


@pytest.mark.parametrize(("ours", "others"), [([[1.0]], [[1.0]]), (np.zeros((0, 1)), [[1.0]])])
def test_what_gives_no_direction_is_refused(ours: list, others: list) -> None:
    with pytest.raises(ValueError, match=r"mean|both sides"):
        make_user_vector("x", ours, others)


def test_a_direction_comes_back_from_its_file(card: ModelCard) -> None:
    own = make_user_vector("Thick", [[1.0, 2.5]], [[0.25, 0], [0, 1]])
    again = read_user_vector(write_user_vector(own, card), card)
    assert (again.name, again.counts) == ("Thick", (1, 2))
    np.testing.assert_allclose(again.vector, own.vector, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "else"}, "not a direction"),
        ({"more": 1}, "has no 'more'"),
        ({"checkpoint": "other"}, "its own latent space"),
        ({"fingerprint": "other"}, "another version"),
        ({"name": ""}, "The name of a direction"),
        ({"name": "x" * 41}, "The name of a direction"),
        ({"name": "a\ud800"}, "The name of a direction"),
        ({"name": "a\nb"}, "The name of a direction"),
        ({"vector": [1.0]}, "2 finite numbers"),
        ({"vector": [1.0, float("nan")]}, "2 finite numbers"),
        ({"vector": [1.0, "2"]}, "2 finite numbers"),
        ({"vector": [1.0, 1e30]}, "2 finite numbers"),
        ({"counts": [1]}, "whole numbers"),
        ({"counts": [1, 0]}, "whole numbers"),
    ],
)
def test_what_is_no_direction_here_is_refused(
    card: ModelCard, values: dict[str, object], words: str
) -> None:
    good = json.loads(write_user_vector(make_user_vector("x", [[1.0, 2]], [[0.0, 0]]), card))
    with pytest.raises(ModelFileError, match=words):
        read_user_vector(json.dumps(good | values).encode(), card)


@pytest.mark.parametrize("data", [b"", b"[]", b"[" * 10_000, b" " * (MAX_BYTES + 1)])
def test_what_is_no_json_of_ours_is_refused(card: ModelCard, data: bytes) -> None:
    with pytest.raises(ModelFileError):
        read_user_vector(data, card)
