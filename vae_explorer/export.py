"""ONNX export of encoder and decoder, compared with PyTorch before it is written.

| file | input | outputs |
|---|---|---|
| `encoder.onnx` | `image` (n, channels, size, size) in [0, 1] | `z_mean`, and a VAE's `z_log_var` |
| `decoder.onnx` | `z` (n, latent_dim) | `image` (n, channels, size, size) in [0, 1] |

All float32, n free.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import CheckpointError
from vae_explorer.inference import decode, encode
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.workspace import staged_folder, write_files

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
TOLERANCE = 1e-4
"""Largest difference to PyTorch; of values beyond ±1, relative to the largest of them."""
OPSET = 18
_BATCHES = (1, 2, 7, 32)

_EXPORTS = threading.Lock()  # torch.export keeps state of its own


def export_onnx(checkpoint: Checkpoint) -> tuple[dict[str, bytes], float]:
    """Return both networks as ONNX, after a comparison with PyTorch on random inputs.

    Returns
    -------
    files : dict of str to bytes
        `encoder.onnx` and `decoder.onnx`; what they are and on which terms is in their metadata.
    difference : float
        The largest found, as `TOLERANCE` counts it.

    Raises
    ------
    CheckpointError
        If they differ from PyTorch by more than `TOLERANCE`.
    """
    card = checkpoint.card
    model = _copy(checkpoint.model)
    shape, latent_dim = card.model.image_shape, card.model.latent_dim
    means = ["z_mean"] if card.model.kind == "autoencoder" else ["z_mean", "z_log_var"]
    with _EXPORTS:
        encoder = _trace(_EncoderGraph(model), torch.rand(2, *shape), "image", means)
        decoder = _trace(_DecoderGraph(model), torch.randn(2, latent_dim), "z", ["image"])
    files = {ENCODER: _finish(encoder, card), DECODER: _finish(decoder, card)}
    difference = compare_onnx(checkpoint.model, files)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"{card.name!r} was not exported: ONNX and PyTorch differ by {difference:.1e}, more "
            f"than {TOLERANCE:.0e}."
        )
    return files, difference


def write_onnx(checkpoint: Checkpoint, out: Path) -> float:
    """Write both networks to a folder, which is there when both are.

    Parameters
    ----------
    checkpoint : Checkpoint
    out : Path
        A folder that is not there yet, or empty.

    Returns
    -------
    float
        The largest difference to PyTorch.

    Raises
    ------
    CheckpointError
        As `export_onnx`, or if `out` holds something or cannot be written.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out.name} already exists. Choose another --out.")
    files, difference = export_onnx(checkpoint)
    try:
        with staged_folder(out) as folder:
            write_files(folder, files)
    except OSError as error:
        raise CheckpointError(f"{out.name} cannot be written: {error.strerror}.") from error
    return difference


def compare_onnx(model: Autoencoder, files: Mapping[str, bytes]) -> float:
    """Return the largest difference between PyTorch and ONNX Runtime, at several batch sizes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    encoder, decoder = (
        onnxruntime.InferenceSession(files[name], options, providers=["CPUExecutionProvider"])
        for name in (ENCODER, DECODER)
    )
    rng = np.random.default_rng(0)
    found = [0.0]
    for n in _BATCHES:
        images = rng.random((n, *model.config.image_shape), np.float32)
        z = rng.standard_normal((n, model.config.latent_dim), np.float32)
        found += _differences(encoder.run(None, {"image": images}), encode(model, images))
        found += _differences(decoder.run(None, {"z": z}), (decode(model, z),))
    # Not max() alone: it may pass over NaN.
    return float(np.max(found))


class _EncoderGraph(nn.Module):
    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(part for part in self.model.encode(image) if part is not None)


class _DecoderGraph(nn.Module):
    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> Tensor:
        return self.model.decode(z)


def _copy(model: Autoencoder) -> Autoencoder:
    """Copy a model, which sessions share, in the layout that is exported."""
    copy = build_model(model.config).eval().requires_grad_(False)
    copy.load_state_dict(model.state_dict())
    return copy


def _trace(graph: nn.Module, example: Tensor, name: str, outputs: Sequence[str]) -> ONNXProgram:
    with warnings.catch_warnings(), torch.enable_grad():  # where all layers take their plain way
        warnings.simplefilter("ignore")  # of what PyTorch itself is to change
        program = torch.onnx.export(
            graph.eval(),
            (example,),
            input_names=[name],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    return cast("ONNXProgram", program)  # None only where it writes a file itself


def _finish(program: ONNXProgram, card: ModelCard) -> bytes:
    import onnx

    proto = program.model_proto
    about = {
        "title": card.title,
        "name": card.name,
        "data": card.dataset.title,
        "licence": card.dataset.licence,
        "terms": card.dataset.terms,
    }
    onnx.helper.set_model_props(proto, about)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def _differences(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray | None]) -> list[float]:
    pairs = zip(found, (array for array in wanted if array is not None), strict=True)
    return [float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in pairs]
