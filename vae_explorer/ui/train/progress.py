"""The view of a training under way: its curves, its latent map, its reconstructions.

Drawn by `browser/train/progress.js`: what comes every second moves what is there, so nothing
flickers, and the points of the map glide from where they were in the epoch before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import streamlit as st

from vae_explorer.config import ModelConfig
from vae_explorer.data.registry import is_inverted
from vae_explorer.errors import RunError
from vae_explorer.figures.style import CLASS_COLOURS
from vae_explorer.images import data_url, for_display, tile
from vae_explorer.runs.run import Run
from vae_explorer.runs.status import RunStatus
from vae_explorer.training.snapshots import list_epochs, read_epochs
from vae_explorer.training.state import EpochMetrics
from vae_explorer.ui.stage.component import draw_view
from vae_explorer.ui.stage.tiles import pack_floats
from vae_explorer.ui.text import format_count, format_duration, format_number

POINTS = 2_000
"""Encodings on the map, at most: evenly chosen ones."""
_CAUGHT = 0.995
_PARTS = ("loss", "reconstruction", "kl")


def draw_training(run: Run, status: RunStatus) -> None:
    """Draw where a run stands, as its folder has it now."""
    history: Sequence[EpochMetrics] = []
    kept: Mapping[str, object] = {}
    with suppress(RunError):  # between a deletion and a beginning
        if run.can_resume:
            history = run.read_history()
            kept = _read_kept(run.path)
    data = {
        "view": "progress",
        "share": _share(status),
        "said": describe_progress(status),
        "live": status.is_alive,
        "curves": _curves(status, history),
        **kept,
    }
    draw_view(f"watching-{run.name}", data, {})


def describe_progress(status: RunStatus) -> str:
    """Say where a run stands in a line: "Epoch 3 of 20 · 2,140 images/s · about 1 min left"."""
    if status.phase == "preparing":
        return "Preparing: loading the images and the model."
    if status.phase == "evaluating":
        return "Evaluating the best epoch on held-out images, then saving the model."
    if not status.is_alive:
        return f"{status.epoch} of {format_count(status.epochs, 'epoch')}"
    parts = [f"Epoch {min(status.epoch + 1, status.epochs)} of {status.epochs}"]
    if status.images_per_second:
        parts.append(f"{format_number(status.images_per_second)} images/s")
    if status.seconds_left is not None:
        parts.append(f"about {format_duration(status.seconds_left)} left")
    return " · ".join(parts)


def _share(status: RunStatus) -> float:
    if status.phase == "finished":
        return 1.0
    return status.step / status.total_steps if status.total_steps else 0.0


def _curves(status: RunStatus, history: Sequence[EpochMetrics]) -> Mapping[str, object]:
    """Return epochs and values by line and part; batches lie between epochs."""
    rows = [asdict(metrics) for metrics in history]
    steps = status.total_steps / status.epochs if status.total_steps else 1
    return {
        "epochs": [metrics.epoch for metrics in history],
        "train": {part: [row[f"train_{part}"] for row in rows] for part in _PARTS},
        "validation": {part: [row[f"validation_{part}"] for row in rows] for part in _PARTS},
        "at": [step / steps for step in status.curve_step],
        "batches": {part: getattr(status, f"curve_{part}") for part in _PARTS},
    }


def _read_kept(run: Path) -> Mapping[str, object]:
    """Return what the latest epoch shows; nothing where none is kept."""
    numbers = list_epochs(run)
    if not numbers:
        return {}
    stamp = (run / "epochs" / f"{numbers[-1]:04d}.safetensors").stat().st_mtime_ns
    return _read_epoch(str(run.resolve()), numbers[-1], stamp)


@st.cache_data(max_entries=8, show_spinner=False)
def _read_epoch(run: str, number: int, stamp: int) -> Mapping[str, object]:
    del number, stamp  # what it is cached under: a later epoch, or the same of another training
    folder = Path(run)
    kept = read_epochs(folder, latest=True)
    model, config = Run(folder).load_config()
    inverted = is_inverted(config.dataset, model.image_channels)
    rows = np.linspace(0, len(kept.row_id) - 1, min(POINTS, len(kept.row_id))).astype(int)
    points = kept.points[-1][rows]
    own_plane = model.latent_dim == 2
    labels = None if kept.labels is None else kept.labels[rows].tolist()
    return {
        "epoch": int(kept.numbers[-1]),
        "map": {
            "points": pack_floats(points),
            "half": _half_side(points, rings=_has_rings(model)),
            "labels": labels,
            "label_names": list(kept.label_names) if labels else [],
            "colours": list(CLASS_COLOURS),
            "rings": _has_rings(model),
            "turns": not own_plane,  # principal components have no direction of their own
            "axes": list(kept.plane.names),
        },
        "strip": {
            "count": len(kept.originals),
            "side": kept.originals.shape[-1],
            "original": _join(kept.originals, inverted),
            "reconstructed": _join(kept.reconstructions[-1], inverted),
        },
    }


def _has_rings(model: ModelConfig) -> bool:
    return model.kind == "vae" and model.latent_dim == 2


def _half_side(points: np.ndarray, *, rings: bool) -> float:
    """Return half the side of a square about the origin that nearly all points are in."""
    reach = float(np.quantile(np.abs(points), _CAUGHT)) * 1.08 if len(points) else 1.0
    return max(reach, 3.2) if rings else max(reach, 1e-3)


def _join(pictures: np.ndarray, inverted: bool) -> str:
    """Return uint8 images (k, channels, height, width) side by side, as a page shows them."""
    return data_url(tile(for_display(pictures.astype(np.float32) / 255, inverted), len(pictures)))
