"""A copy for an audience or a public host: it decodes and shows, and writes nothing."""

from __future__ import annotations

import os

READ_ONLY = "VAE_EXPLORER_READ_ONLY"
"""The environment variable; "1", "true" or "yes" turns off whatever writes."""

_NO = {"", "0", "false", "no", "off"}


class ReadOnlyError(RuntimeError):
    """Something that would write, in a copy that is for looking; the message says which."""


def is_read_only() -> bool:
    """Say whether this copy writes nothing, as the environment has it now.

    What is neither yes nor no counts as yes: a public host with a typing error stays closed.
    """
    return os.environ.get(READ_ONLY, "").strip().lower() not in _NO


def refuse_when_read_only(what: str) -> None:
    """Let nothing be written in a copy that is for looking.

    Parameters
    ----------
    what : str
        What would be done, as the subject of a sentence: "training", "deleting a model".

    Raises
    ------
    ReadOnlyError
        If this copy is read-only.
    """
    if is_read_only():
        raise ReadOnlyError(
            f"This copy of VAE Explorer is for looking: {what} is turned off. "
            f"Start it without {READ_ONLY} to turn it on."
        )
