"""What the live stage draws, and what it tells the script, for the browser tests."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.images import for_display, tile, to_uint8
from vae_explorer.inference import decode

# `drawings`: what each view drew, as the stage announces it. `messages`: what went through the
# page's socket to the script, each of which makes it run again.
_WATCH = """
() => {
  window.drawings = [];
  document.addEventListener("vae-drawn", ({target, detail}) =>
    drawings.push({view: target.dataset.view, z: Array.from(detail.z), full: detail.full}));
  window.messages = 0;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    messages++;
    return send.call(this, data);
  };
}
"""
_IS_DRAWN = """
([view, z]) => drawings.some((drawing) => drawing.view === view && drawing.full &&
  drawing.z.length === z.length && drawing.z.every((value, k) => Math.abs(value - z[k]) < 2e-5))
"""
NO_ENGINE = "delete window.Worker;"
"""Before a page loads: nothing is computed in this browser."""
_AXES = """
(plot) => {
  const {xaxis, yaxis} = plot._fullLayout;
  return [xaxis.range, yaxis.range];
}
"""


def watch(page: Page) -> None:
    """Begin to record what the stage draws, and to count what is sent to the script."""
    page.evaluate(_WATCH)


def count_messages(page: Page) -> int:
    """Return how many times the script was asked to run since `watch`."""
    return int(page.evaluate("messages"))


def wait_for_engine(page: Page) -> None:
    """Wait until the engines of the page have timed their backends."""
    page.wait_for_function("globalThis.__vaeEngines?.size")
    page.evaluate("Promise.all([...__vaeEngines.values()].map(({engine}) => engine.settled))")


@contextmanager
def no_rerun(page: Page) -> Iterator[None]:
    """Fail if the script is asked to run in this block, or if nothing is drawn in it."""
    messages, drawings = count_messages(page), page.evaluate("drawings.length")
    yield
    page.wait_for_function("(before) => drawings.length > before", arg=drawings)
    assert count_messages(page) == messages


def expect_drawn(page: Page, view: str, z: np.ndarray) -> None:
    """Wait until a view has drawn these latents (n, latent_dim)."""
    page.wait_for_function(_IS_DRAWN, arg=[view, z.ravel().tolist()])


def read_canvas(canvas: Locator) -> np.ndarray:
    """Return a canvas's own pixels (height, width, 3), uint8, before the page enlarges them."""
    url = canvas.evaluate("(canvas) => canvas.toDataURL()")
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    return np.asarray(picture.convert("RGB"))


def draw_expected(name: str, z: np.ndarray, columns: int = 1) -> np.ndarray:
    """Return the pixels (height, width, 3), uint8, that show latents (n, latent_dim) as tiles."""
    pixels = to_uint8(tile(for_display(decode(load_checkpoint(name).model, z)), columns))
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def assert_same_picture(found: np.ndarray, wanted: np.ndarray) -> None:
    """Compare pixels (height, width, 3) to one grey level, and to 1e-3 of the range on average.

    The browser computes with weights in float16.
    """
    assert found.shape == wanted.shape
    difference = np.abs(found.astype(int) - wanted)
    assert difference.max() <= 1
    assert difference.mean() <= 1e-3 * 255


class Map:
    """The live map of a page, in coordinates of the screen and of its axes."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.host = page.locator("[data-view=map]")
        self.lens = self.host.locator(".vae-lens").first
        area = self.host.locator(".nsewdrag")
        expect(area).to_be_visible()
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        assert box is not None
        self.corner = np.array([box["x"], box["y"]])
        self.size = np.array([box["width"], box["height"]])

    def at(self, across: float, down: float) -> np.ndarray:
        """Return the place (2,) on the screen at these shares of the plot's width and height."""
        return np.floor(self.corner + self.size * (across, down))

    def read_axes(self, places: np.ndarray) -> np.ndarray:
        """Return what the axes show (..., 2) at places (..., 2) on the screen."""
        ranges = np.array(self.host.locator(".js-plotly-plot").evaluate(_AXES))
        share = (places - self.corner) / self.size
        share[..., 1] = 1 - share[..., 1]
        return ranges[:, 0] + share * np.diff(ranges, axis=1)[:, 0]

    def hover(self, across: float, down: float) -> np.ndarray:
        """Move the mouse over the map, and return what the axes show there (2,)."""
        place = self.at(across, down)
        self.page.mouse.move(*place)
        return self.read_axes(place)
