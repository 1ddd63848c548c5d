"""Command `train`: parse the request, open the run, prepare the data, train, publish."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, Self

from tqdm import tqdm

from vae_explorer import workspace
from vae_explorer.checkpoints import CARD, load_checkpoint
from vae_explorer.cli.data import (
    add_data_options,
    check_dataset,
    check_same_source,
    open_dataset,
    print_metrics,
    show_path,
)
from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.data import DATASETS, ImageDataset
from vae_explorer.device import keep_freed_memory
from vae_explorer.errors import ConfigError, FieldError, RunError, did_you_mean
from vae_explorer.evaluation.limits import describe_limits
from vae_explorer.installation import open_command, shell_command
from vae_explorer.models import build_model
from vae_explorer.presets import PRESETS, RECIPES, find_preset
from vae_explorer.publishing import publish
from vae_explorer.runs.reporter import RunReporter, report_run
from vae_explorer.runs.run import Run
from vae_explorer.runs.status import resume_arguments
from vae_explorer.training.distributed import any_rank, create_accelerator, shut_down
from vae_explorer.training.snapshots import list_epochs, read_epochs
from vae_explorer.training.state import EpochMetrics, StepMetrics, best_of, history_columns
from vae_explorer.training.trainer import describe_adaptations, train
from vae_explorer.workspace import refuse_shipped

CONFIG_HELP = """
FILE.json for --config may set any field of vae_explorer/config.py, for example
  {"model": {"image_size": 32, "image_channels": 1, "latent_dim": 8, "channels": [32, 64]},
   "train": {"epochs": 40, "beta": 4}}
