from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import ndtri

from tests.support.session import read_floats
from vae_explorer.latent.planes import Plane
from vae_explorer.ui.stage.tiles import ListTiles, PlaneTiles, Setting

PLANE = Plane(np.array([10.0, 20, 30]), np.array([[0.0, 1, 0], [0, 0, 1]]), ("z₂", "z₃"))
EXTENT = Setting("extent", "Extent", 0.1, 4.0, 3.0)


def make_tiles(spacing: str) -> PlaneTiles:
    others = {"first": np.array([1.0, 0, 0]), "slanted": np.array([0.6, 0, 0.8])}
    return PlaneTiles(PLANE, others, spacing, EXTENT, "x", "y")


def test_tiles_of_a_plane_lie_around_its_centre_in_reading_order():
    values = {"extent": 2.0, "x": 5.0, "y": -1.0, "first": 0.0, "slanted": 0.0}
    wanted = [
        [10, 23, 31],
        [10, 25, 31],
        [10, 27, 31],
        [10, 23, 29],
        [10, 25, 29],
        [10, 27, 29],
        [10, 23, 27],
        [10, 25, 27],
        [10, 27, 27],
    ]
    z = make_tiles("linear").latents(values, 3)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, wanted, rtol=1e-6)


def test_other_axes_move_every_tile_along_their_directions():
    values = {"extent": 2.0, "x": 0.0, "y": 0.0, "first": 0.0, "slanted": 0.0}
    tiles = make_tiles("linear")
    still = tiles.latents(values, 2)
    moved = tiles.latents({**values, "first": 3.0, "slanted": -2.0}, 2)
    np.testing.assert_allclose(moved - still, [[3 - 1.2, 0, -1.6]] * 4, atol=1e-5)


def test_quantiles_are_dense_where_the_prior_is():
    values = {"extent": 1.5, "x": 0.0, "y": 0.0}
    tiles = PlaneTiles(PLANE, {}, "quantile", EXTENT, "x", "y")
    first_row = tiles.points(values, 5)[:5]
    tail = 0.0668072  # of the normal distribution, below -1.5
    wanted = ndtri(tail + (1 - 2 * tail) * np.arange(5) / 4)
    np.testing.assert_allclose(first_row[:, 0], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(first_row[:, 1], 1.5, rtol=1e-6)


@pytest.fixture
def samples() -> ListTiles:
    z = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    fixed = np.array([False, True, False, False, True, False])
    return ListTiles(z, np.array([1, 2, 3], np.float32), fixed, "temperature")


def test_temperature_zero_puts_all_but_the_fixed_at_the_centre(samples: ListTiles):
    z = samples.latents({"temperature": 0.0})
    np.testing.assert_array_equal(z[~samples.fixed], np.tile(samples.centre, (4, 1)))
    np.testing.assert_array_equal(z[samples.fixed], samples.z[samples.fixed])


def test_temperature_one_changes_nothing_and_two_doubles_the_distance(samples: ListTiles):
    np.testing.assert_allclose(samples.latents({"temperature": 1.0}), samples.z, atol=1e-6)
    z = samples.latents({"temperature": 2.0})
    assert z.dtype == np.float32
    np.testing.assert_allclose(
        (z - samples.centre)[~samples.fixed],
        2 * (samples.z - samples.centre)[~samples.fixed],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(z[samples.fixed], samples.z[samples.fixed])


def test_the_browser_is_given_what_the_latents_of_a_plane_follow_from():
    values = {"extent": 2.0, "x": 5.0, "y": -1.0, "first": 0.5, "slanted": -2.0}
    tiles = make_tiles("linear")
    packed = json.loads(json.dumps(tiles.pack()))
    u, v = values[packed["x"]], values[packed["y"]] + values[packed["extent"]]  # middle of the top
    origin, axes = (np.array(packed["plane"][name]) for name in ("origin", "axes"))
    z = origin + np.array([u, v]) @ axes
    for name, direction in packed["others"].items():
        z += values[name] * np.array(direction)
    np.testing.assert_allclose(tiles.latents(values, 3)[1], z, rtol=1e-6)
    assert (packed["spacing"], packed["limits"]) == ("linear", [EXTENT.low, EXTENT.high])


def test_the_browser_is_given_the_very_samples(samples: ListTiles):
    packed = json.loads(json.dumps(samples.pack()))
    np.testing.assert_array_equal(read_floats(packed["z"]).reshape(6, 3), samples.z)
    np.testing.assert_array_equal(read_floats(packed["centre"]), samples.centre)
    assert packed["fixed"] == samples.fixed.tolist()
