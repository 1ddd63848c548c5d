"""Sizes of models as one HTML file, and the time from opening it to the first decoded image.

The files are opened from the disk in a new headless Chromium each time. The time runs from the
start of the navigation to the event with which a view reports its first drawing, so it includes
reading the file, unpacking the model and the start of the engine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

from benchmarks.chromium import launch
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.webpage import write_page

LISTEN = 'document.addEventListener("vae-drawn", () => (globalThis.first ??= performance.now()));'


def main() -> None:
    """Print a line for each model."""
    args = _parse_arguments()
    names = args.checkpoint or list(list_checkpoints()[0])
    print(f"{'checkpoint':28}{'MB':>8}{'ms to the first image: median':>32}{'worst':>8}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for name in names:
            file = Path(folder) / f"{name}.html"
            size = write_page([load_checkpoint(name)], file)
            times = [_open(playwright, file) for _ in range(args.rounds)]
            median = statistics.median(times)
            print(f"{name:28}{size / 1e6:8.2f}{median:32.0f}{max(times):8.0f}", flush=True)


def _open(playwright: Playwright, file: Path) -> float:
    """Return the ms from opening a file to the first image."""
    browser = launch(playwright)
    try:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.add_init_script(LISTEN)
        page.goto(file.as_uri())
        page.wait_for_function("() => globalThis.first !== undefined")
        return float(page.evaluate("globalThis.first"))
    finally:
        browser.close()


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.html", description=__doc__)
    parser.add_argument("--checkpoint", nargs="*", help="names (all)")
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
