"""The command line: prepare data, train, evaluate, list; encode, decode and export.

Without a command, it opens the app.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vae_explorer import __version__, workspace
from vae_explorer.cli.app import run_app
from vae_explorer.cli.classifier import add_classifier_options, run_train_classifier
from vae_explorer.cli.data import add_data_options, run_evaluate, run_list, run_prepare
from vae_explorer.cli.train import CONFIG_HELP, add_train_options, run_train
from vae_explorer.cli.transfer import add_parsers
from vae_explorer.data import DATASETS
from vae_explorer.errors import ConfigError, VaeExplorerError
from vae_explorer.installation import IS_INSTALLED, program, repeat_options, shell_command
from vae_explorer.workspace import (
    HOME,
    READ_ONLY,
    ensure_home,
    is_read_only,
    refuse_when_read_only,
    shorten,
    use_home,
)

_EXAMPLES = """
examples:
  {program}
  {program} --port 8600
  {program} prepare fashion-mnist
  {program} train --dataset fashion-mnist --model fashion-vae --out {folder}/my-vae
  {program} train --out {folder}/my-vae --resume
  {program} evaluate {folder}/my-vae --importance-samples 64
  {program} train-classifier --dataset celeba --architecture residual \\
      --out {folder}/classifiers/my-classifier
  {program} list
  {program} encode fashion-vae-2d my-images --out latents.csv
  {program} decode fashion-vae-2d latents.csv --out decoded
  {program} export fashion-vae-2d --out onnx
  {program} export fashion-vae-2d mnist-vae-2d --html models.html
"""

_ONLY_READ = (run_app, run_evaluate, run_list)
"""Of these, nothing is refused in a copy for looking; `evaluate --write` is."""
_WRITE_HOME = (run_app, run_train, run_train_classifier)
"""These keep runs in the home."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or open the app; return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    before = words[: words.index("--")] if "--" in words else words
    begun, _ = _common_options(rest=True).parse_known_args(before)
    if begun.home is not None:  # known to all that follows, which shows where files are
        use_home(begun.home)
        repeat_options("--home", os.environ[HOME])
    if begun.read_only:
        os.environ[READ_ONLY] = "1"
    args = build_parser().parse_args(words if begun.rest else before)
    args.streamlit = [] if begun.rest else words[len(before) + 1 :]
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        if command is not run_app and args.port is not None:
            raise ConfigError(f"--port is for the app alone, not for the command {args.name}.")
        if command not in _ONLY_READ or getattr(args, "write", False):
            refuse_when_read_only(f"the command {args.name}")
        ensure_home(writable=command in _WRITE_HOME and not is_read_only())
        return command(args)
    except VaeExplorerError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes, one on each machine
            print(f"error: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what it parses names the command's function."""
    parser = argparse.ArgumentParser(
        prog=program(),
        parents=[_common_options()],
        description="Open VAE Explorer in the browser or, with a command, train and evaluate "
        "variational autoencoders for it.",
        epilog=_EXAMPLES.format(
            program=shell_command(complete=True), folder=shorten(workspace.CHECKPOINTS)
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # `_common_options` is parsed alone too, and would miss them
    )
    parser.set_defaults(command=run_app)
    subparsers = parser.add_subparsers(
        metavar="COMMAND", dest="name", help="without one, the app opens in the browser"
    )

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
    evaluated.add_argument("checkpoint", help="name, or path of the folder")
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


def _common_options(*, rest: bool = False) -> argparse.ArgumentParser:
    """Return the parser of the options that precede a command.

    Parameters
    ----------
    rest : bool
        Whether it takes all that follows them, as `rest`.
    """
    parser = argparse.ArgumentParser(prog=program(), add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="folder of your models, runs and data (default: "
        f"{'the working directory' if IS_INSTALLED else 'the checkout'}, or ${HOME})",
    )
    parser.add_argument("--port", type=int, help="port of the app (default 8501)")
    parser.add_argument(
        "--read-only", action="store_true", help=f"write nothing, as with {READ_ONLY}=1"
    )
    parser.add_argument("--version", action="version", version=f"VAE Explorer {__version__}")
    if rest:
        parser.add_argument("rest", nargs=argparse.REMAINDER)
    return parser
