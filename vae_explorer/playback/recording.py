"""Playback of a training: its epoch snapshots, decoded grids, and an animation of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vae_explorer.checkpoints import find_checkpoint, list_checkpoints, load_checkpoint
from vae_explorer.checkpoints.format import EPOCHS
from vae_explorer.config import ModelConfig
from vae_explorer.data.registry import is_inverted
from vae_explorer.errors import RunError, did_you_mean
from vae_explorer.images import for_display, tile, to_pil
from vae_explorer.latent.planes import grid_points
from vae_explorer.latent.statistics import square_around
from vae_explorer.playback.packed import DECODERS, decode_epoch, load_epochs, select_epochs
from vae_explorer.training.snapshots import EpochSnapshots, list_epochs, read_epochs
from vae_explorer.training.state import history_columns, load_config, load_state
from vae_explorer.workspace import disambiguate

_GRID_PIXELS, _MOST_TILES = 320, 12

FRAMES, HOLD = 72, 12
"""Frames of an animation that move, and those in which the last one stays."""
SIDE = 360
_HEAD, _GAP, _SHOWN = 28, 8, 4_000
_PAPER, _TEXT = (255, 255, 255), (29, 29, 34)


@dataclass(frozen=True)
class Source:
    """A training whose epochs were kept: a run's folder, or a checkpoint that carries them."""

    name: str
    title: str
    is_run: bool
    fingerprint: str
    """Changes when there is more or other to see."""

    @property
    def key(self) -> str:
        """The name in a link: that of a checkpoint as it is, that of a run behind "run:"."""
        return f"run:{self.name}" if self.is_run else self.name


