from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from vae_explorer.latent.planes import (
    Plane,
    coordinate_plane,
    dimension_name,
    grid_points,
    posterior_ellipse,
    principal_components,
)

MIXING = np.random.default_rng(7).normal(size=(6, 6)) * [3, 2, 1, 0.5, 0.2, 0.1]


@pytest.fixture
def encodings() -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(400, 6)) @ MIXING.T + 2).astype(np.float32)


@pytest.fixture(params=["coordinates", "components", "shifted components"])
def plane(request, encodings) -> Plane:
    if request.param == "coordinates":
        return coordinate_plane(6, 4, 1, origin=encodings[0])
    if request.param == "components":
        return principal_components(encodings).plane()
    return principal_components(encodings).plane(2, 0, scores=np.arange(6))


def test_a_plane_gives_its_points_back(plane):
    points = np.random.default_rng(1).normal(size=(50, 2))
    z = plane.to_latent(points)
    assert z.shape == (50, 6)
    np.testing.assert_allclose(plane.to_plane(z), points, atol=1e-5)


def test_dropping_on_a_plane_is_the_shortest_way_to_it(plane, encodings):
    foot = plane.to_latent(plane.to_plane(encodings))
    np.testing.assert_allclose((encodings - foot) @ plane.axes.T, 0, atol=1e-4)


def test_a_coordinate_plane_shows_the_latents_own_numbers(encodings):
    plane = coordinate_plane(6, 4, 1, origin=encodings[0])
    assert plane.names == ("z₅", "z₂")
    np.testing.assert_allclose(plane.to_plane(encodings), encodings[:, [4, 1]])
    lifted = plane.to_latent([[9.0, 8.0]])[0]
    np.testing.assert_allclose(
        lifted, [*encodings[0, :1], 8, *encodings[0, 2:4], 9, encodings[0, 5]]
    )


def test_dimensions_are_named_from_one():
    assert [dimension_name(k) for k in (0, 9, 127)] == ["z₁", "z₁₀", "z₁₂₈"]


def test_a_coordinate_plane_stands_at_the_priors_mean_by_default():
    np.testing.assert_array_equal(
        coordinate_plane(12, 0, 11).to_latent([[1, 2]]), [[1, *[0] * 10, 2]]
    )


def test_scores_on_principal_components_are_uncorrelated_and_spread_as_they_say(encodings):
    pca = principal_components(encodings)
    covariance = np.cov(((encodings - pca.mean) @ pca.components.T).T)
    shares = np.diag(covariance) / np.trace(covariance)
    np.testing.assert_allclose(covariance / np.trace(covariance), np.diag(shares), atol=1e-9)
    np.testing.assert_allclose(pca.explained_variance_ratio, shares, rtol=1e-6)
    assert np.all(np.diff(shares) < 0)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(6), atol=1e-9)


def test_principal_components_are_those_of_scikit_learn(encodings):
    ours = principal_components(encodings)
    theirs = PCA(svd_solver="covariance_eigh").fit(encodings.astype(np.float64))
    signs = np.sign(np.sum(ours.components * theirs.components_, axis=1))
    np.testing.assert_allclose(ours.components, signs[:, None] * theirs.components_, atol=1e-11)
    np.testing.assert_allclose(
        ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-10
    )


def test_fewer_encodings_than_dimensions_have_components_without_variance():
    pca = principal_components(np.random.default_rng(2).normal(size=(3, 6)))
    assert pca.components.shape == (6, 6)
    np.testing.assert_allclose(pca.explained_variance_ratio[2:], 0, atol=1e-9)


def test_principal_components_have_a_sign_that_turning_the_data_round_does_not_change(encodings):
    pca, turned = principal_components(encodings), principal_components(-encodings)
    np.testing.assert_allclose(pca.components, turned.components, atol=1e-8)
    largest = np.abs(pca.components).argmax(axis=1)
    assert np.all(pca.components[np.arange(6), largest] > 0)


def test_a_principal_plane_passes_through_the_mean_and_names_its_components(encodings):
    plane = principal_components(encodings).plane(1, 3)
    assert plane.names == ("PC 2", "PC 4")
    np.testing.assert_allclose(plane.to_latent([[0, 0]])[0], encodings.mean(axis=0), rtol=1e-5)


def test_scores_move_a_principal_plane_along_the_other_components(encodings):
    pca = principal_components(encodings)
    moved = pca.plane(0, 1, scores=[5, 5, 0, 1.5, 0, 0])
    np.testing.assert_allclose(moved.origin - pca.mean, 1.5 * pca.components[3])


