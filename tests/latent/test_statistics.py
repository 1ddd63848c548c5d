from __future__ import annotations

import numpy as np
import pytest

from vae_explorer.latent.statistics import correlations, ks_distances, sample_posteriors

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
