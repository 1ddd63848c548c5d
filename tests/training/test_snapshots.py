from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save

from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.checkpoints.format import EPOCHS
from vae_explorer.cli import main
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.errors import CheckpointError, RunError
from vae_explorer.inference import decode
from vae_explorer.models import build_model
from vae_explorer.playback.packed import decode_epoch, load_epochs, pack_epochs, unpack_epochs
from vae_explorer.training import snapshots
from vae_explorer.training.snapshots import (
    EpochSnapshots,
    choose_images,
    list_epochs,
    load_epoch,
    read_epochs,
    save_snapshot,
)
from vae_explorer.training.trainer import train


@pytest.fixture
def broken_run(kept_run: Path, tmp_path: Path) -> Path:
    """The same to be spoilt."""
    for path in (kept_run / "epochs").iterdir():
        (tmp_path / "spoilt" / "epochs").mkdir(parents=True, exist_ok=True)
        (tmp_path / "spoilt" / "epochs" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "spoilt"


def made_up(epochs: int, n: int, latent_dim: int, picture: tuple[int, ...]) -> EpochSnapshots:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 256, (epochs, 12, *picture), np.uint8)
    weights = {
        "a.weight": rng.standard_normal((300, 900)).astype(np.float16),
        "a.bias": rng.standard_normal(300).astype(np.float16),
    }
    return EpochSnapshots(
        numbers=np.arange(1, epochs + 1),
        row_id=np.arange(n),
        labels=rng.integers(0, 10, n),
        label_names=tuple("abcdefghij"),
        z_mean=rng.standard_normal((epochs, n, latent_dim), np.float32),
        picture_id=np.arange(12),
        originals=drawn[0],
        reconstructions=drawn,
        decoders=dict.fromkeys(range(1, epochs + 1), weights),
    )


# A run


def test_a_run_shows_itself_without_its_data(kept_run: Path, digits: ImageDataset) -> None:
    kept = read_epochs(kept_run)
    held_out = digits.rows("test")
    assert kept.numbers.tolist() == list_epochs(kept_run) == [1, 2, 3]
    np.testing.assert_array_equal(kept.row_id, held_out)
    np.testing.assert_array_equal(kept.labels, digits.labels[held_out])
    assert kept.label_names == digits.label_names
    assert kept.z_mean.shape == (3, len(held_out), 2)
    assert kept.points is not None
    np.testing.assert_array_equal(kept.points, kept.z_mean)
    chosen = choose_images(kept.labels, len(held_out))
    np.testing.assert_array_equal(kept.originals, digits.images[held_out[chosen]])
    assert set(kept.labels[chosen]) == set(range(10))


def test_a_kept_decoder_draws_what_was_kept_of_its_epoch(
    kept_run: Path, tiny_vae_config: ModelConfig
) -> None:
    kept = read_epochs(kept_run)
    chosen = choose_images(kept.labels, len(kept.row_id))
    assert list(kept.decoders) == [1, 2, 3]
    for index, number in enumerate(kept.numbers):
        z = kept.z_mean[index, chosen]
        drawn = decode_epoch(tiny_vae_config, kept.decoders[int(number)], z)
        np.testing.assert_allclose(255 * drawn, kept.reconstructions[index], atol=2)
    first, last = kept.reconstructions[[0, -1]].astype(float)
    originals = kept.originals.astype(float)
    assert np.square(last - originals).mean() < np.square(first - originals).mean()


