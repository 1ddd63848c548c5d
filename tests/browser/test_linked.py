"""Several maps under one cursor: each model draws what it has at the same place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from playwright.sync_api import Page, expect

from tests.support.live_stage import (
    assert_same_picture,
    draw_expected,
    expect_drawn,
    no_rerun,
    read_canvas,
    watch,
)
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.ui.learn.siblings import REACH

OpenPage = Callable[..., Page]
MODELS = ("fashion-ae-2d", "fashion-vae-2d-beta-0.1", "fashion-vae-2d", "fashion-vae-2d-beta-10")
# How many models have drawn what they have at a z.
_DRAWN_BY = """
([z, count]) => drawings.filter((drawing) => drawing.view === "linked" &&
  drawing.z.every((value, k) => Math.abs(value - z[k]) < 2e-5)).length >= count
"""


def open_maps(open_page: OpenPage, link: str) -> Page:
    page = open_page(f"autoencoder_or_vae?link={link}")
    pictures = page.locator("[data-view=linked] canvas.vae-picture")
    expect(pictures).to_have_count(len(MODELS))
    page.wait_for_function(
        "[...document.querySelectorAll('[data-view=linked] canvas.vae-picture')]"
        ".every((canvas) => canvas.style.width)"
    )
    watch(page)
    return page


def point(page: Page, model: str, across: float, up: float) -> np.ndarray:
    """Move the pointer over a model's map; return where it is, in half sides from the middle."""
    box = page.locator(".vae-linked-map canvas").nth(MODELS.index(model)).bounding_box()
    x = round(box["x"] + (across + 1) / 2 * box["width"])
    y = round(box["y"] + (1 - up) / 2 * box["height"])
    page.mouse.move(x, y)
    return np.array(
        [
            2 * (x - box["x"]) / box["width"] - 1,
            1 - 2 * (y - box["y"]) / box["height"],
        ]
    )


def test_every_model_draws_what_it_has_at_the_z_of_the_cursor(open_page: OpenPage) -> None:
    page = open_maps(open_page, "z")
    with no_rerun(page):
        place = point(page, "fashion-vae-2d", 0.4, -0.3)
        z = np.float32(REACH * place)[None]
        page.wait_for_function(_DRAWN_BY, arg=[z.ravel().tolist(), len(MODELS)])
        for number, model in enumerate(MODELS):
            canvas = page.locator("[data-view=linked] canvas.vae-picture").nth(number)
            assert_same_picture(read_canvas(canvas), draw_expected(model, z))


def test_the_same_picture_is_followed_to_where_each_model_has_put_it(open_page: OpenPage) -> None:
    page = open_maps(open_page, "picture")
    point(page, "fashion-vae-2d", 0.1, 0.1)
    page.wait_for_function("(count) => drawings.length >= count", arg=len(MODELS))
    drawn = page.evaluate("drawings.filter((d) => d.view === 'linked').slice(-4).map((d) => d.z)")
    rows = []
    for z in drawn:  # in the order in which the models answered
        gaps = [
            np.linalg.norm(load_checkpoint(model).encodings.z_mean[:2_000] - z, axis=1)
            for model in MODELS
        ]
        best = min(gaps, key=np.min)
        assert best.min() < 1e-5
        rows.append(int(best.argmin()))
    assert len(set(rows)) == 1


def test_arrow_keys_move_the_cursor_of_all(open_page: OpenPage) -> None:
    page = open_maps(open_page, "z")
    page.locator("[data-view=linked]").focus()
    with no_rerun(page):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowUp")
        expect_drawn(page, "linked", np.float32([[0.04 * REACH, 0.04 * REACH]]))
