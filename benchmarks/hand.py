"""What a hand does on the app's pages, and what the stage makes of it."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, FloatRect, Locator, Page

FRAME = 1000 / 60  # ms

# `drawn`: of each drawing, when its cause happened, when its pixels stood on the canvas, whether
# it was the full image. `messages`: what went to the script, each of which makes it run again.
_RECORD = """
window.drawn = [];
window.messages = 0;
document.addEventListener("vae-drawn", ({detail}) =>
  drawn.push([detail.since, detail.at, Number(detail.full)]));
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  messages++;
  return send.call(this, data);
};
"""


class Movement(NamedTuple):
    """What a page did while something was moved over it."""

    latencies: NDArray[np.float64]
    """Milliseconds from the pointer's event to the pixels, of each drawing that an event caused."""
    frames_per_second: float
    """Sixtieths of a second in which something was drawn."""
    full_per_second: float
    """Drawings that were no coarse forerunners."""
    reruns: int
    """Messages to the script while it lasted."""


def open_page(
    browser: Browser,
    port: int,
    path: str,
    *,
    dark: bool = False,
    size: tuple[int, int] = (1280, 720),
    script: str = "",
) -> Page:
    """Open a page of the app, and wait until its stage is there.

    `script` runs in the page before anything else.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    context.add_init_script(f"{_RECORD}\n{script}")
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/{path}")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_selector(".vae-plot .nsewdrag, .vae-stage:not([data-view=draw]) canvas")
    return page


def hover_map(page: Page, seconds: float) -> Movement:
    """Move the mouse over a map, along a curve that covers it."""
    box = box_of(page.locator(".vae-plot .nsewdrag"))
    return _move(page, seconds, box)


def drag_slider(page: Page, seconds: float) -> Movement:
    """Drag the first slider of the panel to and fro, and let it go."""
    box = box_of(page.locator("[data-view=sliders] input[type=range]").first)
    page.mouse.move(*_place(box, 0))
    page.mouse.down()
    movement = _move(page, seconds, box)
    page.mouse.up()
    return movement


def box_of(element: Locator) -> FloatRect:
    """Return where an element lies on the screen."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    if box is None:
        raise RuntimeError("What is to be measured is not on the page.")
    return box


def _move(page: Page, seconds: float, box: FloatRect) -> Movement:
    page.evaluate("() => { drawn.length = 0; messages = 0; }")
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        page.mouse.move(*_place(box, passed))  # returns when the page has taken it: once a frame
    drawn = np.array(page.evaluate("drawn"), float).reshape(-1, 3)
    caused = drawn[drawn[:, 0] > 0]
    return Movement(
        caused[:, 1] - caused[:, 0],
        len(np.unique(drawn[:, 1] // FRAME)) / seconds,
        float(drawn[:, 2].sum()) / seconds,
        page.evaluate("messages"),
    )


def _place(box: FloatRect, seconds: float) -> tuple[float, float]:
    """Return where on the curve the hand is by then: on a map, or along a slider."""
    across, up = math.sin(math.tau * seconds / 4), math.sin(math.tau * seconds / 3)
    return (
        round(box["x"] + box["width"] * (0.5 + 0.35 * across)),
        round(box["y"] + box["height"] * (0.5 + 0.35 * up)),
    )
