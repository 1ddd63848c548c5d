"""The Chromium of the system, headless, that benchmarks look at the app with."""

from __future__ import annotations

import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def launch(playwright: Playwright) -> Browser:
    """Start Chromium; raise RuntimeError where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise RuntimeError("There is no Chromium. On Debian: apt-get install chromium")
    return playwright.chromium.launch(executable_path=path, args=list(FLAGS))
