from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.server import serve
from tests.support.stage import wait_for_run
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.runs.lock import lock_owner
from vae_explorer.runs.run import Run

LINK = "train?train_data=digits&train_model=own&train_epochs={epochs}"
PATIENCE = 180_000  # ms: a training is waited for

NewContext = Callable[..., BrowserContext]


@pytest.fixture
def folder(tmp_path: Path, checkpoint_root: Path) -> Iterator[Path]:
    """An empty folder to train in; what still trains there at the end is killed."""
    yield tmp_path
    owner = lock_owner(tmp_path / "runs")
    if owner is not None and owner.pid:
        with suppress(ProcessLookupError):
            os.kill(owner.pid, signal.SIGKILL)


@pytest.fixture
def settings(folder: Path) -> dict[str, str]:
    return {"VAE_EXPLORER_CHECKPOINTS": str(folder / "checkpoints"), "OMP_NUM_THREADS": "1"}


def open_at(new_context: NewContext, address: str) -> Page:
    page = new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.goto(address)
    wait_for_run(page)
    return page


def test_a_training_outlives_its_page_and_the_app_and_is_opened_in_the_map(
    folder: Path, settings: dict[str, str], new_context: NewContext
) -> None:
    log = folder / "app.txt"
    with serve(folder, log, **settings) as url:
        page = open_at(new_context, f"{url}/{LINK.format(epochs=30)}")
        page.get_by_role("textbox", name="Name").fill("mine")
        page.get_by_role("textbox", name="Name").press("Enter")
        expect(page.get_by_text("checkpoints/mine")).to_be_visible()
        page.get_by_role("button", name="Start training").click()
        expect(page.locator(".watch-said")).to_contain_text("Epoch", timeout=PATIENCE)
        page.close()
        again = open_at(new_context, f"{url}/train")  # it is found without a word
        expect(again.locator(".watch")).to_be_visible()
        again.close()
    status = Run(folder / "runs" / "mine").read_status()
    assert status is not None
    assert status.is_alive or status.phase == "finished"

    with serve(folder, log, **settings) as url:
        page = open_at(new_context, f"{url}/train?run=mine")
        opens = page.get_by_role("button", name="Open in Latent map")
        expect(opens).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".watch-map canvas")).to_be_visible()
        expect(page.locator(".watch-map figcaption")).to_contain_text("after epoch 30")
        shown = page.locator("[data-part=loss] .watch-validation").first.inner_text()
        loss = load_checkpoint(folder / "checkpoints" / "mine").history["validation_loss"][-1]
        assert float(shown.split()[1]) == pytest.approx(loss, rel=0.01)
        opens.click()
        expect(page.get_by_role("heading", name="Latent map")).to_be_visible()
        expect(page.get_by_role("combobox", name="Model")).to_have_value(
            load_checkpoint(folder / "checkpoints" / "mine").card.title
        )


def test_it_is_paused_goes_on_and_is_stopped_and_nothing_flickers(
    folder: Path, settings: dict[str, str], new_context: NewContext
) -> None:
    with serve(folder, folder / "app.txt", **settings) as url:
        page = open_at(new_context, f"{url}/{LINK.format(epochs=1000)}")
        page.get_by_role("button", name="Start training").click()
        caption = page.locator(".watch-map figcaption")
        expect(caption).to_contain_text("after epoch", timeout=PATIENCE)
        first = caption.inner_text()
        # Until the next epoch is there: what is drawn stays the same node, and never fades.
        caption.evaluate(
            """(caption) => {
              const canvas = caption.parentElement.querySelector("canvas");
              window.faded = 0;
              const look = () => {
                let node = canvas;
                if (!canvas.isConnected) window.faded++;
                for (; node; node = node.parentElement ?? node.getRootNode().host)
                  if (node instanceof Element && getComputedStyle(node).opacity < 1) window.faded++;
                requestAnimationFrame(look);
              };
              look();
            }"""
        )
        expect(caption).not_to_have_text(first, timeout=PATIENCE)
        assert page.evaluate("faded") == 0

        page.get_by_role("button", name="Pause").click()
        goes_on = page.get_by_role("button", name="Resume")
        expect(goes_on).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("Resume continues exactly where it stopped")).to_be_visible()
        goes_on.click()
        expect(page.locator(".watch-said")).to_contain_text("images/s", timeout=PATIENCE)
        page.get_by_role("button", name="Stop and save the model").click()
        expect(page.get_by_role("button", name="Open in Latent map")).to_be_visible(
            timeout=PATIENCE
        )
        expect(page.get_by_text("Model saved")).to_be_visible()
