"""Live views compute in the browser; the server answers where it cannot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.support.live_stage import (
    NO_ENGINE,
    Map,
    assert_same_picture,
    draw_expected,
    expect_drawn,
    read_canvas,
    wait_for_engine,
    watch,
)

OpenPage = Callable[..., Page]

FASHION, DIGITS, FACES = "fashion-vae-2d", "mnist-vae-2d", "faces-vae-32"
WEIGHTS = "**/api/weights/**"
HERE = "in this browser"
# The workers that compute, so that a test can end them.
RECORD_WORKERS = """
window.workers = [];
window.Worker = class extends Worker {
  constructor(address) {
    super(address);
    workers.push(this);
  }
};
"""
END_WORKERS = """
for (const worker of workers) worker.dispatchEvent(new ErrorEvent("error", { message: "lost" }));
"""


def count_drawings(page: Page) -> int:
    return int(page.evaluate("drawings.length"))


def expect_more(page: Page, drawings: int) -> None:
    page.wait_for_function("(before) => drawings.length > before", arg=drawings)


def drag_across(page: Page, selector: str) -> None:
    """Press, move and release the mouse over an element."""
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=8)
    page.mouse.up()


def send_pointer(page: Page, selector: str) -> None:
    if "range" in selector:  # a slider's handle, wherever it is
        page.locator(selector).first.evaluate(
            """(slider) => [0.2, 0.5, 0.8].forEach((share) => {
              slider.value = Number(slider.min) + share * (slider.max - slider.min);
              slider.dispatchEvent(new Event("input"));
            })"""
        )
    else:
        drag_across(page, selector)


@pytest.mark.parametrize(
    ("path", "part", "view"),
    [
        ("", ".nsewdrag", "map"),
        ("decoded_grid?n=5", "[data-view=grid] canvas", "grid"),
        (f"morph?model={FACES}", "[data-view=morph] input[type=range]", "morph"),
        (f"edit?model={FACES}&decoder=trained", "[data-view=sliders] input[type=range]", "edit"),
        ("autoencoder_or_vae", ".vae-linked-map canvas", "linked"),
    ],
)
def test_nothing_is_asked_while_something_is_dragged(
    open_page: OpenPage, path: str, part: str, view: str
) -> None:
    lost: list[bool] = []
    page = open_page(path, cut_off=lambda: bool(lost))
    expect(page.locator(f"[data-view={view}]")).to_be_visible()
    wait_for_engine(page)
    watch(page)
    # Where this machine is so busy that the server seemed faster, its absence is found out here.
    lost.append(True)
    send_pointer(page, part)
    expect_more(page, 0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = count_drawings(page)
    send_pointer(page, part)
    expect_more(page, before)
    assert [url for url in asked if "/api/" in url] == []
    label = page.locator(f"[data-view={view}] .vae-where").first
    expect(label).to_contain_text(HERE)
    expect(page.locator(f"[data-view={view}] .vae-note").first).to_be_hidden()
    shown, picture = label.bounding_box(), page.locator(f"[data-view={view}] canvas").first
    box = picture.bounding_box()
    assert shown is not None and box is not None
    assert shown["y"] >= box["y"] + box["height"]


def test_a_digit_is_encoded_here(open_page: OpenPage) -> None:
    lost: list[bool] = []
    page = open_page(f"?model={DIGITS}", cut_off=lambda: bool(lost))
    page.get_by_text("Draw a digit", exact=True).click()
    expect(page.locator(".vae-paper")).to_be_visible()
    wait_for_engine(page)
    drag_across(page, ".vae-paper")  # loads the encoder
    words = page.locator(".vae-words")
    expect(words).to_contain_text("nearest test images")
    before = words.inner_text()
    watch(page)
    lost.append(True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Clear").click()
    page.mouse.move(0, 0)
    box = page.locator(".vae-paper").bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] - 20, steps=8)
    page.mouse.up()
    expect(words).to_contain_text("1s")
    assert words.inner_text() != before
    assert [url for url in asked if "/api/encode" in url or "/api/decode" in url] == []


def expect_decoded(page: Page, stage: Map, across: float, down: float) -> None:
    """Hover over the map of FASHION; expect what PyTorch decodes there."""
    z = stage.hover(across, down)[None].astype(np.float32)
    expect_drawn(page, "map", z)
    assert_same_picture(read_canvas(stage.lens.locator("canvas")), draw_expected(FASHION, z))
    expect(stage.host.locator(".vae-note")).to_be_hidden()


@pytest.mark.parametrize(
    "blocked", [{"cut_off": lambda: True, "cut": WEIGHTS}, {"script": NO_ENGINE}]
)
def test_the_server_decodes_where_the_browser_cannot(
    open_page: OpenPage, blocked: dict[str, object]
) -> None:
    page = open_page("", **blocked)
    stage = Map(page)
    watch(page)
    wait_for_engine(page)
    expect_decoded(page, stage, 0.4, 0.6)
    expect(stage.host.locator(".vae-where")).to_have_text("Computed on the server")


def test_the_server_goes_on_where_the_browser_fails(open_page: OpenPage) -> None:
    page = open_page("", script=RECORD_WORKERS)
    stage = Map(page)
    watch(page)
    wait_for_engine(page)
    expect_decoded(page, stage, 0.4, 0.6)
    expect(stage.host.locator(".vae-where")).to_contain_text(HERE)
    label = stage.host.locator(".vae-where").inner_text()
    page.evaluate(END_WORKERS)
    expect_decoded(page, stage, 0.6, 0.4)
    for _ in range(3):  # what was slower may be started once more, and end as well
        page.wait_for_timeout(200)
        page.evaluate(END_WORKERS)
    expect_decoded(page, stage, 0.5, 0.3)
    expect(stage.host.locator(".vae-where")).not_to_have_text(label)
