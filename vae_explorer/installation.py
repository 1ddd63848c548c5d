"""Installation: where the app's files are, and how its command is called.

In a checkout, `app.py`, `pages/` and `checkpoints/` are beside this package. A wheel has them
inside it (see `pyproject.toml`), so that no top-level module is called `app` or `pages`.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent
_IN_WHEEL = _PACKAGE / "_app"

IS_INSTALLED = _IN_WHEEL.is_dir()
"""Whether this copy was installed from a wheel; otherwise it runs from a checkout."""
APP = _IN_WHEEL if IS_INSTALLED else _PACKAGE.parent
"""Folder of `app.py`, `pages/`, `.streamlit/` and the `checkpoints/` that come with the app."""

SCRIPT, MODULE = "vae-explorer", "python -m vae_explorer"
"""The two ways to call the command."""
PROGRAM = "VAE_EXPLORER_PROGRAM"
"""The environment variable that tells a child process how its parent was called."""


def name_program(started: str, *, is_installed: bool) -> str:
    """Name the program as it can be called again.

    Parameters
    ----------
    started : str
        What was started: ``sys.argv[0]``.
    is_installed : bool
        Whether there is a script of the name `SCRIPT`; decides where `started` does not tell, for
        example under `streamlit run`.
    """
    file = Path(started)
    if file.stem == SCRIPT:
        return SCRIPT
    if file == _PACKAGE / "__main__.py":
        return MODULE
    return SCRIPT if is_installed else MODULE


_started = sys.argv[0] if sys.argv else ""
_program = os.environ.get(PROGRAM) or name_program(_started, is_installed=IS_INSTALLED)
_given: list[str] = []


def program() -> str:
    """Return how this program is called: "vae-explorer" or "python -m vae_explorer"."""
    return _program


def given_options() -> list[str]:
    """Return the options before a command that another call needs as well: ``--home DIR``."""
    return [*_given]


def repeat_options(*words: str) -> None:
    """Set the options that `given_options` returns."""
    _given[:] = words


def shell_command(arguments: str = "", *, complete: bool = False) -> str:
    """Return a shell command of this program.

    Parameters
    ----------
    arguments : str
        A command with its options, already quoted: "train --help". Empty for the app.
    complete : bool
        Whether it has the `given_options`. They name a folder of this machine, which is for a
        terminal and for who trains, not for every visitor of a page.
    """
    words = [_program, shlex.join(_given) if complete else "", arguments]
    return " ".join(word for word in words if word)


def open_command() -> str:
    """Return the shell command that opens the app, for a terminal."""
    if _given or IS_INSTALLED or _program == SCRIPT:
        return shell_command(complete=True)
    return "streamlit run app.py"
