"""Playback: one slider moves points, pictures and the marker, without the script."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from benchmarks.app_server import run_app
from tests.support.live_stage import no_rerun, read_canvas, watch

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def app_url(
    tmp_path_factory: pytest.TempPathFactory, with_snapshots: Path, published_checkpoints: Path
) -> Iterator[str]:
    """Start the app on a checkpoint that carries three epochs, and two that carry none."""
    shelf = tmp_path_factory.mktemp("shelf")
    shutil.copytree(with_snapshots, shelf / "with_snapshots")
    shutil.copytree(with_snapshots, shelf / "again")
    shutil.copytree(published_checkpoints / "digits-vae-2d", shelf / "digits-vae-2d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_EXPLORER_CHECKPOINTS", str(shelf))
        with run_app() as app:
            yield f"http://127.0.0.1:{app.port}"


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_stage(open_page, "playback?model=with_snapshots")


def open_stage(open_page: OpenPage, path: str) -> Page:
    page = open_page(path)
    expect(page.locator(".vae-played canvas").first).to_be_visible()
    expect(told(page)).to_have_text("epoch 3")  # the finished map
    watch(page)
    return page


def told(page: Page) -> Locator:
    return page.locator(".vae-playback-bar output")


def marker(page: Page) -> float:
    moved = page.locator(".vae-marker").first.get_attribute("transform")
    return float(moved.removeprefix("translate(").removesuffix(")"))


def see(page: Page) -> list[np.ndarray]:
    kinds = (".vae-played", ".vae-decoded", ".vae-reconstructions")
    return [read_canvas(page.locator(f"{kind} canvas").last) for kind in kinds]


def test_dragging_the_slider_moves_everything_and_no_script(page: Page) -> None:
    before, stood = see(page), marker(page)
    box = page.locator(".vae-playback-bar input").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 4, y)
    page.mouse.down()
    with no_rerun(page):
        page.mouse.move(box["x"] + box["width"] * 0.3, y, steps=6)
        expect(told(page)).to_have_text("epoch 2")  # 1.6: between two epochs
        page.mouse.move(box["x"] + 2, y, steps=6)
        expect(told(page)).to_have_text("epoch 1")
    page.mouse.up()
    assert marker(page) < stood - 500
    for old, new in zip(before, see(page), strict=True):
        assert old.shape == new.shape
        assert not np.array_equal(old, new)


def test_keys_step_by_epochs_and_space_plays(page: Page) -> None:
    page.locator("[data-view=playback]").focus()
    with no_rerun(page):
        for key, number in (("ArrowLeft", 2), ("ArrowLeft", 1), ("ArrowRight", 2), ("Home", 1)):
            page.keyboard.press(key)
            expect(told(page)).to_have_text(f"epoch {number}")
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
        expect(told(page)).to_have_text("epoch 3")  # it plays to the end, and stops there
        expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def play_through(page: Page) -> list[float]:
    """Play from the first epoch to the third; return the times that were drawn, in epochs."""
    page.locator("[data-view=playback]").focus()
    page.keyboard.press("Home")
    expect(told(page)).to_have_text("epoch 1")
    page.evaluate("drawings.length = 0")
    page.keyboard.press("Space")
    page.wait_for_function("drawings.some(({z}) => z[0] >= 3)")
    return [z[0] for z in page.evaluate("drawings.map(({z}) => z)")]


def test_points_glide_between_epochs(page: Page) -> None:
    times = play_through(page)
    assert times == sorted(times)
    assert any(time % 1 > 0 for time in times)


def test_whoever_wants_less_motion_sees_epoch_after_epoch(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    assert set(play_through(page)) <= {1, 2, 3}


def test_a_class_can_be_hidden(page: Page) -> None:
    before = see(page)[0]
    for name in "0123456789":
        page.locator(".vae-legend button", has_text=name).click()
    expect(page.locator(".vae-legend button[aria-pressed=true]")).to_have_count(0)
    page.wait_for_function("drawings.length > 0")
    after = see(page)[0]
    assert np.count_nonzero(after) < np.count_nonzero(before) / 2


def test_two_trainings_have_one_slider(open_page: OpenPage) -> None:
    page = open_stage(open_page, "playback?model=with_snapshots&beside=again")
    expect(page.locator(".vae-recording")).to_have_count(2)
    page.locator("[data-view=playback]").focus()
    with no_rerun(page):
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".vae-recording .vae-epoch")).to_have_text(["epoch 2 of 3"] * 2)
