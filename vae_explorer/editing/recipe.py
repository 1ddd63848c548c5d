"""Edit recipes: amounts, kind of attribute vector and locks, as a small JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.editing.selection import KINDS, stored_vectors
from vae_explorer.editing.vectors import OFFERED, lock
from vae_explorer.errors import ModelFileError

BEST = "best"
"""The kind that changes least beside its attribute, for each of them."""
REACH = 3.0
"""How far an attribute is moved at most, either way, in lengths of its vector."""
MAX_BYTES = 16_384
_FORMAT = "vae-explorer-recipe-1"
_FIELDS = ("kind", "locked", "detail", "amounts")

_OWNER = ("format", "checkpoint", "fingerprint")
_SHOWN = 40  # characters of what a file says


@dataclass(frozen=True)
class Recipe:
    """How a face is to be changed."""

    amounts: dict[str, float] = field(default_factory=dict)
    """How far to go along each attribute's vector, in [-REACH, REACH]; those that are moved."""
    kind: str = BEST
    """Of the vectors: `BEST`, or one of `vae_explorer.editing.selection.KINDS`."""
    locked: tuple[str, ...] = ()
    """Attributes that are to stay as they are."""
    detail: float = 1.0
    """How much of the photo is kept, in [0, 1]."""


def editable(checkpoint: Checkpoint) -> list[str]:
    """Return the attributes that are offered for editing and have a vector here."""
    known = checkpoint.attribute_vectors
    return [name for group in OFFERED.values() for name in group if name in known]


def editing_vectors(
    checkpoint: Checkpoint,
    kind: str = BEST,
    locked: Sequence[str] = (),
    own: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return the vectors (latent_dim,) of one kind, orthogonal to those of what is locked.

    An attribute that is locked keeps its own vector: whoever moves it means it.

    Parameters
    ----------
    kind : str
        Of `kinds_of`.
    locked : sequence of str
        Attributes.
    own : mapping of str to ndarray (latent_dim,), optional
        Somebody's own vectors, to be treated and returned as well.
    """
    stored = stored_vectors(checkpoint, None if kind == BEST else kind)
    held = [stored[name] for name in locked if name in stored]
    names = [name for name in editable(checkpoint) if name in stored]
    free = {name: stored[name] for name in names} | dict(own or {})
    return {name: lock(vector, [] if name in locked else held) for name, vector in free.items()}


def kinds_of(checkpoint: Checkpoint) -> list[str]:
    """Return the kinds of vectors that a checkpoint carries, `BEST` first."""
    return [BEST, *(kind for kind in KINDS if stored_vectors(checkpoint, kind))]


def write_recipe(recipe: Recipe, card: ModelCard) -> bytes:
    """Write a recipe as JSON that names its model; what is not an attribute is left out."""
    values = {
        "kind": recipe.kind,
        "locked": recipe.locked,
        "detail": recipe.detail,
        "amounts": {n: a for n, a in recipe.amounts.items() if n in card.attribute_names},
    }
    return write_model_file(_FORMAT, card, values)


def read_recipe(data: bytes, checkpoint: Checkpoint) -> Recipe:
    """Read what `write_recipe` wrote, or somebody sent.

    Raises
    ------
    ModelFileError
        If it is something else, is for another model, or asks for what this one does not have.
    """
    card = checkpoint.card
    values = read_model_file(data, _FORMAT, card, _FIELDS, what="recipe", max_bytes=MAX_BYTES)
    kinds = kinds_of(checkpoint)
    if values["kind"] not in kinds:
        raise ModelFileError(f"The kind of a recipe must be one of {', '.join(kinds)}.")
    names = editable(checkpoint)
    locked = values["locked"]
    if not isinstance(locked, list) or not all(name in names for name in locked):
        raise ModelFileError(f"Locked attributes must be a list of some of {', '.join(names)}.")
    amounts = values["amounts"]
    if not isinstance(amounts, dict):
        raise ModelFileError('The amounts of a recipe must look like {"Smiling": 1.5}.')
    for name in amounts:
        if name not in names:
            raise ModelFileError(
                f"There is no attribute {name[:_SHOWN]!r}. Available: {', '.join(names)}."
            )
    read = {n: _number(a, -REACH, REACH, f"The amount of {n}") for n, a in amounts.items()}
    return Recipe(
        amounts={name: amount for name, amount in read.items() if amount},
        kind=str(values["kind"]),
        locked=tuple(dict.fromkeys(locked)),
        detail=_number(values["detail"], 0, 1, "The detail"),
    )


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
            f"A {what} file has at most {max_bytes:,} bytes. Choose a file that was saved on this "
            "page."
        )
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"This file is not a {what}: it is not JSON.") from error
    if not isinstance(values, dict) or values.get("format") != kind:
        raise ModelFileError(
            f"This file is not a {what}. Choose a file that was saved on this page."
        )
    wanted = (*_OWNER, *names)
    for name in values:
        if name not in wanted:
            raise ModelFileError(f"A {what} has no {name[:_SHOWN]!r}; it has {', '.join(wanted)}.")
    for name in wanted:
        if name not in values:
            raise ModelFileError(f"This {what} lacks {name!r}: the file is damaged. Save it again.")
    if values["checkpoint"] != card.name:
        raise ModelFileError(
            f"This {what} is for the model {str(values['checkpoint'])[:_SHOWN]!r}, and "
            f"{card.name!r} is selected. Each model has its own latent space: select the other "
            "model at the top of the page, then load the file again."
        )
    if values["fingerprint"] != card.fingerprint:
        raise ModelFileError(
            f"This {what} was made with another version of {card.name}, which has a different "
            "latent space. Create it again."
        )
    return {name: values[name] for name in names}


def _number(value: object, low: float, high: float, what: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return float(value)  # what is no number lies in no range
    raise ModelFileError(f"{what} must be a number from {low:g} to {high:g}.")