def test_a_resumed_run_keeps_the_earlier_epochs(
    kept_run: Path,
    tmp_path: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> None:
    run, config = tmp_path / "run", replace(tiny_train_config, keep_epochs=True)
    one = train(tiny_vae_config, config, digits, run)
    next(one)
    one.close()
    assert list_epochs(run) == [1]
    list(train(tiny_vae_config, config, digits, run, resume=True))
    for path in sorted((kept_run / "epochs").iterdir()):
        assert path.read_bytes() == (run / "epochs" / path.name).read_bytes()


def test_a_large_decoder_is_kept_ever_more_rarely_and_a_huge_one_never(
    tmp_path: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build_model(tiny_vae_config).eval()
    monkeypatch.setattr(snapshots, "EACH_DECODER_BYTES", 10)
    monkeypatch.setattr(snapshots, "ROWS", 20)
    for number in range(1, 34):
        save_snapshot(tmp_path, number, model, digits)
    having = list(read_epochs(tmp_path).decoders)
    assert having == [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32]
    monkeypatch.setattr(snapshots, "DECODER_BYTES", 10)
    save_snapshot(tmp_path, 1, model, digits)
    assert load_epoch(tmp_path, 1).decoder == {}


def test_what_is_half_written_is_not_listed(
    tmp_path: Path,
    digits: ImageDataset,
    monkeypatch: pytest.MonkeyPatch,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> None:
    run, rename = tmp_path / "run", Path.replace

    def die(self: Path, target: Path) -> None:
        if target.name == "0002.safetensors":
            raise KeyboardInterrupt
        rename(self, target)

    monkeypatch.setattr(Path, "replace", die)
    config = replace(tiny_train_config, keep_epochs=True)
    with pytest.raises(KeyboardInterrupt):
        list(train(tiny_vae_config, config, digits, run))
    assert "0002.safetensors" not in {path.name for path in (run / "epochs").iterdir()}
    assert list_epochs(run) == read_epochs(run).numbers.tolist() == [1]


def test_more_dimensions_are_seen_on_the_last_epochs_principal_components() -> None:
    kept = made_up(3, 400, 5, (1, 8, 8))
    kept.z_mean[-1] *= np.array([1, 9, 1, 4, 1], np.float32)
    points = kept.points
    assert points.shape == (3, 400, 2)
    spread = points[-1].std(axis=0)
    np.testing.assert_allclose(spread, [9, 4], rtol=0.15)
    np.testing.assert_allclose(np.abs(kept.plane.axes[:, [1, 3]]), np.eye(2), atol=0.1)


def test_no_epochs_say_how_to_get_them(tmp_path: Path) -> None:
    assert list_epochs(tmp_path / "none") == []
    with pytest.raises(RunError, match="--keep-epochs"):
        read_epochs(tmp_path / "none")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("0002", lambda _: b"nothing", r"0002\.safetensors.*Delete .*0002\.safetensors"),
        ("0002", lambda data: data[:-9], "0002"),
        ("0002", lambda data: drop(data, "z_mean"), "'z_mean' is missing"),
        ("0002", lambda data: put(data, "z_mean", np.full((359, 2), np.nan)), "NaN"),
        ("0002", lambda data: put(data, "z_mean", np.zeros((3, 2))), "other images"),
        ("0002", lambda data: put(data, "reconstructions", np.zeros(4)), "arrays of shape"),
        ("pictures", lambda _: b"", r"pictures\.safetensors.*--restart"),
        ("pictures", lambda data: drop(data, "originals"), "originals"),
        ("pictures", lambda data: drop(data, "picture_id"), "picture_id"),
        ("pictures", lambda data: put(data, "labels", np.full(359, 11)), "labels"),
    ],
)
def test_each_damage_has_its_message(broken_run: Path, file: str, change, message: str) -> None:
    path = broken_run / "epochs" / f"{file}.safetensors"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RunError, match=message):
        read_epochs(broken_run)


def test_a_missing_epoch_is_left_out(broken_run: Path) -> None:
    (broken_run / "epochs" / "0002.safetensors").unlink()
    assert read_epochs(broken_run).numbers.tolist() == [1, 3]
    with pytest.raises(RunError, match="not there"):
        load_epoch(broken_run, 2)


def drop(data: bytes, name: str) -> bytes:
    return save({n: a for n, a in load(data).items() if n != name}, {"label_names": "[]"})


def put(data: bytes, name: str, array: np.ndarray) -> bytes:
    return save(load(data) | {name: array}, {"label_names": '["0"]'})


# A checkpoint


def test_a_checkpoint_carries_its_epochs(with_snapshots: Path, kept_run: Path) -> None:
    checkpoint, kept = load_checkpoint(with_snapshots), read_epochs(kept_run)
    assert EPOCHS in checkpoint.card.sha256
    carried = load_epochs(checkpoint)
    assert carried is not None
    for name in ("numbers", "row_id", "labels", "z_mean", "picture_id", "reconstructions"):
        np.testing.assert_array_equal(getattr(carried, name), getattr(kept, name))
    assert carried.label_names == kept.label_names
    assert list(carried.decoders) == [1, 2, 3]
    z = kept.z_mean[-1]
    drawn = [decode_epoch(checkpoint.card.model, k.decoders[3], z) for k in (carried, kept)]
    np.testing.assert_allclose(*drawn, atol=0.03)  # 8 bits
    np.testing.assert_allclose(
        drawn[1], decode(checkpoint.model, z), atol=0.01
    )  # the last epoch was the best


