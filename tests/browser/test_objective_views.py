from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from tests.support.live_stage import count_messages, watch
from tests.teaching.oracles import LineModel
from vae_explorer.losses import bernoulli_nll, kl_divergence

OpenPage = Callable[..., Page]
VIEWS = ("trick", "kl", "bubbles", "pixel", "bound")


def open_view(open_page: OpenPage, view: str, **options: object) -> Page:
    """Open a view; `view` may bring settings, as they stand in an address."""
    page = open_page(f"objective?view={view}", **options)
    expect(page.locator(".stage > svg > *").first).to_be_attached()
    watch(page)
    return page


def slider(page: Page, name: str) -> Locator:
    return page.locator(f".sliders input[name={name}]")


def read(page: Page, name: str) -> float:
    """Return the number that stands first in that row."""
    words = page.locator(f".numbers [data-name={name}] dd").inner_text()
    found = re.match("[−-]?[0-9.]+", words)
    assert found, words
    return float(found[0].replace("−", "-"))


def drag(page: Page, element: Locator, across: float) -> None:
    """Press in the middle of an element and move by so many pixels; the button stays down."""
    box = element.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y, steps=5)


def shown_kl(page: Page) -> float:
    mu, sigma = (float(slider(page, name).input_value()) for name in ("mu", "sigma"))
    return kl_divergence(torch.tensor(mu), 2 * torch.tensor(sigma).log()).item()


def test_a_drag_shows_the_kl_of_the_losses_at_once_and_the_address_follows_the_release(
    open_page: OpenPage,
) -> None:
    page = open_view(open_page, "kl&mu=1.5&sigma=0.4")
    before = count_messages(page)
    assert read(page, "kl") == pytest.approx(shown_kl(page), rel=6e-3)
    drag(page, slider(page, "mu"), 30)
    moved = float(slider(page, "mu").input_value())
    assert moved != 1.5
    assert read(page, "kl") == pytest.approx(shown_kl(page), rel=6e-3)
    assert count_messages(page) == before
    page.mouse.up()
    expect(page).to_have_url(re.compile(rf"mu={moved:g}\b"))
    assert float(slider(page, "mu").input_value()) == moved


def test_bubbles_stay_where_they_are_when_the_address_follows(open_page: OpenPage) -> None:
    page = open_view(open_page, "bubbles")
    page.get_by_role("button", name="Pause").click()
    places = "(bubbles) => bubbles.map((each) => each.getAttribute('transform'))"
    before = page.locator(".bubble").evaluate_all(places)
    slider(page, "beta").press("ArrowRight")
    expect(page).to_have_url(re.compile("beta=1.1"))
    expect(page.locator(".objective")).to_have_count(1)
    found = page.locator(".bubble").evaluate_all(places)
    numbers = [np.array(re.findall(r"-?[\d.]+", " ".join(each)), float) for each in (before, found)]
    np.testing.assert_allclose(*numbers, atol=1)


def test_log_variance_and_sigma_are_one(open_page: OpenPage) -> None:
    page = open_view(open_page, "kl")
    slider(page, "log_var").press("Home")
    assert float(slider(page, "sigma").input_value()) == pytest.approx(0.05)
    slider(page, "sigma").fill("1")
    assert float(slider(page, "log_var").input_value()) == pytest.approx(0, abs=0.03)


def test_the_part_of_the_formula_that_moves_lights_up(open_page: OpenPage) -> None:
    page = open_view(open_page, "kl")
    slider(page, "mu").press("ArrowRight")
    expect(page.locator(".formula .lit")).to_have_text("μ2")
    expect(page.locator(".formula .lit")).to_have_count(0)


def test_the_cloud_follows_mu_and_the_noise_stays_until_it_is_drawn_anew(
    open_page: OpenPage,
) -> None:
    page = open_view(open_page, "trick&samples=4&sigma=1")

    def places() -> tuple[np.ndarray, np.ndarray]:
        """Of four circles of noise, then of the four that they become."""
        found = page.locator(".stage > svg > circle").evaluate_all(
            "(circles) => circles.slice(0, 8).map((circle) => circle.cx.baseVal.value)"
        )
        return np.array(found[:4]), np.array(found[4:])

    (noise, cloud), exact = places(), read(page, "of-mu")
    slider(page, "mu").fill("-1")
    stayed, moved = places()
    np.testing.assert_allclose(stayed, noise, atol=0.1)
    assert np.ptp(moved - cloud) < 0.3
    assert (moved - cloud)[0] < -50
    assert read(page, "of-mu") == pytest.approx(exact - 2, abs=0.02)
    page.get_by_role("button", name="Resample").click()
    assert np.abs(places()[0] - noise).max() > 5


def test_more_samples_narrow_the_estimate(open_page: OpenPage) -> None:
    page = open_view(open_page, "trick&samples=1&sigma=0.5")
    assert read(page, "pathwise") == pytest.approx(0.5)
    slider(page, "samples").press("End")
    assert read(page, "pathwise") == pytest.approx(0.5 / 16, rel=6e-3)
    assert read(page, "score") > read(page, "pathwise")


def test_steps_down_lead_the_cloud_to_its_target(open_page: OpenPage) -> None:
    page = open_view(open_page, "trick&samples=64")
    for _ in range(25):
        page.get_by_role("button", name="One gradient step").click()
    assert float(slider(page, "mu").input_value()) == pytest.approx(-1, abs=0.2)
    assert float(slider(page, "sigma").input_value()) < 0.2


