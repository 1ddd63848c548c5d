"""What a person's eye and hand do on a page, for the browser tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from scipy.spatial import KDTree

# Of every point that stands for a row of the encodings: the row, and its place on the screen.
_POINTS = """
(plot) => {
  const {xaxis, yaxis} = plot._fullLayout;
  const corner = plot.getBoundingClientRect();
  const left = corner.x + xaxis._offset, top = corner.y + yaxis._offset;
  return plot._fullData.flatMap((trace) =>
    Array.from(trace.customdata ?? []).map((row, index) =>
      [row, left + xaxis.d2p(trace.x[index]), top + yaxis.d2p(trace.y[index])]));
}
"""


def wait_for_run(page: Page) -> None:
    """Wait until the script has run and what it drew is there.

    Right after a click the run may not have begun: there, expect what the click should bring.
    """
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def find_plot(page: Page) -> Locator:
    """Return the stage's Plotly figure."""
    return page.locator(".js-plotly-plot").first


def click_map_point(page: Page) -> int:
    """Click the point of a map that stands farthest from all others, and return its row.

    Among a crowd a click would be ambiguous: many points share a pixel.
    """
    plot = find_plot(page)
    plot.scroll_into_view_if_needed()
    points = np.array(plot.evaluate(_POINTS))
    distances, _ = KDTree(points[:, 1:]).query(points[:, 1:], k=2)
    row, x, y = points[distances[:, 1].argmax()]
    page.mouse.click(x, y)
    return int(row)


def read_image(element: Locator) -> np.ndarray:
    """Return an element's pixels (height, width, 3), uint8, as they are seen."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"))


def go_to(page: Page, section: str, title: str) -> None:
    """Open a page by the menu at the top."""
    page.locator("[data-testid=stTopNavSection]", has_text=section).click()
    page.get_by_role("menuitem", name=title).click()
