"""Epoch snapshots of a training (`--keep-epochs`), from which its playback is made.

| file in `runs/<name>/epochs/` | what |
|---|---|
| `pictures.safetensors` | once: rows and labels of the held-out images, a dozen of these images |
| `0001.safetensors` ... | an epoch: `z_mean`, the dozen's reconstructions, often the decoder |

The animation needs no data set. Each file is renamed into place, so half of one is never listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from vae_explorer.encodings import encode_dataset
from vae_explorer.errors import RunError
from vae_explorer.inference import decode
from vae_explorer.installation import shell_command
from vae_explorer.latent.planes import Plane, coordinate_plane, principal_components
from vae_explorer.models import Autoencoder
from vae_explorer.workspace import atomic_write

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset

IMAGES = 12  # reconstructed in every epoch
ROWS = 10_000  # encodings kept of an epoch, at most; of a larger split, evenly chosen ones
DECODER_BYTES = 2**23  # of the largest decoder, in float16, that is kept
EACH_DECODER_BYTES = 2**21  # of the largest that is kept of every epoch; others ever more rarely
DECODER = "decoder/"  # before the names of a decoder's weights among a file's arrays
_FOLDER, _IMAGES = "epochs", "pictures.safetensors"
_LARGEST = float(np.finfo(np.float16).max)

Weights = Mapping[str, np.ndarray]
"""float16 arrays by their names in the decoder's state_dict; empty where none were kept."""


class EpochSnapshot(NamedTuple):
    """The snapshot of one epoch, made with the EMA weights."""

    z_mean: np.ndarray
    """float32 (n, latent_dim), rounded to float16."""
    reconstructions: np.ndarray
    """uint8 (k, channels, height, width): decode(z_mean) of the run's originals."""
    decoder: Weights


@dataclass(frozen=True)
class EpochSnapshots:
    """Snapshots of e epochs of a training, and the images that they show."""

    numbers: np.ndarray
    """int64 (e,), counted from 1, ascending."""
    row_id: np.ndarray
    """int64 (n,): rows of the held-out images in the prepared data set."""
    labels: np.ndarray | None
    """int64 (n,), indices into `label_names`; None where there are none."""
    label_names: tuple[str, ...]
    z_mean: np.ndarray
    """float32 (e, n, latent_dim)."""
    picture_id: np.ndarray
    """int64 (k,): rows, in the prepared data set, of the images that are reconstructed."""
    originals: np.ndarray
    """uint8 (k, channels, height, width); none, k = 0, in a checkpoint, which contains no data."""
    reconstructions: np.ndarray
    """uint8 (e, k, channels, height, width)."""
    decoders: Mapping[int, Weights]
    """By epoch; only some epochs have one."""

    @cached_property
    def plane(self) -> Plane:
        """The plane of all epochs: 2-D z itself, or the last epoch's principal components."""
        if self.z_mean.shape[2] == 2 or len(self.row_id) < 2:
            return coordinate_plane(self.z_mean.shape[2])
        return principal_components(self.z_mean[-1]).plane()

    @cached_property
    def points(self) -> np.ndarray:
        """Coordinates of every epoch's encodings on `plane`: float32 (e, n, 2)."""
        return np.stack([self.plane.to_plane(z_mean) for z_mean in self.z_mean])


def choose_images(labels: np.ndarray | None, count: int) -> np.ndarray:
    """Choose the images that are reconstructed: classes in turn, the first of each first.

    Parameters
    ----------
    labels : ndarray of int (count,) or None
    count : int
        Number of images.

    Returns
    -------
    ndarray of int64 (min(count, 12),)
        Indices, all different, the same for the same labels; evenly spaced without labels.
    """
    chosen = min(IMAGES, count)
    if labels is None:
        return np.linspace(0, count - 1, chosen).astype(np.int64)
    seen: dict[int, int] = {}
    turns = np.empty(count, np.int64)
    for index, label in enumerate(labels.tolist()):
        turns[index] = seen[label] = seen.get(label, -1) + 1
    return np.lexsort((labels, turns))[:chosen]


def save_snapshot(run: Path, number: int, model: Autoencoder, dataset: ImageDataset) -> None:
    """Write the snapshot of an epoch, counted from 1; the model is in eval mode."""
    held_out = dataset.rows(dataset.held_out)
    count = min(len(held_out), ROWS)
    rows = held_out[np.linspace(0, len(held_out) - 1, count).astype(np.int64)]
    encodings = encode_dataset(model, dataset, rows)
    shown = choose_images(encodings.labels, count)
    folder = run / _FOLDER
    if number == 1 or not (folder / _IMAGES).exists():
        arrays = {
            "row_id": rows.astype(np.int32),
            "picture_id": rows[shown].astype(np.int32),
            "originals": dataset.take(rows[shown], model.config.image_size),
        }
        if encodings.labels is not None:
            arrays["labels"] = encodings.labels.astype(np.int16)
        _write(folder / _IMAGES, arrays, {"label_names": json.dumps(dataset.label_names)})
    decoded = np.rint(255 * decode(model, encodings.z_mean[shown])).astype(np.uint8)
    arrays = {
        # The encodings of a plain autoencoder may exceed the range of float16.
        "z_mean": np.clip(encodings.z_mean, -_LARGEST, _LARGEST).astype(np.float16),
        "reconstructions": decoded,
    }
    arrays |= {DECODER + name: array for name, array in _to_float16(model.decoder, number).items()}
    _write(folder / f"{number:04d}.safetensors", arrays)


