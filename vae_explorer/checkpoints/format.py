"""File formats of a checkpoint: serialization, and validation against the card.

Whatever does not fit raises ValueError; `vae_explorer.checkpoints` adds which checkpoint it was.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.config import ModelConfig
from vae_explorer.encodings import Encodings
from vae_explorer.latent.prior import check_prior
from vae_explorer.models import Autoencoder, build_model

MODEL = "model.safetensors"
ENCODINGS = "encodings.safetensors"
LATENT = "latent.safetensors"
HISTORY = "history.csv"
EPOCHS = "epochs.safetensors"
"""Packed and read by `vae_explorer.playback.packed`, only when they are asked for."""

ATTRIBUTE_VECTOR = "attribute_vector."
"""Prefix of an attribute's vector among the arrays of `LATENT`."""

T = TypeVar("T")
Network = TypeVar("Network", bound=nn.Module)


def pack_model(model: nn.Module) -> bytes:
    """Return the weights as safetensors, under the names of the model's state_dict."""
    state = model.state_dict()
    return safetensors.torch.save(
        {name: t.detach().cpu().contiguous() for name, t in state.items()}
    )


def unpack_model(config: ModelConfig, data: bytes) -> Autoencoder:
    """Build the model of a configuration around stored weights.

    Returns
    -------
    Autoencoder
        In eval mode and frozen, on the CPU, in channels_last: decoding is faster so.

    Raises
    ------
    ValueError
        If a weight is missing, unexpected, not finite, or of another shape or dtype.
    """
    try:
        with torch.device("meta"):  # where a wrong configuration costs neither time nor memory
            model = build_model(config)
    except (RuntimeError, TypeError) as error:
        raise ValueError("The card's model cannot be built: a size exceeds 64 bits.") from error
    return fill(model, data)


def fill(model: Network, data: bytes) -> Network:
    """Give a network on the meta device its stored weights; returns it as `unpack_model` does.

    Raises
    ------
    ValueError
        If a weight is missing, unexpected, not finite, or of another shape or dtype.
    """
    wanted, found = model.state_dict(), _parse(safetensors.torch.load, MODEL, data)
    if missing := sorted(wanted.keys() - found.keys()):
        raise ValueError(f"{MODEL} lacks {len(missing)} weights, such as {missing[0]}.")
    if unknown := sorted(found.keys() - wanted.keys()):
        raise ValueError(f"{MODEL} has {len(unknown)} weights too many, such as {unknown[0]}.")
    for name, tensor in found.items():
        want = wanted[name]
        if tensor.shape != want.shape or tensor.dtype != want.dtype:
            raise ValueError(
                f"{name} must be {want.dtype} of shape {tuple(want.shape)}; "
                f"found {tensor.dtype} of shape {tuple(tensor.shape)}."
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} must hold finite weights; found NaN or infinite ones.")
        if tensor.ndim == 4:
            found[name] = tensor.contiguous(memory_format=torch.channels_last)
    model.load_state_dict(found, assign=True)
    return model.eval().requires_grad_(False)


def pack_encodings(encodings: Encodings) -> bytes:
    """Return the encodings as safetensors, latents in float16."""
    tensors, metadata = encodings.to_tensors()
    return safetensors.numpy.save(tensors, metadata)


def unpack_encodings(card: ModelCard, data: bytes) -> Encodings:
    """Read stored encodings.

    Raises
    ------
    ValueError
        If they are incomplete or belong to another model or other labels than the card's.
    """
    tensors = _parse(safetensors.numpy.load, ENCODINGS, data)
    # The loader gives no metadata: a little-endian length, then a JSON header with it inside.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    encodings = Encodings.from_tensors(tensors, header.get("__metadata__", {}))

    found, wanted = encodings.z_mean.shape[1], card.model.latent_dim
    if found != wanted:
        raise ValueError(f"The encodings must have latent_dim {wanted}; found {found}.")
    if (encodings.z_log_var is not None) != (card.model.kind == "vae"):
        raise ValueError("The encodings must have z_log_var for a VAE, and for nothing else.")
    _check_labels(encodings.labels, len(card.label_names))
    columns = 0 if encodings.attributes is None else encodings.attributes.shape[1]
    if columns != len(card.attribute_names):
        raise ValueError(
            f"The encodings must have {len(card.attribute_names)} attributes, as the card names; "
            f"found {columns}."
        )
    return encodings


