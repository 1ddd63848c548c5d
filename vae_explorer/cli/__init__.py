"""The command line: prepare data, train, evaluate, list; encode, decode and export."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vae_explorer.cli.classifier import add_classifier_options, run_train_classifier
from vae_explorer.cli.data import add_data_options, run_evaluate, run_list, run_prepare
from vae_explorer.cli.train import CONFIG_HELP, add_train_options, run_train
from vae_explorer.cli.transfer import add_parsers
from vae_explorer.data import DATASETS
from vae_explorer.errors import VaeExplorerError
from vae_explorer.workspace import refuse_when_read_only

EXAMPLES = """
examples:
  python -m vae_explorer prepare fashion-mnist
  python -m vae_explorer train --dataset fashion-mnist --model fashion-vae --out checkpoints/my-vae
  python -m vae_explorer train --out checkpoints/my-vae --resume
  python -m vae_explorer evaluate checkpoints/my-vae --importance-samples 64
  python -m vae_explorer train-classifier --dataset celeba --architecture residual \\
      --out checkpoints/classifiers/my-classifier
  python -m vae_explorer list
  python -m vae_explorer encode fashion-vae-2d my-images --out latents.csv
  python -m vae_explorer decode fashion-vae-2d latents.csv --out decoded
  python -m vae_explorer export fashion-vae-2d --out onnx
"""

_ONLY_READ = (run_evaluate, run_list)
"""Of these, nothing is refused in a copy for looking; `evaluate --write` is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    args = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        if command not in _ONLY_READ or getattr(args, "write", False):
            refuse_when_read_only(f"the command {args.name}")
        return command(args)
    except VaeExplorerError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes, one on each machine
            print(f"error: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what it parses names the command's function."""
    parser = argparse.ArgumentParser(
        prog="python -m vae_explorer",
        description="Train and evaluate variational autoencoders for VAE Explorer.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")

    prepared = subparsers.add_parser(
        "prepare", help="download or read a data set and cache it for training"
    )
    prepared.add_argument("dataset", help=", ".join(DATASETS))
    prepared.add_argument("--size", type=int, help="image size in pixels, for celeba and folder")
    prepared.add_argument("--channels", type=int, help="1 converts colour images to greyscale")
    prepared.set_defaults(command=run_prepare)

    trained = subparsers.add_parser(
        "train",
        help="train a model and save it as a checkpoint",
        epilog=CONFIG_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # so that only what was given overrides
    )
    add_train_options(trained)
    trained.set_defaults(command=run_train)

    classifier = subparsers.add_parser(
        "train-classifier", help="train an attribute classifier, for a loss or for evaluation"
    )
    add_classifier_options(classifier)
    classifier.set_defaults(command=run_train_classifier)

    evaluated = subparsers.add_parser("evaluate", help="evaluate a checkpoint on held-out data")
    evaluated.add_argument(
        "checkpoint", type=Path, help="name in checkpoints/, or path of the folder"
    )
    evaluated.add_argument("--json", action="store_true", help="print the metrics as JSON")
    evaluated.add_argument(
        "--write", action="store_true", help="save the metrics in the model card"
    )
    evaluated.add_argument(
        "--keep-vectors", action="store_true", help="with --write: keep the attribute vectors"
    )
    evaluated.add_argument(
        "--importance-samples",
        type=int,
        default=0,
        metavar="K",
        help="also compute the IWAE bound with K samples per image, 64 for example (0: do not)",
    )
    evaluated.set_defaults(command=run_evaluate)

    for reads_data in (prepared, evaluated):
        add_data_options(reads_data)

    listed = subparsers.add_parser("list", help="list all checkpoints, including broken ones")
    listed.set_defaults(command=run_list)
    add_parsers(subparsers)
    return parser
