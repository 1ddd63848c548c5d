from __future__ import annotations

import numpy as np
import pytest

from vae_explorer.latent.statistics import (
    SMALLEST_HALF,
    TSNE_DIFFERENT,
    correlations,
    count_different,
    embed,
    ks_distances,
    nearest,
    sample_posteriors,
    square_around,
    uncovered_samples,
)

RNG = np.random.default_rng(0)


def test_what_the_prior_gives_is_near_it_and_what_strays_is_not() -> None:
    z = RNG.standard_normal((4000, 3))
    z[:, 1] = 0  # half lies below 0 there, and all at once at it
    z[:, 2] += 1
    near, collapsed, moved = ks_distances(z)
    assert near < 0.04
    assert collapsed == pytest.approx(0.5)
    assert moved == pytest.approx(0.383, abs=0.04)  # Φ(0.5) - Φ(-0.5), the greatest gap


def test_posteriors_are_drawn_with_their_own_spread() -> None:
    mean = np.tile([1.0, -2.0], (20_000, 1))
    log_var = np.tile([0.0, 2 * np.log(3)], (20_000, 1))
    z = sample_posteriors(mean, log_var)
    np.testing.assert_allclose(z.mean(axis=0), [1, -2], atol=0.1)
    np.testing.assert_allclose(z.std(axis=0), [1, 3], rtol=0.05)
    np.testing.assert_array_equal(sample_posteriors(mean, None), mean)


def test_correlations_are_those_of_numpy_and_zero_for_what_is_constant() -> None:
    z = RNG.standard_normal((500, 3))
    classes = np.stack([z[:, 0] > 0, RNG.random(500) > 0.5, np.ones(500, bool)], axis=1)
    z[:, 2] = 7
    r = correlations(z, classes)
    assert r.shape == (3, 3)
    for i in range(2):
        for j in range(2):
            assert r[i, j] == pytest.approx(np.corrcoef(z[:, i], classes[:, j])[0, 1])
    assert (r[2] == 0).all() and (r[:, 2] == 0).all()


def few_or_equal(kind: str, rows: int, latent_dim: int) -> np.ndarray:
    """Encodings of which few or none differ, or by next to nothing."""
    z = np.random.default_rng(1).standard_normal((rows, latent_dim)).astype(np.float32)
    base = np.tile(z[:1], (rows, 1))
    made = {
        "equal": base,
        "zero": np.zeros_like(z),
        "half equal": np.where(np.arange(rows)[:, None] < rows / 2, base, z),
        "all but one": np.where(np.arange(rows)[:, None] < rows - 1, base, z),
        "two places": np.where(np.arange(rows)[:, None] % 2, base, -base),
        "but for rounding": base * np.float32(1 + 1e-7) ** np.arange(rows)[:, None],
        "closer than float32 can square": 1e-30 * z,
        "on a line": z[:, :1] * base[:1],
        "huge": 1e30 * z,
        "different": z,
    }
    return made[kind].astype(np.float32)


KINDS = (
    "equal",
    "zero",
    "half equal",
    "all but one",
    "two places",
    "but for rounding",
    "closer than float32 can square",
    "on a line",
    "huge",
    "different",
)


@pytest.mark.parametrize("latent_dim", [2, 3, 128])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 12, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_tsne_of_few_or_equal_encodings_is_finite_or_left_out(
    kind: str, rows: int, latent_dim: int
) -> None:
    # scikit-learn ends the process (SIGSEGV) for the first of these, or raises an error.
    z = few_or_equal(kind, rows, latent_dim)
    arrays = embed(z, seed=0)
    different = count_different(z)
    assert bool(arrays) == (latent_dim > 2 and different >= TSNE_DIFFERENT and kind != "huge")
    if arrays:
        assert arrays["tsne"].shape == (rows, 2)
        assert np.isfinite(arrays["tsne"]).all()


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "huge"])
def test_statistics_of_few_or_equal_encodings_are_finite(kind: str, rows: int) -> None:
    z = few_or_equal(kind, rows, 3)
    middle_and_half = square_around(z[:, :2])
    assert np.isfinite(middle_and_half).all() and middle_and_half[2] >= SMALLEST_HALF
    assert np.isfinite(ks_distances(z)).all()
    assert np.isfinite(correlations(z, np.ones((rows, 2), bool))).all()
    assert uncovered_samples(z, 10)[1].shape == (10,)
    found, distances = nearest(z, z, rows)
    assert sorted(found[0]) == list(range(rows))
    assert np.isfinite(distances).all()
