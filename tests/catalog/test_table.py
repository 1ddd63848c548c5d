"""What is known of all models: rows of checkpoints and runs, what may be compared, CSV."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from vae_explorer.catalog.table import (
    COLUMNS,
    RUN,
    ModelRow,
    find_differences,
    list_rows,
    write_csv,
)
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.models import build_model, count_parameters
from vae_explorer.training.state import load_state, save_config

VAE, AUTOENCODER = "digits-vae-2d", "digits-ae-2d"


@pytest.fixture
def runs(
    tmp_path: Path,
    trained_run: Path,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> Path:
    """A folder of runs: one of three epochs, one that has just begun, and what is none."""
    folder = tmp_path / "runs"
    shutil.copytree(trained_run, folder / "three")
    for name in ("three", "begun"):
        save_config(folder / name, tiny_vae_config, tiny_train_config)
    (folder / "classifiers" / "deeper").mkdir(parents=True)
    (folder / "notes.json").write_text("{}")
    return folder


def by_id(runs: Path, root: Path | None = None) -> dict[str, ModelRow]:
    rows, errors = list_rows(runs, root)
    assert errors == {}
    return {row.id: row for row in rows}


def test_a_checkpoint_says_what_its_card_says(checkpoint_root: Path, tmp_path: Path) -> None:
    row = by_id(tmp_path / "none")[VAE]
    checkpoint = load_checkpoint(VAE)
    metrics = checkpoint.card.metrics
    for name in ("negative_elbo", "reconstruction", "kl", "active_units", "psnr"):
        assert getattr(row, name) == metrics[name].value
    assert row.negative_elbo == pytest.approx(row.reconstruction + row.kl)
    assert row.parameters == count_parameters(checkpoint.model)
    assert row.seconds == pytest.approx(checkpoint.history["seconds"].sum())
    assert (row.epochs, row.beta, row.measured_on) == (10, 0.1, "held-out")
    assert not row.is_run


def test_an_autoencoder_has_no_rate_and_no_bound(checkpoint_root: Path, tmp_path: Path) -> None:
    row = by_id(tmp_path)[AUTOENCODER]
    assert (row.beta, row.kl, row.negative_elbo) == (None, None, None)
    assert row.reconstruction > 0


def test_a_run_says_what_its_best_epoch_was(checkpoint_root: Path, runs: Path) -> None:
    row = by_id(runs)[RUN + "three"]
    best = min(load_state(runs / "three").history, key=lambda epoch: epoch.validation_loss)
    assert row.reconstruction == best.validation_reconstruction
    assert row.kl == best.validation_kl
    assert row.negative_elbo == best.validation_reconstruction + best.validation_kl
    assert (row.epochs, row.measured_on, row.data) == (3, "validation", "Digits, 8×8")
    assert (row.psnr, row.active_units) == (None, None)
    model = build_model(row.model)
    assert row.parameters == count_parameters(model.encoder) + count_parameters(model.decoder)


def test_a_run_without_an_epoch_has_no_numbers_yet(checkpoint_root: Path, runs: Path) -> None:
    row = by_id(runs)[RUN + "begun"]
    assert (row.epochs, row.seconds, row.negative_elbo) == (0, None, None)


def test_a_run_that_goes_on_is_read_anew(checkpoint_root: Path, runs: Path) -> None:
    assert by_id(runs)[RUN + "begun"].epochs == 0
    shutil.copy(runs / "three" / "state.safetensors", runs / "begun")
    assert by_id(runs)[RUN + "begun"].epochs == 3


def test_a_published_run_is_listed_once_and_one_that_differs_is_not_lost(
    checkpoint_root: Path, runs: Path
) -> None:
    card = load_checkpoint(VAE).card
    save_config(runs / VAE, card.model, card.train)
    assert RUN + VAE in by_id(runs)  # under way
    (runs / VAE / "published").touch()
    assert RUN + VAE not in by_id(runs)
    (runs / VAE).rename(runs / "before")
    assert RUN + "before" not in by_id(runs)  # the model was renamed
    (runs / "before").rename(runs / VAE)
    save_config(runs / VAE, card.model, replace(card.train, beta=7.0))
    assert by_id(runs)[RUN + VAE].beta == 7


def test_what_is_broken_is_named_and_hides_nothing(checkpoint_root: Path, runs: Path) -> None:
    whole = by_id(runs)
    (runs / "begun" / "config.json").write_text("{")
    (runs / "three" / "state.safetensors").write_bytes(b"no tensors")
    rows, errors = list_rows(runs)
    assert {row.id for row in rows} == {id for id in whole if not id.startswith(RUN)}
    assert errors.keys() == {RUN + "begun", RUN + "three"}
    assert "state of the run three cannot be read" in errors[RUN + "three"]
    assert "--restart" in errors[RUN + "begun"]


def test_a_broken_checkpoint_is_named(checkpoint_root: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint_root / VAE, tmp_path / VAE)
    (tmp_path / VAE / "history.csv").write_text("epoch\n1\n")
    rows, errors = list_rows(tmp_path / "none", tmp_path)
    assert rows == []
    assert "history.csv is damaged" in errors[VAE]


def test_the_best_of_a_data_set_comes_first(checkpoint_root: Path, runs: Path) -> None:
    sums = [row.negative_elbo for row in list_rows(runs)[0]]
    known = [value for value in sums if value is not None]
    assert known == sorted(known)
    assert sums[len(known) :] == [None] * (len(sums) - len(known))


def test_columns_of_numbers_hold_numbers(checkpoint_root: Path, runs: Path) -> None:
    rows, _ = list_rows(runs)
    for column in COLUMNS:
        kinds = {type(column.read(row)) for row in rows} - {type(None)}
        assert kinds <= ({int, float} if column.is_number else {str, date})


def test_a_csv_file_read_back_is_the_table(checkpoint_root: Path, runs: Path) -> None:
    rows, _ = list_rows(runs)
    lines = list(csv.DictReader(io.StringIO(write_csv(rows))))
    assert [line["folder"] for line in lines] == [row.id for row in rows]
    for line, row in zip(lines, rows, strict=True):
        for column in COLUMNS:
            wanted = column.read(row)
            if wanted is None:
                assert line[column.key] == ""
            elif column.is_number:
                assert float(line[column.key]) == wanted  # to the last digit
            else:
                assert line[column.key] == str(wanted)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("x")'])
def test_a_name_is_no_formula_in_a_spreadsheet(
    checkpoint_root: Path, tmp_path: Path, name: str
) -> None:
    row = replace(by_id(tmp_path)[VAE], name=name, beta=-1.0)
    (line,) = csv.DictReader(io.StringIO(write_csv([row])))
    assert line["name"] == f"'{name}"
    assert float(line["beta"]) == -1  # a number is left one


def test_nats_are_comparable_only_where_nothing_else_differs(
    checkpoint_root: Path, tmp_path: Path
) -> None:
    row = by_id(tmp_path)[VAE]
    other = replace(row, beta=4.0, model=replace(row.model, latent_dim=9))
    assert find_differences([row, other]) == {}
    larger = replace(row, model=replace(row.model, image_size=16, likelihood="gaussian"))
    found = find_differences([row, larger])
    assert found.keys() == {"image size", "likelihood"}
    assert found["image size"] == ["16 px", "8 px"]
    assert find_differences([row, replace(row, data="MNIST")]) == {"data": ["Digits, 8×8", "MNIST"]}


def test_a_card_without_numbers_leaves_gaps(checkpoint_root: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint_root / VAE, tmp_path / VAE)
    text = (tmp_path / VAE / "card.json").read_text(encoding="utf-8")
    start, end = text.index('"metrics": {') + len('"metrics": {'), text.index('"label_names"')
    (tmp_path / VAE / "card.json").write_text(f"{text[:start]}}}, {text[end:]}", encoding="utf-8")
    (row,) = list_rows(tmp_path / "none", tmp_path)[0]
    assert row.negative_elbo is None
    assert np.isfinite(row.seconds)
