"""A lecture that two others follow."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.relay import relay_to
from tests.support.stage import find_plot, wait_for_run

OpenPage = Callable[..., Page]
_WATCH = """() => {
  window.lecturerDrew = [];
  document.addEventListener("vae-drawn", ({target, detail}) => {
    if (target.dataset.view === "lecturer") lecturerDrew.push(Array.from(detail.z));
  });
}"""
_AT = """(lens) => {
  const stage = lens.closest(".vae-stage");
  const {xaxis, yaxis} = stage.querySelector(".vae-plot")._fullLayout;
  const area = stage.querySelector(".nsewdrag").getBoundingClientRect();
  const cross = stage.querySelector(".vae-cross.vae-lecturer").getBoundingClientRect();
  return [xaxis.p2d(cross.x - area.x), yaxis.p2d(cross.y - area.y)];
}"""


def open_lecture(open_page: OpenPage) -> tuple[Page, str]:
    """Open the first scene to followers; return the lecturer's page and their link."""
    page = open_page("?model=fashion-vae-2d&lecture=1")
    page.get_by_role("button", name="Let the class follow").click()
    link = page.get_by_role("dialog").locator("code").inner_text().strip()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    return page, link.partition("?")[2]


def open_follower(open_page: OpenPage, link: str, *, phone: bool) -> Page:
    """Open the link, and wait for the map."""
    page = open_page(f"?{link}", phone=phone)
    expect(page.get_by_text("Following the lecturer")).to_be_visible()
    find_plot(page).locator(".nsewdrag").wait_for()
    page.evaluate(_WATCH)
    return page


def point(lecturer: Page, across: float, up: float) -> None:
    """Move the lecturer's mouse to a place of the map, in shares of it."""
    area = find_plot(lecturer).locator(".nsewdrag").bounding_box()
    assert area
    height = min(area["height"], 700 - area["y"])  # what is on the screen
    lecturer.mouse.move(area["x"] + across * area["width"], area["y"] + up * height)


def expect_drawn(page: Page, z: list[float]) -> None:
    """Expect that the page has decoded the lecturer's z, with the crosshair at it."""
    page.wait_for_function(
        "(z) => { const last = lecturerDrew.at(-1); "
        "return last && z.every((v, k) => Math.abs(v - last[k]) < 1e-3); }",
        arg=z,
    )
    lens = page.locator(".vae-lens.vae-lecturer")
    expect(lens).to_be_visible()
    np.testing.assert_allclose(lens.evaluate(_AT), z, atol=0.15)  # half a crosshair


def z_of(lecturer: Page) -> list[float]:
    """Return the lecturer's own z."""
    z: list[float] = lecturer.evaluate(
        "Array.from(__vaeChannels.get('lecture-own-pointer').values.z)"
    )
    return z


def test_two_followers_see_scene_and_pointer_and_come_back(open_page: OpenPage) -> None:
    lecturer, link = open_lecture(open_page)
    followers = [open_follower(open_page, link, phone=phone) for phone in (True, False)]
    for place in ((0.3, 0.4), (0.6, 0.7)):
        point(lecturer, *place)
        for page in followers:
            expect_drawn(page, z_of(lecturer))
    lecturer.mouse.move(5, 5)  # off the map
    for page in followers:
        expect(page.locator(".vae-lens.vae-lecturer")).to_be_hidden()

    lecturer.keyboard.press("PageDown")
    for page in followers:
        expect(page).to_have_url(re.compile(r"/anatomy\?.*following="))
    first, second = followers
    second.get_by_role("button", name="Explore on my own").click()
    back = second.get_by_role("button", name="Return to the lecturer")
    expect(back).to_be_visible()
    lecturer.keyboard.press("PageDown")
    expect(first).to_have_url(re.compile("/autoencoder_or_vae"))
    expect(second).to_have_url(re.compile("/anatomy"))
    back.click()
    expect(second).to_have_url(re.compile("/autoencoder_or_vae"))
    expect(second.get_by_text("Following the lecturer")).to_be_visible()

    wait_for_run(lecturer)
    lecturer.get_by_role("button", name="End", exact=True).click()
    for page in followers:
        expect(page.get_by_text("The lecture has ended")).to_be_visible()


def test_a_connection_that_was_cut_comes_back_by_itself(
    open_page: OpenPage, app_url: str, new_context: Callable[..., BrowserContext]
) -> None:
    lecturer, link = open_lecture(open_page)
    with relay_to(app_url) as relay:
        page = new_context(reduced_motion="reduce").new_page()
        page.goto(f"http://127.0.0.1:{relay.port}/?{link}")
        find_plot(page).locator(".nsewdrag").wait_for()
        page.evaluate(_WATCH)
        point(lecturer, 0.3, 0.4)
        expect_drawn(page, z_of(lecturer))
        relay.cut()  # Playwright's set_offline leaves open streams alone
        point(lecturer, 0.6, 0.6)
        expect(page.get_by_text("No connection to the lecture")).to_be_visible()
        relay.mend()
        expect_drawn(page, z_of(lecturer))
        expect(page.get_by_text("No connection to the lecture")).to_have_count(0)
        lecturer.keyboard.press("PageDown")
        expect(page).to_have_url(re.compile(r"/anatomy\?.*following="))
        page.close()
