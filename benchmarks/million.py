"""Train on a million pictures through the memory map, beside the same pictures in memory.

The set is made: 784 MB of 28x28 grey pictures, in a folder that is deleted afterwards. A small MLP
trains on it, which asks for pictures faster than most models, in the order of a whole epoch, for
so many steps; then it is judged on held-out pictures, and encodes all. They take turns, each in a
process of its own. Memory is RssAnon of /proc/self/status, what the kernel cannot take back,
looked at a hundred times a second; Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.data import DATASETS, ImageDataset
from vae_explorer.data.sources import Record, Source
from vae_explorer.data.storage import open_cache, read_info, write_cache
from vae_explorer.encodings import encode_dataset
from vae_explorer.evaluation import evaluate
from vae_explorer.models import build_model
from vae_explorer.training import train

SIDE = 28
SHARES = (0.9, 0.05, 0.05)
AT_ONCE = 1_000
MODEL = ModelConfig(
    image_size=SIDE, image_channels=1, latent_dim=8, architecture="mlp", hidden_dim=64
)
BOUND_MIB = 600
"""Of memory that training and judging a set through its map may take, whatever the set's size."""


class Result(NamedTuple):
    """What one process saw."""

    training: float
    """Images per second, reading them and learning from them."""
    reading: float
    """Images per second, reading alone, in the same order."""
    judging: float
    """Held-out images per second, encoded, decoded and compared."""
    encoding: float
    """Images per second of the whole set, all encodings kept."""
    start: float
    """MiB before the data was opened."""
    peak: float
    """MiB at most."""


def main() -> None:
    """Make the set, let the two take turns, and print a table."""
    args = _parse_arguments()
    if args.how:
        done = (
            make_cache(args.folder, args.images)
            if args.how == "prepare"
            else measure(args.folder, args.how, args.steps)
        )
        print(json.dumps(done))
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch) / "million"
        print(f"preparing: {_alone('prepare', folder, args):.0f} MiB at most")
        results: dict[str, list[Result]] = {how: [] for how in HOW}
        for done in range(args.rounds):
            for how, rounds in results.items():
                rounds.append(Result(*_alone(how, folder, args)))
                print(f"round {done + 1}, {how}: {rounds[-1]}")
    _print_table(results, args)


def make_cache(folder: Path, count: int) -> float:
    """Prepare a set of so many pictures as any other; return the MiB that it took at most."""
    folder.mkdir(parents=True)
    spec = replace(DATASETS["folder"], channels=1, shares=SHARES)
    with _watched_memory() as seen:
        source = Source(_records(count), count)
        write_cache(folder, spec, source, size=SIDE, seed=0)
    return max(seen)


def _records(count: int) -> Iterator[Record]:
    """Soft blobs, each at its own place and of its own width."""
    generator, side = np.random.default_rng(0), np.arange(SIDE, dtype=np.float32)
    for start in range(0, count, AT_ONCE):
        x, y = generator.uniform(6, SIDE - 6, (2, AT_ONCE, 1)).astype(np.float32)
        width = generator.uniform(2, 6, (AT_ONCE, 1)).astype(np.float32)
        across, down = (np.exp(-(((side - at) / width) ** 2)) for at in (x, y))
        blobs = (255 * down[:, None, :, None] * across[:, None, None, :]).astype(np.uint8)
        for index, blob in enumerate(blobs[: count - start], start):
            yield Record(f"{index}", partial(np.copy, blob))


def measure(folder: Path, how: str, steps: int) -> Result:
    """Train for so many steps and judge, with the memory watched."""
    with _watched_memory() as seen:
        dataset = open_cache(folder, read_info(folder))
        if how == "cold map":
            _forget(folder / "images.npy")
        if how == "memory":
            dataset = replace(dataset, images=np.array(dataset.images))
        config = TrainConfig(
            dataset="folder", epochs=1, batch_size=128, precision="float32", weight_average=0
        )
        training = config.batch_size / _seconds_a_step(dataset, config, steps)
        reading = _reading_speed(dataset, config.batch_size, steps)
        model, start = build_model(MODEL).eval(), time.perf_counter()
        evaluate(model, dataset)
        judging = len(dataset.rows("test")) / (time.perf_counter() - start)
        start, count = time.perf_counter(), len(dataset.images)
        encode_dataset(model, dataset, np.arange(count))
        encoding = count / (time.perf_counter() - start)
    return Result(training, reading, judging, encoding, seen[0], max(seen))


def _seconds_a_step(dataset: ImageDataset, config: TrainConfig, steps: int) -> float:
    ticks: list[float] = []
    with tempfile.TemporaryDirectory() as run:
        epochs = train(
            MODEL, config, dataset, Path(run),
            on_step=lambda _: ticks.append(time.perf_counter()),
            should_stop=lambda: len(ticks) >= steps,
        )  # fmt: skip
        list(epochs)
    return (ticks[-1] - ticks[0]) / (len(ticks) - 1)


def _reading_speed(dataset: ImageDataset, batch_size: int, steps: int) -> float:
    order = np.random.default_rng(1).permutation(dataset.rows("train"))[: steps * batch_size]
    start = time.perf_counter()
    for first in range(0, len(order), batch_size):
        dataset.take(order[first : first + batch_size])
    return len(order) / (time.perf_counter() - start)


@contextmanager
def _watched_memory() -> Iterator[list[float]]:
    """Yield a list that MiB are appended to, until the block is left."""
    seen, done = [_rss_anon()], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen.append(_rss_anon())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def _rss_anon() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def _forget(path: Path) -> None:
    """Have the kernel drop what it keeps of a file, so that it is read from the disk anew."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


HOW = ("memory", "map", "cold map")


def _alone(how: str, folder: Path, args: argparse.Namespace) -> JsonValue:
    options = ["--how", how, "--folder", folder, "--images", args.images, "--steps", args.steps]
    command = [sys.executable, "-m", "benchmarks.million", *map(str, options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _print_table(results: dict[str, list[Result]], args: argparse.Namespace) -> None:
    print(f"\n{args.images:,} pictures, {args.steps:,} steps of 128; median of {args.rounds}")
    names = ("training", "reading", "judging", "encoding")
    print(f"{'':10}" + "".join(f"{name:>12}{'ratio':>7}" for name in names) + "  RssAnon, MiB")
    for how, rounds in results.items():
        line = f"{how:10}"
        for name in names:
            speed = statistics.median(getattr(result, name) for result in rounds)
            pairs = zip(rounds, results["memory"], strict=True)
            ratio = statistics.median(getattr(a, name) / getattr(b, name) for a, b in pairs)
            line += f"{speed:12,.0f}{ratio:7.2f}"
        start, peak = (max(getattr(one, field) for one in rounds) for field in ("start", "peak"))
        print(f"{line}  {start:.0f} -> {peak:.0f}")
    peak = max(one.peak for how in ("map", "cold map") for one in results[how])
    print(f"bound {BOUND_MIB} MiB: {'kept' if peak < BOUND_MIB else 'BROKEN'} ({peak:.0f} MiB)")
    sys.exit(peak >= BOUND_MIB)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000, help="in the set (1000000)")
    parser.add_argument("--steps", type=int, default=2_000, help="of 128 pictures (2000)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (3)")
    parser.add_argument("--scratch", type=Path, help="where the set is made for the time")
    parser.add_argument(
        "--how", choices=("prepare", *HOW), help="measure this one alone, print JSON"
    )
    parser.add_argument("--folder", type=Path, help="with --how: of the prepared set")
    return parser.parse_args()


if __name__ == "__main__":
    main()
