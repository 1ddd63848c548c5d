"""Whether anything grows while images follow a hand for a minute on each page.

After each page's warm-up and at its end: the heap of the page's JavaScript, collected, and the
memory of the server (Linux). What a page writes to the console as an error is counted.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from benchmarks.app_server import Server, run_app
from benchmarks.chromium import launch
from benchmarks.hand import drag_slider, hover_map, open_page

PAGES = {
    "?model=fashion-vae-2d": hover_map,
    "?model=mnist-mlp-vae-20d": hover_map,
    "decoded_grid?model=fashion-vae-2d": drag_slider,
    "generate?model=fashion-vae-2d": drag_slider,
    "?model=faces-vae-64": hover_map,
}
WARM_UP = 5  # seconds


def main() -> None:
    """Soak each page, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="on each page (60)")
    seconds = parser.parse_args().seconds
    print(f"{seconds:g} s on each page, after {WARM_UP} s of the same")
    print(f"{'':36}{'pictures/s':>12}{'heap, MB':>18}{'server, MB':>18}{'errors':>8}{'reruns':>8}")
    with sync_playwright() as playwright, run_app() as app:
        browser = launch(playwright)
        for path in PAGES:
            _soak(browser, app, path, seconds)
        browser.close()


def _soak(browser: Browser, app: Server, path: str, seconds: float) -> None:
    page = open_page(browser, app.port, path)
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    move = PAGES[path]
    move(page, WARM_UP)
    heap, memory = _heap(page), _memory(app.pid)
    movement = move(page, seconds)
    print(
        f"{path:36}{movement.full_per_second:12.1f}"
        f"{heap:9.1f} →{_heap(page):7.1f}{memory:9.0f} →{_memory(app.pid):7.0f}"
        f"{len(errors):8}{movement.reruns:8}"
    )
    for error in errors:
        print(f"  {error}")
    page.context.close()


def _heap(page: Page) -> float:
    """Return the megabytes that the page's JavaScript holds on to."""
    tools = page.context.new_cdp_session(page)
    tools.send("HeapProfiler.collectGarbage")
    used: float = tools.send("Runtime.getHeapUsage")["usedSize"]
    tools.detach()
    return used / 1e6


def _memory(pid: int) -> float:
    """Return the megabytes of a process that lie in memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError(f"Process {pid} has no memory: it ended.")
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
