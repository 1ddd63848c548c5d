"""Attributes of pictures, as tables write them: 1 where a picture has one, 0 or -1 where not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vae_explorer.errors import DatasetError

VALUES = {"1": True, "0": False, "-1": False}


def parse_attributes(
    file: str, names: Sequence[str], rows: Iterable[Sequence[str]]
) -> dict[str, np.ndarray]:
    """Parse the rows of a table.

    Parameters
    ----------
    file : str
        What errors call the table.
    names : sequence of str (k,)
        The attributes.
    rows : iterable of sequences of str (1 + k,)
        A picture's name, then its values. Empty rows are passed over.

    Returns
    -------
    dict of str to ndarray of bool (k,)
        By the picture's name.

    Raises
    ------
    DatasetError
        If there are no attributes, a row is too short or too long, or a value is none of 1, 0
        and -1.
    """
    if not names:
        raise DatasetError(
            f"{file} names no attribute: its first line must be the head of the columns, the "
            "picture's name first, separated by commas."
        )
    table = {}
    for row in rows:
        if not row:
            continue
        picture, *values = row
        if len(values) != len(names):
            raise DatasetError(
                f"{file}: the row of {picture} has {len(values)} values for {len(names)} "
                f"attributes ({', '.join(names[:3])} ...)."
            )
        try:
            table[picture] = np.array([VALUES[value.strip()] for value in values])
        except KeyError as error:
            raise DatasetError(
                f"{file}: the row of {picture} holds {error}; an attribute is 1, 0 or -1."
            ) from error
    return table


def check_listed(file: str, pictures: Iterable[str], listed: Iterable[str]) -> None:
    """Check that a table has a row for every picture.

    Raises
    ------
    DatasetError
        Naming some of those that have none.
    """
    known = set(listed)
    missing = [picture for picture in pictures if picture not in known]
    if missing:
        raise DatasetError(
            f"{file} has no row for {len(missing)} pictures ({', '.join(missing[:3])} ...): add "
            "the rows, or take the pictures away."
        )
