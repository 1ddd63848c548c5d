from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.live_stage import assert_same_picture, no_rerun, read_canvas, watch
from tests.support.stage import wait_for_run
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.images import for_display, to_uint8
from vae_explorer.server.trace import TraceRequest

OpenPage = Callable[..., Page]
MODELS = (
    "fashion-vae-2d",
    "mnist-vae-2d",
    "mnist-mlp-vae-20d",
    "fashion-ae-2d",
    "faces-vae-32",
    "faces-vae-64",
)


def cell(page: Page, name: str) -> Locator:
    """Return the tile of a step, or of the clean picture."""
    return page.locator(".vae-cell", has=page.locator(f"b:text-is('{name}')"))


def open_anatomy(open_page: OpenPage, link: str = "", **looks: bool) -> Page:
    page = open_page(f"anatomy{link}", **looks)
    expect(cell(page, "Output").locator("canvas")).to_be_visible()
    watch(page)
    return page


def picture_of(page: Page, name: str) -> np.ndarray:
    return read_canvas(cell(page, name).locator("canvas"))


def clean_of(page: Page, model: str) -> np.ndarray:
    """Return the picture that is followed, as it is on the screen: to one part in 255."""
    config = load_checkpoint(model).card.model
    shown = picture_of(page, "Image").astype(np.float32) / 255
    return for_display(np.moveaxis(shown, -1, 0)[: config.image_channels])


@pytest.mark.parametrize("model", MODELS)
def test_each_model_is_followed_to_what_it_decodes(open_page: OpenPage, model: str) -> None:
    page = open_anatomy(open_page, f"?model={model}")
    network = load_checkpoint(model).model
    trace = TraceRequest(clean_of(page, model), sampled="vae" in model).trace_forward(network)
    found = picture_of(page, "Output").astype(int)
    wanted = to_uint8(for_display(trace.output))
    # The clean picture went over the screen, where it was rounded.
    assert np.abs(found - wanted).mean() < 1
    for step in trace.steps:
        expect(cell(page, step.name)).to_have_count(1)
    expect(page.locator(".vae-cell")).to_have_count(len(trace.steps) + 1)
    values = int(np.prod(network.config.image_shape))
    ratio = f"{values / network.config.latent_dim:.3g}:1"
    expect(page.locator(".vae-said")).to_contain_text(ratio)
    has_chance = network.config.kind == "vae"
    expect(page.get_by_role("button", name="Resample ε")).to_have_count(int(has_chance))


def test_a_drag_of_the_noise_redraws_every_layer_and_reruns_nothing(open_page: OpenPage) -> None:
    page = open_anatomy(open_page, "?model=mnist-mlp-vae-20d&mean=1")
    names = ("Input", "Encoder 1", "Decoder 1", "Output")
    before = {name: picture_of(page, name) for name in names}
    clean = picture_of(page, "Image")
    box = page.locator("[data-view=sliders] input").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    with no_rerun(page):
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 8, steps=8)
    page.mouse.up()
    expect(page).to_have_url(re.compile("[?&]noise=0[.]"))
    wait_for_run(page)
    for name in names:
        assert np.abs(picture_of(page, name).astype(int) - before[name]).max() > 20, name
    np.testing.assert_array_equal(picture_of(page, "Image"), clean)
    expect(page.locator(".vae-said")).to_contain_text("noisy input")


def test_a_layer_is_chosen_by_mouse_and_by_keyboard_and_kept_in_the_link(
    open_page: OpenPage,
) -> None:
    page = open_anatomy(open_page)
    panel = page.locator("[data-view=layer]")
    expect(panel).to_contain_text("Kernel 3 × 3, stride 2, padding 1")
    expect(panel).to_contain_text("32 × (1 × 3 × 3) + 32 = 320")
    cell(page, "Decoder 2").locator("button").click()
    expect(panel).to_contain_text("128 × (128 × 3 × 3) + 128 = 147,584")
    expect(page).to_have_url(re.compile("[?&]layer=9"))
    cell(page, "σ").locator("button").focus()
    page.keyboard.press("Enter")
    expect(panel).to_contain_text("2 × 2,048 + 2 = 4,098")
    expect(cell(page, "σ").locator("button")).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("[?&]layer=5"))


def test_drawing_again_moves_z_and_leaves_the_mean(open_page: OpenPage) -> None:
    page = open_anatomy(open_page)
    clean, network = clean_of(page, MODELS[0]), load_checkpoint(MODELS[0]).model
    mean = cell(page, "μ").locator(".vae-shape").inner_text()
    before = cell(page, "z").locator(".vae-shape").inner_text()
    page.get_by_role("button", name="Resample ε").click()
    expect(cell(page, "z").locator(".vae-shape")).not_to_have_text(before)
    expect(cell(page, "μ").locator(".vae-shape")).to_have_text(mean)
    expect(page).to_have_url(re.compile("[?&]epsilon_seed=1"))
    z = TraceRequest(clean, epsilon_seed=1).trace_forward(network).find("z").activations
    found = [
        float(text.replace("−", "-"))
        for text in cell(page, "z").locator(".vae-shape").inner_text().split(", ")
    ]
    np.testing.assert_allclose(found, z, atol=0.02)


def test_a_drawn_digit_is_followed_while_it_is_drawn(open_page: OpenPage) -> None:
    page = open_anatomy(open_page, "?model=mnist-vae-2d&mean=1")
    picked = picture_of(page, "Image")
    page.get_by_text("Draw a digit", exact=True).click()
    box = page.locator(".vae-paper").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"]
    with no_rerun(page):
        page.mouse.move(x, y + 30)
        page.mouse.down()
        page.mouse.move(x, y + 130, steps=6)
        page.mouse.up()
    expect(cell(page, "Image")).to_contain_text("Your drawing")
    drawn = picture_of(page, "Image")
    assert np.abs(drawn.astype(int) - picked).max() > 100
    page.get_by_role("button", name="Clear").click()
    expect(cell(page, "Image")).not_to_contain_text("Your drawing")
    assert_same_picture(picture_of(page, "Image"), picked)


@pytest.mark.parametrize("looks", [{"dark": True}, {"phone": True}])
def test_the_stage_fits_other_screens(open_page: OpenPage, looks: dict[str, bool]) -> None:
    page = open_anatomy(open_page, "?model=faces-vae-64", **looks)
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert over <= 0
    paper = picture_of(page, "Encoder 2")
    assert paper.max() == 255  # paper is white in both themes


def test_where_only_the_socket_gets_through_the_answer_comes_with_the_page(
    open_page: OpenPage,
) -> None:
    page = open_page("anatomy", cut_off=lambda: True)
    expect(page.get_by_text("Images update when you release")).to_have_count(1)
    expect(cell(page, "Output").locator("canvas")).to_be_visible()
    assert np.ptp(picture_of(page, "Output")) > 100
