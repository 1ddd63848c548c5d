from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from vae_explorer.images import Format, write_animation

COLOURS = [(200, 30, 30), (160, 80, 40), (120, 130, 60), (40, 180, 90)]
FRAMES = np.stack([np.full((24, 32, 3), colour, np.uint8) for colour in COLOURS])
KINDS = pytest.mark.parametrize("kind", ["webp", "gif"])


def read(data: bytes) -> tuple[Image.Image, list[np.ndarray]]:
    picture = Image.open(io.BytesIO(data))
    frames = [np.asarray(f.convert("RGB"), int) for f in ImageSequence.Iterator(picture)]
    return picture, frames


@KINDS
def test_it_plays_there_and_back_and_each_end_once(kind: Format) -> None:
    picture, frames = read(write_animation(FRAMES, kind, 1.2))
    assert picture.format == kind.upper()
    assert picture.size == (32, 24)
    found = [frame[12, 16] for frame in frames]
    np.testing.assert_allclose(found, [COLOURS[k] for k in (0, 1, 2, 3, 2, 1)], atol=6)


@KINDS
def test_it_takes_the_time_it_was_given_and_plays_for_ever(kind: Format) -> None:
    picture, frames = read(write_animation(FRAMES, kind, 1.2, back=False))
    assert len(frames) == len(FRAMES)
    assert picture.info["loop"] == 0
    assert picture.info["duration"] == 400


def test_a_gif_has_the_same_colours_in_all_frames() -> None:
    rng = np.random.default_rng(0)
    start, end = rng.integers(0, 256, (2, 24, 32, 3))
    frames = np.stack([np.uint8(start + t * (end - start)) for t in np.linspace(0, 1, 5)])
    data = write_animation(frames, "gif", 1.0, back=False)
    colours = {tuple(c) for frame in read(data)[1] for c in frame.reshape(-1, 3)}
    assert len(colours) <= 256


@pytest.mark.parametrize(("count", "seconds"), [(0, 1), (1, 1), (3, 0), (3, -1)])
def test_what_does_not_move_is_no_animation(count: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="two frames or more"):
        write_animation(FRAMES[:count], "webp", seconds)
