"""The fitted prior: a planted mixture is found again, and drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.mixture import GaussianMixture

from vae_explorer.latent import prior as prior_module
from vae_explorer.latent.prior import (
    BANDWIDTHS,
    check_prior,
    choose_bandwidth,
    fit_prior,
    sample_prior,
    select_support,
    smoothed_bootstrap_sample,
)

CENTRES = np.array([[-6.0, 0.0], [6.0, 0.0], [0.0, 8.0], [0.0, -8.0], [6.0, 8.0]])


def planted(n: int = 3_000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return CENTRES[rng.integers(len(CENTRES), size=n)] + 0.5 * rng.standard_normal((n, 2))


@pytest.fixture(scope="module")
def prior() -> dict[str, np.ndarray]:
    return fit_prior(planted())


def distances_to_centres(z: np.ndarray) -> np.ndarray:
    return np.linalg.norm(z[:, None] - CENTRES, axis=2).min(1)


def test_samples_lie_where_the_encodings_do(prior: dict[str, np.ndarray]) -> None:
    z = sample_prior(prior, 2_000, 1.0, seed=0)
    assert z.dtype == np.float32
    assert np.quantile(distances_to_centres(z), 0.99) < 2.5  # N(0, I) has next to nothing there
    np.testing.assert_allclose(z.mean(0), planted().mean(0), atol=0.5)
    np.testing.assert_allclose(np.cov(z.T), np.cov(planted().T), rtol=0.1, atol=1)


def test_one_gaussian_is_enough_for_one() -> None:
    z = np.random.default_rng(0).standard_normal((4_000, 3)) @ np.diag([1, 2, 3]) + 5
    prior = fit_prior(z)
    assert len(prior["prior_weights"]) == 1
    np.testing.assert_allclose(prior["prior_means"][0], [5, 5, 5], atol=0.2)
    covariance = prior["prior_factors"][0] @ prior["prior_factors"][0].T
    np.testing.assert_allclose(np.diag(covariance), [1, 4, 9], rtol=0.1)


def test_at_temperature_zero_every_sample_is_a_mean(prior: dict[str, np.ndarray]) -> None:
    z = sample_prior(prior, 50, 0.0, seed=3)
    gaps = np.linalg.norm(z[:, None] - prior["prior_means"], axis=2)
    assert gaps.min(1).max() < 1e-6


def test_more_samples_only_add_some_at_the_end(prior: dict[str, np.ndarray]) -> None:
    few, many = (sample_prior(prior, n, 1.0, seed=5) for n in (7, 70))
    np.testing.assert_array_equal(few, many[:7])


def test_the_same_seed_fits_the_same(prior: dict[str, np.ndarray]) -> None:
    again = fit_prior(planted())
    for name, array in prior.items():
        np.testing.assert_array_equal(array, again[name])


def test_a_handful_of_rows_will_do() -> None:
    z = np.random.default_rng(0).standard_normal((5, 20))
    assert np.isfinite(sample_prior(fit_prior(z), 3, 1.0, 0)).all()


def test_no_row_is_too_few() -> None:
    with pytest.raises(ValueError, match=r"one encoding .* found \(0, 2\)"):
        fit_prior(np.zeros((0, 2)))


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 128])
@pytest.mark.parametrize("rows", [1, 2, 3, 12, 2_600])
@pytest.mark.parametrize("kind", ["equal", "two places", "mirrored"])
def test_few_or_equal_rows_have_a_prior_around_them(rows: int, latent_dim: int, kind: str) -> None:
    if rows * latent_dim > 10_000:
        rows = 70  # more rows of so many dimensions take long, and no other path
    z = np.full((rows, latent_dim), 0.7)
    if kind == "two places":
        z[::2] = -0.2
    prior = fit_prior(z, mirrored=-z if kind == "mirrored" else None)
    check_prior(prior, latent_dim)
    drawn = sample_prior(prior, 200, 1.0, 0)
    assert drawn.shape == (200, latent_dim) and np.isfinite(drawn).all()
    assert np.abs(drawn).max() < (0.8 if kind == "equal" else 4)


def test_arrays_that_do_not_fit_are_refused(prior: dict[str, np.ndarray]) -> None:
    check_prior({}, 2)
    check_prior(prior, 2)
    with pytest.raises(ValueError, match="only prior_weights"):
        check_prior({"prior_weights": prior["prior_weights"]}, 2)
    with pytest.raises(ValueError, match="prior_means must have the shape"):
        check_prior(prior, 3)
    with pytest.raises(ValueError, match="shares"):
        check_prior({**prior, "prior_weights": -prior["prior_weights"]}, 2)


def humps(n: int = 6_000, seed: int = 0) -> np.ndarray:
    """Points with two humps along each of eight axes, at an angle: 256 clusters."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((8, 8)))[0]
    return (rng.choice([-3.0, 3.0], (n, 8)) + 0.5 * rng.standard_normal((n, 8))) @ turn


def test_more_clusters_than_gaussians_are_fitted_in_other_coordinates() -> None:
    prior = fit_prior(humps())
    assert "prior_rotations" in prior
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((8, 8)))[0]
    along = sample_prior(prior, 2_000, 1.0, seed=0) @ turn.T
    assert (np.abs(along) > 1.5).mean() > 0.9  # hardly anything between the humps
    assert (along > 0).mean(axis=0) == pytest.approx(np.full(8, 0.5), abs=0.06)


