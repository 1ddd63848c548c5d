"""What the commands do; `vae_explorer.__main__` says how they are called."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from vae_explorer.cards import Metric
from vae_explorer.checkpoints import CHECKPOINTS, list_checkpoints, load_checkpoint
from vae_explorer.config import ConfigError, JsonValue, ModelConfig, TrainConfig, unknown_name
from vae_explorer.data import DATASETS, DatasetError, ImageDataset, prepare
from vae_explorer.evaluation import evaluate
from vae_explorer.models import build_model
from vae_explorer.optimization import keep_freed_memory
from vae_explorer.presets import find_preset
from vae_explorer.publication import publish
from vae_explorer.runs import (
    EpochMetrics,
    RunError,
    history_columns,
    load_config,
    load_state,
    save_config,
)
from vae_explorer.trainer import StepMetrics
from vae_explorer.training import train

RUNS = Path("runs")


def run_prepare(args: argparse.Namespace) -> int:
    """Fetch and cache a data set."""
    dataset = _dataset(args, args.dataset, args.size)
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
    resume = given.get("resume", False)
    model_config, config = load_config(run) if resume else _configs(given)
    if not resume:
        _clear(run, restart=given.get("restart", False))
    dataset = _dataset(args, config.dataset, model_config.image_size)
    save_config(run, model_config, config)
    keep_freed_memory()

    stop = _StopRequest()
    print(f"{config.dataset}: {model_config.kind}, {model_config.latent_dim}-D; state in {run}")
    with tqdm(unit="step", dynamic_ncols=True, disable=None) as bar:
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
            tqdm.write(_epoch_line(metrics, config.epochs))
    if stop.requested:
        print(f"Stopped and saved. Go on with: train --out {out} --resume")
        return 130

    state = load_state(run)
    model = build_model(model_config).eval()
    model.load_state_dict(state.best)
    best = state.best_epoch
    print(f"Best epoch: {best.epoch if best else 0}. Evaluating on the held-out split ...")
    title = given.get("title")
    card = publish(model, config, dataset, history_columns(state.history), out, title=title)
    _print_metrics(card.metrics)
    (run / "published").touch()
    print(f"Published {out}. See it with: streamlit run app.py")
    return 0


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure a checkpoint; with --write, publish it anew with these numbers."""
    checkpoint = load_checkpoint(args.checkpoint)
    card, model = checkpoint.card, checkpoint.model
    dataset = _dataset(args, card.dataset.name, card.dataset.image_size)
    samples = args.importance_samples
    if args.write:
        card = publish(
            model,
            card.train,
            dataset,
            checkpoint.history,
            checkpoint.path,
            title=card.title,
            importance_samples=samples,
        )
        metrics = card.metrics
    else:
        metrics = evaluate(model, dataset, importance_samples=samples).metrics
    if args.json:
        print(json.dumps({name: metric.value for name, metric in metrics.items()}, indent=2))
    else:
        _print_metrics(metrics)
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Show the checkpoints, and why the broken ones are."""
    cards, errors = list_checkpoints()
    for name, card in cards.items():
        loss = card.metrics.get("negative_elbo") or card.metrics["reconstruction"]
        print(f"{name:24} {card.title:32} {loss.name} {loss.value:.2f} {loss.unit}")
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


def _configs(given: Mapping[str, object]) -> tuple[ModelConfig, TrainConfig]:
    """Merge the file of --config, the preset of --model, and single options; the latter win."""
    file = _read_config(given["config"]) if isinstance(given.get("config"), Path) else {}
    model_values, train_values = file.get("model", {}), dict(_table(file.get("train", {})))
    if "model" in given:
        model_values = str(given["model"])
    if isinstance(model_values, str):
        model_values = find_preset(model_values).to_dict()
    if not model_values:
        raise ConfigError('Which model? Name one with --model, or give "model" in --config.')
    options = {**given, "learning_rate": given.get("lr")}

    def overrides(config: type[ModelConfig] | type[TrainConfig]) -> dict[str, JsonValue]:
        names = {field.name for field in fields(config)}
        return {n: v for n, v in options.items() if n in names and v is not None}

    model_config = ModelConfig.from_dict({**_table(model_values), **overrides(ModelConfig)})
    train_values |= overrides(TrainConfig)
    if "dataset" not in train_values:
        raise ConfigError("Which data? Name a set with --dataset: " + ", ".join(DATASETS))
    return model_config, TrainConfig.from_dict(train_values)


def _read_config(path: Path) -> dict[str, JsonValue]:
    try:
        return _table(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"--config {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"--config {path} is not JSON: {error}.") from error


def _table(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ConfigError(f"A configuration is a JSON object {{...}}; found {value!r}.")
    return value


def _clear(run: Path, *, restart: bool) -> None:
    """Make room for a new run; one that is not finished goes only with --restart."""
    if not (run / "state.safetensors").exists():
        return
    if not restart and not (run / "published").exists():
        raise RunError(
            f"The run {run.name} is under way in {run}. Go on with --resume, "
            "or throw it away with --restart."
        )
    shutil.rmtree(run)


def _dataset(args: argparse.Namespace, name: str, size: int | None) -> ImageDataset:
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
        if isinstance(metric.value, tuple):
            value = " ".join(f"{part:.3g}" for part in metric.value)
        else:
            value = f"{metric.value:.2f}"
        print(f"{metric.name:24} {value} {metric.unit} ({metric.protocol})")
