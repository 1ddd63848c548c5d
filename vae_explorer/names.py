"""Names of what is kept in a folder of its own: models, sets of pictures; and their titles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

LONGEST = 64
"""Characters of a name."""
_RESERVED = frozenset({"classifiers"})  # a folder among the checkpoints that is none
_NAME = re.compile(rf"(?=.{{1,{LONGEST}}}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")


def check_name(name: str, taken: Collection[str] = ()) -> None:
    """Check that a name can be a folder's on any system, and is free.

    Parameters
    ----------
    name : str
    taken : collection of str
        Names that cannot be had; file systems that know no case see them as one.

    Raises
    ------
    ValueError
        Saying what would be right.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"“{name[:LONGEST]}” cannot be a name: take letters a–z, digits, hyphens, underscores "
            f"and dots, at most {LONGEST}, a letter or digit first and no dot last. "
            f"“{suggest_name(name, taken)}” would do."
        )
    if name.casefold() in _RESERVED | {each.casefold() for each in taken}:
        raise ValueError(
            f"“{name}” is taken. Take another name; “{suggest_name(name, taken)}” is free."
        )


def suggest_name(wanted: str, taken: Collection[str] = ()) -> str:
    """Make a name that `check_name` takes of any words, with a number behind it if it needs one."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("._-")[: LONGEST - 5].rstrip(".")
    base = slug if slug == wanted else slug.lower()
    base = base or "mine"
    used = _RESERVED | {each.casefold() for each in taken}
    free = (base, *(f"{base}-{number}" for number in range(2, len(used) + 3)))
    return next(each for each in free if each.casefold() not in used)


def tell_apart(titles: Mapping[str, str]) -> dict[str, str]:
    """Return titles by name; where several share one, with the name behind it."""
    shared = Counter(titles.values())
    return {
        name: title if shared[title] == 1 else f"{title} ({name})" for name, title in titles.items()
    }
