"""Packed epoch snapshots of a checkpoint: `epochs.safetensors`, at most 5 MB."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError

from vae_explorer.checkpoints import Checkpoint, describe_damage
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.format import EPOCHS
from vae_explorer.checkpoints.storage import read_files
from vae_explorer.config import ModelConfig
from vae_explorer.errors import CheckpointError
from vae_explorer.inference import decode
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.training.snapshots import DECODER, EpochSnapshots, Weights

BUDGET = 5_000_000
"""Bytes that the file may have."""
ROWS = 5_000
DECODERS = 12
_DECODERS_SHARE, _PICTURES_SHARE = 0.6, 0.25
"""Of the budget: what all decoders, and the images of a dozen epochs, may take of it."""
_HEADER = 4_000
_LONG_ROW = 16
_SCALE = ".scale"


def pack_epochs(kept: EpochSnapshots, budget: int = BUDGET) -> bytes:
    """Return kept epochs as safetensors, thinned until they fit the budget.

    Of the encodings 5,000 rows, evenly chosen, as coordinates on the epochs' plane in float16. Of
    the decoders a dozen, closer together in the early epochs, where more happens, and fewer
    where they would take more than 60 % of the budget; their matrices in 8 bits with a scale
    for each row. Of the images all, unless a dozen epochs of them would take a quarter. Epochs
    that do not fit beside these are thinned evenly; the first and the last always stay. The
    images of the data stay behind: their rows are named.

    Raises
    ------
    ValueError
        If not even the first and the last epoch fit.
    """
    rows = _evenly(len(kept.row_id), ROWS)
    picture = kept.reconstructions[0, 0].nbytes
    shown = int(_PICTURES_SHARE * budget / (DECODERS * picture))
    pictures = slice(max(1, shown))
    arrays = {
        "row_id": kept.row_id[rows].astype(np.int32),
        "picture_id": kept.picture_id[pictures].astype(np.int32),
        "origin": kept.plane.origin.astype(np.float32),
        "axes": kept.plane.axes.astype(np.float32),
    }
    if kept.labels is not None:
        arrays["labels"] = kept.labels[rows].astype(np.int16)
    packed = {number: _quantize(weights) for number, weights in kept.decoders.items()}
    largest = max((len(safetensors.numpy.save(d)) for d in packed.values()), default=1)
    count = min(DECODERS, len(packed), int(_DECODERS_SHARE * budget / largest))
    fixed = _HEADER + sum(a.nbytes for a in arrays.values()) + count * largest
    each = 4 * len(rows) + kept.reconstructions[0, pictures].nbytes + 8
    fitting = int((budget - fixed) / each)
    if fitting < min(2, len(kept.numbers)):
        raise ValueError(f"Two epochs of these images do not fit into {budget:,} bytes.")
    epochs = _evenly(len(kept.numbers), fitting)
    arrays |= {
        "numbers": kept.numbers[epochs].astype(np.int32),
        "points": kept.points[epochs][:, rows].astype(np.float16),
        "reconstructions": kept.reconstructions[epochs][:, pictures],
    }
    having = [number for number in kept.numbers[epochs].tolist() if number in packed]
    for number in select_epochs(having, count):
        arrays |= {f"{DECODER}{number}/{name}": a for name, a in packed[number].items()}
    return safetensors.numpy.save(
        {name: np.ascontiguousarray(a) for name, a in arrays.items()},
        {"label_names": json.dumps(kept.label_names)},
    )


def unpack_epochs(card: ModelCard, data: bytes) -> EpochSnapshots:
    """Read what `pack_epochs` gave. Of z, what is off the plane was not stored.

    Raises
    ------
    ValueError
        If they are incomplete, not finite, or belong to another model or other labels.
    """
    try:
        arrays = safetensors.numpy.load(data)
    except SafetensorError as error:
        raise ValueError(f"{EPOCHS} is not a safetensors file: {error}.") from error
    names = ("numbers", "row_id", "points", "origin", "axes", "picture_id", "reconstructions")
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{EPOCHS} lacks {', '.join(missing)}.")
    if unlike := [n for n, a in arrays.items() if a.dtype.kind == "f" and not _finite(a)]:
        raise ValueError(f"{unlike[0]} in {EPOCHS} must be finite; found NaN or infinite values.")
    numbers = arrays["numbers"].astype(np.int64)
    e, n = len(numbers), len(arrays["row_id"])
    k = next(iter(arrays["reconstructions"].shape[1:]), 0)
    shape, latent_dim = card.model.image_shape, card.model.latent_dim
    wanted: dict[str, tuple[int, ...]] = {
        "numbers": (e,),
        "row_id": (n,),
        "points": (e, n, 2),
        "origin": (latent_dim,),
        "axes": (2, latent_dim),
        "picture_id": (k,),
        "reconstructions": (e, k, *shape),
    }
    if "labels" in arrays:
        wanted["labels"] = (n,)
    for name, size in wanted.items():
        if arrays[name].shape != size:
            found = arrays[name].shape
            raise ValueError(f"{name} in {EPOCHS} must have the shape {size}; found {found}.")
    if e == 0 or numbers[0] < 1 or np.any(np.diff(numbers) < 1):
        raise ValueError(f"numbers in {EPOCHS} must count epochs from 1 up.")
    if arrays["reconstructions"].dtype != np.uint8:
        raise ValueError(f"Images in {EPOCHS} must be uint8.")
    labels = arrays["labels"].astype(np.int64) if "labels" in arrays else None
    if labels is not None and not np.isin(labels, np.arange(len(card.label_names))).all():
        raise ValueError(f"Labels in {EPOCHS} must lie in 0 ... {len(card.label_names) - 1}.")
    points = arrays["points"].astype(np.float32)
    return EpochSnapshots(
        numbers=numbers,
        row_id=arrays["row_id"].astype(np.int64),
        labels=labels,
        label_names=card.label_names,
        z_mean=points @ arrays["axes"] + arrays["origin"],
        picture_id=arrays["picture_id"].astype(np.int64),
        originals=arrays["reconstructions"][0, :0],
        reconstructions=arrays["reconstructions"],
        decoders=_read_decoders(card.model, arrays),
    )


def load_epochs(checkpoint: Checkpoint) -> EpochSnapshots | None:
    """Read a checkpoint's kept epochs, verifying their sha256; None where it has none.

    Raises
    ------
    CheckpointError
        If they are broken.
    """
    data = read_packed(checkpoint)
    try:
        return None if data is None else unpack_epochs(checkpoint.card, data)
    except ValueError as error:
        raise CheckpointError(describe_damage(checkpoint.path, error)) from error


def read_packed(checkpoint: Checkpoint) -> bytes | None:
    """Read the file as it is, for another version of the checkpoint; raises `CheckpointError`."""
    digest = checkpoint.card.sha256.get(EPOCHS)
    try:
        return read_files(checkpoint.path, {EPOCHS: digest})[EPOCHS] if digest else None
    except ValueError as error:
        raise CheckpointError(describe_damage(checkpoint.path, error)) from error


def select_epochs(numbers: Sequence[int], count: int) -> list[int]:
    """Choose about `count` of the epochs, spaced by ratio, the first and the last among them.

    Returns none where there is none, or `count` is below 2.
    """
    if not numbers or count < 2:
        return []
    places = np.geomspace(1, len(numbers), min(count, len(numbers))) - 1
    return [numbers[k] for k in np.unique(places.round().astype(np.int64))]


def decode_epoch(config: ModelConfig, weights: Weights, z: np.ndarray) -> np.ndarray:
    """Decode latents (n, latent_dim) by a kept decoder: (n, channels, height, width) in [0, 1]."""
    model: Autoencoder = build_model(config).eval().requires_grad_(False)
    state = model.decoder.state_dict()  # with the counters that were not kept
    state |= {name: torch.from_numpy(a.astype(np.float32)) for name, a in weights.items()}
    model.decoder.load_state_dict(state)
    torch.nn.utils.convert_conv2d_weight_memory_format(model.decoder, torch.channels_last)
    return decode(model, z)


def _read_decoders(
    config: ModelConfig, arrays: Mapping[str, np.ndarray]
) -> dict[int, dict[str, np.ndarray]]:
    packed: dict[int, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        if key.startswith(DECODER):
            epoch, _, name = key.removeprefix(DECODER).partition("/")
            packed.setdefault(int(epoch), {})[name] = array
    with torch.device("meta"):
        state = build_model(config).decoder.state_dict()
    shapes = {n: tuple(t.shape) for n, t in state.items() if t.is_floating_point()}
    decoders = {number: _restore(packed[number]) for number in sorted(packed)}
    for number, weights in decoders.items():
        if {n: a.shape for n, a in weights.items()} != shapes:
            raise ValueError(f"The decoder of epoch {number} in {EPOCHS} is of another model.")
    return decoders


def _quantize(weights: Weights) -> dict[str, np.ndarray]:
    """Round matrices to 8 bits, a scale for each row; leave what is short as it is."""
    packed: dict[str, np.ndarray] = {}
    for name, array in weights.items():
        if array.ndim < 2 or array[0].size < _LONG_ROW:
            packed[name] = array
            continue
        rows = array.astype(np.float32).reshape(len(array), -1)
        scale = np.maximum(np.abs(rows).max(axis=1), 1e-12) / 127
        packed[name] = np.rint(rows / scale[:, None]).astype(np.int8).reshape(array.shape)
        packed[name + _SCALE] = scale.astype(np.float32)
    return packed


def _restore(packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    weights: dict[str, np.ndarray] = {}
    for name, array in packed.items():
        if name.endswith(_SCALE):
            continue
        scale = packed.get(name + _SCALE)
        if scale is None:
            weights[name] = array
        elif scale.shape != array.shape[:1]:
            raise ValueError(f"{name}{_SCALE} in {EPOCHS} must have a value for each row.")
        else:
            wide = scale.reshape(-1, *[1] * (array.ndim - 1))
            weights[name] = (array * wide).astype(np.float16)
    return weights


def _evenly(count: int, most: int) -> np.ndarray:
    """Return indices of at most so many of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())
