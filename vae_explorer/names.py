"""Names that people give to what is kept in a folder of its own: models, sets of pictures."""

from __future__ import annotations

import re
from collections.abc import Collection

LONGEST = 60
"""Letters of a name."""
_RESERVED = {"classifiers"}  # a folder among the checkpoints that is none
_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST - 1}}}")


def check_name(name: str, taken: Collection[str] = ()) -> None:
    """Check that a name can be a folder's on any system, and is free.

    Raises
    ------
    ValueError
        Saying what would be right.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise ValueError(
            f"“{name[:LONGEST]}” cannot be a name: take small letters a–z, digits, - and _, at "
            f"most {LONGEST}, a letter or digit first. “{suggest_name(name, taken)}” would do."
        )
    if name in {each.lower() for each in taken}:
        raise ValueError(
            f"“{name}” is taken. Take another name; “{suggest_name(name, taken)}” is free."
        )


def suggest_name(wanted: str, taken: Collection[str] = ()) -> str:
    """Make a free name of any words, with a number behind it where it needs one."""
    name = re.sub(r"[^a-z0-9]+", "-", wanted.lower())[: LONGEST - 5].strip("-")
    base = name if name and name not in _RESERVED else "mine"
    used = {each.lower() for each in taken}
    free = (base, *(f"{base}-{number}" for number in range(2, len(used) + 3)))
    return next(each for each in free if each not in used)
