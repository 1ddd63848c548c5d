"""The README's animation, recorded from the running app: `docs/tour.webp`.

A visible pointer hovers over the latent map, drags the decoded grid, morphs two faces and edits
one. Each frame is taken when the app has finished drawing it, so the animation is as smooth on a
slow machine as on a fast one. The only photo in it is NASA's portrait of an astronaut, which is in
the public domain and comes with scikit-image; all other faces are generated.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright
from scipy.interpolate import CubicSpline

from benchmarks.app_server import ROOT, run_app
from benchmarks.chromium import launch
from benchmarks.hand import box_of, open_page

FILE = ROOT / "docs" / "tour.webp"
MAX_BYTES = 3_000_000
VIEWPORT = (1184, 666)
SIZE = (960, 540)
QUALITY = 62  # of WebP
FRAME = 50  # ms
HOLD = 700  # ms, at the end of each scene
_QUIET = 90  # ms without a new drawing: the frame is finished
_LATEST = 3000  # ms after which it is taken in any case
_ARROW = "M1 1v17l4.2-4 2.7 6.3 2.9-1.2-2.7-6.2h5.9z"

Place = tuple[float, float]

# A headless browser draws no pointer. This one is filled while the button is down.
_POINTER = f"""
const pointer = document.createElement("div");
pointer.innerHTML = '<svg width="26" height="32" viewBox="0 0 17 22"><path d="{_ARROW}" ' +
  'fill="#fff" stroke="#1d1d22" stroke-width="1.4" stroke-linejoin="round"/></svg>';
