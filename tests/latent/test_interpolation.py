from __future__ import annotations

import numpy as np
import pytest

from vae_explorer.latent.interpolation import (
    attribute_vector,
    from_p_values,
    latent_traversal,
    lerp,
    slerp,
    to_p_values,
)
from vae_explorer.latent.statistics import nearest


@pytest.fixture
def ends() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 20)).astype(np.float32)


@pytest.mark.parametrize("path", [lerp, slerp])
def test_a_path_meets_its_ends(path, ends):
    a, b = ends
    np.testing.assert_allclose(path(a, b, [0, 1]), ends, rtol=1e-6)
    assert path(a, b, 0.5).shape == (20,)
    assert path(a, b, np.linspace(0, 1, 7)).shape == (7, 20)
    assert path(a, b, 0.5).dtype == np.float32


@pytest.mark.parametrize("path", [lerp, slerp])
def test_a_path_backwards_is_the_path_reversed(path, ends):
    a, b = ends
    t = np.linspace(0, 1, 5)
    np.testing.assert_allclose(path(a, b, t), path(b, a, t)[::-1], atol=1e-6)


def test_lerp_halfway_is_the_mean(ends):
    np.testing.assert_allclose(lerp(*ends, 0.5), ends.mean(axis=0), atol=1e-6)


def test_slerp_turns_at_a_constant_rate_and_changes_the_norm_linearly(ends):
    a, b = ends[0], 3 * ends[1]
    path = slerp(a, b, np.linspace(0, 1, 11)).astype(np.float64)
    norms = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(
        norms, np.linspace(np.linalg.norm(a), np.linalg.norm(b), 11), rtol=1e-5
    )
    directions = path / norms[:, None]
    turns = np.arccos(np.sum(directions[:-1] * directions[1:], axis=1))
    np.testing.assert_allclose(turns, turns.mean(), rtol=1e-4)


def test_slerp_stays_in_the_plane_of_its_ends(ends):
    path = slerp(*ends, np.linspace(0, 1, 5))
    assert np.linalg.matrix_rank(path, tol=1e-4) == 2


@pytest.mark.parametrize(
    "b",
    [[2.0, 4.0], [-1.0, -2.0], [0.0, 0.0], [1.0, 2.0 + 1e-6], [-1.0, -2.0 + 1e-6]],
    ids=["parallel", "opposite", "zero", "nearly parallel", "nearly opposite"],
)
def test_slerp_is_lerp_where_there_is_no_great_circle(b):
    a, t = [1.0, 2.0], np.linspace(0, 1, 5)
    np.testing.assert_array_equal(slerp(a, b, t), lerp(a, b, t))
    np.testing.assert_array_equal(slerp(b, a, t), lerp(b, a, t))


def test_slerp_keeps_the_norm_also_between_ends_that_are_not_quite_opposite():
    a, b = np.array([1.0, 0.0]), np.array([np.cos(np.pi - 1e-3), np.sin(np.pi - 1e-3)])
    np.testing.assert_allclose(np.linalg.norm(slerp(a, b, [0.25, 0.5]), axis=1), 1, rtol=1e-6)


def test_slerp_and_lerp_agree_on_either_side_of_the_switch():
    a, t = np.array([1.0, 0.0]), np.linspace(0, 1, 5)
    b = np.array([np.cos(3e-4), np.sin(3e-4)])
    np.testing.assert_allclose(slerp(a, b, t), lerp(a, b, t), atol=1e-6)


@pytest.mark.parametrize("path", [lerp, slerp])
def test_a_path_between_latents_of_two_lengths_is_refused(path):
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        path(np.ones(2), np.ones(3), 0.5)


def test_a_traversal_changes_one_dimension_only(ends):
    z, values = ends[0], np.linspace(-3, 3, 9)
    path = latent_traversal(z, 4, values)
    np.testing.assert_allclose(path[:, 4], values, rtol=1e-6)
    np.testing.assert_array_equal(np.delete(path, 4, 1), np.tile(np.delete(z, 4), (9, 1)))


@pytest.mark.parametrize("dimension", [-1, 20])
def test_a_traversal_of_a_dimension_that_is_not_there_is_refused(ends, dimension):
    with pytest.raises(ValueError, match="0 to 19"):
        latent_traversal(ends[0], dimension, [0.0])


def test_an_attribute_vector_recovers_a_planted_direction():
    rng = np.random.default_rng(1)
    planted = rng.normal(size=8)
    has = rng.random(20_000) < 0.3
    z = rng.normal(size=(20_000, 8)) + has[:, None] * planted
    np.testing.assert_allclose(attribute_vector(z, has), planted, atol=0.08)
    np.testing.assert_allclose(attribute_vector(z, ~has), -attribute_vector(z, has))


@pytest.mark.parametrize("has", [[True, True], [False, False]])
def test_an_attribute_vector_needs_both_sides(has):
    with pytest.raises(ValueError, match="both sides"):
        attribute_vector(np.zeros((2, 3)), has)


@pytest.mark.parametrize("has", [[True], [1, 0]])
def test_an_attribute_vector_needs_one_truth_value_per_latent(has):
    with pytest.raises(ValueError, match="one truth value for each of 2"):
        attribute_vector(np.zeros((2, 3)), has)


def test_p_values_go_there_and_back():
    z = np.linspace(-6.5, 6.5, 101).reshape(-1, 1)
    p = to_p_values(z)
    assert p.shape == z.shape
    assert np.all(np.diff(p[:, 0]) > 0)
    np.testing.assert_allclose(from_p_values(p), z, atol=1e-4)


def test_p_values_of_the_prior_are_uniform():
    p = to_p_values(np.random.default_rng(2).normal(size=20_000))
    np.testing.assert_allclose(
        np.quantile(p, [0.1, 0.25, 0.5, 0.9]), [0.1, 0.25, 0.5, 0.9], atol=0.01
    )


def test_p_values_at_and_beyond_the_edge_stay_finite():
    z = from_p_values([-0.1, 0.0, 0.5, 1.0, 1.1])
    assert np.isfinite(z).all()
    np.testing.assert_allclose(z, -z[::-1], atol=1e-3)


def test_nearest_agrees_with_sorting_all_distances():
    rng = np.random.default_rng(3)
    z, candidates = rng.normal(size=(10, 6)), rng.normal(size=(500, 6))
    indices, distances = nearest(z, candidates, 7)
    every = np.linalg.norm(z[:, None] - candidates, axis=2)
    np.testing.assert_array_equal(indices, np.argsort(every, axis=1)[:, :7])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :7], rtol=1e-6)


def test_the_nearest_of_a_candidate_is_itself_also_far_from_the_origin():
    candidates = np.random.default_rng(4).normal(1000, 1, size=(300, 4)).astype(np.float32)
    indices, distances = nearest(candidates, candidates, 1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(300))
    assert np.all(distances == 0)


def test_all_candidates_can_be_asked_for_and_none_given():
    assert sorted(nearest(np.zeros((1, 2)), np.eye(2), 2)[0][0]) == [0, 1]
    assert nearest(np.zeros((0, 2)), np.eye(2), 1)[0].shape == (0, 1)


@pytest.mark.parametrize("k", [0, 4])
def test_more_neighbours_than_candidates_are_refused(k):
    with pytest.raises(ValueError, match="3 candidates"):
        nearest(np.zeros((1, 2)), np.zeros((3, 2)), k)


def test_neighbours_in_another_space_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(3, 5\)"):
        nearest(np.zeros((1, 2)), np.zeros((3, 5)), 1)
