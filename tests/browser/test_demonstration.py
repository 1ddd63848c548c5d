"""The first screen: a cursor that shows what the map does, until somebody touches the page."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

PLACE = "document.querySelector('.vae-cross').style.transform"


def test_the_map_decodes_by_itself_until_it_is_touched(open_page: Callable[..., Page]) -> None:
    page = open_page(moving=True)
    lens = page.locator(".vae-lens:not(.vae-kept, .vae-lecturer)")
    expect(lens).to_be_visible()
    first = page.evaluate(PLACE)
    page.wait_for_function(f"{PLACE} !== {first!r}")
    expect(page.locator(".vae-hint")).to_contain_text("Move over the map")
    page.keyboard.press("Shift")
    page.wait_for_timeout(200)
    rests = page.evaluate(PLACE)
    page.wait_for_timeout(600)
    assert page.evaluate(PLACE) == rests


def test_it_rests_where_motion_is_not_wanted(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.locator(".vae-hint")).to_be_visible()
    page.wait_for_timeout(600)
    expect(page.locator(".vae-lens:not(.vae-kept, .vae-lecturer)")).to_be_hidden()


def test_the_hint_goes_after_the_first_use_and_stays_away(open_page: Callable[..., Page]) -> None:
    page = open_page()
    plot = page.locator(".nsewdrag").first
    plot.hover()
    expect(page.locator(".vae-hint")).to_have_count(0)
    page.reload()
    expect(page.locator(".nsewdrag").first).to_be_visible()
    expect(page.locator(".vae-hint")).to_have_count(0)


@pytest.mark.parametrize("length", [0, 10, 95.5, 399, 400, 1234])
def test_the_way_is_a_closed_line_through_all_points(
    load_modules: Callable[..., Page], length: float
) -> None:
    page = load_modules("lib/demonstration.js")
    square = [[0, 0], [100, 0], [100, 100], [0, 100]]
    place = np.array(page.evaluate(f"alongLoop({square}, {length})"))
    again = np.array(page.evaluate(f"alongLoop({square}, {length} + 400)"))
    np.testing.assert_allclose(place, again, atol=1e-9)
    on_a_side = np.isclose(place, 0) | np.isclose(place, 100)
    assert on_a_side.any()
    if length % 100 == 0:
        np.testing.assert_allclose(place, square[int(length / 100) % 4], atol=1e-9)
