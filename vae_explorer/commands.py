"""What the commands do; `vae_explorer.__main__` says how they are called."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Mapping

from tqdm import tqdm

from vae_explorer import workspace
from vae_explorer.checkpoints import CARD, list_checkpoints, load_checkpoint
from vae_explorer.checkpoints.card import Metric
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import DATASETS, DatasetError, ImageDataset, prepare
from vae_explorer.device import keep_freed_memory
from vae_explorer.errors import ConfigError, RunError, unknown_name
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.interrupts import StopRequest
from vae_explorer.models import build_model
from vae_explorer.options import read_configs, refuse_changes
from vae_explorer.publishing import evaluate_again, publish
from vae_explorer.runs.arguments import keep_arguments, list_arguments
from vae_explorer.runs.folder import PUBLISHED, clear_run, close_published, refuse_unfinished
from vae_explorer.runs.reporter import RunReport, report_run
from vae_explorer.training.distributed import anywhere, find_devices, part
from vae_explorer.training.snapshots import list_epochs, read_epochs
from vae_explorer.training.state import (
    EpochMetrics,
    StepMetrics,
    best_of,
    history_columns,
    load_config,
    load_state,
    save_config,
)
from vae_explorer.training.trainer import train


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
    run, out = workspace.RUNS / args.out.name, args.out
    resume, restart = given.get("resume", False), given.get("restart", False)
    if given.get("finish") and not resume:
        raise ConfigError("--finish publishes what a run has so far: give --resume with it.")
    if resume and close_published(run, out):
        print(f"Published {out} already.")
        return 0
    _refuse_taken(args)
    model_config, config = load_config(run) if resume else read_configs(given)
    if resume:
        refuse_changes(given, model_config, config)
    else:
        refuse_unfinished(run, restart=restart)
    check_dataset(config.dataset)
    devices = find_devices()  # of `accelerate launch`, or the only one
    main = devices.is_main_process
    with report_run(run, args, epochs=config.epochs, silent=not main) as report:
        with devices.local_main_process_first():  # once on each machine
            size = model_config.image_size
            dataset = open_dataset(args, config.dataset, size, check=report.check)
        if main:
            if not resume:
                clear_run(run, restart=restart)
            save_config(run, model_config, config)
            kind = f"{model_config.kind}, {model_config.latent_dim}-D"
            print(f"{config.dataset}: {kind}; state in {run}")
        keep_freed_memory()
        report.begin(dataset, config)
        if not given.get("finish"):
            asked = _train(model_config, config, dataset, report, given)
            ends = anywhere(devices, asked)
            part(devices)
            if main and ends and not (report.asked == "stop" and report.status.epoch):
                again = shlex.join(keep_arguments(list_arguments(args)))
                print(f"Stopped and saved. Go on: python -m vae_explorer train --resume {again}")
                report.pause()
                return 130
        if main:
            _publish_best(model_config, config, dataset, report, args)
    return 0


def _train(
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    report: RunReport,
    given: Mapping[str, object],
) -> bool:
    """Train to the end, or until it is asked to end; say whether it was, in this process."""
    stop = StopRequest()
    with tqdm(unit="step", dynamic_ncols=True, disable=True if report.silent else None) as bar:

        def show(metrics: StepMetrics) -> None:
            _show_step(bar, metrics)
            report.take_step(metrics)

        epochs = train(
            model_config,
            config,
            dataset,
            report.run,
            resume=bool(given.get("resume")),
            on_step=show,
            should_stop=lambda: stop.requested or bool(report.asked),
        )
        for metrics in epochs:
            report.take_epoch(metrics)
            if not report.silent:
                tqdm.write(_epoch_line(metrics, config.epochs))
    stop.withdraw()
    return stop.requested or bool(report.asked)


def _publish_best(
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    report: RunReport,
    args: argparse.Namespace,
) -> None:
    state = load_state(report.run)
    model = build_model(model_config).eval()
    model.load_state_dict(state.best)
    best = best_of(state.history, config)
    if best is None:
        raise RunError("No epoch is finished, so there is nothing to publish. Go on with --resume.")
    _refuse_taken(args)
    report.enter("evaluating")
    print(f"Best epoch: {best.epoch}. Evaluating on the held-out split ...")
    card = publish(
        model,
        config,
        dataset,
        history_columns(state.history),
        args.out,
        title=vars(args).get("title"),
        epochs=read_epochs(report.run) if list_epochs(report.run) else None,
    )
    _print_metrics(card.metrics)
    (report.run / PUBLISHED).touch()
    print(f"Published {args.out}. See it with: streamlit run app.py")
    report.enter("finished", f"Epoch {best.epoch} was the best, and was published.")


def _refuse_taken(args: argparse.Namespace) -> None:
    if args.out.exists() and not vars(args).get("replace"):
        raise RunError(f"{args.out} is there already. Choose another --out, or add --replace.")
    if args.out.exists() and not (args.out / CARD).is_file():
        raise RunError(f"{args.out} is no checkpoint, so it is not replaced. Choose another --out.")


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
        print(
            f"No checkpoints in {workspace.CHECKPOINTS}. "
            "Train one: python -m vae_explorer train --help"
        )
    return 0


def check_dataset(name: str) -> None:
    """Raise a `DatasetError` for a data set that there is not."""
    if name not in DATASETS:
        raise DatasetError(unknown_name("data set", name, list(DATASETS)))


def open_dataset(
    args: argparse.Namespace,
    name: str,
    size: int | None,
    *,
    check: Callable[[], None] = lambda: None,
) -> ImageDataset:
    """Open a data set, preparing it first where that was not done yet; `check` may raise."""
    check_dataset(name)
    size = None if DATASETS[name].image_size else size
    with tqdm(unit="image", desc=f"Preparing {name}", leave=False, delay=1) as bar:

        def show(done: int, total: int | None) -> None:
            check()
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
