"""The whole lecture on the models that come with the app, clicked through without a mouse."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support import PROJECT
from tests.support.stage import wait_for_run
from vae_explorer.teaching.lecture import read_lecture, shipped_lecture

OpenPage = Callable[..., Page]
PAGES = {path.stem for path in PROJECT.joinpath("pages").glob("*.py")}
SCENES, _ = read_lecture(shipped_lecture(), PAGES)


def test_page_down_leads_through_all_scenes_and_page_up_back(open_page: OpenPage) -> None:
    page = open_page("lecture")
    expect(page.locator("[data-listens]")).to_be_attached()
    sentence = page.locator(".lecture-sentence")
    for number, scene in enumerate(SCENES, start=1):
        page.keyboard.press("PageDown")
        expect(sentence).to_have_text(scene.sentence)
        wait_for_run(page)
        expect(page.get_by_text("Defaults are shown")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)
        path = "" if scene.page == "latent_map" else scene.page
        expect(page).to_have_url(re.compile(rf"/{path}\?.*lecture={number}$"))
    page.keyboard.press("PageUp")
    expect(sentence).to_have_text(SCENES[-2].sentence)


def test_a_focused_slider_keeps_the_arrows_and_leaves_the_pages_to_the_lecture(
    open_page: OpenPage,
) -> None:
    place = next(k for k, scene in enumerate(SCENES, start=1) if "view=kl" in scene.link)
    page = open_page(f"{SCENES[place - 1].link}&lecture={place}")
    expect(page.locator("[data-listens]")).to_be_attached()
    sentence = page.locator(".lecture-sentence")
    expect(sentence).to_have_text(SCENES[place - 1].sentence)
    slider = page.locator("input[type=range]").first
    slider.focus()
    before = slider.input_value()
    page.keyboard.press("ArrowRight")
    expect(slider).not_to_have_value(before)
    expect(sentence).to_have_text(SCENES[place - 1].sentence)
    slider.focus()
    page.keyboard.press("PageDown")
    expect(sentence).to_have_text(SCENES[place].sentence)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowLeft")
    expect(sentence).to_have_text(SCENES[place - 1].sentence)
