"""Live views compute in the browser; the server answers where they cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.live_stage import watch
from tests.support.stage import wait_for_run

OpenPage = Callable[..., Page]
HERE = "Computed in this browser"
FACES = "model=faces-vae-64"


def ask_counter(page: Page) -> list[str]:
    """Return the list of what is asked of the live routes from now on."""
    asked: list[str] = []
    page.on(
        "request",
        lambda request: (
            asked.append(request.url)
            if any(f"/api/{verb}/" in request.url for verb in ("decode", "encode"))
            else None
        ),
    )
    return asked


def drag_slider(page: Page, name: str) -> None:
    slider = page.get_by_role("slider", name=name, exact=True)
    for value in (0.2, 0.4, 0.6):
        slider.evaluate(
            "(each, value) => { each.value = value; each.dispatchEvent(new Event('input')); }",
            value,
        )


def hover(page: Page, view: str) -> None:
    box = page.locator(f"[data-view={view}]").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 2
    for step in range(8):
        page.mouse.move(x + 5 * step, y + 3 * step)


def drag_grid(page: Page) -> None:
    box = page.locator("[data-view=grid] canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 230, steps=6)
    page.mouse.up()


VIEWS = {
    "map": ("", lambda page: hover(page, "map")),
    "grid": ("decoded_grid", drag_grid),
    "linked": ("autoencoder_or_vae", lambda page: hover(page, "linked")),
    "morph": (f"morph?{FACES}", lambda page: drag_slider(page, "Position along the path")),
    "edit": (f"edit?{FACES}", lambda page: drag_slider(page, "Smiling")),
}


@pytest.mark.parametrize("view", VIEWS)
def test_once_it_is_ready_nothing_is_asked_of_the_server(open_page: OpenPage, view: str) -> None:
    address, move = VIEWS[view]
    page = open_page(address)
    wait_for_run(page)
    page.wait_for_function(
        """async () => {
          const engines = [...(globalThis.__vaeEngines ?? new Map()).values()];
          await Promise.all(engines.map(({ engine }) => engine.ready));
          return engines.length > 0;
        }"""
    )
    page.wait_for_timeout(500)  # what was asked before is answered
    asked = ask_counter(page)
    watch(page)
    move(page)
    page.wait_for_function("drawings.length > 0")
    expect(page.locator(f"[data-view={view}] .vae-where").first).to_contain_text(HERE)
    assert asked == []


def test_without_its_weights_the_server_answers(open_page: OpenPage) -> None:
    page = open_page("overview")
    page.route("**/api/weights/**", lambda route: route.abort())
    page.goto(page.url.replace("overview", ""))
    wait_for_run(page)
    asked = ask_counter(page)
    watch(page)
    hover(page, "map")
    page.wait_for_function("drawings.length > 0")
    assert any("/api/decode/" in url for url in asked)
    expect(page.locator(".vae-where").first).to_contain_text("Computed on the server")


def test_the_weights_of_a_model_are_loaded_once(open_page: OpenPage) -> None:
    page = open_page("decoded_grid")
    wait_for_run(page)
    loaded: list[Route] = []
    page.route("**/api/weights/**", lambda route: (loaded.append(route), route.continue_()))
    page.get_by_role("slider", name="Range").press("ArrowLeft")
    wait_for_run(page)
    assert loaded == []
