"""Compare in a browser: the table sorts numbers as numbers, and what is ticked is in the plots."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from playwright.sync_api import Locator, Page, TimeoutError, expect

from tests.support.stage import find_plot, wait_for_run
from vae_explorer.checkpoints import load_checkpoint

OpenPage = Callable[..., Page]
MODELS = ("fashion-ae-2d", "fashion-vae-2d-beta-0.1", "fashion-vae-2d", "fashion-vae-2d-beta-10")
BEST = "fashion-vae-2d"
ROW = 33  # pixels, of a heading too
# The table is drawn on a canvas, and lies beside it as text for screen readers.
_CELLS = """
(table, heading) => {
  const headings = Array.from(table.querySelectorAll("[role=columnheader]"));
  const place = headings.find((cell) => cell.textContent.includes(heading)).ariaColIndex;
  const cells = table.querySelectorAll(`td[aria-colindex="${place}"]`);
  return Array.from(cells).map((cell) => cell.textContent);
}
"""
_SORTED = f"""
([table, wanted]) => {{
  const found = ({_CELLS.strip()})(table, "Recon.").map(Number);
  return JSON.stringify(found) === JSON.stringify(wanted);
}}
"""
_MARKS = """
(plot) => plot._fullData.filter((trace) => trace.mode.includes("markers")).map((trace) =>
  ({names: Array.from(trace.hovertext), x: Array.from(trace.x), y: Array.from(trace.y)}))
"""


def open_table(open_page: OpenPage) -> tuple[Page, Locator]:
    page = open_page("compare")
    table = page.get_by_test_id("stDataFrame")
    expect(table.get_by_test_id(f"glide-cell-1-{len(MODELS) - 1}")).to_be_attached()
    return page, table


def read_metric(name: str, metric: str) -> float:
    value = load_checkpoint(name).card.metrics[metric].value
    assert isinstance(value, float)
    return value


def test_a_click_on_a_heading_sorts_by_the_numbers_below_it(open_page: OpenPage) -> None:
    page, table = open_table(open_page)
    wanted = sorted(read_metric(name, "reconstruction") for name in MODELS)
    assert [float(cell) for cell in table.evaluate(_CELLS, "Recon.")] != wanted
    box = table.bounding_box()
    for x in range(ROW + 20, int(box["width"]), 45):  # a heading stands where its column fits
        page.mouse.click(box["x"] + x, box["y"] + ROW / 2)
        with suppress(TimeoutError):
            page.wait_for_function(_SORTED, arg=[table.element_handle(), wanted], timeout=2_500)
            return
    pytest.fail("No click on a heading brought the numbers into their order.")


def test_a_row_that_is_ticked_is_the_one_in_the_plane(open_page: OpenPage) -> None:
    page, table = open_table(open_page)
    box = table.bounding_box()
    page.mouse.click(box["x"] + ROW / 2, box["y"] + 1.5 * ROW)  # the lowest −ELBO stands first
    expect(page).to_have_url(re.compile(rf"[?&]models={BEST}(&|$)"))
    page.get_by_role("radio", name="Rate–distortion").click()
    expect(page).to_have_url(re.compile("compare=plane"))
    wait_for_run(page)
    (mark,) = find_plot(page).evaluate(_MARKS)
    assert mark["names"] == [load_checkpoint(BEST).card.title]
    assert mark["x"] == [read_metric(BEST, "kl")]
    assert mark["y"] == [read_metric(BEST, "reconstruction")]
