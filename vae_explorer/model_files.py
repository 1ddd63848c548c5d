"""Small JSON files that belong to one version of a model: written, and checked when they come."""

from __future__ import annotations

import json
from collections.abc import Mapping

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import ModelFileError

_OWNER = ("format", "checkpoint", "fingerprint")
_SHOWN = 40  # characters of what a file says


def write_model_file(kind: str, card: ModelCard, values: Mapping[str, object]) -> bytes:
    """Write values as JSON that names its kind, its model, and that model's version."""
    owner = {"format": kind, "checkpoint": card.name, "fingerprint": card.fingerprint}
    return json.dumps({**owner, **values}, indent=2).encode() + b"\n"


def read_model_file(
    data: bytes, kind: str, card: ModelCard, names: tuple[str, ...], *, what: str, max_bytes: int
) -> dict[str, object]:
    """Read the values that `write_model_file` wrote, or somebody sent.

    Parameters
    ----------
    kind : str
        As it was written.
    names : tuple of str
        Of the values, all of which have to be there, and nothing else.
    what : str
        What people call such a file.
    max_bytes : int
        What is refused beyond, before anything is read.

    Raises
    ------
    ModelFileError
        If it is something else, or is for another model or another version of this one.
    """
    if len(data) > max_bytes:
        raise ModelFileError(
            f"A {what} has at most {max_bytes:,} bytes, and this file more. Choose one that this "
            "page saved."
        )
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"This file is no {what}: it is not JSON.") from error
    if not isinstance(values, dict) or values.get("format") != kind:
        raise ModelFileError(f"This file is no {what}: those are saved by this page, as JSON.")
    wanted = (*_OWNER, *names)
    for name in values:
        if name not in wanted:
            raise ModelFileError(f"A {what} has no {name[:_SHOWN]!r}; it has {', '.join(wanted)}.")
    for name in wanted:
        if name not in values:
            raise ModelFileError(f"This {what} lacks {name!r}: it is damaged. Save it again.")
    if values["checkpoint"] != card.name:
        raise ModelFileError(
            f"This {what} is for the model {str(values['checkpoint'])[:_SHOWN]!r}, and "
            f"{card.name!r} is open: their latent spaces have nothing in common. Choose that model "
            "in the sidebar, then load it again."
        )
    if values["fingerprint"] != card.fingerprint:
        raise ModelFileError(
            f"This {what} was made with another version of {card.name}, whose latent space was "
            "another one. Make it anew."
        )
    return {name: values[name] for name in names}