@pytest.mark.parametrize("value", [0, 1, 0.1])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_encodings_that_are_all_the_same_explain_nothing(rows, value):
    encodings = np.full((rows, 3), value)
    pca = principal_components(encodings)
    np.testing.assert_array_equal(pca.explained_variance_ratio.round(12) % 1, 0)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(pca.plane().to_plane(encodings), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: coordinate_plane(2, 0, 2), "no dimension 2"),
        (lambda: coordinate_plane(2, -1, 0), "no dimension -1"),
        (lambda: coordinate_plane(3, 1, 1), "two different"),
        (lambda: coordinate_plane(3, 0, 1, origin=[0, 0]), r"\(3,\); found \(2,\)"),
        (lambda: principal_components(np.eye(3)).plane(0, 3), "no component 3"),
        (lambda: principal_components(np.ones((0, 4))), r"found \(0, 4\)"),
        (lambda: Plane(np.zeros(3), np.eye(2), ("a", "b")), r"\(3,\) and \(2, 2\)"),
        (lambda: Plane(np.zeros(2), 2 * np.eye(2), ("a", "b")), "length 1"),
    ],
)
def test_a_plane_that_cannot_be_says_why(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("spacing", ["linear", "quantile"])
@pytest.mark.parametrize("n", [2, 5, 20])
def test_a_grid_is_read_like_a_page_and_reaches_its_extent(spacing, n):
    grid = grid_points((1, -2), 3, n, spacing).reshape(n, n, 2)
    assert np.all(np.diff(grid[0, :, 0]) > 0)
    assert np.all(np.diff(grid[:, 0, 1]) < 0)
    assert np.all(grid[:, :, 0] == grid[0, :, 0])
    assert np.all(grid[:, :, 1] == grid[:, :1, 1])
    np.testing.assert_allclose(grid[[0, -1], [0, -1]], [[-2, 1], [4, -5]], atol=1e-5)
    np.testing.assert_allclose(grid.mean(axis=(0, 1)), (1, -2), atol=1e-5)


def test_linear_steps_are_equal_and_quantile_steps_are_equally_probable():
    steps = np.diff(grid_points((0, 0), 2, 9)[:9, 0])
    np.testing.assert_allclose(steps, 0.5, rtol=1e-6)
    prior = np.sort(np.random.default_rng(5).normal(size=50_000))
    shares = np.diff(np.searchsorted(prior, grid_points((0, 0), 2, 9, "quantile")[:9, 0]))
    np.testing.assert_allclose(shares / 50_000, 0.9545 / 8, atol=0.006)


@pytest.mark.parametrize("spacing", ["linear", "quantile"])
def test_a_grid_of_one_is_the_centre(spacing):
    np.testing.assert_array_equal(grid_points((0.5, -1), 3, 1, spacing), [[0.5, -1]])


def test_a_wide_quantile_grid_stays_finite():
    grid = grid_points((0, 0), 12, 7, "quantile")
    assert np.isfinite(grid).all()
    assert np.abs(grid).max() == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 0), 3, 0), "at least 1 point"),
        (((0, 0), 0, 3), "positive"),
        (((0, 0), np.nan, 3), "positive"),
        (((0, np.inf), 3, 3), "two finite numbers"),
        (((0, 0, 0), 3, 3), "two finite numbers"),
        (((0, 0), 3, 3, "quantiles"), "Did you mean 'quantile'"),
    ],
)
def test_a_grid_that_cannot_be_says_why(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid_points(*arguments)


def test_an_ellipse_on_coordinate_axes_has_the_standard_deviations_as_half_axes():
    plane = coordinate_plane(4, 2, 0)
    outline = posterior_ellipse(plane, [1, 0, -1, 0], np.log([4, 9, 0.25, 1]), 2, num=721)
    np.testing.assert_array_equal(outline[0], outline[-1])
    np.testing.assert_allclose(outline.min(axis=0), [-1 - 2 * 0.5, 1 - 2 * 2], atol=1e-3)
    np.testing.assert_allclose(outline.max(axis=0), [-1 + 2 * 0.5, 1 + 2 * 2], atol=1e-3)


def test_an_ellipse_lies_at_its_mahalanobis_distance_in_the_projected_covariance(plane):
    rng = np.random.default_rng(6)
    z_mean, z_log_var = rng.normal(size=6), rng.normal(size=6)
    offsets = posterior_ellipse(plane, z_mean, z_log_var, 1.5) - plane.to_plane(z_mean)
    samples = plane.to_plane(z_mean + np.exp(z_log_var / 2) * rng.normal(size=(200_000, 6)))
    precision = np.linalg.inv(np.cov(samples.T))
    distances = np.sqrt(np.einsum("ni,ij,nj->n", offsets, precision, offsets))
    np.testing.assert_allclose(distances, 1.5, rtol=0.02)
