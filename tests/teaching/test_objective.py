from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from tests.teaching.oracles import (
    LineModel,
    gradient_deviations,
    gradient_estimates,
    importance_bound,
    reverse_kl,
)
from vae_explorer.losses import gaussian_constant, gaussian_nll, kl_divergence

POSTERIORS = [(0.0, 1.0), (1.0, 0.5), (-2.5, 0.1), (0.3, 2.8)]
MODEL = LineModel()


def normals(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def core_kl(mean: float, std: float) -> float:
    return kl_divergence(torch.tensor(mean), torch.tensor(2 * math.log(std))).item()


@pytest.mark.parametrize(("mean", "std"), POSTERIORS)
def test_the_reverse_kl_is_that_of_the_distributions(mean: float, std: float) -> None:
    expected = reference_kl(Normal(0.0, 1.0), Normal(mean, std)).item()
    assert reverse_kl(mean, 2 * math.log(std)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("mean", "std"), POSTERIORS)
@pytest.mark.parametrize("samples", [1, 16])
def test_both_estimates_have_the_gradient_for_mean_and_the_stated_spread(
    mean: float, std: float, samples: int
) -> None:
    found = gradient_estimates(mean, std, -1.0, normals(100_000, samples))
    for values, deviation in zip(found, gradient_deviations(mean, std, -1.0, samples), strict=True):
        error = 5 * deviation / math.sqrt(len(values))
        assert values.mean() == pytest.approx(mean + 1, abs=error)
        assert values.std() == pytest.approx(deviation, rel=0.05)


def test_the_gradient_is_autograds_through_the_sample() -> None:
    noise = normals(1, 50)
    mean = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    z = mean + 0.4 * torch.tensor(noise)
    (expected,) = torch.autograd.grad(((z + 1).square() / 2).mean(), mean)
    assert gradient_estimates(0.7, 0.4, -1.0, noise)[0][0] == pytest.approx(expected.item())


@pytest.mark.parametrize("x", [-2.0, 0.0, 1.3])
@pytest.mark.parametrize(("mean", "std"), POSTERIORS)
def test_the_parts_add_up_to_the_evidence(x: float, mean: float, std: float) -> None:
    elbo = MODEL.reconstruction(x, mean, std) - core_kl(mean, std)
    assert elbo + MODEL.gap(x, mean, std) == pytest.approx(MODEL.log_evidence(x), abs=1e-5)
    assert MODEL.gap(x, mean, std) > 0


@pytest.mark.parametrize("x", [-2.0, 0.0, 1.3])
def test_the_gap_closes_at_the_posterior(x: float) -> None:
    mean, std = MODEL.posterior(x)
    assert MODEL.gap(x, mean, std) == pytest.approx(0, abs=1e-12)
    weights = MODEL.log_weights(x, mean, std, normals(50))
    np.testing.assert_allclose(weights, MODEL.log_evidence(x))  # whatever was drawn


def test_the_evidence_is_the_area_under_the_joint() -> None:
    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    joint = Normal(0.0, 1.0).log_prob(z) + Normal(z, MODEL.noise).log_prob(torch.tensor(1.3))
    area = torch.trapezoid(joint.exp(), z).log().item()
    assert MODEL.log_evidence(1.3) == pytest.approx(area)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 0.5), (0.3, 0.2)])
def test_the_reconstruction_is_that_of_the_losses(mean: float, std: float) -> None:
    """Between 0 and 1, where a sigmoid can stand for what z is decoded to."""
    z = torch.tensor(mean + std * normals(400_000))
    inside = z[(z > 0.01) & (z < 0.99)]
    x = torch.full((len(inside), 1, 1, 1), 0.6, dtype=torch.float64)
    nll = gaussian_nll(torch.logit(inside)[:, None, None, None], x, MODEL.noise**2)
    likelihood = Normal(z, MODEL.noise).log_prob(torch.tensor(0.6))
    torch.testing.assert_close(
        -nll - gaussian_constant(1, MODEL.noise**2), likelihood[(z > 0.01) & (z < 0.99)]
    )
    average = likelihood.mean().item()
    assert MODEL.reconstruction(0.6, mean, std) == pytest.approx(average, abs=0.02)


def test_the_bound_of_importance_sampling_closes_in_from_below() -> None:
    x, mean, std = 0.0, 1.0, 0.8
    weights = MODEL.log_weights(x, mean, std, normals(2**17))
    bounds = [importance_bound(weights, 2**i) for i in range(11)]
    assert all(np.diff(bounds) >= 0)
    elbo = MODEL.reconstruction(x, mean, std) - core_kl(mean, std)
    assert bounds[0] == pytest.approx(elbo, abs=0.02)
    assert bounds[-1] == pytest.approx(MODEL.log_evidence(x), abs=0.02)
    assert bounds[-1] - bounds[0] > 0.5
