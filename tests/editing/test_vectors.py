from __future__ import annotations

import numpy as np
import pytest

from vae_explorer.editing.vectors import (
    ENTAILED,
    OFFERED,
    balanced_vector,
    lock,
    others_of,
    regression_vector,
)
from vae_explorer.latent.interpolation import attribute_vector

RNG = np.random.default_rng(0)
NAMES = ("Smiling", "High_Cheekbones", "Young", "Male", "Eyeglasses")
DIRECTIONS = np.eye(5, 8)
KINDS = pytest.mark.parametrize("kind", [balanced_vector, regression_vector])


def plant(n: int = 20_000, strength: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Encodings in which each attribute has a direction of its own, and Young goes with glasses."""
    has = RNG.random((n, 5)) < 0.5
    copied = RNG.random(n) < strength
    has[copied, 2] = ~has[copied, 4]
    z = 2 * has @ DIRECTIONS + 0.5 * RNG.standard_normal((n, 8))
    return z, has


@KINDS
def test_a_planted_attribute_is_recovered_apart_from_what_goes_along(kind) -> None:
    z, has = plant()
    found = kind(z, has, NAMES, "Eyeglasses")
    np.testing.assert_allclose(found, 2 * DIRECTIONS[4], atol=0.1)
    plain = attribute_vector(z, has[:, 4])
    assert plain[2] < -0.8  # the plain one makes old as well


@KINDS
def test_what_an_attribute_entails_is_not_held_back(kind) -> None:
    z, has = plant()
    has[:, 1] = has[:, 0]
    z = 2 * has @ DIRECTIONS + 0.5 * RNG.standard_normal(z.shape)
    found = kind(z, has, NAMES, "Smiling")
    np.testing.assert_allclose(found[:2], 2, atol=0.1)


def test_where_all_combinations_are_rare_the_balanced_vector_is_the_plain_one() -> None:
    z, has = plant(60)
    has[:, 2] = has[:, 4]
    wanted = attribute_vector(z, has[:, 4])
    np.testing.assert_allclose(balanced_vector(z, has, NAMES, "Eyeglasses"), wanted, atol=1e-6)


@KINDS
def test_an_attribute_that_all_have_holds_nothing_back(kind) -> None:
    z, has = plant()
    has[:, 3] = True
    found = kind(z, has, NAMES, "Eyeglasses")
    assert np.isfinite(found).all()
    assert found[4] > 1.8


@KINDS
def test_an_attribute_that_is_not_there_is_an_error(kind) -> None:
    z, has = plant(50)
    with pytest.raises(ValueError, match="Wings"):
        kind(z, has, NAMES, "Wings")


def test_a_locked_vector_is_orthogonal_to_those_it_is_locked_against() -> None:
    vector, *locked = RNG.standard_normal((4, 32))
    found = lock(vector, locked)
    np.testing.assert_allclose(np.array(locked) @ found, 0, atol=1e-5)
    # and the nearest such: what was taken away lies in the span of the locked ones
    np.testing.assert_allclose(lock(vector - found, locked), 0, atol=1e-5)


def test_locks_count_the_same_in_any_order_and_length() -> None:
    vector, a, b = RNG.standard_normal((3, 16))
    np.testing.assert_allclose(lock(vector, [a, b]), lock(vector, [5 * b, -a]), atol=1e-5)
    np.testing.assert_allclose(lock(vector, [a, a]), lock(vector, [a]), atol=1e-5)


def test_without_locks_a_vector_stays_as_it_is() -> None:
    vector = RNG.standard_normal(16).astype(np.float32)
    np.testing.assert_array_equal(lock(vector, []), vector)


def test_a_vector_locked_against_itself_is_nothing() -> None:
    vector = RNG.standard_normal(16)
    np.testing.assert_allclose(lock(vector, [vector]), 0, atol=1e-5)


def test_no_judgement_of_the_label_set_is_offered() -> None:
    offered = {name for group in OFFERED.values() for name in group}
    judgements = {"Attractive", "Chubby", "Double_Chin", "Big_Nose", "Big_Lips", "Pale_Skin"}
    assert not offered & judgements
    assert len(offered) == sum(map(len, OFFERED.values()))


def test_nothing_entails_itself_and_glasses_entail_nothing() -> None:
    assert all(name not in entailed for name, entailed in ENTAILED.items())
    assert others_of("Eyeglasses", NAMES) == [0, 1, 2, 3]
    assert others_of("Smiling", NAMES) == [2, 3, 4]