def test_a_checkpoint_without_epochs_has_none(checkpoint_root: Path) -> None:
    assert load_epochs(load_checkpoint(checkpoint_root / "digits-vae-2d")) is None


@pytest.mark.parametrize("epochs", [1, 2, 60, 500])
@pytest.mark.parametrize("latent_dim", [2, 128])
def test_what_is_carried_fits(epochs: int, latent_dim: int) -> None:
    kept = made_up(min(epochs, 60) if latent_dim > 2 else epochs, 300, latent_dim, (3, 32, 32))
    budget = 1_000_000
    data = pack_epochs(kept, budget)
    assert len(data) <= budget
    numbers = load(data)["numbers"]
    assert {numbers[0], numbers[-1]} == {1, kept.numbers[-1]}
    gaps = np.diff(numbers)
    assert gaps.max(initial=1) - gaps.min(initial=99) <= 1  # thinned evenly
    assert len(numbers) > min(epochs, 10) - 1


def test_no_picture_of_the_data_travels_with_a_model(
    kept_run: Path, with_snapshots: Path, digits: ImageDataset
) -> None:
    kept, carried = read_epochs(kept_run), load_epochs(load_checkpoint(with_snapshots))
    assert carried is not None
    assert carried.originals.shape == (0, 1, 8, 8)
    assert "originals" not in load_file(with_snapshots / EPOCHS)
    np.testing.assert_array_equal(digits.take(carried.picture_id, 8), kept.originals)


def test_two_epochs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pack_epochs(made_up(3, 300, 2, (3, 32, 32)), 10_000)


def test_a_broken_file_breaks_the_epochs_alone(with_snapshots: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in with_snapshots.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / EPOCHS).write_bytes(b"changed")
    checkpoint = load_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"epochs\.safetensors is damaged"):
        load_epochs(checkpoint)
    assert "damaged" in list_checkpoints(tmp_path)[1]["broken"]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("points", None, "lacks points"),
        ("points", np.full((3, 359, 2), np.inf, np.float16), "points .* finite"),
        ("points", np.zeros((3, 1, 2), np.float16), "points .* shape"),
        ("axes", np.zeros((2, 5), np.float32), "axes .* shape"),
        ("numbers", np.array([3, 2, 1], np.int32), "count epochs"),
        ("labels", np.full(359, 10, np.int16), "Labels"),
        ("picture_id", np.zeros(3, np.int32), "picture_id .* shape"),
        ("reconstructions", np.zeros((3, 12, 1, 8, 8), np.float32), "uint8"),
        ("decoder/1/body.0.weight", np.zeros((3, 3), np.float16), "another model"),
    ],
)
def test_what_does_not_fit_the_card_is_refused(
    with_snapshots: Path, name: str, array: np.ndarray | None, message: str
) -> None:
    arrays = load_file(with_snapshots / EPOCHS)
    arrays.pop(name)
    if array is not None:
        arrays[name] = array
    with pytest.raises(ValueError, match=message):
        unpack_epochs(load_checkpoint(with_snapshots).card, save(arrays))


def test_what_is_no_safetensors_is_refused(with_snapshots: Path) -> None:
    with pytest.raises(ValueError, match="not a safetensors"):
        unpack_epochs(load_checkpoint(with_snapshots).card, b"none")


def test_the_command_line_publishes_epochs_and_keeps_them(
    training_folder: Path, data_root: Path
) -> None:
    out = training_folder / "checkpoints" / "kept"
    command = ["train", "--config", "small.json", "--out", str(out), "--root", str(data_root)]
    assert main([*command, "--epochs", "2", "--keep-epochs"]) == 0
    before = load_checkpoint(out)
    carried = load_epochs(before)
    assert carried is not None
    assert carried.numbers.tolist() == [1, 2]
    assert main(["evaluate", str(out), "--write", "--root", str(data_root)]) == 0
    assert load_checkpoint(out).card.sha256[EPOCHS] == before.card.sha256[EPOCHS]
