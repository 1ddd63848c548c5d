"""Train on a million images through the memory map, beside the same images in memory.

The set is made: 784 MB of 28x28 grey images, in a folder that is deleted afterwards. A small MLP
trains on it, which asks for images faster than most models, in the order of a whole epoch. Memory
is looked at in a process that only has the map: RssAnon of /proc/self/status (Linux), what the
kernel cannot take back, a hundred times a second, while the model trains for so many steps, is
evaluated on the held-out images, and encodes all. Speed is compared in another process, where map
and memory take turns of a few steps.
"""

from __future__ import annotations

import argparse
import json
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
from torch import Tensor

from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.data import DATASETS, ImageDataset
from vae_explorer.data.base import Record, Source
from vae_explorer.data.cache import open_cache, read_info, write_cache
from vae_explorer.encodings import encode_dataset
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.models import build_model
from vae_explorer.training.trainer import VaeTrainer

SIDE = 28
SHARES = (0.9, 0.05, 0.05)
AT_ONCE = 1_000
BATCH = 128
TURN = 25
"""Steps after which the other one has its turn."""
MODEL = ModelConfig(
    image_size=SIDE, image_channels=1, latent_dim=8, architecture="mlp", hidden_dim=64
)
BOUND_MIB = 600
"""Of memory to train and evaluate on a set through its map, whatever the set's size."""


class Memory(NamedTuple):
    """MiB of one process: with the program loaded, and at most after each thing that was done."""

    start: float
    training: float
    evaluation: float
    encoding: float


class Speed(NamedTuple):
    """Images per second of processor time: on a busy machine, the wall clock tells of others."""

    reading: float
    """Of images in random order."""
    training: float
    """Of a model that reads them and learns from them."""


def main() -> None:
    """Make the set, measure, and print a table."""
    args = _parse_arguments()
    if args.how:
        print(json.dumps(HOW[args.how](args)))
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        args.folder = args.folder or Path(scratch) / "million"
        if not args.folder.is_dir():
            print(f"preparing: {_alone('prepare', args):.0f} MiB at most")
        memory = Memory(*_alone("memory", args))
        turns = [[Speed(*speed) for speed in turn] for turn in _alone("speed", args)]
    print(f"{args.images:,} pictures, {args.steps:,} steps of {BATCH}, {len(turns)} turns")
    print(f"{'images/s':12}{'in memory':>12}{'map':>12}{'ratio':>8}   lowest ... highest")
    for name in Speed._fields:
        pairs = np.array([[getattr(one, name) for one in turn] for turn in turns])
        held, mapped = np.median(pairs, axis=0)
        ratios = pairs[:, 1] / pairs[:, 0]
        ratio = f"{np.median(ratios):8.2f}   {ratios.min():.2f} ... {ratios.max():.2f}"
        print(f"{name:12}{held:12,.0f}{mapped:12,.0f}{ratio}")
    print("MiB: " + ", ".join(f"{name} {mib:.0f}" for name, mib in memory._asdict().items()))
    kept = max(memory) < BOUND_MIB
    print(f"below {BOUND_MIB} MiB: {'yes' if kept else 'NO'}")
    sys.exit(not kept)


def prepare(args: argparse.Namespace) -> float:
    """Write the cache as that of any other set; return the MiB that it took at most."""
    args.folder.mkdir(parents=True)
    spec = replace(DATASETS["folder"], channels=1, shares=SHARES)
    with _watched_memory() as seen:
        source = Source(_records(args.images), args.images)
        write_cache(args.folder, spec, source, size=SIDE, seed=0)
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


def measure_memory(args: argparse.Namespace) -> Memory:
    """Train, evaluate and encode through the map, with the memory watched."""
    peaks = []
    with _watched_memory() as seen:
        start = seen[0]
        dataset = open_cache(args.folder, read_info(args.folder))
        steps = _steps(dataset)
        for _ in range(args.steps):
            next(steps)
        peaks.append(max(seen))
        model = build_model(MODEL).eval()
        evaluate(model, dataset)
        peaks.append(max(seen))
        encode_dataset(model, dataset, np.arange(len(dataset.images)))
        peaks.append(max(seen))
    return Memory(start, *peaks)


def measure_speed(args: argparse.Namespace) -> list[list[Speed]]:
    """Let the images in memory and those of the map take turns, over all of the steps."""
    mapped = open_cache(args.folder, read_info(args.folder))
    sets = [replace(mapped, images=np.array(mapped.images)), mapped]
    steps = [_steps(dataset) for dataset in sets]
    order = np.random.default_rng(1).permutation(mapped.rows("train"))
    turns = []
    for start in range(0, args.steps, TURN):
        rows = order[start * BATCH : (start + TURN) * BATCH].reshape(TURN, BATCH)
        turn = []
        for dataset, training in zip(sets, steps, strict=True):
            begin = time.process_time()
            for batch in rows:
                dataset.take(batch)
            middle = time.process_time()
            for _ in range(TURN):
                next(training)
            end = time.process_time()
            turn.append(Speed(rows.size / (middle - begin), rows.size / (end - middle)))
        turns.append(turn)
    return turns[1:]  # the first warms up


def _steps(dataset: ImageDataset) -> Iterator[Tensor]:
    """Train for an epoch, step by step; nothing is saved before its end."""
    config = TrainConfig(dataset="folder", epochs=1, batch_size=BATCH, precision="float32")
    return VaeTrainer(MODEL, config, dataset, Path("never-written")).steps_of_epoch()


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


HOW = {"prepare": prepare, "memory": measure_memory, "speed": measure_speed}


def _alone(how: str, args: argparse.Namespace) -> JsonValue:
    given = {"how": how, "folder": args.folder, "images": args.images, "steps": args.steps}
    options = [f"--{name}={value}" for name, value in given.items()]
    command = [sys.executable, "-m", "benchmarks.million", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000, help="in the set (1000000)")
    parser.add_argument("--steps", type=int, default=2_000, help=f"of {BATCH} pictures (2000)")
    parser.add_argument("--scratch", type=Path, help="where the set is made for the time")
    parser.add_argument("--how", choices=HOW, help="measure this one alone, print JSON")
    parser.add_argument("--folder", type=Path, help="a set prepared by --how prepare")
    return parser.parse_args()


if __name__ == "__main__":
    main()
