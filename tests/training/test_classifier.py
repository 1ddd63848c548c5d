"""Attribute classifiers: their training, and the command."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.classifiers import (
    EPOCHS,
    NAMES,
    TINY,
    TRAIN,
    architectures,
    make_faces,
    make_images,
)
from vae_explorer import workspace
from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.classifiers.network import (
    build_classifier,
)
from vae_explorer.classifiers.storage import (
    load_classifier,
)
from vae_explorer.cli import classifier as classifier_command
from vae_explorer.cli import main
from vae_explorer.data import ImageDataset
from vae_explorer.errors import DatasetError, RunError, TrainingError
from vae_explorer.publishing import measure_accuracy
from vae_explorer.training.batches import split_rows
from vae_explorer.training.classifier import (
    best_of,
    degradation,
    load_best,
    load_config,
    load_state,
    save_config,
    train_classifier,
)
from vae_explorer.training.state import ClassifierEpoch, RunState

# Degradation


def test_degradation_blurs_and_keeps_what_is_even() -> None:
    rng = np.random.default_rng(3)
    flat = torch.full((2, 3, 16, 16), 0.3)
    noise = torch.from_numpy(make_images(4))
    for _ in range(20):
        torch.testing.assert_close(degradation(flat, rng), flat)
        blurred = degradation(noise, rng)
        assert blurred.shape == noise.shape
        assert 0 <= blurred.min() <= blurred.max() <= 1 + 1e-6
        assert blurred.diff(dim=3).square().mean() < noise.diff(dim=3).square().mean()
        assert blurred.diff(dim=2).square().mean() < noise.diff(dim=2).square().mean()


def test_degradation_is_the_same_both_ways_and_follows_the_generator() -> None:
    images = torch.from_numpy(make_images(4))
    one = degradation(images, np.random.default_rng(5))
    assert torch.equal(degradation(images, np.random.default_rng(5)), one)
    turned = degradation(images.transpose(2, 3), np.random.default_rng(5)).transpose(2, 3)
    torch.testing.assert_close(turned, one)
    assert not torch.allclose(degradation(images, np.random.default_rng(6)), one)


# Training


def assert_same_state(one: RunState[ClassifierEpoch], other: RunState[ClassifierEpoch]) -> None:
    """Equal bit for bit, except for the time it took."""
    for group in ("weights", "ema", "best", "optimizer", "perceptual"):
        ours, theirs = getattr(one, group), getattr(other, group)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert (one.step, one.loss_sums) == (other.step, other.loss_sums)
    without_time = [[replace(e, seconds=0) for e in each.history] for each in (one, other)]
    assert without_time[0] == without_time[1]


@architectures
def test_planted_attributes_are_learnt(
    architecture: str, classifier_runs: dict[str, Path], classifier_faces: ImageDataset
) -> None:
    classifier, history = load_best(classifier_runs[architecture])
    assert [each.epoch for each in history] == list(range(1, EPOCHS + 1))
    assert history[-1].train_loss < history[0].train_loss
    assert measure_accuracy(classifier, classifier_faces, classifier_faces.rows("val")).min() > 0.95
    untrained = measure_accuracy(
        build_classifier(TINY[architecture]).eval(), classifier_faces, np.arange(80)
    )
    assert untrained.mean() < 0.8


def test_the_best_epoch_is_kept_and_measured_on_rows_not_learnt_from(
    classifier_runs: dict[str, Path], classifier_faces: ImageDataset
) -> None:
    classifier, history = load_best(classifier_runs["strided"])
    rows = split_rows(classifier_faces, TRAIN)[1]
    found = measure_accuracy(classifier, classifier_faces, rows).mean()
    assert best_of(history).validation_accuracy == pytest.approx(found)
    assert found == pytest.approx(max(each.validation_accuracy for each in history))


@architectures
def test_stopped_and_resumed_equals_uninterrupted(
    architecture: str,
    tmp_path: Path,
    classifier_runs: dict[str, Path],
    classifier_faces: ImageDataset,
) -> None:
    network, run = TINY[architecture], tmp_path / "run"
    next(iter(train_classifier(network, TRAIN, classifier_faces, run)))
    assert len(load_state(run).history) == 1
    list(train_classifier(network, TRAIN, classifier_faces, run, resume=True))
    assert_same_state(load_state(run), load_state(classifier_runs[architecture]))
    assert list(train_classifier(network, TRAIN, classifier_faces, run, resume=True)) == []


@architectures
@pytest.mark.parametrize("steps", [1, 11, 15], ids=["first", "last of an epoch", "within an epoch"])
def test_stopped_at_any_step_and_resumed_equals_uninterrupted(
    architecture: str,
    tmp_path: Path,
    classifier_runs: dict[str, Path],
    classifier_faces: ImageDataset,
    steps: int,
) -> None:
    network, run = TINY[architecture], tmp_path / "run"
    countdown = iter(range(steps - 1, -1, -1))
    stopped = train_classifier(
        network, TRAIN, classifier_faces, run, should_stop=lambda: next(countdown) == 0
    )
    assert len(list(stopped)) == (steps - 1) // 11  # at the last step the epoch is not evaluated
    assert load_state(run).step == steps
    if steps < 11:
        save_config(run, network, TRAIN)
        with pytest.raises(RunError, match=r"No epoch of run is finished.*--resume"):
            load_best(run)
    list(train_classifier(network, TRAIN, classifier_faces, run, resume=True))
    assert_same_state(load_state(run), load_state(classifier_runs[architecture]))


def test_a_run_is_not_resumed_on_other_images(
    tmp_path: Path, classifier_faces: ImageDataset, classifier_runs: dict[str, Path]
) -> None:
    run = shutil.copytree(classifier_runs["strided"], tmp_path / "run")
    other = replace(classifier_faces, images=255 - classifier_faces.images)
    with pytest.raises(DatasetError, match="have changed since this training began"):
        next(train_classifier(TINY["strided"], TRAIN, other, run, resume=True))


def test_it_says_nothing_and_tells_every_step(
    tmp_path: Path, classifier_faces: ImageDataset, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []
    config = replace(TRAIN, epochs=1, precision="bf16")
    (epoch,) = train_classifier(
        TINY["strided"],
        config,
        classifier_faces,
        tmp_path / "run",
        on_step=lambda step, total: told.append((step, total)),
    )
    assert told == [(step, 11) for step in range(1, 12)]  # 360 rows in batches of 32
    assert np.isfinite([epoch.train_loss, epoch.validation_loss]).all()
    assert capfd.readouterr() == ("", "")


def test_a_loss_that_is_not_a_number_stops_it_and_keeps_the_last_state(
    tmp_path: Path, classifier_faces: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    epochs = train_classifier(TINY["strided"], TRAIN, classifier_faces, run)
    next(epochs)
    before = (run / "state.safetensors").read_bytes()
    monkeypatch.setattr("vae_explorer.training.trainer.learning_rate", lambda *_: np.inf)
    with pytest.raises(TrainingError, match=r"NaN or infinite in epoch 2.*epoch 1 is saved"):
        next(epochs)
    assert (run / "state.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"attributes": None, "attribute_names": ()}, "found none where the classifier has Bright"),
        (
            {"attribute_names": ("Red", "Bright", "Blue")},
            r"found Red, Bright, Blue ... \(3\)",
        ),
        ({"images": np.zeros((480, 3, 8, 8), np.uint8)}, "of 3x16x16; those .* are 3x8x8"),
        ({"images": np.zeros((480, 1, 16, 16), np.uint8)}, "of 3x16x16; those .* are 1x16x16"),
        ({"split": np.array(["val"] * 480)}, "at least two images"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    tmp_path: Path, classifier_faces: ImageDataset, changes: dict[str, object], advice: str
) -> None:
    with pytest.raises(TrainingError, match=advice):
        next(
            train_classifier(
                TINY["strided"], TRAIN, replace(classifier_faces, **changes), tmp_path / "run"
            )
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("count", "batch_size"), [(2, 8), (4, 1)])
@architectures
def test_few_images_and_batches_of_one_train_a_classifier(
    tmp_path: Path,
    classifier_faces: ImageDataset,
    architecture: str,
    count: int,
    batch_size: int,
) -> None:
    faces = replace(
        classifier_faces,
        images=classifier_faces.images[:6],
        attributes=np.tile([True, False, True], (6, 1)),
        split=np.repeat(["train", "val"], [count, 6 - count]),
    )
    network = replace(TINY[architecture], channels=(4, 4, 4, 4))
    config = replace(TRAIN, epochs=1, batch_size=batch_size)
    (epoch,) = train_classifier(network, config, faces, tmp_path / "run")
    assert np.isfinite([epoch.train_loss, epoch.validation_loss]).all()
    assert 0 <= epoch.validation_accuracy <= 1


def test_a_run_that_cannot_be_resumed_says_so(
    tmp_path: Path, classifier_faces: ImageDataset
) -> None:
    run = tmp_path / "run"
    with pytest.raises(RunError, match="nothing to resume"):
        next(train_classifier(TINY["strided"], TRAIN, classifier_faces, run, resume=True))
    with pytest.raises(RunError, match="no run "):
        load_config(run)
    run.mkdir()
    for file, load in (("state.safetensors", load_state), ("config.json", load_config)):
        (run / file).write_bytes(b"{}")
        with pytest.raises(RunError, match=r"cannot be read .*--restart"):
            load(run)


# The command

OUT = Path("checkpoints/classifiers/small")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `train-classifier` in a folder of its own, on 40 pictures with a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(classifier_command, "IMAGE_SIZE", 16)
    monkeypatch.setattr(classifier_command, "CHANNELS", {"strided": (8,), "residual": (8,)})
    images, attributes = make_faces(40)
    Path("faces").mkdir()
    with Path("faces/attributes.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["picture", *NAMES])
        for index, (image, row) in enumerate(zip(images, attributes.astype(int), strict=True)):
            Image.fromarray(image.transpose(1, 2, 0)).save(f"faces/{index:02d}.png")
            writer.writerow([f"{index:02d}.png", *row])

    def run(*options: str) -> int:
        return main(["train-classifier", "--source", "faces", "--out", str(OUT), *options])

    return run


NEW = ("--dataset", "folder", "--architecture", "residual", "--epochs", "2", "--seed", "3")


def test_the_command_trains_and_publishes(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*NEW) == 0
    told = capsys.readouterr().out
    assert "epoch   2/2  train" in told
    assert f"Saved {OUT}" in told
    network = load_classifier("small")
    assert network.config.attributes == NAMES
    assert network.config.architecture == "residual"
    card = json.loads((OUT / "card.json").read_text(encoding="utf-8"))
    assert (card["training"]["seed"], card["training"]["epochs"]) == (3, 2)
    assert f"Mean accuracy {card['mean_accuracy']:.4f}" in told
    assert list_checkpoints() == ({}, {})

    assert command(*NEW) == 2
    assert "already exists" in capsys.readouterr().err
    assert command(*NEW, "--replace") == 0


def test_a_stopped_command_goes_on_and_keeps_its_configuration(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(classifier_command.tqdm, "write", interrupt)  # after the first epoch
        assert command(*NEW) == 130
    told = capsys.readouterr().out
    assert "train-classifier --resume --out checkpoints/classifiers/small" in told
    assert "--source faces" in told
    assert not OUT.exists()

    assert command(*NEW) == 2
    assert "unfinished" in capsys.readouterr().err
    assert command("--resume", "--seed", "4") == 2
    assert "was started with seed 3, not 4" in capsys.readouterr().err
    assert command("--resume") == 0
    assert [each.epoch for each in load_state(Path("runs/classifiers/small")).history] == [1, 2]
    assert load_classifier("small").config.architecture == "residual"


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (
            ["--dataset", "folder"],
            "No network given. Choose one with --architecture: strided, resid",
        ),
        (["--architecture", "striding", "--dataset", "folder"], "Did you mean 'strided'?"),
        (["--architecture", "strided"], "No data set given"),
        (["--architecture", "strided", "--dataset", "face"], "no data set 'face'"),
        (["--architecture", "strided", "--dataset", "folder", "--epochs", "0"], "epochs must be"),
        (["--resume"], "no run "),
    ],
)
def test_the_command_refuses_with_a_word_of_advice(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    advice: str,
) -> None:
    assert command(*options) == 2
    assert advice in capsys.readouterr().err
    assert not Path("runs").exists()


def test_data_without_attributes_is_refused_by_the_command(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("faces/attributes.csv").unlink()
    assert command(*NEW) == 2
    assert "folder has no attributes" in capsys.readouterr().err