def test_blobs_are_fitted_as_they_lie(prior: dict[str, np.ndarray]) -> None:
    assert "prior_rotations" not in prior


def test_mirrored_encodings_count_as_much_as_the_others() -> None:
    z = np.random.default_rng(0).normal((4, 0), 1, (3_000, 2))
    prior = fit_prior(z, mirrored=z * [-1, 1])
    drawn = sample_prior(prior, 4_000, 1.0, seed=0)
    assert (drawn[:, 0] > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(np.abs(drawn[:, 0]).mean() - 4) < 0.2


def test_layers_that_do_not_fit_are_refused() -> None:
    prior = fit_prior(humps(2_500))
    check_prior(prior, 8)
    without = {name: array for name, array in prior.items() if name != "prior_knots"}
    with pytest.raises(ValueError, match="found only prior_centre"):
        check_prior(without, 8)
    with pytest.raises(ValueError, match="must rise"):
        check_prior({**prior, "prior_knots": prior["prior_knots"][..., ::-1]}, 8)
    with pytest.raises(ValueError, match="prior_scale must have the shape"):
        check_prior({**prior, "prior_scale": np.eye(2, dtype=np.float32)}, 8)


def test_draws_are_as_new_as_rows_that_the_fit_never_saw() -> None:
    """In few dimensions, where rows lie close together, and in more, where they do not."""
    for dimensions in (2, 12):
        rng = np.random.default_rng(1)
        rows = np.exp(0.5 * rng.standard_normal((5_000, dimensions)))
        known, others = rows[:4_000], rows[4_000:]
        prior = fit_prior(known)
        tree = cKDTree(known)
        drawn = sample_prior(prior, 1_000, 1.0, seed=2)
        new, seen = (np.median(tree.query(part)[0]) for part in (others, drawn))
        assert seen > 0.8 * new


def test_the_bandwidth_is_as_small_as_what_is_new_allows() -> None:
    rows = np.random.default_rng(0).standard_normal((3_000, 10)).astype(np.float32)
    mixture = GaussianMixture(1).fit(rows)
    nearly_known, far = rows[:500] + np.float32(0.01), 2 * rows[:500] + 1
    assert choose_bandwidth(mixture, rows, nearly_known, seed=0) == BANDWIDTHS[0]
    assert choose_bandwidth(mixture, rows, far, seed=0) == 1


def test_draws_around_rows_have_the_traits_that_a_gaussian_lacks() -> None:
    """A ring: one Gaussian has most of its mass in the hole, draws around rows have less there."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 20_000)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.05 * rng.standard_normal((20_000, 2))
    mixture = GaussianMixture(1).fit(ring)
    kept = select_support(mixture, ring, bandwidth=0.6, seed=0)
    gaussian = mixture.means_, np.linalg.cholesky(mixture.covariances_)
    away, owners = smoothed_bootstrap_sample(
        kept, gaussian, rng.random(5_000), rng.standard_normal((5_000, 2))
    )
    inside = (np.linalg.norm(away, axis=1) < 0.5).mean()
    drawn = mixture.sample(5_000)[0]
    assert inside < 0.7 * (np.linalg.norm(drawn, axis=1) < 0.5).mean()
    assert owners.max() == 0
    np.testing.assert_allclose(np.cov(away.T), np.cov(ring.T), atol=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior_owners": None}, "found only"),
        ({"prior_rows": np.zeros((3, 5), np.float16)}, r"shape \(m, 2\)"),
        ({"prior_owners": np.zeros(2, np.int16)}, "for each row"),
        ({"prior_owners": np.full(3, 7, np.int16)}, "lie in 0"),
        ({"prior_bandwidth": np.array([1.5], np.float32)}, "at most 1"),
        ({"prior_bandwidth": np.zeros(1, np.float32)}, "above 0"),
    ],
)
def test_kept_rows_that_do_not_fit_are_refused(
    changes: dict[str, np.ndarray | None], message: str
) -> None:
    sound = {
        "prior_weights": np.ones(1, np.float32),
        "prior_means": np.zeros((1, 2), np.float32),
        "prior_factors": np.eye(2, dtype=np.float32)[None],
        "prior_rows": np.ones((3, 2), np.float16),
        "prior_owners": np.zeros(3, np.int16),
        "prior_bandwidth": np.array([0.8], np.float32),
    }
    check_prior(sound, 2)
    broken = {name: array for name, array in (sound | changes).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        check_prior(broken, 2)


def test_of_very_many_encodings_a_prior_is_fitted_to_some(monkeypatch: pytest.MonkeyPatch) -> None:
    z = np.random.default_rng(0).normal([3, -2], [1, 0.5], (9_000, 2)).astype(np.float32)
    seen: list[int] = []
    fit = GaussianMixture.fit

    def record(self: GaussianMixture, rows: np.ndarray) -> GaussianMixture:
        seen.append(len(rows))
        return fit(self, rows)

    monkeypatch.setattr(GaussianMixture, "fit", record)
    monkeypatch.setattr(prior_module, "MOST_ROWS", 1_500)
    drawn = sample_prior(fit_prior(z), 5_000, 1.0, 0)
    assert max(seen) == 1_500
    np.testing.assert_allclose(drawn.mean(0), [3, -2], atol=0.1)
    np.testing.assert_allclose(drawn.std(0), [1, 0.5], atol=0.1)
