from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from tests.support import PROJECT
from vae_explorer.cli import main
from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.data import DatasetError, ImageDataset
from vae_explorer.encodings import encode_dataset
from vae_explorer.errors import ConfigError, RunError, TrainingError
from vae_explorer.models import build_model
from vae_explorer.presets import find_preset
from vae_explorer.training.batches import split_rows
from vae_explorer.training.optim import ema_update, learning_rate, update_batch_norm
from vae_explorer.training.snapshots import list_epochs
from vae_explorer.training.state import (
    EpochMetrics,
    RunState,
    StepMetrics,
    load_config,
    load_state,
    read_weights,
    save_config,
)
from vae_explorer.training.trainer import describe_adaptations, train

STEPS_PER_EPOCH = 9
DIVERGING = 1e6  # a learning rate that breaks any weights in a step


def take_images(dataset: ImageDataset, **counts: int) -> ImageDataset:
    """The first images of a data set, so many in each split, and one that is held out."""
    split = np.repeat([*counts, "test"], [*counts.values(), 1])
    count = len(split)
    assert dataset.labels is not None
    labels = dataset.labels[:count]
    return replace(dataset, images=dataset.images[:count], labels=labels, split=split)


def stop_after(steps: int) -> Callable[[], bool]:
    """A request to stop that comes after so many steps."""
    countdown = iter(range(steps - 1, -1, -1))
    return lambda: next(countdown) == 0


def without_time(history: list[EpochMetrics]) -> list[EpochMetrics]:
    return [replace(metrics, seconds=0) for metrics in history]


def assert_same_state(one: RunState, other: RunState) -> None:
    """Equal bit for bit, but for the time it took."""
    for group in ("weights", "ema", "best", "optimizer", "perceptual"):
        ours, theirs = getattr(one, group), getattr(other, group)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert one.step == other.step
    assert one.loss_sums == other.loss_sums
    assert without_time(one.history) == without_time(other.history)


class TrainTiny(Protocol):
    """Train the tiny VAE on digits in some folder, all epochs or until a stop."""

    def __call__(
        self,
        run: Path,
        *,
        model: ModelConfig = ...,
        resume: bool = ...,
        stop: Callable[[], bool] = ...,
        **changes: JsonValue,
    ) -> list[EpochMetrics]: ...


@pytest.fixture
def train_tiny(
    digits: ImageDataset, tiny_vae_config: ModelConfig, tiny_train_config: TrainConfig
) -> TrainTiny:
    def train_to(
        run: Path,
        *,
        model: ModelConfig = tiny_vae_config,
        resume: bool = False,
        stop: Callable[[], bool] = lambda: False,
        **changes: JsonValue,
    ) -> list[EpochMetrics]:
        config = replace(tiny_train_config, **changes)
        return list(train(model, config, digits, run, resume=resume, should_stop=stop))

    return train_to


@pytest.fixture
def half_way(tmp_path: Path, train_tiny: TrainTiny) -> Path:
    """A run that was stopped early in its second epoch."""
    train_tiny(tmp_path / "half-way", stop=stop_after(STEPS_PER_EPOCH + 2))
    return tmp_path / "half-way"


# Learning


def test_the_loss_goes_down(trained_run: Path) -> None:
    history = load_state(trained_run).history
    assert [metrics.epoch for metrics in history] == [1, 2, 3]
    train_losses = np.array([metrics.train_loss for metrics in history])
    validation_losses = np.array([metrics.validation_loss for metrics in history])
    assert np.all(np.diff(train_losses) < 0)
    assert np.all(np.diff(validation_losses) < 0)


def test_the_parts_of_the_loss_add_up(trained_run: Path) -> None:
    for metrics in load_state(trained_run).history:
        found = metrics.train_reconstruction + metrics.train_kl
        assert metrics.train_loss == pytest.approx(found, rel=1e-5)
        found = metrics.validation_reconstruction + metrics.validation_kl
        assert metrics.validation_loss == pytest.approx(found, rel=1e-5)


def test_the_same_seed_gives_the_same_weights(
    tmp_path: Path, train_tiny: TrainTiny, trained_run: Path
) -> None:
    train_tiny(tmp_path / "again")
    assert_same_state(load_state(tmp_path / "again"), load_state(trained_run))


