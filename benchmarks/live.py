"""How soon an image follows the pointer, against the same image by a slider and a rerun.

A headless Chromium moves its mouse over the app's pages, once a frame. What is timed runs from
the pointer event's own timestamp until the pixels stand on the canvas.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, sync_playwright

from benchmarks.app_server import run_app
from benchmarks.chromium import launch
from benchmarks.hand import Movement, box_of, drag_slider, hover_map, open_page
from benchmarks.route import Route

FASHION = "fashion-vae-2d"
FACES = "faces-vae-64"
WANTED = {FASHION: 16, "mnist-mlp-vae-20d": 33, FACES: 33}
"""Milliseconds, the 95th percentile."""
CLIENTS = 9
RATE = 60  # moves per second of a client
RELEASES = 20

_WATCH_PICTURE = """
window.took = [];
let released = 0;
addEventListener("pointerup", (event) => (released = event.timeStamp), true);
document.addEventListener("load", ({target}) => {
  if (released && target.matches?.("[data-testid=stImage] img")) {
    took.push(performance.now() - released);
  }
}, true);
"""


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each movement (10)")
    seconds = parser.parse_args().seconds
    with sync_playwright() as playwright:
        browser = launch(playwright)
        with run_app("benchmarks/slider_app.py") as app:
            slider = _release_slider(browser, app.port)
        with run_app() as app:
            reruns = _measure_maps(browser, app.port, seconds, slider)
            reruns += _measure_edit(browser, app.port, seconds)
            reruns += _measure_grid(browser, app.port, seconds)
            print(f"\nReruns during these movements: {reruns} (wanted: 0)")
            _measure_crowd(browser, app.port, seconds)
        browser.close()


def _measure_maps(browser: Browser, port: int, seconds: float, slider: NDArray[np.float64]) -> int:
    print(f"From the pointer to the pixels, {seconds:g} s over each map")
    print(f"{'':50}  p50 ms  p95 ms  wanted  frames/s  × st.slider")
    reruns = 0
    for name, wanted in WANTED.items():
        movement = _hover(browser, port, name, seconds)
        ratio = np.median(slider) / np.median(movement.latencies)
        print(
            f"{name:50}{_percentiles(movement.latencies)}  ≤ {wanted:4}"
            f"{movement.frames_per_second:10.1f}{ratio:13.1f}"
        )
        reruns += movement.reruns
    print(f"{'st.slider and a rerun, from the release':50}{_percentiles(slider)}")
    return reruns


def _measure_grid(browser: Browser, port: int, seconds: float) -> int:
    page = open_page(browser, port, f"decoded_grid?model={FASHION}&n=20")
    drag_slider(page, 1)  # so that it knows how long a full grid takes
    movement = drag_slider(page, seconds)
    print(f"\nA grid of 20×20 while its slider is dragged for {seconds:g} s")
    print(f"{'full grids per second, each after a coarse one':50}{movement.full_per_second:8.1f}")
    print(f"{'frames drawn per second, coarse or full':50}{movement.frames_per_second:8.1f}")
    print(f"{'milliseconds to the coarse one, p50 and p95':50}{_percentiles(movement.latencies)}")
    page.context.close()
    return movement.reruns


def _measure_edit(browser: Browser, port: int, seconds: float) -> int:
    page = open_page(browser, port, f"edit?model={FACES}&decoder=trained")
    drag_slider(page, 1)
    movement = drag_slider(page, seconds)
    print(
        f"{'a smile dragged on a photo, ' + FACES:50}{_percentiles(movement.latencies)}  "
        f"≤ {WANTED[FACES]:4}{movement.frames_per_second:10.1f}"
    )
    page.context.close()
    return movement.reruns


def _measure_crowd(browser: Browser, port: int, seconds: float) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_drag_client, port, seconds + 2, seed) for seed in range(CLIENTS)]
        movement = _hover(browser, port, FASHION, seconds)
        outcomes = [client.result() for client in clients]
    latencies = np.concatenate([times for times, _ in outcomes])
    errors = sum(count for _, count in outcomes)
    print(f"\n10 draggers at once: this browser, and {CLIENTS} HTTP clients at {RATE} moves/s")
    print(f"{'':50}  p50 ms  p95 ms  wanted  errors")
    print(f"{'the browser':50}{_percentiles(movement.latencies)}  ≤  150")
    print(f"{'the clients':50}{_percentiles(latencies)}  ≤  150{errors:8}")


def _hover(browser: Browser, port: int, name: str, seconds: float) -> Movement:
    page = open_page(browser, port, f"?model={name}")
    hover_map(page, 1)  # the first images load the model
    movement = hover_map(page, seconds)
    page.context.close()
    return movement


def _drag_client(port: int, seconds: float, seed: int) -> tuple[NDArray[np.float64], int]:
    """Ask as a stage does: one request on its way, then the newest place of the hand.

    Returns milliseconds from each place that was asked for to its image, and the refusals.
    """
    route = Route(port, FASHION, stage=f"client-{seed}")
    rng = np.random.default_rng(seed)
    times, errors, place = [], 0, -1
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        if int(passed * RATE) == place:
            time.sleep((place + 1) / RATE - passed)
            continue
        place = int(passed * RATE)
        try:
            route.call(rng.standard_normal((1, 2)).astype("<f4"))
            times.append(1e3 * (time.perf_counter() - began - place / RATE))
        except RuntimeError:
            errors += 1
    return np.array(times), errors


def _release_slider(browser: Browser, port: int) -> NDArray[np.float64]:
    """Drag Streamlit's slider; return milliseconds from each release to the new image."""
    page = browser.new_page()
    page.add_init_script(_WATCH_PICTURE)
    page.goto(f"http://127.0.0.1:{port}")
    page.locator("[data-testid=stImage] img").wait_for()
    box, thumb = box_of(page.get_by_test_id("stSlider")), box_of(page.get_by_role("slider"))
    for count in range(RELEASES):
        page.mouse.move(box["x"] + box["width"] * 0.1, thumb["y"])
        page.mouse.down()
        to = 0.2 + 0.6 * count / RELEASES  # each time another image
        page.mouse.move(box["x"] + box["width"] * to, thumb["y"], steps=5)
        page.mouse.up()
        page.wait_for_function("(count) => took.length > count", arg=count)
    took = np.array(page.evaluate("took"))
    page.close()
    return took


def _percentiles(milliseconds: NDArray[np.float64]) -> str:
    return "".join(f"{p:8.1f}" for p in np.percentile(milliseconds, (50, 95)))


if __name__ == "__main__":
    main()
