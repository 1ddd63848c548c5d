"""The command `train`: parse, prepare the data, open the run, train, publish."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

from vae_explorer import workspace
from vae_explorer.checkpoints import CARD
from vae_explorer.cli.data import check_dataset, open_dataset, print_metrics
from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.data import DATASETS, ImageDataset
from vae_explorer.device import keep_freed_memory
from vae_explorer.errors import ConfigError, RunError, unknown_name
from vae_explorer.models import build_model
from vae_explorer.presets import RECIPES, find_preset
from vae_explorer.publishing import publish
from vae_explorer.runs.arguments import keep_arguments, list_arguments
from vae_explorer.runs.folder import PUBLISHED, clear_run, close_published, refuse_unfinished
from vae_explorer.runs.reporter import RunReport, report_run
from vae_explorer.training.distributed import any_rank, create_accelerator, shut_down
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
    accelerator = create_accelerator()
    main = accelerator.is_main_process
    with report_run(run, args, epochs=config.epochs, silent=not main) as report:
        with accelerator.local_main_process_first():  # once on each machine
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
            ends = any_rank(accelerator, asked)
            shut_down(accelerator)
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
    print_metrics(card.metrics)
    (report.run / PUBLISHED).touch()
    print(f"Published {args.out}. See it with: streamlit run app.py")
    report.enter("finished", f"Epoch {best.epoch} was the best, and was published.")


def _refuse_taken(args: argparse.Namespace) -> None:
    if args.out.exists() and not vars(args).get("replace"):
        raise RunError(f"{args.out} is there already. Choose another --out, or add --replace.")
    if args.out.exists() and not (args.out / CARD).is_file():
        raise RunError(f"{args.out} is no checkpoint, so it is not replaced. Choose another --out.")


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


Options = Mapping[str, JsonValue | Path]
"""The options that were given, by name; absent ones are not in it."""


def read_configs(given: Options) -> tuple[ModelConfig, TrainConfig]:
    """Build the configurations that a new run is asked to have.

    Raises
    ------
    ConfigError
        If no model or no data set is named, or a value cannot be.
    """
    model_values, train_values = _asked(given)
    if not model_values:
        raise ConfigError('Which model? Name one with --model, or give "model" in --config.')
    model = ModelConfig.from_dict(model_values)
    if "dataset" not in train_values:
        raise ConfigError("Which data? Name a set with --dataset: " + ", ".join(DATASETS))
    return model, TrainConfig.from_dict(train_values)


def refuse_changes(given: Options, model: ModelConfig, train: TrainConfig) -> None:
    """Refuse options that differ from a run that is to be resumed: it goes on as it began.

    Raises
    ------
    ConfigError
        If one differs; the message names each, and what the run has.
    """
    began = {**model.to_dict(), **train.to_dict()}
    model_values, train_values = _asked(given)
    changes = [
        f"{name} {value!r} (the run has {began.get(name)!r})"
        for name, value in {**model_values, **train_values}.items()
        if value != began.get(name)
    ]
    if changes:
        raise ConfigError(
            f"A run is resumed as it began, without {', '.join(changes)}. Leave that out, or "
            "start another run with it."
        )


def _asked(given: Options) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """Merge the preset of --model with its recipe, the file of --config, and single options.

    The latter win.
    """
    path = given.get("config")
    file = _read_config(path) if isinstance(path, Path) else {}
    model_values: JsonValue = file.get("model", {})
    if "model" in given:
        model_values = str(given["model"])
    recipe: Mapping[str, JsonValue] = {}
    if isinstance(model_values, str):
        recipe = RECIPES.get(model_values, {})
        model_values = find_preset(model_values).to_dict()
    options = {name: v for name, v in given.items() if not isinstance(v, Path) and v is not None}
    if "lr" in options:
        options["learning_rate"] = options["lr"]

    def single(config: type[ModelConfig] | type[TrainConfig]) -> dict[str, JsonValue]:
        names = {field.name for field in fields(config)}
        return {name: value for name, value in options.items() if name in names}

    return (
        {**_table(model_values), **single(ModelConfig)},
        {**recipe, **_table(file.get("train", {})), **single(TrainConfig)},
    )


def _read_config(path: Path) -> dict[str, JsonValue]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"--config {path} is not JSON: {error}.") from error
    parts = _table(values)
    for name in parts:
        if name not in ("model", "train"):
            raise ConfigError(unknown_name("part of --config", name, ["model", "train"]))
    return parts


def _table(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ConfigError(f"A configuration is a JSON object {{...}}; found {value!r}.")
    return value


class StopRequest:
    """Turns the first Ctrl-C into a wish, so that the step under way is finished and saved.

    The system's request to end, SIGTERM, is the same.
    """

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.requested = True
        self.withdraw()  # a second one ends at once

    def withdraw(self) -> None:
        """Let both end the process at once again, as nothing is left to be saved."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
