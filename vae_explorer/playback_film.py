"""A training as a film: frames of the map beside the decoded grid, the pictures below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vae_explorer.images import as_shown, tile, to_pil
from vae_explorer.playback import Recording

FRAMES, HOLD = 72, 12
"""Frames of a film that move, and those in which the last one stays."""
SIDE = 360
_HEAD, _GAP, _SHOWN = 28, 8, 4_000
_PAPER, _TEXT = (255, 255, 255), (29, 29, 34)


def between(values: NDArray[np.generic], position: float) -> NDArray[np.float64]:
    """Interpolate along the first axis (e, ...), at `position` in 0 ... e - 1."""
    first = int(np.clip(position, 0, len(values) - 1))
    share = float(np.clip(position - first, 0, 1))
    second = min(first + 1, len(values) - 1)
    return (1 - share) * values[first].astype(float) + share * values[second].astype(float)


def film(
    recording: Recording,
    colours: Sequence[str],
    progress: Callable[[float], None] = lambda _: None,
    *,
    frames: int = FRAMES,
) -> NDArray[np.uint8]:
    """Draw a training from its first kept epoch to the last, on white.

    Parameters
    ----------
    recording : Recording
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
    mosaics = np.array([_mosaic(images, recording.tiles) for images in grids.values()])
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
            images = as_shown(pictures.astype(np.float32) / 255)
            line = to_pil(tile(images, len(images))).convert("RGB")
            canvas.paste(line.resize((strip * len(images), strip)), (0, _below(row, strip)))
        shown.append(np.asarray(canvas))
        progress(len(shown) / frames)
    return np.stack([*shown, *[shown[-1]] * HOLD])


def _below(row: int, strip: int) -> int:
    return _HEAD + SIDE + _GAP + row * strip


def _mosaic(images: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    return tile(as_shown(images), columns)


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
