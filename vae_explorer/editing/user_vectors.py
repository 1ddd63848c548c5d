"""User-defined attribute vectors: the mean difference of two groups of images; their file."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.editing.recipe import read_model_file, write_model_file
from vae_explorer.errors import ModelFileError
from vae_explorer.latent.interpolation import attribute_vector

MAX_BYTES = 65_536
MAX_NAME = 40
_FARTHEST = 1e6
_FORMAT = "vae-explorer-direction-1"
_FIELDS = ("name", "counts", "vector")


@dataclass(frozen=True, eq=False)
class UserVector:
    """A direction that somebody made, with what can be said of how sure it is."""

    name: str
    vector: NDArray[np.float32]
    """(latent_dim,)"""
    counts: tuple[int, int]
    """Pictures with the thing, and without."""
    standard_error: float = math.nan
    """Of the difference of means along the direction, over its length; NaN where unknown."""
    chance: float = math.nan
    """Length that a difference of means would have by chance alone, over its length."""
    steadiness: float = math.nan
    """Lowest cosine between the direction and what it is without one of the images."""


def make_user_vector(name: str, with_it: ArrayLike, without_it: ArrayLike) -> UserVector:
    """Point from the mean of some latents to the mean of others; say how shaky that is.

    Parameters
    ----------
    name : str
    with_it, without_it : (n, d) and (m, d)
        Latents of the images, at least one each.

    Returns
    -------
    UserVector
        `standard_error` is that of a difference of two means with a pooled variance, of the
        latents' projections onto the direction, as a share of its length; it needs three images.
        The images chose the direction, so in many dimensions it is small even for noise;
        `chance`, the same over all dimensions, is then near 1. `steadiness` is by leaving out
        each image of a side that has others.

    Raises
    ------
    ValueError
        If a side is empty, or both have the same mean.

    References
    ----------
    Larsen et al. 2016 (https://arxiv.org/abs/1512.09300), section 4.2, for the direction.
    """
    ours, others = np.asarray(with_it, np.float64), np.asarray(without_it, np.float64)
    z = np.concatenate([ours, others])
    has = np.arange(len(z)) < len(ours)
    vector = attribute_vector(z, has)
    length = float(np.linalg.norm(vector))
    if not length:
        raise ValueError("Both groups have the same mean, so there is no direction between them.")
    return UserVector(
        name[:MAX_NAME],
        vector,
        (len(ours), len(others)),
        _standard_error(z @ vector[:, None] / length, has) / length,
        _standard_error(z, has) / length,
        _steadiness(z, has, vector),
    )


def write_user_vector(own: UserVector, card: ModelCard) -> bytes:
    """Write a direction as JSON that names its model; no image is in it."""
    values = {
        "name": own.name,
        "counts": own.counts,
        "vector": [round(float(value), 6) for value in own.vector],
    }
    return write_model_file(_FORMAT, card, values)


def read_user_vector(data: bytes, card: ModelCard) -> UserVector:
    """Read what `write_user_vector` wrote, or somebody sent.

    Raises
    ------
    ModelFileError
        If it is something else, or is for another model.
    """
    values = read_model_file(data, _FORMAT, card, _FIELDS, what="direction", max_bytes=MAX_BYTES)
    name, vector, counts = values["name"], values["vector"], values["counts"]
    if not isinstance(name, str) or not is_name(name):
        raise ModelFileError(
            f"The name of a direction must have at most {MAX_NAME} plain characters."
        )
    size = card.model.latent_dim
    if not isinstance(vector, list) or len(vector) != size or not all(map(_is_finite, vector)):
        raise ModelFileError(f"A direction for this model must be a list of {size} finite numbers.")
    if not (
        isinstance(counts, list)
        and len(counts) == 2
        and all(isinstance(count, int) and count > 0 for count in counts)
    ):
        raise ModelFileError("The counts of a direction must be two whole numbers above 0.")
    return UserVector(name.strip(), np.array(vector, np.float32), (counts[0], counts[1]))


def is_name(name: str) -> bool:
    """Say whether a direction can be called so."""
    return bool(name.strip()) and len(name) <= MAX_NAME and name.isprintable()


def _is_finite(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -_FARTHEST < value < _FARTHEST


def _standard_error(z: NDArray[np.floating], has: NDArray[np.bool_]) -> float:
    """Return that of the difference between the means of two groups (n, d), as a length."""
    freedom = len(z) - 2
    if freedom < 1:
        return math.nan
    squares = sum(float(np.square(side - side.mean(axis=0)).sum()) for side in (z[has], z[~has]))
    return math.sqrt(squares / freedom * (1 / has.sum() + 1 / (~has).sum()))


def _steadiness(
    z: NDArray[np.float64], has: NDArray[np.bool_], vector: NDArray[np.float32]
) -> float:
    """Return the lowest cosine with what a vector is without one of the latents; NaN for none."""
    cosines = [math.nan]
    for side, sign in ((z[has], 1), (z[~has], -1)):
        if len(side) > 1:
            # Leaving one out moves the mean by (mean - z) / (n - 1).
            moved = vector + sign * (side.mean(axis=0) - side) / (len(side) - 1)
            lengths = np.linalg.norm(moved, axis=1) * np.linalg.norm(vector)
            dots = moved @ vector
            cosines += np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0).tolist()
    return float(np.nanmin(cosines)) if len(cosines) > 1 else math.nan
