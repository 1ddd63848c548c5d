"""What `train-classifier` does; `vae_explorer.cli` says how it is called."""

from __future__ import annotations

import argparse
import shlex

from tqdm import tqdm

from vae_explorer import workspace
from vae_explorer.checkpoints import CARD
from vae_explorer.classifiers.network import CHANNELS, ClassifierConfig
from vae_explorer.cli.data import open_dataset
from vae_explorer.config import TrainConfig
from vae_explorer.data import DATASETS, DatasetError
from vae_explorer.device import keep_freed_memory
from vae_explorer.errors import ConfigError, RunError, unknown_name
from vae_explorer.publishing import publish_classifier
from vae_explorer.runs.folder import clear_run
from vae_explorer.training.classifier import load_best, load_config, save_config, train_classifier
from vae_explorer.workspace import CLASSIFIERS

IMAGE_SIZE = 64
EPOCHS = 9


def run_train_classifier(args: argparse.Namespace) -> int:
    """Train or resume an attribute classifier, then publish the best epoch."""
    run, out = workspace.RUNS / CLASSIFIERS / args.out.name, args.out
    if out.exists() and not args.replace:
        raise RunError(f"{out} is there already. Choose another --out, or add --replace.")
    if out.exists() and not (out / CARD).is_file():
        raise RunError(f"{out} is no classifier, so it is not replaced. Choose another --out.")
    if args.resume:
        network, config = load_config(run)
        _refuse_changes(args, network, config)
        dataset = open_dataset(args, config.dataset, network.image_size)
    else:
        architecture = _architecture(args.architecture)
        if args.dataset is None:
            raise ConfigError("Which data? Name a set with --dataset: " + ", ".join(DATASETS))
        asked = {"epochs": EPOCHS if args.epochs is None else args.epochs, "seed": args.seed or 0}
        config = TrainConfig.from_dict({"dataset": args.dataset, **asked})
        dataset = open_dataset(args, args.dataset, IMAGE_SIZE)
        if dataset.attributes is None:
            raise DatasetError(f"{dataset.name} has no attributes to learn. One that has: celeba.")
        network = ClassifierConfig.from_dict(
            {
                "architecture": architecture,
                "attributes": list(dataset.attribute_names),
                "channels": list(CHANNELS[architecture]),
                "image_size": dataset.images.shape[-1],
            }
        )
        clear_run(run, restart=args.restart)
        save_config(run, network, config)
    keep_freed_memory()

    print(f"{config.dataset}: {len(network.attributes)} attributes, {network.architecture}")
    try:
        with tqdm(unit="step", dynamic_ncols=True, disable=None) as bar:

            def show(step: int, total: int) -> None:
                bar.total = total
                bar.update(step - bar.n)

            for metrics in train_classifier(
                network, config, dataset, run, resume=args.resume, on_step=show
            ):
                tqdm.write(
                    f"epoch {metrics.epoch:3d}/{config.epochs}  train {metrics.train_loss:.2f}  "
                    f"validation {metrics.validation_loss:.2f} nats per image, accuracy "
                    f"{metrics.validation_accuracy:.4f}  {metrics.seconds:.1f} s"
                )
    except KeyboardInterrupt:
        kept = [name for name in ("out", "root", "source") if getattr(args, name) is not None]
        options = " ".join(f"--{name} {shlex.quote(str(getattr(args, name)))}" for name in kept)
        again = " --replace" if args.replace else ""
        print(
            "Stopped. Go on after the last epoch: "
            f"python -m vae_explorer train-classifier --resume {options}{again}"
        )
        return 130

    classifier, history = load_best(run)
    card = publish_classifier(classifier, config, history, dataset, out)
    (run / "published").touch()
    for name, share in card.accuracy.items():
        print(f"{name:24} {share:.4f}")
    print(f"Best epoch: {card.training.best_epoch}. {card.protocol}.")
    print(
        f"Mean accuracy {card.mean_accuracy:.4f}; the commoner answer would have "
        f"{card.majority_accuracy:.4f}. Published {out}."
    )
    return 0


def _architecture(name: str | None) -> str:
    if name is None:
        raise ConfigError("Which network? Name one with --architecture: " + ", ".join(CHANNELS))
    if name not in CHANNELS:
        raise ConfigError(unknown_name("architecture", name, list(CHANNELS)))
    return name


def _refuse_changes(
    args: argparse.Namespace, network: ClassifierConfig, config: TrainConfig
) -> None:
    """Raise a `ConfigError` where --resume comes with another value than the run began with."""
    began = {
        "dataset": config.dataset,
        "architecture": network.architecture,
        "epochs": config.epochs,
        "seed": config.seed,
    }
    for name, value in began.items():
        asked = getattr(args, name)
        if asked is not None and asked != value:
            raise ConfigError(
                f"The run began with {name} {value}, not {asked}: leave --{name} away to go on "
                "with it, or begin anew with --restart."
            )
