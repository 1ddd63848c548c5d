"""The README's images, taken from the running app: decoded images only, of no data set."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.app_server import run_app
from benchmarks.chromium import launch
from benchmarks.hand import box_of, open_page

FOLDER = Path(__file__).parent / "screenshots"
MAX_BYTES = 150_000
PAGES = {
    "grid": "decoded_grid?n=18",
    "generate": "generate?model=mnist-mlp-vae-20d&side=8",
    "faces": "generate?model=faces-vae-64&side=8",
    "morph": "morph?model=faces-vae-64&kind=four",
    "edit": "edit?model=faces-vae-64&edit_Smiling=-1.5&edit_Blond_Hair=1",
    "spaces": "autoencoder_or_vae",
    "playback": "playback",
    "dimensions": "dimensions?model=mnist-mlp-vae-20d",
}
# Images of the data themselves, which are no part of the project.
_HIDDEN = "[aria-label^=originals], :has(+ [aria-label^=originals]) { display: none !important; }"
QUALITY = 80  # of WebP
_REST = 3000  # ms, in which what is drawn late comes


def main() -> None:
    """Take them all."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.screenshots", description=__doc__
    ).parse_args()
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright, run_app() as app:
        browser = launch(playwright)
        for name, dark in (("map", False), ("map-dark", True)):
            page = open_page(browser, app.port, "", dark=dark)
            _hover(page, 0.57, 0.2)
            _take(page, name)
        for name, path in PAGES.items():
            page = open_page(browser, app.port, path)
            page.wait_for_function("drawn.length > 0")
            page.add_style_tag(content=_HIDDEN)
            page.wait_for_timeout(_REST)
            _take(page, name)
        browser.close()


def _hover(page: Page, across: float, down: float) -> None:
    """Point at a share of the map's width and height, and wait for the image."""
    box = box_of(page.locator(".vae-plot .nsewdrag"))
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    page.locator(".vae-lens").first.wait_for()


def _take(page: Page, name: str) -> None:
    """Save what the page shows; raise RuntimeError if that is too large for a README."""
    picture = Image.open(io.BytesIO(page.screenshot()))
    path = FOLDER / f"{name}.webp"
    picture.convert("RGB").save(path, quality=QUALITY, method=6)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise RuntimeError(f"{path.name} has {size} bytes; at most {MAX_BYTES} are wanted.")
    print(f"{path.name:16}{picture.width} × {picture.height}{size:10,} bytes")
    page.context.close()


if __name__ == "__main__":
    main()
