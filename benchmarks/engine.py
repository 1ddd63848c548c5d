"""What an image takes in the browser by each backend of the engine, and by the server's route.

The app runs as `streamlit run app.py`; a page of the same address in Chromium has the engine's
modules and nothing else. Backends and route take turns, so that all feel the same load of the
machine. In a Chromium without a graphics card WebGL is computed on the processor.
"""

from __future__ import annotations

import argparse
import os

from playwright.sync_api import Page, Route, sync_playwright

from benchmarks.app_server import run_app
from benchmarks.chromium import launch
from vae_explorer.bundling import ROOT
from vae_explorer.checkpoints import list_checkpoints

COUNTS = (1, 8, 64, 400)
SOURCES = ("javascript", "plain", "webgl", "server")
LONGEST = 20_000  # ms: what would take longer is left out

SCRIPT = """
async ([checkpoint, fingerprint, latentDim, counts, rounds, longest]) => {
  const { toSteps, readPacked } = await import("/lib/engine/packed.js");
  const { createPool } = await import("/lib/engine/workers.js");
  const { fetchWeights } = await import("/lib/engine/shared.js");
  const { createSource } = await import("/lib/source.js");
  const server = createSource(checkpoint);
  let start = performance.now();
  const packed = await fetchWeights(checkpoint, fingerprint, "decoder");
  const found = { bytes: packed.byteLength, fetched: performance.now() - start };
  Object.assign(found, { opened: {}, times: {}, wrong: {} });
  found.multiplyAdds = toSteps(readPacked(packed), "decoder").multiplyAdds;
  const decoders = { server: (z) => server.decode(z) };
  const pools = [];
  for (const kind of ["javascript", "plain", "webgl"]) {
    try {
      start = performance.now();
      const pool = createPool(kind, Math.min(navigator.hardwareConcurrency, 4));
      pools.push(pool);
      await pool.open("decoder", packed);
      await pool.run("decoder", new Float32Array(latentDim), 1, "rgba");
      found.opened[kind] = performance.now() - start;
      decoders[kind] = (z, n) => pool.run("decoder", z, n, "rgba");
    } catch (error) {
      found.wrong[kind] = error.message;
    }
  }
  for (const n of counts) {
    const z = Float32Array.from({ length: n * latentDim }, (_, i) => Math.sin(12.9898 * i));
    for (let round = 0; round < rounds; round++) {
      for (const [name, decode] of Object.entries(decoders)) {
        const times = (found.times[name] ??= {});
        const before = Object.entries(times).filter(([count]) => count < n).pop();
        if (before && (Math.min(...before[1]) / before[0]) * n > longest) continue;
        const repeats = round ? 1 : 2; // the first one warms up
        for (let repeat = 0; repeat < repeats; repeat++) {
          start = performance.now();
          await decode(z, n);
          if (repeat + 1 === repeats) (times[n] ??= []).push(performance.now() - start);
        }
      }
    }
  }
  for (const pool of pools) pool.close();
  return found;
}
"""


def main() -> None:
    """Measure, and print a table for each model."""
    args = _parse_arguments()
    cards, _ = list_checkpoints()
    names = args.checkpoint or sorted(cards)
    with run_app() as app, sync_playwright() as playwright:
        page = launch(playwright).new_page()
        page.route("**/lib/**/*.js", _send_module)
        page.route("**/engine.html", _send_page)
        page.goto(f"http://127.0.0.1:{app.port}/engine.html")
        print(f"{os.cpu_count()} cores; ms an image, the median of {args.rounds} rounds")
        for name in names:
            _measure(page, name, cards[name].fingerprint, cards[name].model.latent_dim, args.rounds)


def _measure(page: Page, name: str, fingerprint: str, latent_dim: int, rounds: int) -> None:
    found = page.evaluate(SCRIPT, [name, fingerprint, latent_dim, list(COUNTS), rounds, LONGEST])
    print(
        f"\n{name}: {found['multiplyAdds'] / 1e6:.1f} M multiply-adds an image, weights of "
        f"{found['bytes'] / 1e3:,.0f} kB fetched in {found['fetched']:.0f} ms"
    )
    print(f"{'images at once':16}" + "".join(f"{n:10}" for n in COUNTS) + "   ms to open")
    for source in SOURCES:
        if source in found["wrong"]:
            print(f"{source:16}{found['wrong'][source]}")
            continue
        cells = []
        for n in COUNTS:
            times = sorted(found["times"][source].get(str(n), []))
            cells.append(f"{times[len(times) // 2] / n:10.2f}" if times else f"{'–':>10}")
        opened = found["opened"].get(source)
        print(f"{source:16}" + "".join(cells) + (f"{opened:13.0f}" if opened else ""))


def _send_module(route: Route) -> None:
    route.fulfill(path=ROOT / "lib" / route.request.url.partition("/lib/")[2])


def _send_page(route: Route) -> None:
    route.fulfill(body="<!doctype html>", content_type="text/html")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--checkpoint", nargs="*", help="names (all)")
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
