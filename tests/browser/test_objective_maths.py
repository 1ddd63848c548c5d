"""The functions of the page The objective, run in the browser, against the core's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from tests.teaching.oracles import (
    LineModel,
    bubble_gradients,
    bubble_terms,
    descend,
    gradient_deviations,
    gradient_estimates,
    importance_bound,
    reverse_kl,
)
from vae_explorer.losses import bernoulli_nll, gaussian_nll, kl_divergence
from vae_explorer.teaching.objective import (
    CONFUSION,
    FARTHEST,
    FIRST_RATE,
    TAIL,
    Bubbles,
    scatter_bubbles,
)

MODEL = LineModel()
CONSTANTS = {"confusion": CONFUSION, "tail": TAIL, "farthest": FARTHEST}
POSTERIORS = [*product((-2.5, 0.0, 1.0), (0.05, 0.5, 1.0, 3.0))]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # of the losses' float32


@pytest.fixture
def browser(load_modules: Callable[..., Page]) -> Page:
    """A page with nothing but the functions."""
    return load_modules("learn/objective/maths.js", "lib/random.js")


def pixels(values: np.ndarray) -> torch.Tensor:
    """One value an image, as the losses take them."""
    return torch.tensor(values)[:, None, None, None]


def as_bubbles(found: list[dict[str, float]]) -> Bubbles:
    means = np.array([[each["x"], each["y"]] for each in found])
    return Bubbles(means, np.log([each["r"] for each in found]))


def as_discs(bubbles: Bubbles) -> list[dict[str, float]]:
    radii = np.exp(bubbles.log_radii)
    return [
        {"x": x, "y": y, "r": r} for (x, y), r in zip(bubbles.means.tolist(), radii, strict=True)
    ]


def test_kl_is_that_of_the_losses(browser: Page) -> None:
    found = browser.evaluate(
        "(all) => all.map(([mean, logVar]) => [klTerms(mean, logVar).kl, reverseKl(mean, logVar)])",
        [(mean, 2 * math.log(std)) for mean, std in POSTERIORS],
    )
    mean, std = np.array(POSTERIORS).T
    log_var = 2 * np.log(std)
    wanted = kl_divergence(torch.tensor(mean), torch.tensor(log_var)).numpy()
    np.testing.assert_allclose(np.array(found)[:, 0], wanted, **CLOSE)
    reverse = [reverse_kl(m, v) for m, v in zip(mean, log_var, strict=True)]
    np.testing.assert_allclose(np.array(found)[:, 1], reverse, **CLOSE)


def test_kl_by_samples_is_within_its_own_error(browser: Page) -> None:
    found = browser.evaluate(
        "(all) => all.map(([m, s], i) => klMonteCarlo(m, s, drawNormals(20000, i)))", POSTERIORS
    )
    for (mean, std), each in zip(POSTERIORS, found, strict=True):
        wanted = kl_divergence(torch.tensor(mean), torch.tensor(2 * math.log(std))).item()
        assert each["value"] == pytest.approx(wanted, abs=5 * each["error"] + 1e-6)


def test_the_draws_are_normal_and_the_seeds(browser: Page) -> None:
    draws = [np.array(browser.evaluate(f"Array.from(drawNormals(20000, {s}))")) for s in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert abs(np.corrcoef(draws[0], draws[2])[0, 1]) < 0.03
    assert draws[0].mean() == pytest.approx(0, abs=0.03)
    assert draws[0].std() == pytest.approx(1, abs=0.03)
    assert np.mean(np.abs(draws[0]) < 1.96) == pytest.approx(0.95, abs=0.01)


def test_the_losses_of_a_pixel_are_those_of_the_losses(browser: Page) -> None:
    grid = [*product((-12.0, -3.0, 0.0, 0.4, 9.0), (0.0, 0.3, 0.7, 1.0))]
    found = browser.evaluate(
        "(all) => all.map(([t, x]) => [bernoulliNll(t, x), gaussianNll(t, x, 0.25)])", grid
    )
    logits, targets = np.array(grid).T
    bernoulli = bernoulli_nll(pixels(logits), pixels(targets)).numpy()
    gaussian = gaussian_nll(pixels(logits), pixels(targets), 0.25).numpy()
    np.testing.assert_allclose(np.array(found), np.stack([bernoulli, gaussian], 1), **CLOSE)


def test_the_slopes_of_a_pixel_are_autograds(browser: Page) -> None:
    grid = [*product((0.02, 0.5, 0.8, 0.97), (0.0, 0.7, 1.0))]
    found = browser.evaluate("(all) => all.map(([p, x]) => pixelGradients(p, x, 0.25))", grid)
    values, targets = np.array(grid).T
    for name, loss in (
        ("bernoulli", bernoulli_nll),
        ("gaussian", lambda logits, images: gaussian_nll(logits, images, 0.25)),
    ):
        prediction = pixels(values).requires_grad_()
        logits = torch.logit(prediction)
        total = loss(logits, pixels(targets)).sum()
        by_prediction, by_logit = torch.autograd.grad(total, (prediction, logits))
        for way, wanted in (("prediction", by_prediction), ("logit", by_logit)):
            slopes = [each[name][way] for each in found]
            np.testing.assert_allclose(slopes, wanted.flatten().numpy(), **CLOSE)


def test_both_ways_to_the_gradient_are_the_cores(browser: Page) -> None:
    noise = np.random.default_rng(0).standard_normal((5, 8))
    found = browser.evaluate(
        "(noise) => gradientEstimates(0.7, 0.4, -1, noise, 8, 8)", noise.ravel().tolist()
    )
    pathwise, score = gradient_estimates(0.7, 0.4, -1.0, noise)
    np.testing.assert_allclose(found["pathwise"], pathwise)
    np.testing.assert_allclose(found["score"], score)
    np.testing.assert_allclose(found["ofSigma"], ((0.7 + 0.4 * noise + 1) * noise).mean(1))
    deviations = browser.evaluate("gradientDeviations(0.7, 0.4, -1, 8)")
    wanted = gradient_deviations(0.7, 0.4, -1.0, 8)
    assert deviations == pytest.approx(wanted._asdict())


def test_the_parts_of_the_bound_are_the_cores(browser: Page) -> None:
    grid = [(mean, std, x) for (mean, std), x in product(POSTERIORS, (-2.0, 0.0, 1.3))]
    found = browser.evaluate(
        "([all, noise]) => all.map(([m, s, x]) => boundParts(m, s, x, noise))", [grid, MODEL.noise]
    )
    for (mean, std, x), parts in zip(grid, found, strict=True):
        kl = kl_divergence(torch.tensor(mean), torch.tensor(2 * math.log(std))).item()
        assert parts["kl"] == pytest.approx(kl, rel=1e-5, abs=1e-6)
        assert parts["reconstruction"] == pytest.approx(MODEL.reconstruction(x, mean, std))
        assert parts["elbo"] == pytest.approx(parts["reconstruction"] - parts["kl"])
        assert parts["gap"] == pytest.approx(MODEL.gap(x, mean, std))
        assert parts["evidence"] == pytest.approx(MODEL.log_evidence(x))
        assert parts["elbo"] + parts["gap"] == pytest.approx(parts["evidence"], abs=1e-9)
        assert tuple(parts["posterior"].values()) == pytest.approx(MODEL.posterior(x))


def test_the_importance_weighted_bound_is_the_cores(browser: Page) -> None:
    noise = np.random.default_rng(0).standard_normal(64)
    weights = MODEL.log_weights(0.6, 1.0, 0.5, noise)
    found = browser.evaluate(
        "([draws, noise]) => Array.from(logWeights(1, 0.5, 0.6, noise, draws))",
        [noise.tolist(), MODEL.noise],
    )
    np.testing.assert_allclose(found, weights)
    for k in (1, 4, 64):
        bound = browser.evaluate(f"(weights) => importanceBound(weights, {k})", weights.tolist())
        assert bound == pytest.approx(importance_bound(weights, k))


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_the_forces_on_bubbles_are_minus_the_cores_gradients(browser: Page, beta: float) -> None:
    bubbles = scatter_bubbles(8)
    forces = browser.evaluate(
        "([discs, c]) => bubbleForces(discs, c.confusion, c.tail)", [as_discs(bubbles), CONSTANTS]
    )
    reconstruction, kl = bubble_terms(bubbles)
    np.testing.assert_allclose([each["reconstruction"] for each in forces], reconstruction)
    np.testing.assert_allclose([each["kl"] for each in forces], kl)
    gradient = bubble_gradients(bubbles, beta)
    wanted = {"x": gradient.means[:, 0], "y": gradient.means[:, 1], "r": gradient.log_radii}
    for axis, slopes in wanted.items():
        found = [each["push"][axis] + beta * each["pull"][axis] for each in forces]
        np.testing.assert_allclose(found, -slopes, atol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_bubbles_go_the_cores_way(browser: Page, beta: float) -> None:
    start = scatter_bubbles(8)
    discs = browser.evaluate(
        """([bubbles, constants, beta, rate]) => {
          for (let i = 0; i < 60; i++) {
            ({ bubbles, rate } = stepBubbles(bubbles, constants, beta, rate));
          }
          return bubbles;
        }""",
        [as_discs(start), CONSTANTS, beta, FIRST_RATE],
    )
    found, wanted = as_bubbles(discs), descend(start, beta, 60)
    np.testing.assert_allclose(found.means, wanted.means, atol=1e-5)
    np.testing.assert_allclose(found.log_radii, wanted.log_radii, atol=1e-5)
