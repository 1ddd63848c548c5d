"""Every page opens; `.ci/run` runs this on an installed copy too (see `app_url`)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support import PROJECT

PAGES = sorted(path.stem for path in (PROJECT / "pages").glob("*.py"))
SETTINGS = tomllib.loads((PROJECT / ".streamlit/config.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_with_its_title_and_without_an_error(
    name: str, open_page: Callable[..., Page]
) -> None:
    page = open_page("" if name == "latent_map" else name, moving=False)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("button", name="Reset", exact=True).first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_the_settings_of_the_project_hold(open_page: Callable[..., Page]) -> None:
    page = open_page("objective", dark=True, moving=False)
    size = page.evaluate("getComputedStyle(document.documentElement).fontSize")
    assert size == f"{SETTINGS['theme']['baseFontSize']}px"
    colour = SETTINGS["theme"]["dark"]["backgroundColor"]
    expect(page.get_by_test_id("stApp")).to_have_css(
        "background-color", f"rgb{tuple(bytes.fromhex(colour.removeprefix('#')))}"
    )