Object.assign(pointer.style, {{
  position: "fixed", left: "-2px", top: "-2px", zIndex: 2147483647, pointerEvents: "none",
  filter: "drop-shadow(0 1px 2px rgb(0 0 0 / 0.4))",
}});
document.documentElement.append(pointer);
window.showPointer = (x, y, pressed) => {{
  pointer.style.transform = `translate(${{x}}px, ${{y}}px)`;
  pointer.querySelector("path").setAttribute("fill", pressed ? "#9d8dff" : "#fff");
}};
"""

_FINISHED = f"""
() => new Promise((resolve) => {{
  const began = performance.now();
  const look = () => {{
    const now = performance.now();
    const last = Math.max(began, ...drawn.map((drawing) => drawing[1]));
    const complete = !drawn.length || drawn.at(-1)[2];
    const finished = complete && now - last > {_QUIET};
    if (finished || now - began > {_LATEST}) resolve();
    else requestAnimationFrame(look);
  }};
  look();
}})
"""

# As the pointer sets a slider: filling it in would draw the outline of the keyboard's focus.
_SET = """
(slider, value) => {
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}
"""


class Recorder:
    """A page with a visible pointer, and the frames taken of it."""

    def __init__(self, page: Page, start: Place) -> None:
        """Show the pointer at a place, in pixels of the viewport."""
        self.page = page
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []
        self._at = start
        self._pressed = False
        page.evaluate(_POINTER)
        page.mouse.move(*start)
        self._show()

    def follow(self, places: Iterator[Place]) -> None:
        """Move the pointer to each place and take a frame there."""
        for place in places:
            self._at = place
            self.page.evaluate("drawn.length = 0")
            self._show()
            self.page.mouse.move(*place)
            self._take()

    def go(self, to: Place, frames: int) -> None:
        """Move the pointer along a straight line, slower at its ends."""
        self.follow(between(self._at, to, frames))

    def press(self) -> None:
        """Press the button."""
        self._pressed = True
        self.page.mouse.down()
        self._show()

    def release(self) -> None:
        """Release the button, and wait until the script has taken it in."""
        self._pressed = False
        self.page.mouse.up()
        self._show()
        self.page.wait_for_timeout(300)
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")

    def hold(self, milliseconds: int) -> None:
        """Take a frame that stays for some time."""
        self._take()
        self.durations[-1] = milliseconds

    def _show(self) -> None:
        self.page.evaluate("(args) => showPointer(...args)", [*self._at, self._pressed])

    def _take(self) -> None:
        self.page.evaluate(_FINISHED)
        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames.append(image.resize(SIZE, Image.Resampling.LANCZOS))
        self.durations.append(FRAME)


def between(start: Place, end: Place, frames: int) -> Iterator[Place]:
    """Yield places from after `start` to `end`, slower at both."""
    for k in range(1, frames + 1):
        share = k / frames
        eased = share * share * (3 - 2 * share)
        yield (start[0] + eased * (end[0] - start[0]), start[1] + eased * (end[1] - start[1]))


def along(points: list[Place], frames: int) -> Iterator[Place]:
    """Yield places at a steady pace along a smooth curve through points."""
    curve = CubicSpline(np.linspace(0, 1, len(points)), points)
    dense = curve(np.linspace(0, 1, 1000))
    way = np.concatenate([[0], np.hypot(*np.diff(dense, axis=0).T).cumsum()])
    for distance in np.linspace(0, way[-1], frames):
        x, y = (np.interp(distance, way, dense[:, axis]) for axis in (0, 1))
        yield float(x), float(y)


def within(element: Locator, across: float, down: float) -> Place:
    """Return a place in an element, by shares of its width and height."""
    box = box_of(element)
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def hover_map(page: Page) -> Recorder:
    """Hover over the clouds of most classes."""
    plot = page.locator(".vae-plot .nsewdrag")
    across = (0.36, 0.47, 0.56, 0.6, 0.63, 0.58, 0.47, 0.38, 0.37)
    down = (0.37, 0.36, 0.15, 0.36, 0.49, 0.62, 0.6, 0.72, 0.86)
    points = [within(plot, *share) for share in zip(across, down, strict=True)]
    page.mouse.move(*points[0])
    page.wait_for_timeout(2000)  # until the hint has gone
    recorder = Recorder(page, points[0])
    recorder.follow(along(points, 100))
    return recorder


def drag_grid(page: Page) -> Recorder:
    """Drag the plane under the decoded grid."""
    grid = page.locator(".vae-stage canvas").first
    recorder = Recorder(page, within(grid, 0.6, 0.4))
    recorder.hold(400)
    recorder.press()
    recorder.go(within(grid, 0.28, 0.26), 20)
    recorder.go(within(grid, 0.66, 0.62), 24)
    recorder.release()
    return recorder


def morph(page: Page) -> Recorder:
    """Drag the slider from one face to the other, and half the way back."""
    slider = page.get_by_label("Position along the path")
    slider.evaluate(_SET, 0)
    recorder = Recorder(page, within(slider, 0.012, 0.5))
    recorder.hold(400)
    recorder.press()
    recorder.go(within(slider, 0.988, 0.5), 44)
    recorder.go(within(slider, 0.5, 0.5), 16)
    recorder.release()
    return recorder


def edit(page: Page) -> Recorder:
    """Change the smile, then compare the result with the photo."""
    page.get_by_label("Boundary between before and after").evaluate(_SET, 0)
    smile = page.get_by_label("Smiling", exact=True)
    recorder = Recorder(page, within(smile, 0.5, 0.5))
    recorder.hold(400)
    recorder.press()
    recorder.go(within(smile, 0.32, 0.5), 18)
    recorder.go(within(smile, 0.74, 0.5), 24)
    recorder.release()
    recorder.hold(300)
    wipe = page.locator(".vae-wipe")
    recorder.go(within(wipe, 0.01, 0.62), 14)
    recorder.press()
    recorder.go(within(wipe, 0.8, 0.62), 20)
    recorder.go(within(wipe, 0.5, 0.62), 12)
    recorder.release()
    return recorder


SCENES: dict[str, Callable[[Page], Recorder]] = {
    "": hover_map,
    "decoded_grid?n=14&extent=2": drag_grid,
    "morph?morph_from=Astronaut": morph,
    "edit": edit,
}


def main() -> None:
    """Record all scenes and write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tour", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=FILE, help="file to write (default: %(default)s)"
    )
    out = parser.parse_args().out
    frames: list[Image.Image] = []
    durations: list[int] = []
    with sync_playwright() as playwright, run_app() as app:
        browser = launch(playwright)
        for path, scene in SCENES.items():
            page = open_page(browser, app.port, path, size=VIEWPORT)
            page.wait_for_timeout(3000)  # for what is drawn late
            recorder = scene(page)
            recorder.hold(HOLD)
            frames += recorder.frames
            durations += recorder.durations
            page.context.close()
        browser.close()
    write(frames, durations, out)


def write(frames: list[Image.Image], durations: list[int], path: Path) -> None:
    """Write an animated WebP that repeats; raise RuntimeError if it is too large for a README."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=QUALITY,
        method=6,
    )
    size = path.stat().st_size
    print(f"{path.name}: {len(frames)} frames, {sum(durations) / 1000:.1f} s, {size:,} bytes")
    if size > MAX_BYTES:
        raise RuntimeError(f"{path.name} is larger than {MAX_BYTES:,} bytes.")


if __name__ == "__main__":
    main()
