"""How fast `train` is, against the loop that a tutorial would write, at the same final loss.

Both train `fashion-vae` on the same images of Fashion-MNIST, with the same initial weights,
batch size, steps and learning rates; each in a process of its own, in turns. The first epoch
warms up, the others are timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from vae_explorer.config import TrainConfig
from vae_explorer.data import ImageDataset, load_dataset
from vae_explorer.device import keep_freed_memory
from vae_explorer.losses import negative_elbo
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.presets import find_preset
from vae_explorer.training.batches import split_rows
from vae_explorer.training.optim import learning_rate
from vae_explorer.training.trainer import train

MODEL = find_preset("fashion-vae")
VALIDATION_IMAGES = 2_000


class Result(NamedTuple):
    """What one training gave."""

    images_per_second: float
    validation_loss: float
    """Of the last weights, in nats per image."""


def main() -> None:
    """Compare the two in a few rounds, and print a table."""
    args = _parse_arguments()
    if args.loop:
        print(json.dumps(LOOPS[args.loop](*_setting(args))))
        return
    results: dict[str, list[Result]] = {name: [] for name in LOOPS}
    for done in range(args.rounds):
        for name, rounds in results.items():
            rounds.append(_run_alone(name, args))
            print(f"round {done + 1}, {name}: {rounds[-1].images_per_second:,.0f} images/s")
    print(f"\n{'':24}{'images/s':>10}{'validation loss (nats per image)':>36}")
    speeds = {}
    for name, rounds in results.items():
        speeds[name] = statistics.median(result.images_per_second for result in rounds)
        loss = statistics.median(result.validation_loss for result in rounds)
        print(f"{name:24}{speeds[name]:10,.0f}{loss:36.2f}")
    print(f"{'ratio':24}{speeds['vae_explorer'] / speeds['plain']:10.2f}")


def train_plainly(dataset: ImageDataset, config: TrainConfig) -> Result:
    """Train as a tutorial would: float32, eager, Adam, a DataLoader over tensors."""
    train_rows, validation_rows = split_rows(dataset, config)
    torch.manual_seed(config.seed)
    model = build_model(MODEL, config.seed)
    loader = DataLoader(
        TensorDataset(_images(dataset, train_rows)), config.batch_size, shuffle=True, drop_last=True
    )
    total = len(loader) * config.epochs
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)  # times what the schedule says
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate(step, total, config)
    )
    generator = torch.Generator().manual_seed(config.seed)
    seconds = []
    for _ in range(config.epochs):
        start = time.perf_counter()
        for (images,) in loader:
            logits, z_mean, z_log_var = model(images, generator)
            bce = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
            kl = -0.5 * torch.sum(1 + z_log_var - z_mean.pow(2) - z_log_var.exp())
            loss = (bce + kl) / len(images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds.append(time.perf_counter() - start)
    return Result(
        _speed(seconds, len(loader) * config.batch_size),
        _validation_loss(model, _images(dataset, validation_rows)),
    )


def train_here(dataset: ImageDataset, config: TrainConfig) -> Result:
    """Train as `python -m vae_explorer train` does."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as run:
        history = list(train(MODEL, config, dataset, Path(run)))
    steps = len(split_rows(dataset, config)[0]) // config.batch_size
    return Result(
        _speed([metrics.seconds for metrics in history], steps * config.batch_size),
        history[-1].validation_loss,
    )


LOOPS = {"plain": train_plainly, "vae_explorer": train_here}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--images", type=int, default=12_800, help="per epoch (12800)")
    parser.add_argument("--epochs", type=int, default=3, help="the first is a warm-up (3)")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each (3)")
    parser.add_argument("--root", type=Path, default=Path("data"), help="of data (data)")
    parser.add_argument("--loop", choices=LOOPS, help="train by this one alone, print JSON")
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error("--epochs must be at least 2: the first one is a warm-up.")
    return args


def _setting(args: argparse.Namespace) -> tuple[ImageDataset, TrainConfig]:
    """Leave as many images in the train split as are asked for, and those to validate by."""
    dataset = load_dataset("fashion-mnist", args.root)
    total = args.images + VALIDATION_IMAGES
    split = dataset.split.copy()
    split[dataset.rows("train")[total:]] = "val"
    config = TrainConfig(
        dataset="fashion-mnist",
        epochs=args.epochs,
        warmup_steps=50,
        weight_average=0,  # both are evaluated with their last weights; the EMA takes its time
        validation_fraction=VALIDATION_IMAGES / total,
    )
    return replace(dataset, split=split), config


def _run_alone(name: str, args: argparse.Namespace) -> Result:
    options = ["--images", args.images, "--epochs", args.epochs, "--root", args.root]
    command = [sys.executable, "-m", "benchmarks.training", "--loop", name, *map(str, options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Result(*json.loads(done.stdout))


def _images(dataset: ImageDataset, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(dataset.take(rows, MODEL.image_size)).float() / 255


@torch.no_grad()
def _validation_loss(model: Autoencoder, images: Tensor) -> float:
    generator = torch.Generator().manual_seed(0)
    losses = [
        negative_elbo(model.eval()(batch, generator), batch, MODEL).loss * len(batch)
        for batch in images.split(250)
    ]
    return float(torch.stack(losses).sum() / len(images))


def _speed(seconds: list[float], images: int) -> float:
    """Images per second in the median epoch after the first."""
    return images / statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