def list_epochs(run: Path) -> list[int]:
    """Return the numbers of the epochs with a snapshot, ascending; none where there are none."""
    found = (run / _FOLDER).glob("*.safetensors")
    return sorted(int(path.stem) for path in found if path.stem.isdecimal())


def load_epoch(run: Path, number: int) -> EpochSnapshot:
    """Read the snapshot of one epoch.

    Raises
    ------
    RunError
        If there is none, or it cannot be read.
    """
    file = f"{number:04d}.safetensors"
    arrays, _ = _read(run, file)
    try:
        z_mean, decoded = arrays["z_mean"].astype(np.float32), arrays["reconstructions"]
    except KeyError as error:
        raise _damaged(run, file, f"{error} is missing") from None
    decoder = {n.removeprefix(DECODER): a for n, a in arrays.items() if n.startswith(DECODER)}
    if z_mean.ndim != 2 or decoded.ndim != 4 or decoded.dtype != np.uint8:
        raise _damaged(run, file, f"arrays of shape {z_mean.shape} and {decoded.shape}")
    if not all(np.isfinite(array).all() for array in (z_mean, *decoder.values())):
        raise _damaged(run, file, "NaN or infinite values")
    return EpochSnapshot(z_mean, decoded, decoder)


def read_epochs(run: Path, *, latest: bool = False) -> EpochSnapshots:
    """Read all snapshots of a run, or the latest alone, even while it trains.

    Raises
    ------
    RunError
        If there are none, or a file cannot be read.
    """
    numbers = list_epochs(run)[-1:] if latest else list_epochs(run)
    if not numbers:
        raise RunError(
            f"The run {run.name} has no snapshots of its epochs. Train it with --keep-epochs, "
            f"which cannot be added later: {shell_command('train --keep-epochs --restart ...')}"
        )
    arrays, metadata = _read(run, _IMAGES)
    try:
        row_id, originals = arrays["row_id"].astype(np.int64), arrays["originals"]
        picture_id = arrays["picture_id"].astype(np.int64)
        label_names = tuple(str(name) for name in json.loads(metadata["label_names"]))
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(run, _IMAGES, str(error)) from None
    labels = arrays["labels"].astype(np.int64) if "labels" in arrays else None
    if labels is not None and not (
        labels.shape == row_id.shape and np.all((labels >= 0) & (labels < len(label_names)))
    ):
        raise _damaged(run, _IMAGES, "labels without a name")
    epochs = [load_epoch(run, number) for number in numbers]
    for number, epoch in zip(numbers, epochs, strict=True):
        shape = (len(row_id), epochs[-1].z_mean.shape[1])
        if epoch.z_mean.shape != shape or epoch.reconstructions.shape != originals.shape:
            raise _damaged(run, f"{number:04d}.safetensors", "other images than the last epoch")
    return EpochSnapshots(
        numbers=np.array(numbers, np.int64),
        row_id=row_id,
        labels=labels,
        label_names=label_names,
        z_mean=np.stack([epoch.z_mean for epoch in epochs]),
        picture_id=picture_id,
        originals=originals,
        reconstructions=np.stack([epoch.reconstructions for epoch in epochs]),
        decoders={n: e.decoder for n, e in zip(numbers, epochs, strict=True) if e.decoder},
    )


def _to_float16(decoder: nn.Module, number: int) -> Weights:
    """Return a decoder's weights in float16; none where they are too large for this epoch."""
    weights = {name: t.detach().cpu().numpy() for name, t in decoder.state_dict().items()}
    weights = {name: a for name, a in weights.items() if a.dtype == np.float32}  # no counters
    fits = all(np.abs(a).max(initial=0) <= _LARGEST for a in weights.values())
    size = 2 * sum(a.size for a in weights.values())
    is_rare = number % max(1, 2 ** (number.bit_length() - 3)) == 0  # 1 ... 8, 10, 12, 14, 16, 20
    if not fits or size > (DECODER_BYTES if is_rare else EACH_DECODER_BYTES):
        return {}
    return {name: a.astype(np.float16) for name, a in weights.items()}


def _write(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None
) -> None:
    with atomic_write(path) as partial:
        save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, partial, metadata)


def _read(run: Path, file: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safe_open(run / _FOLDER / file, framework="np") as opened:
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return arrays, opened.metadata() or {}
    except FileNotFoundError:
        raise _damaged(run, file, "it is not there") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise _damaged(run, file, str(error)) from error


def _damaged(run: Path, file: str, reason: str) -> RunError:
    remedy = "Train again with --restart."
    if file != _IMAGES:
        remedy = f"Delete {run / _FOLDER / file} to see the others. " + remedy
    return RunError(f"The snapshots of {run.name} cannot be read: {file}: {reason}. {remedy}")
