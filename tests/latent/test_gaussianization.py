"""The change of coordinates: invertible, its Jacobian right, and Gaussian where it leads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm

from vae_explorer.latent.gaussianization import fit_layers, gaussianize, inverse


def drawn(n: int, seed: int) -> np.ndarray:
    """Skewed, two-humped and heavy-tailed coordinates, mixed."""
    rng = np.random.default_rng(seed)
    humps = rng.choice([-2.0, 2.0], n) + 0.5 * rng.standard_normal(n)
    sources = np.stack([humps, rng.exponential(size=n), rng.standard_t(4, n)], axis=1)
    return sources @ np.array([[1.0, 0.5, -0.3], [0.2, 1.0, 0.4], [-0.6, 0.1, 1.0]]) + [3, -1, 7]


@pytest.fixture(scope="module")
def layers() -> dict[str, np.ndarray]:
    return fit_layers(drawn(10_000, 0))


def test_the_way_back_leads_back_also_from_far_outside(layers: dict[str, np.ndarray]) -> None:
    z = np.concatenate([drawn(500, 1), 50 * np.eye(3), -50 * np.eye(3)])
    np.testing.assert_allclose(inverse(gaussianize(z, layers)[0], layers), z, atol=1e-3)


def test_unseen_rows_become_gaussian_in_every_direction(layers: dict[str, np.ndarray]) -> None:
    y, _ = gaussianize(drawn(5_000, 1), layers)
    for axis in np.random.default_rng(0).standard_normal((10, 3)):
        assert kstest(y @ (axis / np.linalg.norm(axis)), "norm").statistic < 0.05


def test_the_determinant_is_that_of_the_jacobian(layers: dict[str, np.ndarray]) -> None:
    step = 1e-5
    for z in drawn(5, 2):
        columns = [
            (gaussianize([z + step * e], layers)[0] - gaussianize([z - step * e], layers)[0])[0]
            for e in np.eye(3)
        ]
        _, wanted = np.linalg.slogdet(np.stack(columns) / (2 * step))
        _, found = gaussianize([z], layers)
        assert found[0] == pytest.approx(wanted, abs=1e-3)


def test_it_explains_unseen_rows_better_than_one_gaussian_does(
    layers: dict[str, np.ndarray],
) -> None:
    seen, unseen = drawn(10_000, 0), drawn(5_000, 1)
    y, log_determinant = gaussianize(unseen, layers)
    bent = (norm.logpdf(y).sum(axis=1) + log_determinant).mean()
    centred = np.linalg.solve(np.linalg.cholesky(np.cov(seen.T)), (unseen - seen.mean(0)).T).T
    plain = norm.logpdf(centred).sum(1).mean() - 0.5 * np.linalg.slogdet(np.cov(seen.T))[1]
    assert bent > plain + 0.3


def test_coinciding_values_do_not_fold_it() -> None:
    z = np.random.default_rng(0).standard_normal((2_000, 2)).round()
    layers = fit_layers(z)
    assert (np.diff(layers["prior_knots"], axis=-1) > 0).all()
    np.testing.assert_allclose(inverse(gaussianize(z, layers)[0], layers), z, atol=1e-3)


def test_one_dimension_will_do() -> None:
    z = np.random.default_rng(0).exponential(size=(3_000, 1))
    y, _ = gaussianize(z, fit_layers(z))
    assert kstest(y[:, 0], "norm").statistic < 0.05


@pytest.mark.parametrize("kind", ["equal", "two places", "on a plane"])
def test_rows_without_a_spread_in_all_directions_have_no_layers(kind: str) -> None:
    rows = np.full((2_000, 3), 0.3)
    if kind == "two places":
        rows[::2] = -0.7
    if kind == "on a plane":
        rows[:, :2] = np.random.default_rng(0).standard_normal((2_000, 2))
    with pytest.raises(np.linalg.LinAlgError):
        fit_layers(rows)