def pack_latent(latent: Mapping[str, np.ndarray]) -> bytes:
    """Return arrays about the latent space as safetensors."""
    return safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in latent.items()})


def unpack_latent(latent_dim: int, rows: int, data: bytes) -> dict[str, np.ndarray]:
    """Read stored arrays about the latent space; names that mean nothing here are kept.

    Parameters
    ----------
    latent_dim : int
        Of the model.
    rows : int
        Number of encodings, which `tsne_rows` points into.
    data : bytes
        As `pack_latent` gave.

    Raises
    ------
    ValueError
        If a t-SNE, a fitted prior or an attribute vector has another shape or is not finite.
    """
    latent = _parse(safetensors.numpy.load, LATENT, data)
    for name, array in latent.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite; found NaN or infinite values.")
        if name.startswith(ATTRIBUTE_VECTOR) and array.shape != (latent_dim,):
            raise ValueError(f"{name} must have the shape ({latent_dim},); found {array.shape}.")
    check_prior(latent, latent_dim)
    if ("tsne" in latent) != ("tsne_rows" in latent):
        raise ValueError(f"{LATENT} must hold both tsne and tsne_rows, or neither.")
    if "tsne" in latent:
        plane, indices = latent["tsne"], latent["tsne_rows"]
        if indices.ndim != 1 or plane.shape != (len(indices), 2):
            shapes = f"{plane.shape} and {indices.shape}"
            raise ValueError(f"tsne must be (m, 2) and tsne_rows (m,); found {shapes}.")
        if indices.dtype.kind != "i" or not _within(indices, rows):
            raise ValueError(f"tsne_rows must be whole numbers in 0 ... {rows - 1}.")
    return latent


def pack_history(history: Mapping[str, np.ndarray]) -> bytes:
    """Return the columns (epochs,) of a training history as CSV with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(history)
    for row in zip(*history.values(), strict=True):
        writer.writerow(str(float(value)).removesuffix(".0") for value in row)
    return text.getvalue().encode()


def unpack_history(data: bytes) -> dict[str, np.ndarray]:
    """Read a training history: columns by name, float64 (epochs,).

    Raises
    ------
    ValueError
        If it is not a table of numbers under a line of distinct names.
    """
    lines = data.decode(errors="replace").splitlines()
    names, *rows = csv.reader(lines) if lines else [[]]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{HISTORY} must begin with a line of distinct column names.")
    try:
        values = np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
        columns = values.reshape(len(rows), len(names)).T
    except ValueError as error:
        raise ValueError(f"{HISTORY} must hold {len(names)} numbers in every line.") from error
    return dict(zip(names, columns, strict=True))


def _parse(loader: Callable[[bytes], T], file: str, data: bytes) -> T:
    try:
        return loader(data)
    except SafetensorError as error:
        raise ValueError(f"{file} is not a safetensors file: {error}.") from error
    except KeyError as error:  # how the loader says that NumPy has no such type
        raise ValueError(f"{file} has an array of the type {error}, which is not read.") from error


def _check_labels(labels: np.ndarray | None, count: int) -> None:
    if (labels is None) != (count == 0):
        raise ValueError("The encodings must have labels if, and only if, the card names them.")
    if labels is not None and not _within(labels, count):
        raise ValueError(
            f"Labels must lie in 0 ... {count - 1}, as the card names {count}; "
            f"found {labels.min()} ... {labels.max()}."
        )


def _within(indices: np.ndarray, count: int) -> bool:
    return indices.size == 0 or bool(indices.min() >= 0 and indices.max() < count)
