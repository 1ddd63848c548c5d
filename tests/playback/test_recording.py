from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_explorer import workspace
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.errors import RunError
from vae_explorer.figures import CLASS_COLOURS
from vae_explorer.images import write_animation
from vae_explorer.inference import decode
from vae_explorer.latent.statistics import square_around
from vae_explorer.playback.packed import select_epochs
from vae_explorer.playback.recording import (
    HOLD,
    SIDE,
    Playback,
    between,
    list_sources,
    load_playback,
    render_animation,
)
from vae_explorer.training.state import load_state


@pytest.fixture
def runs(kept_run: Path, tmp_path: Path) -> Path:
    """A folder of runs: one that kept its epochs, one that did not, and a stray file."""
    shutil.copytree(kept_run, tmp_path / "runs" / "kept")
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "notes.txt").touch()
    return tmp_path / "runs"


@pytest.fixture
def recording(runs: Path, with_snapshots: Path, monkeypatch: pytest.MonkeyPatch) -> Playback:
    """The checkpoint that carries its epochs, as it is played."""
    monkeypatch.setattr(workspace, "CHECKPOINTS", with_snapshots.parent)
    return load_playback(list_sources(runs)["with_snapshots"], runs)


def test_runs_and_checkpoints_with_epochs_are_found(
    runs: Path, with_snapshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "CHECKPOINTS", with_snapshots.parent)
    sources = list_sources(runs)
    assert list(sources) == ["with_snapshots", "run:kept"]
    assert "3 epochs" in sources["run:kept"].title
    (runs / "kept" / "epochs" / "0003.safetensors").unlink()
    assert list_sources(runs)["run:kept"].fingerprint != sources["run:kept"].fingerprint
    assert list_sources(runs / "none").keys() == {"with_snapshots"}


def test_a_run_and_the_checkpoint_of_it_are_played_alike(recording: Playback, runs: Path) -> None:
    run = load_playback(list_sources(runs)["run:kept"], runs)
    np.testing.assert_array_equal(run.kept.points, recording.kept.points)
    np.testing.assert_allclose(run.history["epoch"], recording.history["epoch"])
    np.testing.assert_allclose(run.frame, recording.frame)


def test_a_run_that_is_gone_says_so(runs: Path) -> None:
    source = list_sources(runs)["run:kept"]
    shutil.rmtree(runs / "kept")
    with pytest.raises(RunError, match="kept"):
        load_playback(source, runs)


def test_a_run_without_a_state_has_no_curves(runs: Path) -> None:
    source = list_sources(runs)["run:kept"]
    (runs / "kept" / "state.safetensors").unlink()
    assert load_playback(source, runs).history == {}


def test_a_square_holds_nearly_all_points() -> None:
    points = np.random.default_rng(0).normal((3, -1), (2, 1), (4_000, 2))
    x, y, half = square_around(points)
    inside = np.all(np.abs(points - (x, y)) <= half, axis=1)
    assert 0.985 < inside.mean() < 1
    np.testing.assert_allclose([x, y], [3, -1], atol=0.5)
    assert square_around(np.zeros((5, 2)))[2] > 0


def test_grids_lie_on_the_square_in_reading_order(recording: Playback, kept_run: Path) -> None:
    grids = recording.decode_grids()
    assert list(grids) == [1, 2, 3]
    n, (x, y, half) = recording.tiles, recording.frame
    assert grids[3].shape == (n * n, 1, 8, 8)
    corner = np.float32([[x - half * (1 - 1 / n), y + half * (1 - 1 / n)]])
    model = load_checkpoint("with_snapshots").model
    np.testing.assert_allclose(grids[3][:1], decode(model, corner), atol=0.03)
    assert not np.allclose(grids[1], grids[3], atol=0.05)
    assert load_state(kept_run).history[-1].epoch == 3


@pytest.mark.parametrize(("epochs", "count"), [(60, 12), (5, 12), (12, 12), (2, 2), (300, 7)])
def test_more_of_the_early_epochs_are_chosen(epochs: int, count: int) -> None:
    chosen = np.array(select_epochs(list(range(1, epochs + 1)), count))
    assert {chosen[0], chosen[-1]} == {1, epochs}
    assert 2 <= len(chosen) <= count
    gaps = np.diff(chosen)
    assert np.all(np.diff(gaps) >= -1)
    assert gaps[0] <= gaps[-1]
    assert select_epochs([1, 2, 3], 1) == []


def test_between_two_epochs_things_glide() -> None:
    values = np.array([[0.0], [10.0], [30.0]])
    found = [between(values, at)[0] for at in (0, 0.5, 1, 1.25, 2, 9)]
    np.testing.assert_allclose(found, [0, 5, 10, 15, 30, 30])


def test_a_film_moves_and_ends_on_the_last_epoch(recording: Playback) -> None:
    told: list[float] = []
    frames = render_animation(recording, CLASS_COLOURS, told.append, frames=6)
    assert frames.shape[0] == 6 + HOLD
    assert told == sorted(told)
    assert told[-1] == 1
    field = frames[:, 40:SIDE, :SIDE]
    assert not np.array_equal(field[0], field[5])
    assert np.array_equal(frames[5], frames[-1])
    colours = {tuple(pixel) for pixel in field[-1].reshape(-1, 3).tolist()}
    wanted = {tuple(int(c[k : k + 2], 16) for k in (1, 3, 5)) for c in CLASS_COLOURS}
    assert wanted <= colours  # ten digits, ten colours
    for kind in ("webp", "gif"):
        data = write_animation(frames, kind, 1.0, back=False)
        assert Image.open(io.BytesIO(data)).n_frames > 1
