from __future__ import annotations

from pathlib import Path

import pytest

from vae_explorer.checkpoints import load_checkpoint, save_checkpoint
from vae_explorer.cli import main
from vae_explorer.data import DatasetError, load_dataset
from vae_explorer.errors import ReadOnlyError
from vae_explorer.workspace import READ_ONLY, is_read_only, refuse_when_read_only


@pytest.mark.parametrize("value", ["1", "true", "yes", "TRUE", " Yes ", "on", "ture"])
def test_what_is_not_clearly_no_closes_the_copy(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(READ_ONLY, value)
    assert is_read_only()


@pytest.mark.parametrize("value", ["", "0", "false", "no", "No ", "off"])
def test_no_leaves_it_open(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(READ_ONLY, value)
    assert not is_read_only()
    refuse_when_read_only("training")


def test_it_is_open_unless_told_and_the_environment_is_read_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(READ_ONLY, raising=False)
    assert not is_read_only()
    monkeypatch.setenv(READ_ONLY, "1")
    assert is_read_only()


def test_a_refusal_says_what_is_off_and_how_to_turn_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    with pytest.raises(ReadOnlyError, match="deleting a model is turned off") as refusal:
        refuse_when_read_only("deleting a model")
    assert READ_ONLY in str(refusal.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "digits"],
        ["train", "--dataset", "digits", "--model", "fashion-vae", "--out", "checkpoints/x"],
        ["train-classifier", "--dataset", "celeba", "--out", "checkpoints/classifiers/x"],
        ["evaluate", "checkpoints/x", "--write"],
        ["encode", "x", "pictures", "--out", "x.csv"],
        ["decode", "x", "x.csv", "--out", "pictures"],
        ["export", "x", "--out", "onnx"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_write_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(READ_ONLY, "1")
    assert main(arguments) == 2
    assert f"the command {arguments[0]} is turned off" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_only_reads_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    checkpoint_root: Path,
    data_root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    assert main(["list"]) == 0
    path = str(checkpoint_root / "digits-vae-2d")
    assert main(["evaluate", path, "--root", str(data_root)]) == 0
    assert "negative_elbo" in capsys.readouterr().out


def test_neither_a_checkpoint_nor_data_is_written(
    monkeypatch: pytest.MonkeyPatch, checkpoint_root: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    checkpoint = load_checkpoint("digits-vae-2d")
    parts = ("model", "card", "encodings", "history", "latent")
    with pytest.raises(ReadOnlyError, match="writing mine is turned off"):
        save_checkpoint(tmp_path / "mine", **{part: getattr(checkpoint, part) for part in parts})
    with pytest.raises(DatasetError, match="preparing Digits, 8×8 is turned off"):
        load_dataset("digits", tmp_path)
    assert list(tmp_path.iterdir()) == []