"model" may also be the name of a built-in model. Options on the command line take precedence.
Ctrl-C finishes the current step, saves and stops; --resume continues from there.
"""


# The request


@dataclass(frozen=True)
class TrainRequest:
    """Everything that the command line of `train` says."""

    out: Path
    """Folder of the checkpoint to publish; the run has the same name."""
    preset: str | None = None
    """Name of a published model (`--model`)."""
    config_file: Path | None = None
    """JSON file of configurations (`--config`)."""
    model_options: Mapping[str, JsonValue] = field(default_factory=dict)
    """Fields of `ModelConfig` that were given as options."""
    train_options: Mapping[str, JsonValue] = field(default_factory=dict)
    """Fields of `TrainConfig` that were given as options."""
    title: str | None = None
    """Title of the checkpoint in the app."""
    root: Path = field(default_factory=lambda: workspace.DATA)
    """Folder of prepared data."""
    source: Path | None = None
    """Folder or zip of images."""
    replace: bool = False
    """Whether an existing checkpoint is replaced."""
    resume: bool = False
    restart: bool = False
    finish: bool = False
    """Whether the best epoch so far is published without further training."""

    def __post_init__(self) -> None:
        if self.finish and not self.resume:
            raise ConfigError("--finish saves the best epoch of an existing run: add --resume.")

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Parse the options of `train`, as the command line does.

        Raises
        ------
        ConfigError
            Where the command line would show the usage and exit.
        """
        parser = _RaisingParser(
            add_help=False, argument_default=argparse.SUPPRESS, exit_on_error=False
        )
        add_train_options(parser)
        try:
            return cls.from_namespace(parser.parse_args(list(arguments)))
        except argparse.ArgumentError as error:
            option = error.argument_name or ""
            field = option.removeprefix("--").replace("-", "_")
            raise FieldError(field, error.message, f"{option}:") from error

    @classmethod
    def from_namespace(cls, args: argparse.Namespace) -> Self:
        """Convert what argparse returns for `add_train_options`.

        Raises
        ------
        ConfigError
            If options contradict each other.
        """
        given = vars(args)
        options = {each.field: given[each.name] for each in _OPTIONS if each.name in given}
        return cls(
            out=args.out,
            preset=given.get("model"),
            config_file=given.get("config"),
            model_options={k: v for k, v in options.items() if k in _MODEL_FIELDS},
            train_options={k: v for k, v in options.items() if k not in _MODEL_FIELDS},
            title=given.get("title"),
            root=args.root,
            source=args.source,
            **{name: given[name] for name in _SWITCHES if name in given},
        )

    def complete(self, run: Run) -> Self:
        """Fill in where the run to resume reads its data and how its model is called.

        Raises
        ------
        ConfigError
            If another source is named than the run began with.
        """
        status = run.read_status()
        try:
            began = None if status is None else self.parse(status.arguments)
        except ConfigError:  # written by another version
            began = None
        if began is None:
            return self
        check_same_source(self.source, began.source)
        return replace(
            self,
            source=self.source or began.source,
            root=began.root if self.root == workspace.DATA else self.root,
            title=self.title or began.title,
            replace=self.replace or began.replace,
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """Options, as ``--option=value``, that parse to this request without resume and restart."""
        options = {**self.model_options, **self.train_options}
        values: dict[str, JsonValue | Path] = {
            "config": self.config_file,
            "model": self.preset,
            **{each.name: options.get(each.field) for each in _OPTIONS},
            "out": self.out,
            "title": self.title,
            "root": None if self.root == workspace.DATA else self.root,
            "source": self.source,
            "replace": self.replace,
        }
        return tuple(
            _option_text(name, value)
            for name, value in values.items()
            if value is not None and value is not False
        )

    def read_configs(self) -> tuple[ModelConfig, TrainConfig]:
        """Build the configurations of a new run.

        Raises
        ------
        ConfigError
            If no model or no data set is named, or a value is invalid.
        """
        model_values, train_values = self._merge_values()
        if not model_values:
            raise ConfigError(
                'No model given. Choose one with --model, or set "model" in --config.'
            )
        model = ModelConfig.from_dict(model_values)
        if "dataset" not in train_values:
            raise ConfigError(
                "No data set given. Choose one with --dataset: " + ", ".join(DATASETS)
            )
        return model, TrainConfig.from_dict(train_values)

    def ensure_unchanged(self, model: ModelConfig, train: TrainConfig) -> None:
        """Refuse options that differ from the configurations of the run to resume.

        Raises
        ------
        ConfigError
            If one differs; the message names each, and what the run has.
        """
        began = {**model.to_dict(), **train.to_dict()}
        model_values, train_values = self._merge_values()
        changes = [
            f"{name} {value!r} (the run has {began.get(name)!r})"
            for name, value in {**model_values, **train_values}.items()
            if value != began.get(name)
        ]
        if changes:
            raise ConfigError(
                f"A run must be resumed with its original settings, not {', '.join(changes)}. "
                "Leave these options out, or start a new run."
            )

    def _merge_values(self) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
        """Merge preset and recipe, the file, and single options; the latter take precedence."""
        file = _read_config(self.config_file) if self.config_file is not None else {}
        model_values: JsonValue = file.get("model", {})
        if self.preset is not None:
            model_values = self.preset
        recipe: Mapping[str, JsonValue] = {}
        if isinstance(model_values, str):
            recipe = RECIPES.get(model_values, {})
            model_values = find_preset(model_values).to_dict()
        return (
            {**_table(model_values), **self.model_options},
            {**recipe, **_table(file.get("train", {})), **self.train_options},
        )


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    parser.add_argument("--model", help="built-in model to train: " + ", ".join(PRESETS))
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=f"folder to save the model in: {show_path(workspace.CHECKPOINTS / 'NAME')}",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE.json", help="file with further settings, see below"
    )
    for option in _OPTIONS:
        flag = "--" + option.name.replace("_", "-")
        if option.type is bool:
            parser.add_argument(flag, action="store_true", help=option.help)
        else:
            kind = _whole_numbers if option.type is list else option.type
            parser.add_argument(flag, type=kind, help=option.help)
    parser.add_argument("--title", help="title of the model in the app")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue a stopped run")
    again.add_argument(
        "--restart",
        action="store_true",
        help="discard an unfinished run of this name and start over",
    )
    parser.add_argument(
        "--finish", action="store_true", help="with --resume: save the best epoch so far"
    )
    parser.add_argument(
        "--replace", action="store_true", help="replace an existing checkpoint at --out"
    )
    add_data_options(parser)


