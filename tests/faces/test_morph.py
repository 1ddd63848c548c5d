from __future__ import annotations

import numpy as np
import pytest

from vae_explorer.faces.morph import FADE_POWER, TUNED_FADE_POWER, blend, residual
from vae_explorer.images import enlarge, to_uint8
from vae_explorer.latent.interpolation import corner_grid, morph_path, slerp

RNG = np.random.default_rng(0)
PORTRAITS = RNG.random((2, 3, 32, 32)).astype(np.float32)
FRAMES = RNG.random((5, 3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_path_begins_and_ends_at_the_faces(path: str) -> None:
    a, b = RNG.normal(size=(2, 16))
    z = morph_path(a, b, 7, path)
    assert z.shape == (7, 16)
    np.testing.assert_allclose(z[[0, -1]], [a, b], rtol=1e-5, atol=1e-5)


def test_a_straight_path_cuts_through_the_middle_and_a_spherical_one_keeps_its_distance() -> None:
    a, b = RNG.normal(size=(2, 200))
    straight, round_ = (morph_path(a, b, 3, path)[1] for path in ("linear", "spherical"))
    np.testing.assert_allclose(straight, (a + b) / 2, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(round_, slerp(a, b, 0.5), rtol=1e-5)
    assert np.linalg.norm(round_) > 1.2 * np.linalg.norm(straight)


def test_a_morph_of_one_step_is_none() -> None:
    with pytest.raises(ValueError, match="two ends; found 1"):
        morph_path([0.0], [1.0], 1)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_field_has_its_corners_at_the_faces_and_its_edges_on_the_paths(path: str) -> None:
    a, b, c, d = corners = RNG.normal(size=(4, 6))
    grid = corner_grid(corners, 5, path).reshape(5, 5, 6)
    np.testing.assert_allclose(grid[[0, 0, -1, -1], [0, -1, 0, -1]], corners, rtol=1e-4, atol=1e-5)
    edges = [(grid[0], a, b), (grid[-1], c, d), (grid[:, 0], a, c), (grid[:, -1], b, d)]
    for edge, start, end in edges:
        np.testing.assert_allclose(edge, morph_path(start, end, 5, path), rtol=1e-4, atol=1e-5)


def test_a_straight_field_has_the_mean_of_its_corners_in_the_middle() -> None:
    corners = RNG.normal(size=(4, 6))
    middle = corner_grid(corners, 3, "linear")[4]
    np.testing.assert_allclose(middle, corners.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_enlarging_keeps_flat_pictures_and_the_range() -> None:
    flat = np.full((1, 3, 4, 4), 0.3, np.float32)
    np.testing.assert_allclose(enlarge(flat, 16), 0.3, atol=1e-6)
    large = enlarge(FRAMES, 20)
    assert large.shape == (5, 3, 20, 20)
    assert large.min() >= 0 and large.max() <= 1


def test_with_all_detail_the_ends_are_the_photos_themselves() -> None:
    details = tuple(
        residual(portrait, frame)
        for portrait, frame in zip(PORTRAITS, FRAMES[[0, -1]], strict=True)
    )
    shown = blend(FRAMES, details, 1.0)
    np.testing.assert_array_equal(shown[[0, -1]], to_uint8(PORTRAITS))


def test_without_detail_a_morph_is_the_models_own() -> None:
    details = (PORTRAITS[0] - 0.5, PORTRAITS[1] - 0.5)
    np.testing.assert_array_equal(blend(FRAMES, details, 0.0), to_uint8(enlarge(FRAMES, 32)))


@pytest.mark.parametrize("power", [FADE_POWER, TUNED_FADE_POWER])
def test_detail_fades_with_a_power_of_the_distance_from_its_end(power: int) -> None:
    grey = np.full((5, 3, 8, 8), 0.5, np.float32)
    first, last = np.full((3, 8, 8), 0.4, np.float32), np.zeros((3, 8, 8), np.float32)
    shown = blend(grey, (first, last), 1.0, power)[:, 0, 0, 0] / 255
    np.testing.assert_allclose(shown, 0.5 + 0.4 * np.linspace(1, 0, 5) ** power, atol=1 / 255)