@dataclass(frozen=True)
class Playback:
    """A training as it is played."""

    title: str
    model: ModelConfig
    kept: EpochSnapshots
    history: Mapping[str, NDArray[np.float64]]
    """Columns of the epochs' metrics; none where they are not to be had."""
    inverted: bool = True
    """Whether grey images are shown inverted."""

    @cached_property
    def frame(self) -> NDArray[np.float64]:
        """The square that holds nearly all points of all epochs: (x, y, half a side)."""
        return square_around(self.kept.points.reshape(-1, 2))

    @cached_property
    def frames(self) -> NDArray[np.float64]:
        """The same of each epoch alone: (e, 3)."""
        return np.stack([square_around(points) for points in self.kept.points])

    @property
    def tiles(self) -> int:
        """Pictures along a side of the decoded grid."""
        return min(_MOST_TILES, max(_GRID_PIXELS // self.model.image_size, 3))

    def decode_grids(self) -> dict[int, NDArray[np.float32]]:
        """Decode the square `frame` by a dozen of the kept decoders.

        Returns
        -------
        dict of int to ndarray (tiles², channels, height, width)
            By epoch, ascending; in reading order, in [0, 1]. Empty where no decoder was kept.
        """
        x, y, half = self.frame
        inside = half * (1 - 1 / self.tiles)  # where the middles of the outer tiles are
        z = self.kept.plane.to_latent(grid_points((x, y), inside, self.tiles))
        numbers = list(self.kept.decoders)
        chosen = numbers if len(numbers) == 1 else select_epochs(numbers, DECODERS)
        return {n: decode_epoch(self.model, self.kept.decoders[n], z) for n in chosen}


def list_sources(runs: Path) -> dict[str, Source]:
    """Find what can be played: checkpoints that carry their epochs, then runs, by key."""
    cards, _ = list_checkpoints()
    carrying = {name: card.title for name, card in cards.items() if EPOCHS in card.sha256}
    found = [
        Source(name, title, False, cards[name].fingerprint)
        for name, title in disambiguate(carrying).items()
    ]
    for run in sorted(runs.iterdir()) if runs.is_dir() else ():
        if epochs := list_epochs(run):
            count = f"{len(epochs)} epoch{'s' if len(epochs) > 1 else ''}"
            found.append(Source(run.name, f"{run.name} (run, {count})", True, _state(run)))
    return {source.key: source for source in found}


def load_playback(source: Source, runs: Path) -> Playback:
    """Read what is played of a training.

    Raises
    ------
    CheckpointError, RunError
        If it is gone or broken.
    """
    if not source.is_run:
        checkpoint = load_checkpoint(find_checkpoint(source.name))
        kept = load_epochs(checkpoint)
        if kept is None:
            raise RunError(f"{source.name} no longer has saved epochs. Reload the page.")
        card = checkpoint.card
        return Playback(source.title, card.model, kept, checkpoint.history, card.is_inverted)
    run = next((f for f in runs.iterdir() if f.name == source.name), None)
    if run is None:
        raise RunError(did_you_mean("run", source.name, [f.name for f in runs.iterdir()]))
    model, config = load_config(run)
    try:
        history = history_columns(load_state(run).history)
    except RunError:
        history = {}  # the curves alone are missing: the first epoch is being saved
    inverted = is_inverted(config.dataset, model.image_channels)
    return Playback(source.title, model, read_epochs(run), history, inverted)


def between(values: NDArray[np.generic], position: float) -> NDArray[np.float64]:
    """Interpolate along the first axis (e, ...), at `position` in 0 ... e - 1."""
    first = int(np.clip(position, 0, len(values) - 1))
    share = float(np.clip(position - first, 0, 1))
    second = min(first + 1, len(values) - 1)
    return (1 - share) * values[first].astype(float) + share * values[second].astype(float)


def render_animation(
    recording: Playback,
    colours: Sequence[str],
    progress: Callable[[float], None] = lambda _: None,
    *,
    frames: int = FRAMES,
) -> NDArray[np.uint8]:
    """Draw a training from its first kept epoch to the last, on white.

    Parameters
    ----------
    recording : Playback
    colours : sequence of str
        Of the classes, "#rrggbb".
    progress : callable
        Told the share that is done, in [0, 1].
    frames : int
        That move; a few more hold the last one.

    Returns
    -------
    ndarray of uint8 (frames + 12, height, width, 3)
        With a decoded grid beside the map where decoders were kept.
    """
    kept, grids = recording.kept, recording.decode_grids()
    mosaics = np.array(
        [_mosaic(images, recording.tiles, recording.inverted) for images in grids.values()]
    )
    wide = 2 * SIDE + _GAP if grids else SIDE
    strip = wide // kept.reconstructions.shape[1]
    inks = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in colours], np.uint8)
    classes = np.zeros(len(kept.row_id), int) if kept.labels is None else kept.labels
    rows = np.linspace(0, len(classes) - 1, min(_SHOWN, len(classes))).astype(int)
    numbers = kept.numbers.astype(float)
    shown = []
    for epoch in np.linspace(numbers[0], numbers[-1], frames):
        position = float(np.interp(epoch, numbers, np.arange(len(numbers))))
        canvas = Image.new("RGB", (wide, _HEAD + SIDE + _GAP + 2 * strip), _PAPER)
        label = f"{recording.title}    epoch {epoch:.0f} of {numbers[-1]:.0f}"
        ImageDraw.Draw(canvas).text((4, 6), label, _TEXT, ImageFont.load_default(15))
        points = between(kept.points[:, rows], position)
        field = _scatter(points, recording.frame, inks[classes[rows] % len(inks)])
        canvas.paste(Image.fromarray(field), (0, _HEAD))
        if len(mosaics):
            place = np.interp(epoch, list(grids), np.arange(len(grids)))
            mosaic = to_pil(between(mosaics, float(place))).convert("RGB")
            canvas.paste(mosaic.resize((SIDE, SIDE)), (SIDE + _GAP, _HEAD))
        redrawn = between(kept.reconstructions, position)
        for row, pictures in enumerate((kept.originals, redrawn)):
            if len(pictures) == 0:
                continue
            images = for_display(pictures.astype(np.float32) / 255, recording.inverted)
            line = to_pil(tile(images, len(images))).convert("RGB")
            canvas.paste(line.resize((strip * len(images), strip)), (0, _below(row, strip)))
        shown.append(np.asarray(canvas))
        progress(len(shown) / frames)
    return np.stack([*shown, *[shown[-1]] * HOLD])


def _state(run: Path) -> str:
    times = [path.stat().st_mtime_ns for path in (run / "epochs").glob("*.safetensors")]
    return f"{len(times)}-{max(times)}"


def _below(row: int, strip: int) -> int:
    return _HEAD + SIDE + _GAP + row * strip


def _mosaic(images: NDArray[np.float32], columns: int, inverted: bool) -> NDArray[np.float32]:
    return tile(for_display(images, inverted), columns)


def _scatter(
    points: NDArray[np.float64], frame: NDArray[np.float64], inks: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Draw points (n, 2) in their inks (n, 3) as dots of three pixels."""
    field = np.full((SIDE, SIDE, 3), 255, np.uint8)
    place = (points - frame[:2]) / frame[2]
    columns = np.rint((place[:, 0] + 1) / 2 * (SIDE - 1)).astype(int)
    rows = np.rint((1 - place[:, 1]) / 2 * (SIDE - 1)).astype(int)
    inside = (columns > 0) & (columns < SIDE - 1) & (rows > 0) & (rows < SIDE - 1)
    columns, rows, inks = columns[inside], rows[inside], inks[inside]
    for down, across in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)):
        field[rows + down, columns + across] = inks
    return field
