"""What the commands do; `vae_explorer.__main__` says how they are called."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from vae_explorer.cards import Metric
from vae_explorer.checkpoints import CARD, CHECKPOINTS, list_checkpoints, load_checkpoint
from vae_explorer.config import ConfigError, unknown_name
from vae_explorer.data import DATASETS, DatasetError, ImageDataset, prepare
from vae_explorer.epochs import list_epochs, read_epochs
from vae_explorer.evaluation import evaluate
from vae_explorer.models import build_model
from vae_explorer.optimization import keep_freed_memory
from vae_explorer.options import read_configs, refuse_changes
from vae_explorer.processes import anywhere, find_devices, part
from vae_explorer.publication import evaluate_again, publish
from vae_explorer.runs import (
    EpochMetrics,
    RunError,
    StepMetrics,
    best_of,
    history_columns,
    load_config,
    load_state,
    save_config,
)
from vae_explorer.training import train

RUNS = Path("runs")


def run_prepare(args: argparse.Namespace) -> int:
    """Fetch and cache a data set."""
    dataset = open_dataset(args, args.dataset, args.size)
    parts = (f"{len(dataset.rows(split)):,} {split}" for split in ("train", "val", "test"))
    size = "x".join(str(side) for side in dataset.images.shape[1:])
    print(f"{len(dataset.images):,} images of {size}: {', '.join(parts)}")
    if dataset.damaged:
        print(f"{len(dataset.damaged)} damaged and left out: {', '.join(dataset.damaged[:20])}")
    return 0


def run_train(args: argparse.Namespace) -> int:
    """Train or resume, then publish the best epoch."""
    given = vars(args)
    run, out = RUNS / args.out.name, args.out
    if out.exists() and not given.get("replace"):
        raise RunError(f"{out} is there already. Choose another --out, or add --replace.")
    if out.exists() and not (out / CARD).is_file():
        raise RunError(f"{out} is no checkpoint, so it is not replaced. Choose another --out.")
    resume = given.get("resume", False)
    model_config, config = load_config(run) if resume else read_configs(given)
    if resume:
        refuse_changes(given, model_config, config)
    else:
        check_room(run, restart=given.get("restart", False))
    devices = find_devices()  # of `accelerate launch`, or the only one
    with devices.local_main_process_first():  # once on each machine
        dataset = open_dataset(args, config.dataset, model_config.image_size)
    if devices.is_main_process:
        if not resume:
            clear_run(run, restart=given.get("restart", False))
        save_config(run, model_config, config)
        print(f"{config.dataset}: {model_config.kind}, {model_config.latent_dim}-D; state in {run}")
    keep_freed_memory()

    stop = _StopRequest()
    silent = None if devices.is_main_process else True
    with tqdm(unit="step", dynamic_ncols=True, disable=silent) as bar:
        epochs = train(
            model_config,
            config,
            dataset,
            run,
            resume=resume,
            on_step=lambda step: _show_step(bar, step),
            should_stop=lambda: stop.requested,
        )
        for metrics in epochs:
            if devices.is_main_process:
                tqdm.write(_epoch_line(metrics, config.epochs))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # nothing is left to be saved
    stopped = anywhere(devices, stop.requested)
    part(devices)
    if not devices.is_main_process:
        return 0
    if stopped:
        print(f"Stopped and saved. Go on: {_resume_command(given)}")
        return 130

    state = load_state(run)
    model = build_model(model_config).eval()
    model.load_state_dict(state.best)
    best = best_of(state.history, config)
    print(f"Best epoch: {best.epoch if best else 0}. Evaluating on the held-out split ...")
    card = publish(
        model, config, dataset, history_columns(state.history), out,
        title=given.get("title"), epochs=read_epochs(run) if list_epochs(run) else None,
    )  # fmt: skip
    _print_metrics(card.metrics)
    (run / "published").touch()
    print(f"Published {out}. See it with: streamlit run app.py")
    return 0


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure a checkpoint; with --write, publish it anew with these numbers."""
    checkpoint = load_checkpoint(args.checkpoint)
    data = checkpoint.card.dataset
    dataset = open_dataset(args, data.name, data.image_size)
    samples = args.importance_samples
    if samples < 0:
        raise ConfigError(f"--importance-samples takes 0 or more, 64 as a rule; found {samples}.")
    if args.write:
        metrics = evaluate_again(
            checkpoint, dataset, importance_samples=samples, keep_vectors=args.keep_vectors
        ).metrics
    else:
        metrics = evaluate(checkpoint.model, dataset, importance_samples=samples).metrics
    if args.json:
        print(json.dumps({name: metric.value for name, metric in metrics.items()}, indent=2))
    else:
        _print_metrics(metrics)
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
        print(f"No checkpoints in {CHECKPOINTS}. Train one: python -m vae_explorer train --help")
    return 0


class _StopRequest:
    """Turns the first Ctrl-C into a wish, so that the step under way is finished and saved."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C ends at once


def _resume_command(given: Mapping[str, object]) -> str:
    """Return the command that goes on, with what the run's folder does not remember."""
    kept = [name for name in ("out", "root", "source", "title") if given.get(name) is not None]
    options = [f"--{name} {shlex.quote(str(given[name]))}" for name in kept]
    again = ["--replace"] if given.get("replace") else []
    return " ".join(["python -m vae_explorer train --resume", *options, *again])


def clear_run(run: Path, *, restart: bool) -> None:
    """Make room for a new run; one that is not finished goes only with --restart."""
    check_room(run, restart=restart)
    if (run / "state.safetensors").exists():
        shutil.rmtree(run)


def check_room(run: Path, *, restart: bool) -> None:
    """Raise a `RunError` if a run that is not finished is in the way."""
    under_way = (run / "state.safetensors").exists() and not (run / "published").exists()
    if under_way and not restart:
        raise RunError(
            f"The run {run.name} is under way in {run}. Go on with --resume, "
            "or throw it away with --restart."
        )


def open_dataset(args: argparse.Namespace, name: str, size: int | None) -> ImageDataset:
    """Open a data set, preparing it first where that was not done yet."""
    if name not in DATASETS:
        raise DatasetError(unknown_name("data set", name, list(DATASETS)))
    size = None if DATASETS[name].image_size else size
    with tqdm(unit="image", desc=f"Preparing {name}", leave=False, delay=1) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return prepare(name, args.root, size=size, source=args.source, progress=show)


def _show_step(bar: tqdm, metrics: StepMetrics) -> None:
    bar.total = metrics.total_steps
    if bar.n == 0 and metrics.step > 1:
        bar.initial = metrics.step - 1  # resumed: the time left counts from here
        bar.n = bar.initial
    bar.update(metrics.step - bar.n)
    if metrics.step % 20 == 0:
        bar.set_postfix_str(f"loss {metrics.loss:.1f}, KL {metrics.kl:.2f}", refresh=False)


def _epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    return (
        f"epoch {metrics.epoch:3d}/{epochs}  train {metrics.train_loss:8.2f}  "
        f"validation {metrics.validation_loss:8.2f} = {metrics.validation_reconstruction:.2f} "
        f"+ β KL, KL {metrics.validation_kl:.2f}  {metrics.seconds:.1f} s"
    )


def _print_metrics(metrics: Mapping[str, Metric]) -> None:
    for metric in metrics.values():
        print(f"{_metric_line(metric)} ({metric.protocol})")


def _metric_line(metric: Metric) -> str:
    if isinstance(metric.value, tuple):
        value = " ".join(f"{part:.3g}" for part in metric.value)
    else:
        value = f"{metric.value:.2f}"
    return f"{metric.name:24} {value} {metric.unit}"
