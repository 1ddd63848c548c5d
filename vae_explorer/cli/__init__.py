"""The command line: prepare data, train, evaluate, list; encode, decode and export."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vae_explorer import workspace
from vae_explorer.classifiers.network import CHANNELS
from vae_explorer.cli.classifier import EPOCHS as CLASSIFIER_EPOCHS
from vae_explorer.cli.classifier import run_train_classifier
from vae_explorer.cli.data import run_evaluate, run_list, run_prepare
from vae_explorer.cli.train import run_train
from vae_explorer.cli.transfer import add_parsers
from vae_explorer.data import DATASETS
from vae_explorer.errors import VaeExplorerError
from vae_explorer.presets import PRESETS
from vae_explorer.workspace import refuse_when_read_only

EXAMPLES = """
examples:
  python -m vae_explorer prepare fashion-mnist
  python -m vae_explorer train --dataset fashion-mnist --model fashion-vae --out checkpoints/my-vae
  python -m vae_explorer train --out checkpoints/my-vae --resume
  python -m vae_explorer evaluate checkpoints/my-vae --importance-samples 64
  python -m vae_explorer train-classifier --dataset celeba --architecture residual \\
      --out checkpoints/classifiers/my-judge
  python -m vae_explorer list
  python -m vae_explorer encode fashion-vae-2d my-pictures --out latents.csv
  python -m vae_explorer decode fashion-vae-2d latents.csv --out decoded
  python -m vae_explorer export fashion-vae-2d --out onnx
"""

_ONLY_READ = (run_evaluate, run_list)
"""Of these, nothing is refused in a copy for looking; `evaluate --write` is."""

CONFIG_HELP = """
A FILE.json for --config holds any field of vae_explorer/config.py, for instance
  {"model": {"image_size": 32, "image_channels": 1, "latent_dim": 8, "channels": [32, 64]},
   "train": {"epochs": 40, "beta": 4}}
where "model" may also be the name of a published one. Options given beside it win.
Ctrl-C stops after the step under way and saves; --resume goes on from there.
"""


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
        description="Train variational autoencoders, and measure them, for VAE Explorer.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")

    prepared = subparsers.add_parser("prepare", help="fetch a data set and cache it for training")
    prepared.add_argument("dataset", help=", ".join(DATASETS))
    prepared.add_argument("--size", type=int, help="pixels a side, where the set leaves it open")
    prepared.set_defaults(command=run_prepare)

    trained = subparsers.add_parser(
        "train",
        help="train a model and publish it as a checkpoint",
        epilog=CONFIG_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # so that only what was given overrides
    )
    trained.add_argument("--dataset", help=", ".join(DATASETS))
    trained.add_argument("--model", help="a published model: " + ", ".join(PRESETS))
    trained.add_argument("--out", type=Path, required=True, help="checkpoints/NAME")
    trained.add_argument("--config", type=Path, metavar="FILE.json", help="see below")
    for option, kind, text in (
        ("--image-size", int, "pixels a side of what the model sees"),
        ("--image-channels", int, "1 for grey, 3 for colour"),
        ("--channels", _whole_numbers, "of the encoder's convolutions, such as 32,64"),
        ("--latent-dim", int, "latent dimensions"),
        ("--normalization", str, "none or batch (none)"),
        ("--likelihood", str, "bernoulli or gaussian"),
        ("--variance", float, "of the Gaussian likelihood (1)"),
        ("--epochs", int, "passes over the data, at most (20)"),
        ("--batch-size", int, "images a step (128)"),
        ("--beta", float, "weight of the KL term (1)"),
        ("--lr", float, "peak learning rate (0.002)"),
        ("--warmup-steps", int, "of the learning rate (200)"),
        ("--weight-average", float, "decay of the EMA weights, which are published (0.999)"),
        ("--patience", int, "stop after so many epochs without progress (0: never)"),
        ("--seed", int, "of weights, batches and noise (0)"),
        ("--start-from", str, "a run or checkpoint of the same model, to start from its weights"),
        ("--precision", str, "auto, float32 or bf16 (auto)"),
    ):
        trained.add_argument(option, type=kind, help=text)
    trained.add_argument("--keep-epochs", action="store_true", help="keep each epoch's encodings")
    trained.add_argument("--title", help="what the app calls the model")
    again = trained.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where the run stopped")
    again.add_argument("--restart", action="store_true", help="throw away a run under way")
    trained.add_argument(
        "--finish", action="store_true", help="with --resume: publish the best epoch so far"
    )
    trained.add_argument("--replace", action="store_true", help="replace the checkpoint --out")
    trained.set_defaults(command=run_train)

    classifier = subparsers.add_parser(
        "train-classifier", help="train an attribute classifier, for a loss or for evaluation"
    )
    classifier.add_argument("--dataset", help="with attributes: celeba, folder")
    classifier.add_argument("--architecture", help=", ".join(CHANNELS))
    classifier.add_argument("--out", type=Path, required=True, help="checkpoints/classifiers/NAME")
    classifier.add_argument(
        "--epochs", type=int, help=f"passes over the data ({CLASSIFIER_EPOCHS})"
    )
    classifier.add_argument("--seed", type=int, help="of weights and batches (0)")
    again = classifier.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on after the last epoch")
    again.add_argument("--restart", action="store_true", help="throw away a run under way")
    classifier.add_argument("--replace", action="store_true", help="replace what is in --out")
    classifier.set_defaults(command=run_train_classifier)

    evaluated = subparsers.add_parser("evaluate", help="measure a checkpoint on held-out data")
    evaluated.add_argument("checkpoint", type=Path)
    evaluated.add_argument("--json", action="store_true", help="print JSON")
    evaluated.add_argument("--write", action="store_true", help="put the numbers into the card")
    evaluated.add_argument(
        "--keep-vectors", action="store_true", help="with --write: attribute vectors stay"
    )
    evaluated.add_argument(
        "--importance-samples", type=int, default=0, metavar="K", help="add the IWAE bound (64)"
    )
    evaluated.set_defaults(command=run_evaluate)

    for reads_data in (prepared, trained, classifier, evaluated):
        reads_data.add_argument("--root", type=Path, default=workspace.DATA, help="of data (data)")
        reads_data.add_argument("--source", type=Path, default=None, help="folder or zip of images")

    listed = subparsers.add_parser("list", help="show the checkpoints, broken ones too")
    listed.set_defaults(command=run_list)
    add_parsers(subparsers)
    return parser


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"it takes whole numbers joined by commas, such as 32,64; found {text!r}"
        ) from error