def test_another_seed_gives_other_weights(
    tmp_path: Path, train_tiny: TrainTiny, trained_run: Path
) -> None:
    train_tiny(tmp_path / "other", seed=1)
    ours, theirs = load_state(tmp_path / "other").weights, load_state(trained_run).weights
    assert not any(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_says_nothing_and_leaves_the_global_random_state_alone(
    tmp_path: Path, train_tiny: TrainTiny, capfd: pytest.CaptureFixture[str]
) -> None:
    before = torch.random.get_rng_state()
    train_tiny(tmp_path / "run", epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")


def test_every_step_is_told(
    tmp_path: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> None:
    told: list[StepMetrics] = []
    config = replace(tiny_train_config, epochs=1)
    (epoch,) = train(tiny_vae_config, config, digits, tmp_path / "run", on_step=told.append)
    assert [metrics.step for metrics in told] == list(range(1, STEPS_PER_EPOCH + 1))
    assert {metrics.total_steps for metrics in told} == {STEPS_PER_EPOCH}
    assert epoch.train_loss == pytest.approx(np.mean([float(each.loss) for each in told]))
    assert epoch.train_kl == pytest.approx(np.mean([float(each.kl) for each in told]))


# A discriminator, and what goes with it

ADVERSARIAL: dict[str, JsonValue] = {
    "adversarial_weight": 5.0,
    "adversarial_start": 0.4,
    "mirror": True,
    "clip_norm": 50.0,
}


@pytest.mark.parametrize("changes", [{}, {"discriminator": "global", "schedule": "held"}])
def test_with_a_discriminator_a_run_resumes_bit_for_bit_too(
    tmp_path: Path, train_tiny: TrainTiny, changes: dict[str, JsonValue]
) -> None:
    through, stopped, changes = tmp_path / "through", tmp_path / "stopped", ADVERSARIAL | changes
    train_tiny(through, **changes)
    train_tiny(stopped, stop=stop_after(2 * STEPS_PER_EPOCH + 1), **changes)
    train_tiny(stopped, resume=True, **changes)
    assert load_state(through).perceptual
    assert_same_state(load_state(stopped), load_state(through))


def test_a_discriminator_changes_nothing_before_it_is_listened_to(
    tmp_path: Path, train_tiny: TrainTiny
) -> None:
    train_tiny(tmp_path / "without", stop=stop_after(STEPS_PER_EPOCH))
    train_tiny(
        tmp_path / "with",
        stop=stop_after(STEPS_PER_EPOCH),
        adversarial_weight=5.0,
        adversarial_start=0.5,
    )
    ours, theirs = load_state(tmp_path / "with"), load_state(tmp_path / "without")
    assert all(torch.equal(ours.weights[name], theirs.weights[name]) for name in ours.weights)


def test_with_a_discriminator_the_last_epoch_is_published(
    tmp_path: Path, train_tiny: TrainTiny
) -> None:
    train_tiny(tmp_path / "run", **ADVERSARIAL)
    state = load_state(tmp_path / "run")
    average = {name.removeprefix("module."): t for name, t in state.ema.items()}
    assert all(torch.equal(tensor, average[name]) for name, tensor in state.best.items())


def test_clipping_bounds_a_step(tmp_path: Path, train_tiny: TrainTiny) -> None:
    history = train_tiny(tmp_path / "run", learning_rate=0.5, clip_norm=1e-9, warmup_steps=0)
    # Adam's step does not depend on the gradient's scale, unless that is below its ε.
    assert abs(history[-1].train_loss - history[0].train_loss) < 0.2 * history[0].train_loss


# Starting from what another run or a checkpoint learnt


@pytest.fixture
def begun(
    tmp_path: Path,
    trained_run: Path,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> Path:
    """A run as the command line leaves it."""
    run = shutil.copytree(trained_run, tmp_path / "begun")
    save_config(run, tiny_vae_config, tiny_train_config)
    return run


def test_a_run_starts_from_the_weights_of_another(
    tmp_path: Path, train_tiny: TrainTiny, begun: Path
) -> None:
    # So low a rate moves nothing that a test could see.
    train_tiny(tmp_path / "more", epochs=1, learning_rate=1e-12, start_from=str(begun))
    before, after = load_state(begun), load_state(tmp_path / "more")
    assert [metrics.epoch for metrics in after.history] == [1]
    for name, weights in before.best.items():
        assert torch.allclose(after.best[name], weights, atol=1e-6), name


def test_what_is_not_there_cannot_be_started_from(tmp_path: Path, train_tiny: TrainTiny) -> None:
    with pytest.raises(RunError):
        train_tiny(tmp_path / "run", start_from=str(tmp_path / "nothing"))


def test_a_blurred_model_starts_from_the_published_one_of_faces() -> None:
    blurred = find_preset("faces-vae-64-blur-finetune")
    folder = PROJECT / "checkpoints" / "faces-vae-64"
    build_model(blurred).load_state_dict(read_weights(folder, blurred))
    with pytest.raises(ConfigError, match="another one"):
        read_weights(folder, replace(blurred, variance=1.0))


def test_another_model_cannot_be_started_from(
    tmp_path: Path, tiny_vae_config: ModelConfig, train_tiny: TrainTiny, begun: Path
) -> None:
    wider = replace(tiny_vae_config, latent_dim=tiny_vae_config.latent_dim + 1)
    with pytest.raises(ConfigError, match="another one"):
        train_tiny(tmp_path / "run", model=wider, start_from=str(begun))


# Stop and resume


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([1], id="after the first step"),
        pytest.param([STEPS_PER_EPOCH + 4], id="within an epoch"),
        pytest.param([STEPS_PER_EPOCH], id="at the last batch of an epoch"),
        pytest.param([3 * STEPS_PER_EPOCH], id="at the last batch of all"),
        pytest.param([5, 1, STEPS_PER_EPOCH], id="three times"),
    ],
)
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, train_tiny: TrainTiny, trained_run: Path, steps: list[int]
) -> None:
    run = tmp_path / "run"
    for stops, count in enumerate(steps):
        train_tiny(run, resume=stops > 0, stop=stop_after(count))
        assert load_state(run).step == sum(steps[: stops + 1])
    train_tiny(run, resume=True)
    assert_same_state(load_state(run), load_state(trained_run))


@pytest.mark.parametrize(
    "changes",
    [{"normalization": "batch"}, {"kind": "autoencoder", "hidden_dim": 6}],
    ids=["batch normalisation", "autoencoder"],
)
def test_other_models_resume_bit_for_bit_too(
    tmp_path: Path,
    tiny_vae_config: ModelConfig,
    train_tiny: TrainTiny,
    changes: dict[str, JsonValue],
) -> None:
    model = replace(tiny_vae_config, **changes)
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    train_tiny(through, model=model, epochs=2, precision="bf16")
    train_tiny(stopped, model=model, epochs=2, precision="bf16", stop=stop_after(5))
    train_tiny(stopped, model=model, epochs=2, precision="bf16", resume=True)
    assert_same_state(load_state(stopped), load_state(through))


def test_a_run_is_not_resumed_on_other_pictures(
    half_way: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> None:
    before = (half_way / "state.safetensors").read_bytes()
    for other in (
        replace(digits, images=255 - np.asarray(digits.images), content=""),
        replace(digits, images=digits.images[:-9], split=digits.split[:-9], content=""),
        replace(digits, split=digits.split[::-1], content=""),
        replace(digits, content="0" * 64, split=digits.split[::-1]),
    ):
        with pytest.raises(DatasetError, match="have changed since this training began"):
            list(train(tiny_vae_config, tiny_train_config, other, half_way, resume=True))
    assert (half_way / "state.safetensors").read_bytes() == before


def test_a_finished_run_is_left_as_it_is(
    tmp_path: Path, train_tiny: TrainTiny, trained_run: Path
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    before = (run / "state.safetensors").read_bytes()
    assert train_tiny(run, resume=True) == []
    assert (run / "state.safetensors").read_bytes() == before


def test_an_epoch_is_on_disk_when_it_is_told(
    tmp_path: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> None:
    run = tmp_path / "run"
    for metrics in train(tiny_vae_config, tiny_train_config, digits, run):
        assert load_state(run).history[-1] == metrics
        assert [path.name for path in run.iterdir()] == ["state.safetensors"]


# The same through the command line, in a process of its own


def start_training(data_root: Path, out: str) -> subprocess.Popen[str]:
    """Start the command, and wait until its first epoch is on disk."""
    options = ["--config", "small.json", "--out", out, "--root", str(data_root)]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "vae_explorer", "train", *options],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.startswith("epoch   1/40") for line in process.stdout)
    return process


def test_killed_and_resumed_equals_uninterrupted(training_folder: Path, data_root: Path) -> None:
    process = start_training(data_root, "checkpoints/killed")
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(load_state(Path("runs/killed")).history) < 40
    assert not Path("checkpoints/killed").exists()

    root = ["--root", str(data_root)]
    assert main(["train", "--out", "checkpoints/killed", "--resume", *root]) == 0
    config = ["--config", "small.json"]
    assert main(["train", "--out", "checkpoints/through", *config, *root]) == 0
    assert_same_state(load_state(Path("runs/killed")), load_state(Path("runs/through")))
    killed, through = (
        Path("checkpoints", name, "model.safetensors").read_bytes()
        for name in ("killed", "through")
    )
    assert killed == through


def test_ctrl_c_saves_and_names_the_command_that_goes_on(
    training_folder: Path, data_root: Path
) -> None:
    process = start_training(data_root, "checkpoints/stopped")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped and saved." in output
    stopped = load_state(Path("runs/stopped"))
    assert len(stopped.history) < 40
    assert not Path("checkpoints/stopped").exists()

    _, command = output.rstrip().rsplit("Resume: python -m vae_explorer ", 1)
    assert main(shlex.split(command)) == 0
    assert len(load_state(Path("runs/stopped")).history) == 40
    assert Path("checkpoints/stopped/card.json").is_file()


# The best epoch


def test_training_ends_when_it_gets_no_better(
    tmp_path: Path, tiny_vae_config: ModelConfig, train_tiny: TrainTiny
) -> None:
    # 25 pictures and an autoencoder with room for them: it soon learns them by heart.
    model = replace(tiny_vae_config, kind="autoencoder", latent_dim=16)
    changes = {
        "epochs": 400,
        "batch_size": 25,
        "learning_rate": 0.03,
        "warmup_steps": 0,
        "weight_average": 0,
        "validation_fraction": 0.98,
        "patience": 4,
    }
    history = train_tiny(tmp_path / "run", model=model, **changes)
    state = load_state(tmp_path / "run")
    assert len(history) < 400
    best = min(history, key=lambda metrics: metrics.validation_loss)
    assert len(history) - best.epoch == 4
    assert any(not torch.equal(state.best[name], state.weights[name]) for name in state.best)
    assert train_tiny(tmp_path / "run", model=model, resume=True, **changes) == []


@pytest.mark.parametrize("weight_average", [0.0, 0.9])
def test_the_ema_weights_are_evaluated(
    tmp_path: Path, train_tiny: TrainTiny, weight_average: float
) -> None:
    train_tiny(tmp_path / "run", epochs=1, weight_average=weight_average)
    state = load_state(tmp_path / "run")
    assert all(torch.equal(state.best[n], state.ema[f"module.{n}"]) for n in state.best)
    same = all(torch.equal(state.best[name], state.weights[name]) for name in state.best)
    assert same == (weight_average == 0)


# Losses that are not numbers


def test_a_diverging_run_stops_and_keeps_the_last_good_state(
    half_way: Path, train_tiny: TrainTiny, trained_run: Path
) -> None:
    before = (half_way / "state.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=r"epoch 2.*epoch 1 is saved.*lower.*than 1e\+06"):
        train_tiny(half_way, resume=True, learning_rate=DIVERGING)
    assert (half_way / "state.safetensors").read_bytes() == before
    train_tiny(half_way, resume=True)
    assert_same_state(load_state(half_way), load_state(trained_run))


def test_a_stop_does_not_save_what_is_not_a_number(half_way: Path, train_tiny: TrainTiny) -> None:
    before = (half_way / "state.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="not a number"):
        train_tiny(half_way, resume=True, learning_rate=DIVERGING, stop=stop_after(4))
    assert (half_way / "state.safetensors").read_bytes() == before


def test_weights_broken_by_the_last_step_of_an_epoch_are_not_saved(
    tmp_path: Path, train_tiny: TrainTiny
) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1, by step 1\. No epoch was finished"):
        train_tiny(tmp_path / "run", batch_size=2000, warmup_steps=0, learning_rate=DIVERGING)
    assert not (tmp_path / "run").exists()


# Data


@pytest.mark.parametrize("fraction", [0.05, 0.5])
def test_train_and_validation_rows_part_the_train_split(
    digits: ImageDataset, fraction: float
) -> None:
    config = TrainConfig(dataset="digits", validation_fraction=fraction)
    train_rows, validation_rows = split_rows(digits, config)
    both = np.concatenate([train_rows, validation_rows])
    assert np.array_equal(np.sort(both), digits.rows("train"))
    assert len(validation_rows) == round(fraction * len(both))
    again, other = (split_rows(digits, replace(config, seed=seed))[1] for seed in (0, 1))
    assert np.array_equal(again, validation_rows)
    assert not np.array_equal(other, validation_rows)


def test_only_the_train_split_is_read_and_each_part_for_its_purpose(
    tmp_path: Path, digits: ImageDataset, train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []
    take = ImageDataset.take

    def record(self: ImageDataset, rows: np.ndarray, image_size: int | None = None) -> np.ndarray:
        asked.append(rows)
        return take(self, rows, image_size)

    monkeypatch.setattr(ImageDataset, "take", record)
    train_tiny(tmp_path / "run", epochs=2)

    train_rows, validation_rows = split_rows(digits, TrainConfig(dataset="digits"))
    assert len(asked) == 2 * (STEPS_PER_EPOCH + 1)
    epochs = []
    for start in (0, STEPS_PER_EPOCH + 1):
        learnt = np.concatenate(asked[start : start + STEPS_PER_EPOCH])
        assert len(np.unique(learnt)) == len(learnt) == STEPS_PER_EPOCH * 128
        assert np.isin(learnt, train_rows).all()
        assert np.array_equal(asked[start + STEPS_PER_EPOCH], validation_rows)
        epochs.append(learnt)
    assert not np.array_equal(*epochs)
    assert not np.isin(np.concatenate(asked), digits.rows("test")).any()


@pytest.mark.parametrize(("fraction", "validated"), [(1e-6, 1), (0.05, 1), (1 - 1e-6, -1)])
@pytest.mark.parametrize("count", [2, 3, 12])
def test_a_split_leaves_an_image_on_either_side(
    digits: ImageDataset, count: int, fraction: float, validated: int
) -> None:
    few = take_images(digits, train=count, val=1)
    rows, validation_rows = split_rows(few, TrainConfig("digits", validation_fraction=fraction))
    assert len(validation_rows) == validated % count
    assert sorted([*rows, *validation_rows]) == few.rows("train").tolist()


def test_the_val_split_validates_a_single_training_image(digits: ImageDataset) -> None:
    single = take_images(digits, train=1, val=2)
    rows, validation_rows = split_rows(single, TrainConfig("digits"))
    assert rows.tolist() == [0]
    assert validation_rows.tolist() == [1, 2]


@pytest.mark.parametrize("activate_projection", [False, True])
@pytest.mark.parametrize(("count", "batch_size"), [(1, 8), (3, 1), (10, 4), (10, 8), (2, 2)])
def test_batch_norm_trains_on_batches_of_one_image(
    tmp_path: Path, digits: ImageDataset, count: int, batch_size: int, activate_projection: bool
) -> None:
    # A single one, one a batch, and one left over where the statistics are recomputed.
    model_config = ModelConfig(
        image_size=8,
        image_channels=1,
        latent_dim=2,
        channels=(4, 4, 4),  # down to one pixel, where an image is one value per channel
        normalization="batch",
        activate_projection=activate_projection,
    )
    few = take_images(digits, train=count, val=1)
    config = TrainConfig("digits", epochs=2, batch_size=batch_size, precision="float32")
    (tmp_path / "run").mkdir()
    history = list(train(model_config, config, few, tmp_path / "run"))
    assert len(history) == 2
    for tensor in load_state(tmp_path / "run").best.values():
        assert torch.isfinite(tensor).all()
    said = " ".join(describe_adaptations(model_config, config, few))
    assert ("running statistics" in said) == (count <= 2 or batch_size == 1)
    assert ("one training image" in said) == (count == 1)


@pytest.mark.parametrize("counts", [(0, 5), (1, 0)])
def test_too_few_images_to_train_and_validate_are_refused(
    digits: ImageDataset, counts: tuple[int, int]
) -> None:
    train, val = counts
    with pytest.raises(TrainingError, match=f"at least two images.* digits has {train}"):
        split_rows(take_images(digits, train=train, val=val), TrainConfig("digits"))


def test_a_model_for_pictures_of_other_channels_is_refused(
    tmp_path: Path, tiny_vae_config: ModelConfig, train_tiny: TrainTiny
) -> None:
    colour = replace(tiny_vae_config, image_channels=3)
    with pytest.raises(
        TrainingError, match=r"digits have 1 channels.*takes 3\. Set image_channels"
    ):
        train_tiny(tmp_path / "run", model=colour)
    assert not (tmp_path / "run").exists()


def test_snapshots_are_the_encodings_of_the_held_out_split(
    tmp_path: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    train_tiny: TrainTiny,
    trained_run: Path,
) -> None:
    run = tmp_path / "run"
    train_tiny(run, keep_epochs=True)
    names = sorted(path.stem for path in (run / "epochs").iterdir())
    assert names == ["0001", "0002", "0003", "pictures"]
    state = load_state(run)
    assert_same_state(state, load_state(trained_run))  # keeping them changes nothing
    assert not (trained_run / "epochs").exists()

    model = build_model(tiny_vae_config).eval()
    model.load_state_dict(state.best)
    expected = encode_dataset(model, digits, digits.rows("test")).z_mean
    best = min(state.history, key=lambda metrics: metrics.validation_loss)
    kept = load_file(run / "epochs" / f"{best.epoch:04d}.safetensors")["z_mean"]
    assert kept.dtype == np.float16
    np.testing.assert_allclose(kept, expected, rtol=2e-3, atol=1e-3)


def test_a_run_that_dies_as_it_saves_misses_no_snapshot(
    tmp_path: Path, train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, rename = tmp_path / "run", Path.replace

    def rename_and_die(self: Path, target: Path) -> None:
        rename(self, target)
        if target == run / "state.safetensors":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", rename_and_die)
        train_tiny(run, keep_epochs=True)
    train_tiny(run, keep_epochs=True, resume=True)
    assert list_epochs(run) == [1, 2, 3]


# The schedule and the EMA


@pytest.mark.parametrize(("total", "warmup"), [(1000, 200), (1000, 0), (10, 200), (1, 0), (2, 5)])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(total: int, warmup: int) -> None:
    config = TrainConfig(dataset="digits", learning_rate=0.01, warmup_steps=warmup)
    rates = np.array([learning_rate(step, total, config) for step in range(total + 1)])
    peak = int(rates.argmax())
    assert rates.max() == pytest.approx(0.01)
    assert peak <= max(min(warmup, total // 2), 0)
    assert np.all(rates[:-1] > 0)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(np.diff(rates[: peak + 1], n=2), 0, atol=1e-12)  # straight up
    assert np.all(np.diff(rates[peak + 1 :]) < 0)


def test_a_learning_rate_may_be_held_for_half_of_the_steps() -> None:
    config = TrainConfig(dataset="digits", learning_rate=0.01, warmup_steps=200, schedule="held")
    steps = [0, 99, 199, 200, 499, 500, 750, 1000]
    rates = [learning_rate(step, 1000, config) / 0.01 for step in steps]
    assert rates == pytest.approx([0.005, 0.5, 1, 1, 1, 1, 0.55, 0.1])


def test_the_history_tells_the_learning_rate_of_the_last_step(
    trained_run: Path, tiny_train_config: TrainConfig
) -> None:
    total = 3 * STEPS_PER_EPOCH
    for metrics in load_state(trained_run).history:
        step = metrics.epoch * STEPS_PER_EPOCH - 1
        assert metrics.learning_rate == learning_rate(step, total, tiny_train_config)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_the_average_moves_by_its_decay_once_it_is_warm(decay: float) -> None:
    average, weights = [torch.zeros(3)], [torch.ones(3)]
    ema_update(decay)(average, weights, torch.tensor(10**6))
    torch.testing.assert_close(average[0], torch.full((3,), 1 - decay))


def test_the_average_forgets_the_initial_weights_early() -> None:
    update = ema_update(0.999)
    average = [torch.zeros(1)]
    for count in range(1, 31):
        update(average, [torch.ones(1)], torch.tensor(count))
    assert average[0] > 0.99  # at 0.999 alone, 30 steps would give 0.03


def test_the_average_of_constant_weights_is_them() -> None:
    average, weights = [torch.full((2,), 0.7)], [torch.full((2,), 0.7)]
    for count in range(50):
        ema_update(0.9)(average, weights, torch.tensor(count))
    torch.testing.assert_close(average, weights)


# The folder of a run


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_noise(path: Path) -> None:
    path.write_bytes(b"\xff" * 5000)


def damage_metadata(path: Path) -> None:
    save_file(load_file(path), path)


def damage_counters(path: Path) -> None:
    save_file(load_file(path), path, metadata={"state": '{"step": 3}'})


def damage_groups(path: Path) -> None:
    save_file({"nothing/x": np.zeros(1)}, path, metadata={"state": "{}"})


@pytest.mark.parametrize(
    "damage",
    [damage_cut, damage_empty, damage_noise, damage_metadata, damage_counters, damage_groups],
)
def test_a_damaged_state_is_said_to_be_so(
    tmp_path: Path, trained_run: Path, damage: Callable[[Path], None]
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    damage(run / "state.safetensors")
    with pytest.raises(RunError, match=r"state of the run run cannot be read.*--restart"):
        load_state(run)


def test_no_state_is_nothing_to_resume(tmp_path: Path, train_tiny: TrainTiny) -> None:
    with pytest.raises(RunError, match=r"nothing to resume in run.*without --resume"):
        train_tiny(tmp_path / "run", resume=True)


def test_a_configuration_is_read_as_it_was_saved(
    tmp_path: Path, tiny_vae_config: ModelConfig, tiny_train_config: TrainConfig
) -> None:
    save_config(tmp_path / "run", tiny_vae_config, tiny_train_config)
    assert load_config(tmp_path / "run") == (tiny_vae_config, tiny_train_config)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": {}, "train": {}}', '{"model": 3'])
def test_a_damaged_configuration_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"configuration of the run .* cannot be read.*--restart"):
        load_config(tmp_path)


def test_no_configuration_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run 'never'.*without --resume"):
        load_config(tmp_path / "never")


# Batch normalization of the EMA weights


def test_ema_weights_get_statistics_of_their_own(
    tmp_path: Path, train_tiny: TrainTiny, tiny_vae_config: ModelConfig
) -> None:
    model = replace(tiny_vae_config, normalization="batch")
    train_tiny(tmp_path / "run", model=model, epochs=1)
    state = load_state(tmp_path / "run")
    statistics = [name for name in state.best if name.endswith("running_mean")]
    assert statistics
    assert not any(torch.equal(state.best[name], state.weights[name]) for name in statistics)


def test_updated_statistics_are_those_of_the_images() -> None:
    config = ModelConfig(
        image_size=8, image_channels=1, latent_dim=2, channels=(4,), normalization="batch"
    )
    model = build_model(config, seed=0)
    first = next(part for part in model.modules() if isinstance(part, nn.BatchNorm2d))
    first.running_mean.fill_(1e3)
    images = torch.rand(4, 16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []
    handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    update_batch_norm(model, images, torch.Generator().manual_seed(0))
    handle.remove()
    torch.testing.assert_close(first.running_mean, torch.cat(seen).mean(dim=(0, 2, 3)))
    assert first.momentum == nn.BatchNorm2d(1).momentum
    assert not model.training


def test_a_model_without_batch_normalisation_asks_for_no_images(
    tiny_vae_config: ModelConfig,
) -> None:
    model = build_model(tiny_vae_config)

    def images() -> Iterator[Tensor]:
        raise AssertionError("asked for images")
        yield

    update_batch_norm(model, images(), torch.Generator())
