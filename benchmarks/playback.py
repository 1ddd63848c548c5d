"""How smoothly 10,000 points glide through 60 epochs beside a decoded grid, in headless Chromium.

The run that is played is made up, and removed at the end. Frame times are the gaps between the
frames that the page draws while it plays; drawing times are what its script took for each.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from playwright.sync_api import sync_playwright
from safetensors.numpy import save_file

from benchmarks.app_server import ROOT, run_app
from benchmarks.chromium import launch
from benchmarks.hand import open_page
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.models import build_model
from vae_explorer.training.snapshots import DECODER
from vae_explorer.training.state import save_config

NAME = "benchmark-of-playback"
EPOCHS, POINTS, PICTURES, DECODED = 60, 10_000, 12, 12
WANTED = 1000 / 30
_MODEL = ModelConfig(image_size=32, image_channels=1, latent_dim=2, channels=(32, 64, 128))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.playback", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of playing (10)")
    seconds = parser.parse_args().seconds
    with _made_up_run(), sync_playwright() as playwright, run_app() as app:
        browser = launch(playwright)
        page = open_page(browser, app.port, f"playback?played=run:{NAME}")
        page.wait_for_function("drawn.length > 0")
        page.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_timeout(1000)
        page.evaluate("drawn.length = 0")
        page.wait_for_timeout(1000 * seconds)
        drawn = np.array(page.evaluate("drawn"), float)
        browser.close()
    gaps, took = np.diff(drawn[:, 1]), (drawn[:, 1] - drawn[:, 0])
    print(f"{POINTS:,} points, {EPOCHS} epochs, {DECODED} decoders; {seconds:g} s of playing")
    print(f"{'':40}  p50 ms  p95 ms  wanted")
    print(f"{'from frame to frame':40}{_percentiles(gaps)}  ≤ {WANTED:.1f}")
    print(f"{'from the frame to the pixels':40}{_percentiles(took)}")
    print(f"{len(gaps) / (gaps.sum() / 1000):.1f} frames/s")


@contextmanager
def _made_up_run() -> Iterator[None]:
    """Write a run whose clusters drift apart, and remove it at the end."""
    run, rng = ROOT / "runs" / NAME, np.random.default_rng(0)
    folder = run / "epochs"
    folder.mkdir(parents=True)
    try:
        save_config(run, _MODEL, TrainConfig(dataset="fashion-mnist", epochs=EPOCHS))
        labels = np.arange(POINTS) % 10
        originals = rng.integers(0, 256, (PICTURES, 1, 32, 32), np.uint8)
        pictures = {"row_id": np.arange(POINTS, dtype=np.int32), "originals": originals}
        pictures["picture_id"] = np.arange(PICTURES, dtype=np.int32)
        pictures["labels"] = labels.astype(np.int16)
        names = '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'
        save_file(pictures, folder / "pictures.safetensors", {"label_names": names})
        angles = 2 * np.pi * labels / 10
        centres = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        noise = rng.standard_normal((POINTS, 2))
        for number in range(1, EPOCHS + 1):
            share = number / EPOCHS
            epoch = {
                "z_mean": (share * centres + (1 - 0.6 * share) * noise).astype(np.float16),
                "reconstructions": originals,
            }
            if number % (EPOCHS // DECODED) == 0:
                state = build_model(_MODEL, number).decoder.state_dict()
                epoch |= {DECODER + name: t.numpy().astype(np.float16) for name, t in state.items()}
            save_file(epoch, folder / f"{number:04d}.safetensors")
        yield
    finally:
        shutil.rmtree(run)


def _percentiles(milliseconds: np.ndarray) -> str:
    return "".join(f"{p:8.1f}" for p in np.percentile(milliseconds, (50, 95)))


if __name__ == "__main__":
    main()
