"""What a person does with a thumb: the menu, a tap on the map, a slider below a face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.support.live_stage import read_canvas
from tests.support.stage import wait_for_run

OpenPage = Callable[..., Page]
PAGES = (
    *("", "overview", "decoded_grid", "generate", "dimensions"),
    *("your_photo", "morph", "edit", "arithmetic"),
    *("anatomy", "autoencoder_or_vae", "objective", "lecture"),
    *("train", "playback", "compare"),
)
SMALLEST = 40  # px

# Of all that can be touched: what is smaller than that, by the box that takes the touch.
_TOO_SMALL = """
(smallest) => {
  const touched = "button, select, summary, input[type=range], .stSelectbox [role=group], " +
    "[data-testid=stPageLink-NavLink], .stTextInput input, .stCheckbox label";
  const within = "[aria-hidden=true], .modebar, .stSlider, .stSelectbox [role=group] *";
  return [...document.querySelectorAll("[data-testid=stMain] :is(" + touched + ")")]
    .filter((each) => {
      const { width, height } = each.getBoundingClientRect();
      const { visibility, opacity } = getComputedStyle(each);
      const shown = width && height && visibility !== "hidden" && opacity !== "0";
      return shown && !each.closest(within) && Math.min(width, height) < smallest - 0.5;
    })
    .map((each) => each.outerHTML.slice(0, 200));
}
"""


@pytest.mark.parametrize("page_name", PAGES)
def test_a_page_fits_a_phone_and_a_thumb(open_page: OpenPage, page_name: str) -> None:
    page = open_page(page_name, phone=True)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 1
    assert page.evaluate(_TOO_SMALL, SMALLEST) == []


def test_the_menu_closes_when_a_page_is_chosen(open_page: OpenPage) -> None:
    page = open_page("overview", phone=True)
    for title in ("Decoded grid", "Overview"):
        page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_test_id("stSidebarNavLink").get_by_text(title).click()
        expect(page.get_by_test_id("stExpandSidebarButton")).to_be_visible()
        expect(page.get_by_test_id("stSidebarNavLink").first).not_to_be_in_viewport()
    wait_for_run(page)


def test_what_a_tap_pins_is_what_lies_there(open_page: OpenPage) -> None:
    page = open_page("", phone=True)
    area = page.locator(".nsewdrag").first
    box = area.bounding_box()
    assert box is not None
    lens, pinned = (
        page.locator(".vae-lens:not(.vae-kept, .vae-lecturer)"),
        page.locator(".vae-kept"),
    )
    seen = []
    for x, y in ((0.3, 0.8), (0.5, 0.3)):
        page.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])
        expect(pinned).to_be_visible()
        wait_for_run(page)
        page.wait_for_timeout(300)  # both are drawn by now, whichever was first
        shown = read_canvas(lens.locator("canvas"))
        assert np.array_equal(read_canvas(pinned.locator("canvas")), shown)
        seen.append(shown)
    assert not np.array_equal(*seen)


def test_a_face_stays_in_view_beside_its_sliders(open_page: OpenPage) -> None:
    page = open_page("edit?model=faces-vae-64", phone=True)
    expect(page.get_by_text("Side by side")).to_be_hidden()  # before an edit there is no after
    page.get_by_role("slider", name="Photo detail").scroll_into_view_if_needed()
    expect(page.locator(".vae-wipe")).to_be_in_viewport(ratio=0.8)
    smiling = page.get_by_role("slider", name="Smiling", exact=True)
    smiling.evaluate("(slider) => { slider.value = 2; slider.dispatchEvent(new Event('input')); }")
    expect(page.get_by_text("Side by side")).to_be_visible()
