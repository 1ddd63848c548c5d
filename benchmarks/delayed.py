"""How soon an image follows the pointer over a slow network, computed here or on the server.

Chromium delays every request of the page, as a network between it and the server would. With the
engine, images are computed in the browser; without it, each one is a request. Both take turns, so
that they feel the same load of the machine.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.app_server import run_app
from benchmarks.chromium import launch
from benchmarks.hand import Movement, drag_slider, hover_map, open_page

FASHION, FACES = "fashion-vae-2d", "faces-vae-64"
PAGES = (
    (f"{FASHION}, map", f"?model={FASHION}", hover_map),
    (f"{FASHION}, grid of 20×20", f"decoded_grid?model={FASHION}&n=20", drag_slider),
    (f"{FACES}, edit", f"edit?model={FACES}&decoder=trained", drag_slider),
)
_NO_ENGINE = "delete window.Worker;"
_SETTLED = "Promise.all([...__vaeEngines.values()].map(({engine}) => engine.settled))"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delayed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each movement (5)")
    parser.add_argument("--rounds", type=int, default=2, help="(2)")
    parser.add_argument("--delay", type=float, default=150, help="ms, of every request (150)")
    args = parser.parse_args()
    with run_app() as app, sync_playwright() as playwright:
        browser = launch(playwright)
        print(f"{os.cpu_count()} cores; {args.delay:g} ms of delay; from the pointer to the pixels")
        print(f"{'':32}{'':12}  p50 ms  p95 ms  frames/s")
        for title, path, move in PAGES:
            found: dict[str, list[Movement]] = {"": [], _NO_ENGINE: []}
            label = ""
            for _ in range(args.rounds):
                for script, movements in found.items():
                    page = _open(browser, app.port, path, script, args.delay)
                    move(page, 1)
                    movements.append(move(page, args.seconds))
                    if not script:
                        label = page.locator(".vae-where").first.inner_text()
                    page.context.close()
            for name, movements in zip(("engine", "server only"), found.values(), strict=True):
                print(f"{title:32}{name:12}{_summarise(movements)}")
            print(f"{'':32}{label}")
        browser.close()


def _open(browser: Browser, port: int, path: str, script: str, delay: float) -> Page:
    page = open_page(browser, port, path, script=script)
    page.wait_for_function("globalThis.__vaeEngines?.size")
    page.evaluate(_SETTLED)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"latency": delay, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", {"offline": False, **conditions})
    return page


def _summarise(movements: list[Movement]) -> str:
    latencies: NDArray[np.float64] = np.concatenate([each.latencies for each in movements])
    frames = np.mean([each.frames_per_second for each in movements])
    return "".join(f"{p:8.1f}" for p in np.percentile(latencies, (50, 95))) + f"{frames:10.1f}"


if __name__ == "__main__":
    main()