class _Option(NamedTuple):
    """An option that sets a field of `ModelConfig` or `TrainConfig`."""

    name: str
    field: str
    type: type
    help: str


_OPTIONS = tuple(
    _Option(name, "learning_rate" if name == "lr" else name, type_, text)
    for name, type_, text in (
        ("dataset", str, "data set to train on: " + ", ".join(DATASETS)),
        ("image_size", int, "width and height of the model's images, in pixels"),
        ("image_channels", int, "1 for greyscale, 3 for colour"),
        (
            "channels",
            list,
            "output channels of the encoder's convolutions, each of stride 2, such as 32,64",
        ),
        ("latent_dim", int, "number of latent dimensions"),
        ("normalization", str, "normalization of the layers: none or batch (default none)"),
        ("likelihood", str, "model of the pixel values: bernoulli or gaussian"),
        ("variance", float, "variance of the Gaussian likelihood (default 1)"),
        ("epochs", int, "maximum number of epochs (default 20)"),
        ("batch_size", int, "images per training step (default 128)"),
        ("beta", float, "weight of the KL term (default 1)"),
        ("lr", float, "peak learning rate (default 0.002)"),
        ("warmup_steps", int, "steps until the learning rate reaches its peak (default 200)"),
        (
            "weight_average",
            float,
            "decay of the moving average of the weights, which is saved (default 0.999)",
        ),
        (
            "patience",
            int,
            "stop after this many epochs without improvement (default 0: never)",
        ),
        ("seed", int, "random seed of weights, batches and noise (default 0)"),
        ("start_from", str, "run or checkpoint of the same model, whose weights to start from"),
        ("precision", str, "auto, float32 or bf16 (default auto)"),
        ("keep_epochs", bool, "save each epoch's encodings, for the page Playback"),
    )
)
_MODEL_FIELDS = {each.name for each in fields(ModelConfig)}
_SWITCHES: tuple[Literal["replace", "resume", "restart", "finish"], ...] = (
    "replace",
    "resume",
    "restart",
    "finish",
)


class _RaisingParser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message.removeprefix("argument "))


def _option_text(name: str, value: JsonValue | Path) -> str:
    flag = "--" + name.replace("_", "-")
    if value is True:
        return flag
    parts = value if isinstance(value, list) else [value]
    return f"{flag}={','.join(str(part) for part in parts)}"  # one word: it may begin with a hyphen


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            "must be whole numbers separated by commas, for example 32,64."
        ) from error


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
            raise ConfigError(did_you_mean("part of --config", name, ["model", "train"]))
    return parts


