"""Command `train-classifier`: train an attribute classifier and publish it."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

from tqdm import tqdm

from vae_explorer import workspace
from vae_explorer.checkpoints import CARD
from vae_explorer.classifiers.network import CHANNELS, ClassifierConfig
from vae_explorer.cli.data import add_data_options, check_same_source, open_dataset, show_path
from vae_explorer.config import TrainConfig
from vae_explorer.data import DATASETS, DatasetError, ImageDataset
from vae_explorer.device import keep_freed_memory
from vae_explorer.errors import ConfigError, RunError, did_you_mean
from vae_explorer.installation import shell_command
from vae_explorer.publishing import publish_classifier
from vae_explorer.runs.run import Run
from vae_explorer.training.classifier import load_best, load_config, save_config, train_classifier
from vae_explorer.workspace import CLASSIFIERS, atomic_write, refuse_shipped

IMAGE_SIZE = 64
EPOCHS = 9
REQUEST = "request.json"  # in the run's folder


@dataclass(frozen=True)
class ClassifierRequest:
    """Everything that the command line of `train-classifier` says."""

    out: Path
    """Folder to publish to; the run has the same name."""
    dataset: str | None
    architecture: str | None
    epochs: int | None
    seed: int | None
    root: Path
    """Folder of prepared data."""
    source: Path | None
    """Folder or zip of images."""
    replace: bool
    """Whether what is in `out` is replaced."""
    resume: bool
    restart: bool

    @classmethod
    def from_namespace(cls, args: argparse.Namespace) -> Self:
        """Convert what argparse returns for `add_classifier_options`."""
        return cls(**{each.name: getattr(args, each.name) for each in fields(cls)})

    def save(self, run: Path) -> None:
        """Write what the run's configuration does not hold, for `complete`."""
        values = {
            "root": str(self.root),
            "source": None if self.source is None else str(self.source),
            "replace": self.replace,
        }
        with atomic_write(run / REQUEST) as partial:
            partial.write_text(json.dumps(values) + "\n", encoding="utf-8")

    def complete(self, run: Path) -> Self:
        """Fill in where the run to resume reads its data, and whether it replaces a classifier.

        Raises
        ------
        ConfigError
            If another source is named than the run began with.
        """
        try:
            began = json.loads((run / REQUEST).read_text(encoding="utf-8"))
            source = None if began["source"] is None else Path(began["source"])
            root, replaces = Path(began["root"]), bool(began["replace"])
        except (OSError, ValueError, KeyError, TypeError):  # of an earlier version
            return self
        check_same_source(self.source, source)
        return replace(
            self,
            source=self.source or source,
            root=root if self.root == workspace.DATA else self.root,
            replace=self.replace or replaces,
        )

    @property
    def resume_arguments(self) -> list[str]:
        """Options that must be repeated to resume the run."""
        paths = {"--out": self.out, "--root": self.root, "--source": self.source}
        words = [word for flag, path in paths.items() if path for word in (flag, str(path))]
        return [*words, "--replace"] if self.replace else words


