"""How long the first screen takes, and a rerun: `python -m benchmarks.startup [--rounds 5]`."""

from __future__ import annotations

import argparse
import statistics
import time

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.app_server import run_app
from benchmarks.chromium import launch

RERUNS = 10
PAGES = {  # two controls to be clicked in turn
    "": ("Samples", "Samples"),
    "decoded_grid": ("Quantiles", "Even steps"),
    "generate": ("8 × 8", "6 × 6"),
}
WATCH_RUN = """() => {
  const app = document.querySelector("[data-testid=stApp]");
  window.runTook = new Promise((resolve) => {
    let began = null, ran = false;
    const note = (event) => (began ??= event.timeStamp);
    addEventListener("click", note, { once: true, capture: true });
    new MutationObserver((_, observer) => {
      const state = app.dataset.testScriptState;
      ran ||= state === "running";
      if (!ran || state !== "notRunning") return;
      observer.disconnect();
      resolve(performance.now() - began);
    }).observe(app, { attributes: true });
  });
}"""


def main() -> None:
    """Start the app and its first screen several times, then rerun each page; print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with sync_playwright() as playwright:
        browser = launch(playwright)
        served, drawn = zip(*(_time_start(browser) for _ in range(rounds)), strict=True)
        print(f"From the start of the process, median of {rounds}:")
        print(f"  the server answers      {statistics.median(served):6.2f} s")
        print(
            f"  the map is drawn        {statistics.median(drawn):6.2f} s, worst {max(drawn):.2f} s"
        )
        print(f"A rerun, from the click to its end, median of {RERUNS}:")
        with run_app() as app:
            for path, controls in PAGES.items():
                page = _open(browser, app.port, path)
                times = [_time_rerun(page, controls[k % 2]) for k in range(RERUNS)]
                print(f"  {path or 'latent_map':22}{statistics.median(times):6.0f} ms")
        browser.close()


def _time_start(browser: Browser) -> tuple[float, float]:
    """Return seconds until the server answers, and until the first screen's map is drawn."""
    began = time.perf_counter()
    with run_app() as app:
        served = time.perf_counter() - began
        _open(browser, app.port, "").locator(".vae-plot .nsewdrag").wait_for()
        return served, time.perf_counter() - began


def _open(browser: Browser, port: int, path: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    page.goto(f"http://127.0.0.1:{port}/{path}")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    return page


def _time_rerun(page: Page, control: str) -> float:
    """Click a control and return the milliseconds until the script has run."""
    page.evaluate(WATCH_RUN)
    page.get_by_text(control, exact=True).first.click()
    took: float = page.evaluate("() => window.runTook")
    return took


if __name__ == "__main__":
    main()