def _table(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ConfigError(f"A configuration is a JSON object {{...}}; found {value!r}.")
    return value


# The command


def run_train(args: argparse.Namespace) -> int:
    """Train or resume, then publish the best epoch; return the exit status."""
    request = TrainRequest.from_namespace(args)
    run = Run.named(request.out.name)
    if request.resume:
        request = request.complete(run)
    if request.resume and run.reconcile_published(request.out):
        print(f"{request.out} is already saved.")
        return 0
    ensure_free(request)
    model_config, config = _choose_configs(request, run)
    accelerator = create_accelerator()  # of `accelerate launch`, or the only one
    is_main = accelerator.is_main_process
    with report_run(
        run,
        request.arguments,
        out=request.out,
        epochs=config.epochs,
        resume=request.resume,
        silent=not is_main,
    ) as reporter:
        with accelerator.local_main_process_first():  # once on each machine
            dataset = open_dataset(
                config.dataset,
                model_config.image_size,
                root=request.root,
                source=request.source,
                channels=model_config.image_channels,
                check=reporter.check,
                silent=not is_main,
            )
        if is_main:
            _prepare_folder(run, request, model_config, config)
        keep_freed_memory()
        reporter.begin(dataset, config)
        if not request.finish:
            interrupted = _train(model_config, config, dataset, reporter, resume=request.resume)
            interrupted = any_rank(accelerator, interrupted)
            shut_down(accelerator)
            publishes = reporter.requested_action == "stop" and reporter.status.epoch
            if is_main and interrupted and not publishes:
                again = shlex.join(["train", "--resume", *resume_arguments(request.arguments)])
                print(f"Stopped and saved. Resume: {shell_command(again, complete=True)}")
                reporter.pause()
                return 130
        if is_main:
            _publish_best(model_config, config, dataset, reporter, request)
    return 0


def ensure_free(request: TrainRequest) -> None:
    """Refuse to publish where something is that is not to be replaced.

    Raises
    ------
    RunError
        Saying which option helps.
    ReadOnlyError
        If it comes with the app, or has the name of what does.
    """
    out = request.out
    refuse_shipped(out)
    if out.exists() and not request.replace:
        raise RunError(f"{out} already exists. Choose another --out, or add --replace.")
    if out.exists() and not (out / CARD).is_file():
        raise RunError(f"{out} is not a checkpoint and will not be replaced. Choose another --out.")


def _choose_configs(request: TrainRequest, run: Run) -> tuple[ModelConfig, TrainConfig]:
    """Return the configurations of the run to resume, or those of the new run."""
    if request.resume:
        model_config, config = run.load_config()
        request.ensure_unchanged(model_config, config)
    else:
        model_config, config = request.read_configs()
        run.ensure_replaceable(restart=request.restart)
    check_dataset(config.dataset)
    return model_config, config


def _prepare_folder(
    run: Run, request: TrainRequest, model_config: ModelConfig, config: TrainConfig
) -> None:
    if not request.resume:
        run.clear(restart=request.restart)
    run.save_config(model_config, config)
    kind = f"{model_config.kind}, {model_config.latent_dim}-D"
    print(f"{config.dataset}: {kind}; state in {run.path}")


def _train(
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    reporter: RunReporter,
    *,
    resume: bool,
) -> bool:
    """Train until done or requested to end; return whether this process was requested to."""
    stop = StopRequest()
    silent = reporter.silent
    if not silent:
        for line in describe_adaptations(model_config, config, dataset):
            print(line)
    with tqdm(unit="step", dynamic_ncols=True, disable=True if silent else None) as bar:

        def show(metrics: StepMetrics) -> None:
            _show_step(bar, metrics)
            reporter.take_step(metrics)

        epochs = train(
            model_config,
            config,
            dataset,
            reporter.run.path,
            resume=resume,
            on_step=show,
            should_stop=lambda: stop.requested or bool(reporter.requested_action),
        )
        for metrics in epochs:
            reporter.take_epoch(metrics)
            if not silent:
                tqdm.write(_epoch_line(metrics, config.epochs))
    stop.withdraw()
    return stop.requested or bool(reporter.requested_action)


def _publish_best(
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    reporter: RunReporter,
    request: TrainRequest,
) -> None:
    run = reporter.run
    state = run.load_state()
    dataset.check_unchanged(state.data, state.data_summary)
    model = build_model(model_config).eval()
    model.load_state_dict(state.best)
    best = best_of(state.history, config)
    if best is None:
        raise RunError("No epoch is finished, so there is no model to save. Resume with --resume.")
    ensure_free(request)
    reporter.enter("evaluating")
    print(f"Best epoch: {best.epoch}. Evaluating on the held-out split ...")
    card = publish(
        model,
        config,
        dataset,
        history_columns(state.history),
        request.out,
        title=request.title,
        epochs=read_epochs(run.path) if list_epochs(run.path) else None,
    )
    print_metrics(card.metrics)
    limits = describe_limits(load_checkpoint(request.out)).values()
    for line in limits:
        print(line)
    run.mark_published()
    print(f"Saved {request.out}. To open it: {open_command()}")
    saved = f"Model saved (best epoch: {best.epoch})."
    reporter.enter("finished", " ".join([saved, *limits]))


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


class StopRequest:
    """Signal handler that lets the current step finish and be saved before the process ends.

    Ctrl-C and SIGTERM request it.
    """

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.requested = True
        self.withdraw()  # a second one ends the process at once

    def withdraw(self) -> None:
        """Restore the default handlers: from now on, both signals end the process at once."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
