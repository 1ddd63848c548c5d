"""Commands `prepare`, `evaluate` and `list`, and the data sets of all commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tqdm import tqdm

from vae_explorer import workspace
from vae_explorer.checkpoints import Checkpoint, list_checkpoints, load_checkpoint
from vae_explorer.checkpoints.card import Metric
from vae_explorer.checkpoints.storage import has_card
from vae_explorer.data import DATASETS, ImageDataset, prepare
from vae_explorer.data.base import list_left_out
from vae_explorer.errors import ConfigError, DatasetError, did_you_mean
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.installation import shell_command
from vae_explorer.publishing import check_training_data, reevaluate
from vae_explorer.workspace import refuse_shipped, shorten


def run_prepare(args: argparse.Namespace) -> int:
    """Fetch and cache a data set."""
    dataset = open_dataset(
        args.dataset, args.size, root=args.root, source=args.source, channels=args.channels
    )
    parts = (f"{len(dataset.rows(split)):,} {split}" for split in ("train", "val", "test"))
    size = "x".join(str(side) for side in dataset.images.shape[1:])
    print(f"{len(dataset.images):,} images of {size}: {', '.join(parts)}")
    return 0


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure a checkpoint; with --write, publish it anew with these numbers."""
    checkpoint = open_checkpoint(args.checkpoint)
    if args.write:
        refuse_shipped(checkpoint.path)
    data = checkpoint.card.dataset
    dataset = open_dataset(
        data.name,
        data.image_size,
        root=args.root,
        source=args.source,
        channels=checkpoint.card.model.image_channels,
    )
    check_training_data(checkpoint, dataset)
    samples = args.importance_samples
    if samples < 0:
        raise ConfigError(
            f"--importance-samples must be 0 or more, 64 for example; found {samples}."
        )
    if args.write:
        metrics = reevaluate(
            checkpoint, dataset, importance_samples=samples, keep_vectors=args.keep_vectors
        ).metrics
    else:
        metrics = evaluate(checkpoint.model, dataset, importance_samples=samples).metrics
    if args.json:
        print(json.dumps({name: metric.value for name, metric in metrics.items()}, indent=2))
    else:
        print_metrics(metrics)
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Show the checkpoints, and why the broken ones are."""
    cards, errors = list_checkpoints()
    for name, card in cards.items():
        loss = card.metrics.get("negative_elbo") or card.metrics.get("reconstruction")
        print(f"{name:24} {card.title:32} {_metric_line(loss) if loss else 'not evaluated'}")
    for name, reason in errors.items():
        print(f"{name:24} BROKEN: {reason}")
    if not cards and not errors:
        train = shell_command("train --help", complete=True)
        print(f"No checkpoints in {workspace.CHECKPOINTS}. Train one: {train}")
    return 0


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where data are read from."""
    parser.add_argument(
        "--root",
        type=Path,
        default=workspace.DATA,
        help=f"folder of prepared data sets (default: {show_path(workspace.DATA)})",
    )
    parser.add_argument(
        "--source",
        type=Path,
        default=None,
        help="folder or zip file of images, or of the files of CelebA",
    )


def show_path(path: Path) -> str:
    """Return a path as the help of an option shows it: short, and as argparse takes it."""
    return str(shorten(path)).replace("%", "%%")


def open_checkpoint(name_or_path: str) -> Checkpoint:
    """Load the checkpoint that a command names; a folder that is there precedes a name.

    Raises
    ------
    CheckpointError
        As `load_checkpoint` does.
    """
    path = Path(name_or_path)
    return load_checkpoint(path if has_card(path) else name_or_path)


def check_dataset(name: str) -> None:
    """Raise a `DatasetError` for an unknown data set."""
    if name not in DATASETS:
        raise DatasetError(did_you_mean("data set", name, list(DATASETS)))


def check_same_source(given: Path | None, began: Path | None) -> None:
    """Check that a run is resumed with the `--source` that it began with, or with none.

    Raises
    ------
    ConfigError
        If another one is given.
    """
    if given and began and given.resolve() != began.resolve():
        raise ConfigError(
            f"This run was started with --source {began}. Resume it without --source, or start a "
            "new run with another --out."
        )


def open_dataset(
    name: str,
    size: int | None,
    *,
    root: Path,
    source: Path | None,
    channels: int | None = None,
    check: Callable[[], None] = lambda: None,
    silent: bool = False,
) -> ImageDataset:
    """Open a data set, and prepare it first if that was not done yet or its source has changed.

    What was left out of it is printed to standard error.

    Parameters
    ----------
    name : str
        Of the data set in the registry.
    size : int or None
        Pixels a side, for data sets without a size of their own.
    root : Path
        Folder of prepared data.
    source : Path or None
        Folder or zip of images.
    channels : int, optional
        1 to have colour images in grey.
    check : callable
        Called while the data are prepared; raises to interrupt that.
    silent : bool
        Whether nothing is printed.
    """
    check_dataset(name)
    size = None if DATASETS[name].image_size else size
    with tqdm(unit="image", desc=f"Preparing {name}", leave=False, delay=1) as bar:

        def show(done: int, total: int | None) -> None:
            check()
            bar.total = total
            bar.update(done - bar.n)

        dataset = prepare(
            name,
            root,
            size=size,
            source=source,
            channels=channels,
            progress=show,
            report=lambda message: None if silent else tqdm.write(message, file=sys.stderr),
        )
    if dataset.left_out and not silent:
        count = dataset.left_out_count
        files = "1 file was" if count == 1 else f"{count:,} files were"
        lines = list_left_out(dataset.left_out, count=count)
        print(f"{files} left out of the data:", *lines, sep="\n  ", file=sys.stderr)
    return dataset


def print_metrics(metrics: Mapping[str, Metric]) -> None:
    """Print one metric a line: name, value, unit."""
    for metric in metrics.values():
        print(f"{_metric_line(metric)} ({metric.protocol})")


def _metric_line(metric: Metric) -> str:
    if isinstance(metric.value, tuple):
        value = " ".join(f"{part:.3g}" for part in metric.value)
    else:
        value = f"{metric.value:.2f}"
    return f"{metric.name:24} {value} {metric.unit}"