def add_classifier_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train-classifier`."""
    parser.add_argument("--dataset", help="data set with attributes: celeba or folder")
    parser.add_argument("--architecture", help="network: " + ", ".join(CHANNELS))
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder to save the classifier in: "
        f"{show_path(workspace.CHECKPOINTS / CLASSIFIERS / 'NAME')}",
    )
    parser.add_argument("--epochs", type=int, help=f"number of epochs (default {EPOCHS})")
    parser.add_argument("--seed", type=int, help="random seed of weights and batches (default 0)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="resume after the last finished epoch")
    again.add_argument(
        "--restart", action="store_true", help="discard an unfinished run of this name"
    )
    parser.add_argument(
        "--replace", action="store_true", help="replace an existing classifier at --out"
    )
    add_data_options(parser)


def run_train_classifier(args: argparse.Namespace) -> int:
    """Train or resume an attribute classifier, then publish the best epoch."""
    request = ClassifierRequest.from_namespace(args)
    run, out = workspace.RUNS / CLASSIFIERS / request.out.name, request.out
    if request.resume:
        request = request.complete(run)
    refuse_shipped(out)
    if out.exists() and not request.replace:
        raise RunError(f"{out} already exists. Choose another --out, or add --replace.")
    if out.exists() and not (out / CARD).is_file():
        raise RunError(f"{out} is not a classifier and will not be replaced. Choose another --out.")
    if request.resume:
        network, config = load_config(run)
        _ensure_unchanged(request, network, config)
        dataset = _open(request, config.dataset, network.image_size)
    else:
        network, config, dataset = _prepare_new(request)
        Run(run).clear(restart=request.restart)
        save_config(run, network, config)
        request.save(run)
    keep_freed_memory()

    print(f"{config.dataset}: {len(network.attributes)} attributes, {network.architecture}")
    try:
        with tqdm(unit="step", dynamic_ncols=True, disable=None) as bar:

            def show(step: int, total: int) -> None:
                bar.total = total
                bar.update(step - bar.n)

            for metrics in train_classifier(
                network, config, dataset, run, resume=request.resume, on_step=show
            ):
                tqdm.write(
                    f"epoch {metrics.epoch:3d}/{config.epochs}  train {metrics.train_loss:.2f}  "
                    f"validation {metrics.validation_loss:.2f} nats per image, accuracy "
                    f"{metrics.validation_accuracy:.4f}  {metrics.seconds:.1f} s"
                )
    except KeyboardInterrupt:
        again = shlex.join(request.resume_arguments)
        print(
            "Stopped. Resume after the last epoch: "
            f"{shell_command(f'train-classifier --resume {again}', complete=True)}"
        )
        return 130

    classifier, history = load_best(run)
    card = publish_classifier(classifier, config, history, dataset, out)
    Run(run).mark_published()
    for name, share in card.accuracy.items():
        print(f"{name:24} {share:.4f}")
    print(f"Best epoch: {card.training.best_epoch}. {card.protocol}.")
    print(
        f"Mean accuracy {card.mean_accuracy:.4f} (majority class: "
        f"{card.majority_accuracy:.4f}). Saved {out}."
    )
    return 0


def _prepare_new(
    request: ClassifierRequest,
) -> tuple[ClassifierConfig, TrainConfig, ImageDataset]:
    """Return the configurations and the data of a new run."""
    architecture = _architecture(request.architecture)
    if request.dataset is None:
        raise ConfigError("No data set given. Choose one with --dataset: " + ", ".join(DATASETS))
    epochs = EPOCHS if request.epochs is None else request.epochs
    config = TrainConfig.from_dict(
        {"dataset": request.dataset, "epochs": epochs, "seed": request.seed or 0}
    )
    dataset = _open(request, request.dataset, IMAGE_SIZE)
    if dataset.attributes is None:
        raise DatasetError(f"{dataset.name} has no attributes. Use one that has, such as celeba.")
    network = ClassifierConfig.from_dict(
        {
            "architecture": architecture,
            "attributes": list(dataset.attribute_names),
            "channels": list(CHANNELS[architecture]),
            "image_size": dataset.images.shape[-1],
        }
    )
    return network, config, dataset


def _open(request: ClassifierRequest, name: str, size: int) -> ImageDataset:
    return open_dataset(name, size, root=request.root, source=request.source)


def _architecture(name: str | None) -> str:
    if name is None:
        raise ConfigError(
            "No network given. Choose one with --architecture: " + ", ".join(CHANNELS)
        )
    if name not in CHANNELS:
        raise ConfigError(did_you_mean("architecture", name, list(CHANNELS)))
    return name


def _ensure_unchanged(
    request: ClassifierRequest, network: ClassifierConfig, config: TrainConfig
) -> None:
    """Raise a `ConfigError` if an option differs from the run to resume."""
    began = {
        "dataset": config.dataset,
        "architecture": network.architecture,
        "epochs": config.epochs,
        "seed": config.seed,
    }
    for name, value in began.items():
        given = getattr(request, name)
        if given is not None and given != value:
            raise ConfigError(
                f"The run was started with {name} {value}, not {given}. Leave out --{name} to "
                "resume it, or start over with --restart."
            )
