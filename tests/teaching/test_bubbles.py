from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.distributions import kl_divergence as reference_kl

from tests.teaching.oracles import bubble_gradients, bubble_terms, descend
from vae_explorer.losses import kl_divergence
from vae_explorer.teaching.objective import CONFUSION, TAIL, Bubbles, scatter_bubbles


def objective(means: torch.Tensor, log_radii: torch.Tensor, beta: float) -> torch.Tensor:
    """The sum as the module states it, in torch, pair by pair."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(log_radii)):
        count = torch.ones((), dtype=torch.float64)
        for j in range(len(log_radii)):
            if i != j:
                reach = 2 * TAIL * (torch.exp(2 * log_radii[i]) + torch.exp(2 * log_radii[j]))
                count = count + (1 + (means[i] - means[j]).square().sum() / reach) ** -TAIL
        kl = kl_divergence(means[i], 2 * log_radii[i].expand(2)).sum()
        total = total + CONFUSION * torch.log(count) + beta * kl
    return total


def of(bubbles: Bubbles, beta: float) -> float:
    reconstruction, kl = bubble_terms(bubbles)
    return float((reconstruction + beta * kl).sum())


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 8.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_forces_are_the_gradients_of_the_stated_objective(beta: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    bubbles = Bubbles(generator.normal(size=(6, 2)), generator.normal(-0.7, 0.5, size=6))
    means, log_radii = (torch.tensor(part, requires_grad=True) for part in bubbles)
    value = objective(means, log_radii, beta)
    assert of(bubbles, beta) == pytest.approx(value.item())
    expected = torch.autograd.grad(value, (means, log_radii))
    for found, wanted in zip(bubble_gradients(bubbles, beta), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-10)


def test_the_kl_term_is_that_of_the_distributions() -> None:
    bubbles = scatter_bubbles(5)
    means, radii = torch.tensor(bubbles.means), torch.tensor(bubbles.log_radii).exp()
    q = MultivariateNormal(means, radii.square()[:, None, None] * torch.eye(2))
    p = MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    np.testing.assert_allclose(bubble_terms(bubbles)[1], reference_kl(q, p).numpy())


def test_reconstruction_is_nothing_apart_and_the_log_of_their_number_together() -> None:
    together = Bubbles(np.zeros((7, 2)), np.zeros(7))
    apart = Bubbles(1e4 * np.arange(14.0).reshape(7, 2), np.zeros(7))
    np.testing.assert_allclose(bubble_terms(together)[0], CONFUSION * np.log(7))
    np.testing.assert_allclose(bubble_terms(apart)[0], 0, atol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_a_descent_never_rises(beta: float) -> None:
    bubbles, values = scatter_bubbles(), []
    for _ in range(20):
        values.append(of(bubbles, beta))
        bubbles = descend(bubbles, beta, 10)
    assert all(np.diff(values) <= 1e-9)
    assert values[-1] < values[0]


def test_at_beta_one_they_share_the_prior_without_overlap() -> None:
    reconstruction, kl = bubble_terms(rested := descend(scatter_bubbles(), 1.0, 600))
    assert reconstruction.mean() < 1  # of 12 for all on one another
    assert kl.mean() > 2
    gradient = bubble_gradients(rested, 1.0)
    assert np.abs(gradient.means).max() < 0.05
    lengths = np.linalg.norm(rested.means, axis=1)
    assert 1 < lengths.max() < 3


@pytest.mark.parametrize("beta", [6.0, 8.0])
def test_at_a_large_beta_all_collapse_onto_the_prior(beta: float) -> None:
    rested = descend(scatter_bubbles(), beta, 400)
    np.testing.assert_allclose(rested.means, 0, atol=1e-2)
    np.testing.assert_allclose(np.exp(rested.log_radii), 1, atol=1e-2)
    reconstruction, kl = bubble_terms(rested)
    np.testing.assert_allclose(kl, 0, atol=1e-3)
    np.testing.assert_allclose(reconstruction, CONFUSION * np.log(20), rtol=1e-3)


def test_without_the_kl_term_they_explode() -> None:
    early = descend(scatter_bubbles(), 0.0, 200)
    late = descend(early, 0.0, 400)
    for before, after in ((scatter_bubbles(), early), (early, late)):
        assert (
            np.linalg.norm(after.means, axis=1).max() > np.linalg.norm(before.means, axis=1).max()
        )
        assert after.log_radii.max() < before.log_radii.min()
        assert bubble_terms(after)[1].mean() > 1.5 * bubble_terms(before)[1].mean()