def test_a_large_beta_collapses_the_bubbles_and_a_small_one_frees_them_again(
    open_page: OpenPage,
) -> None:
    page = open_view(open_page, "bubbles")
    expect(page.locator(".bubble")).to_have_count(20)
    slider(page, "beta").fill("6")
    expect(page.locator(".numbers [data-name=kl] dd")).to_have_text("0 nats")
    assert read(page, "radius") == pytest.approx(1, abs=0.01)
    slider(page, "beta").fill("1")
    expect(page.locator(".numbers [data-name=radius] dd")).to_have_text(re.compile(r"^0\.[12]"))
    assert read(page, "kl") > 2


def test_without_beta_the_bubbles_explode(open_page: OpenPage) -> None:
    page = open_view(open_page, "bubbles&beta=0")
    expect(page.locator(".numbers [data-name=kl] dd")).to_have_text(re.compile(r"^[2-9]\d\."))


def test_who_wants_no_motion_starts_the_bubbles_themselves(open_page: OpenPage) -> None:
    page = open_view(open_page, "bubbles")
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    radius = page.locator(".numbers [data-name=radius] dd")
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    expect(radius).to_have_text("0.500")
    page.get_by_role("button", name="Run").click()
    expect(radius).not_to_have_text("0.500")


def test_a_bubble_can_be_dragged_and_moved_by_keys(open_page: OpenPage) -> None:
    page = open_view(open_page, "bubbles")
    page.get_by_role("button", name="Pause").click()
    bubble = page.locator(".bubble").last  # drawn over all others

    def place() -> list[float]:
        words = bubble.get_attribute("transform") or ""
        return [float(number) for number in re.findall(r"-?[\d.]+", words)]

    bubble.focus()
    before = place()
    bubble.press("ArrowRight")
    assert place()[0] > before[0] + 2
    kl = read(page, "kl")
    stage = page.locator(".stage > svg").bounding_box()
    assert stage is not None
    drag(page, bubble, 10)
    page.mouse.move(stage["x"] + 60, stage["y"] + 60)
    assert place() == pytest.approx([60, 60], abs=1)
    assert read(page, "kl") > kl
    assert count_messages(page) == 0


def test_a_pixel_costs_what_the_losses_say(open_page: OpenPage) -> None:
    page = open_view(open_page, "pixel&target=0.7&prediction=0.8")

    def core(prediction: float) -> float:
        logits = torch.logit(torch.tensor(prediction)).reshape(1, 1, 1, 1)
        return bernoulli_nll(logits, torch.full((1, 1, 1, 1), 0.7)).item()

    assert read(page, "bce") == pytest.approx(core(0.8), rel=6e-3)
    assert read(page, "above") == pytest.approx(core(0.8) - core(0.7), rel=6e-3)
    assert read(page, "below") == pytest.approx(core(0.6) - core(0.7), rel=6e-3)
    assert read(page, "above") > read(page, "below")
    drag(page, slider(page, "prediction"), -20)
    prediction = float(slider(page, "prediction").input_value())
    assert prediction < 0.6
    assert read(page, "bce") == pytest.approx(core(prediction), rel=6e-3)
    page.mouse.up()


@pytest.mark.parametrize("step", [2, 3, 4])
def test_the_parts_add_up_while_q_is_dragged_and_the_gap_closes_at_the_posterior(
    open_page: OpenPage, step: int
) -> None:
    page = open_view(open_page, f"bound&x=1.2&step={step}")
    evidence = LineModel().log_evidence(1.2)
    drag(page, slider(page, "sigma"), 15)
    page.mouse.up()
    assert read(page, "evidence") == pytest.approx(evidence, abs=6e-3)
    assert read(page, "elbo") + read(page, "gap") == pytest.approx(evidence, abs=0.02)
    assert read(page, "gap") > 0.05
    page.get_by_role("button", name="q = posterior").click()  # before the drag is answered
    for _ in range(8):
        assert read(page, "gap") == 0
        assert read(page, "elbo") == read(page, "evidence")
        page.wait_for_timeout(100)


def test_more_samples_close_in_on_the_evidence(open_page: OpenPage) -> None:
    page = open_view(open_page, "bound&step=4&k=1&sigma=1&x=1")
    bounds = [read(page, "weighted")]
    assert bounds[0] == read(page, "elbo")
    for _ in range(10):
        slider(page, "k").press("ArrowRight")
        bounds.append(read(page, "weighted"))
    assert all(np.diff(bounds) >= -0.02)  # the first is exact, the others are of samples
    assert bounds[-1] == pytest.approx(read(page, "evidence"), abs=0.02)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("looks", [{"dark": True}, {"phone": True}])
def test_every_view_fits_and_says_why(
    open_page: OpenPage, view: str, looks: dict[str, bool]
) -> None:
    page = open_view(open_page, view, **looks)
    page.get_by_text("Explanation", exact=True).click()
    expect(page.locator(".why a").first).to_be_visible()
    width = page.locator(".objective").evaluate("(host) => host.scrollWidth - host.clientWidth")
    assert width <= 0
    sizes = page.locator(".stage text").evaluate_all(
        "(words) => words.map((each) => parseFloat(each.getAttribute('font-size')))"
    )
    assert min(sizes) >= (13 if looks.get("phone") else 15)
    for control in page.locator(".sliders input").all():
        assert control.get_attribute("aria-label")
