"""The command line of a run: its options as text, and those repeated when it resumes."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Sequence

from vae_explorer import workspace

_USUAL_ROOT = ("root", workspace.DATA)
_NOT_LISTED = {"command", "name", "resume", "restart", "finish"}
_FORGOTTEN = {"--out", "--root", "--source", "--title", "--replace"}
"""What the folder of a run does not remember."""


def list_arguments(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the options of `train` that were given, but for those that resume or restart."""
    arguments: list[str] = []
    for name, value in vars(args).items():
        option = "--" + name.replace("_", "-")
        if name in _NOT_LISTED or value is None or value is False or (name, value) == _USUAL_ROOT:
            continue
        if value is True:
            arguments.append(option)
        else:  # in one word: a title may begin with a hyphen
            parts = value if isinstance(value, list) else [value]
            arguments.append(f"{option}={','.join(str(part) for part in parts)}")
    return tuple(arguments)


def keep_arguments(arguments: Iterable[str]) -> list[str]:
    """Return those of `list_arguments` that are to be given again when the run is resumed."""
    return [argument for argument in arguments if argument.partition("=")[0] in _FORGOTTEN]


def command_line(arguments: Sequence[str]) -> str:
    """Return what a person types to train with these arguments, an option a line."""
    lines = ["python -m vae_explorer train"]
    for word in arguments:
        option, _, value = word.partition("=")
        if not word.startswith("--"):
            lines[-1] += f" {shlex.quote(word)}"
        elif value and not value.startswith("-"):
            lines.append(f"  {option} {shlex.quote(value)}")
        else:
            lines.append(f"  {shlex.quote(word)}")
    return " \\\n".join(lines)
