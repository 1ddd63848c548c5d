"""Encodings of a data set: posterior means and variances, one row per image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from vae_explorer.inference import encode
from vae_explorer.models import Autoencoder

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

ROWS_AT_ONCE = 1024  # images read from the memory map before they are encoded


@dataclass(frozen=True)
class Encodings:
    """Posteriors of n images with what is known of them; row i of every array is one image.

    Raises
    ------
    ValueError
        If a dtype or shape is another, lengths disagree, or a latent is not finite.
    """

    row_id: np.ndarray
    """int64 (n,): the image's row in the prepared data set."""
    split: np.ndarray
    """str (n,): "train", "val" or "test"."""
    z_mean: np.ndarray
    """float32 (n, latent_dim)."""
    z_log_var: np.ndarray | None
    """float32 (n, latent_dim); None for a plain autoencoder."""
    labels: np.ndarray | None
    """int64 (n,), indices into the card's label names; None where there are none."""
    attributes: np.ndarray | None
    """bool (n, k), columns as the card's attribute names; None where there are none."""

    def __post_init__(self) -> None:
        _check("row_id", self.row_id, np.int64, 1)
        n = len(self.row_id)
        _check("split", self.split, np.str_, 1, n)
        _check("z_mean", self.z_mean, np.float32, 2, n)
        if self.z_log_var is not None:
            _check("z_log_var", self.z_log_var, np.float32, 2, n)
            if self.z_log_var.shape != self.z_mean.shape:
                shapes = f"{self.z_log_var.shape} and {self.z_mean.shape}"
                raise ValueError(f"z_log_var must have the shape of z_mean; found {shapes}.")
        if self.labels is not None:
            _check("labels", self.labels, np.int64, 1, n)
        if self.attributes is not None:
            _check("attributes", self.attributes, np.bool_, 2, n)

    def take(self, rows: np.ndarray) -> Self:
        """Return those rows (m,) alone."""
        return replace(self, **{k: a[rows] for k, a in vars(self).items() if a is not None})

    def to_tensors(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Return arrays and metadata for safetensors, in the smallest types that serve.

        Returns
        -------
        tensors : dict of str to ndarray
            Latents as float16, row ids as int32, labels as int16, attributes and split as uint8.
        metadata : dict of str to str
            "split_names": a JSON list, by the split's code.

        Raises
        ------
        ValueError
            If a value is too large for its type, such as a latent beyond ±65,504.
        """
        split_names, split = np.unique(self.split, return_inverse=True)
        small = (
            ("row_id", self.row_id, np.int32),
            ("split", split, np.uint8),
            ("z_mean", self.z_mean, np.float16),
            ("z_log_var", self.z_log_var, np.float16),
            ("labels", self.labels, np.int16),
            ("attributes", self.attributes, np.uint8),
        )
        tensors = {name: _narrow(name, a, dtype) for name, a, dtype in small if a is not None}
        return tensors, {"split_names": json.dumps(split_names.tolist())}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Self:
        """Read what `to_tensors` gave.

        Raises
        ------
        ValueError
            If an array or the metadata is missing, or does not fit the others.
        """
        if missing := {"row_id", "split", "z_mean"} - tensors.keys():
            raise ValueError(f"The encodings lack {', '.join(sorted(missing))}.")
        split_names = json.loads(metadata.get("split_names", "null"))
        if not isinstance(split_names, list) or not all(isinstance(s, str) for s in split_names):
            raise ValueError("The encodings' metadata must hold split_names, a JSON list of names.")
        codes = tensors["split"]
        if codes.dtype != np.uint8 or codes.max(initial=0) >= max(len(split_names), 1):
            raise ValueError(f"split must hold uint8 codes below {len(split_names)}.")

        def wide(name: str, dtype: type[np.generic]) -> np.ndarray | None:
            return tensors[name].astype(dtype) if name in tensors else None

        return cls(
            row_id=tensors["row_id"].astype(np.int64),
            split=np.array(split_names, dtype=np.str_)[codes],
            z_mean=tensors["z_mean"].astype(np.float32),
            z_log_var=wide("z_log_var", np.float32),
            labels=wide("labels", np.int64),
            attributes=wide("attributes", np.bool_),
        )


def encode_dataset(
    model: Autoencoder, dataset: ImageDataset, rows: np.ndarray, *, mirror: bool = False
) -> Encodings:
    """Encode some rows of a data set, reading its images a thousand at a time.

    Parameters
    ----------
    model : Autoencoder
        In eval mode; its image size may be the data set's or one that it can be padded to.
    dataset : ImageDataset
    rows : ndarray of int64 (n,)
        n may be 0.
    mirror : bool
        Left and right change places before an image is encoded.

    Returns
    -------
    Encodings
        In the order of `rows`.
    """
    z_mean = np.empty((len(rows), model.config.latent_dim), np.float32)
    z_log_var = np.empty_like(z_mean) if model.config.kind == "vae" else None
    for start in range(0, len(rows), ROWS_AT_ONCE):
        batch = slice(start, start + ROWS_AT_ONCE)
        pixels = dataset.take(rows[batch], model.config.image_size)
        images = pixels[..., ::-1] if mirror else pixels
        z_mean[batch], log_var = encode(model, images.astype(np.float32) / 255)
        if z_log_var is not None:
            z_log_var[batch] = log_var
    return Encodings(
        row_id=rows,
        split=dataset.split[rows],
        z_mean=z_mean,
        z_log_var=z_log_var,
        labels=None if dataset.labels is None else dataset.labels[rows],
        attributes=None if dataset.attributes is None else dataset.attributes[rows],
    )


def join_encodings(first: Encodings, second: Encodings) -> Encodings:
    """Put the rows of two encodings by one model, of one data set, after one another."""
    others = vars(second)
    joined = {
        name: np.concatenate([array, others[name]])
        for name, array in vars(first).items()
        if array is not None
    }
    return replace(first, **joined)


def _check(
    name: str, values: np.ndarray, dtype: type[np.generic], ndim: int, length: int | None = None
) -> None:
    if not np.issubdtype(values.dtype, dtype) or values.ndim != ndim:
        raise ValueError(
            f"{name} must be {dtype.__name__} of {ndim} dimensions; "
            f"found {values.dtype} of shape {values.shape}."
        )
    if length is not None and len(values) != length:
        raise ValueError(f"{name} must have {length} rows, as row_id has; found {len(values)}.")
    if dtype is np.float32 and not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise ValueError(f"{name} must be finite; found {count} values that are NaN or infinite.")


def _narrow(name: str, values: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """Convert to a smaller type, which must be able to hold every value."""
    limits = np.finfo(dtype) if issubclass(dtype, np.floating) else np.iinfo(np.dtype(dtype))
    low, high = float(limits.min), float(limits.max)
    if values.size and not (low <= values.min() and values.max() <= high):
        raise ValueError(
            f"{name} must lie in {low:g} ... {high:g} to be stored as {dtype.__name__}; "
            f"found {values.min():g} ... {values.max():g}."
        )
    return values.astype(dtype)
