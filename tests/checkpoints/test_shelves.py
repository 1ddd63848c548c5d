"""Two shelves: models that come with the app, which are only read, and the user's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vae_explorer import workspace
from vae_explorer.catalog.archive import pack_checkpoint, unpack_checkpoint
from vae_explorer.catalog.library import (
    check_free,
    delete_checkpoint,
    free_name,
    is_shipped,
    rename_checkpoint,
)
from vae_explorer.catalog.table import list_rows
from vae_explorer.checkpoints import find_checkpoint, list_checkpoints, load_checkpoint
from vae_explorer.classifiers.storage import find_classifier, load_classifier, save_classifier
from vae_explorer.cli import main
from vae_explorer.errors import CheckpointError, HomeError, ReadOnlyError
from vae_explorer.publishing import publish_classifier
from vae_explorer.training.classifier import load_best
from vae_explorer.workspace import ensure_home, refuse_shipped, staged_folder

GIVEN = "digits-ae-2d"
"""On the shelf of the app."""


@pytest.fixture(autouse=True)
def given(published_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shelf of the app; the user's, in another folder, holds `mine`."""
    given, home = tmp_path / "app" / "checkpoints", tmp_path / "home"
    shutil.copytree(published_checkpoints / GIVEN, given / GIVEN)
    shutil.copytree(published_checkpoints / "digits-vae-2d", home / "checkpoints" / "mine")
    for name in ("CHECKPOINTS", "RUNS", "DATA"):
        monkeypatch.setattr(workspace, name, home / name.lower())
    monkeypatch.setattr(workspace, "SHIPPED_SHELF", given)
    return given


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_are_in_one_list_and_opened_by_name(given: Path) -> None:
    cards, errors = list_checkpoints()
    assert list(cards) == [GIVEN, "mine"]
    assert not errors
    assert find_checkpoint(GIVEN) == given / GIVEN
    assert find_checkpoint("mine") == workspace.CHECKPOINTS / "mine"
    assert {load_checkpoint(name).card.name for name in cards} == set(cards)
    assert {row.id for row in list_rows(workspace.RUNS)[0]} == set(cards)


def test_without_a_folder_of_ones_own_there_are_those_of_the_app() -> None:
    shutil.rmtree(workspace.CHECKPOINTS)
    assert list(list_checkpoints()[0]) == [GIVEN]
    with pytest.raises(CheckpointError, match=f"Did you mean '{GIVEN}'"):
        find_checkpoint("digits-ae-3d")


def test_those_of_the_app_are_neither_renamed_nor_deleted(given: Path) -> None:
    before = read_all(given)
    assert is_shipped(GIVEN)
    assert not is_shipped("mine")
    with pytest.raises(CheckpointError, match="comes with the app and cannot be deleted"):
        delete_checkpoint(GIVEN)
    with pytest.raises(CheckpointError, match="comes with the app and cannot be renamed"):
        rename_checkpoint(GIVEN, "yours", "Yours")
    assert read_all(given) == before
    assert list(list_checkpoints()[0]) == [GIVEN, "mine"]


def test_ones_own_are_renamed_and_deleted() -> None:
    rename_checkpoint("mine", "yours", "Yours")
    assert list(list_checkpoints()[0]) == [GIVEN, "yours"]
    delete_checkpoint("yours")
    assert list(list_checkpoints()[0]) == [GIVEN]


@pytest.mark.parametrize("name", [GIVEN, GIVEN.upper(), "mine"])
def test_a_name_on_either_shelf_is_taken(name: str) -> None:
    with pytest.raises(CheckpointError, match=f"for example “{name}-2”"):
        check_free(name)
    with pytest.raises(CheckpointError):
        rename_checkpoint("mine", GIVEN, "Title")
    assert free_name(name) == f"{name}-2"


def test_an_import_goes_to_the_user_under_a_free_name(given: Path) -> None:
    data = pack_checkpoint(given / GIVEN)
    with pytest.raises(CheckpointError, match=GIVEN):
        unpack_checkpoint(data)
    assert unpack_checkpoint(data, free=True).name == f"{GIVEN}-2"
    assert (workspace.CHECKPOINTS / f"{GIVEN}-2").is_dir()
    assert [folder.name for folder in given.iterdir()] == [GIVEN]


def test_nothing_is_written_where_the_app_is_or_under_its_names(given: Path) -> None:
    before = read_all(given.parents[1])
    for path in (given / GIVEN, given / "new", workspace.CHECKPOINTS / GIVEN.upper()):
        with pytest.raises(ReadOnlyError, match="comes with VAE Explorer"), staged_folder(path):
            pass
    assert read_all(given.parents[1]) == before
    refuse_shipped(workspace.CHECKPOINTS / "new")
    refuse_shipped(given.parent / GIVEN)  # a folder elsewhere may be called as one likes


def test_a_training_and_a_new_evaluation_are_refused_before_they_begin(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_all(given.parents[1])
    out = str(workspace.CHECKPOINTS / GIVEN)
    options = ["--dataset", "digits", "--model", "mnist-vae", "--replace"]
    assert main(["train", *options, "--out", out]) == 2
    assert f"The name '{GIVEN}' is that of a model" in capsys.readouterr().err
    assert main(["evaluate", GIVEN, "--write"]) == 2
    assert f"'{GIVEN}' comes with VAE Explorer and cannot be changed" in capsys.readouterr().err
    assert read_all(given.parents[1]) == before


def test_a_folder_that_has_the_name_of_a_given_one_is_named_and_not_shown(given: Path) -> None:
    shutil.copytree(workspace.CHECKPOINTS / "mine", workspace.CHECKPOINTS / GIVEN)
    cards, errors = list_checkpoints()
    assert cards[GIVEN] == load_checkpoint(given / GIVEN).card
    assert f"Rename its folder, checkpoints/{GIVEN}" in errors[GIVEN]


def test_a_broken_one_is_mended_where_it_came_from(given: Path) -> None:
    for folder in (given / GIVEN, workspace.CHECKPOINTS / "mine"):
        (folder / "model.safetensors").write_bytes(b"")
    _, errors = list_checkpoints()
    assert "install VAE Explorer again" in errors[GIVEN]
    assert "train --out" in errors["mine"]
    assert not any("git checkout" in error for error in errors.values())


def test_attribute_classifiers_of_both_are_found_and_those_of_the_app_are_kept(
    given: Path, classifier_faces, classifier_runs: dict[str, Path]
) -> None:
    from tests.support.classifiers import NAMES, TRAIN

    classifier, history = load_best(classifier_runs["strided"])
    own = workspace.CHECKPOINTS / "classifiers"
    card = publish_classifier(classifier, TRAIN, history, classifier_faces, own / "first")
    (given / "classifiers").mkdir()
    (own / "first").rename(given / "classifiers" / "first")
    save_classifier(own / "second", classifier, card)
    for name in ("first", "second"):
        assert load_classifier(name).config == classifier.config
        assert find_classifier(name, NAMES) is not None
    assert find_classifier("third", NAMES) is None
    with pytest.raises(CheckpointError, match="no classifier 'thirst'"):
        load_classifier("thirst")
    with pytest.raises(ReadOnlyError, match="The name 'first'"):
        save_classifier(own / "first", classifier, card)
    assert list(list_checkpoints()[0]) == [GIVEN, "mine"]


def test_a_home_is_made_when_something_is_to_be_kept_there(tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / "new" / "home"
    monkeypatch.setattr(workspace, "RUNS", home / "runs")
    ensure_home(writable=False)
    assert not home.exists()
    ensure_home(writable=True)
    assert list(home.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setattr(workspace, "RUNS", tmp_path / "file" / "runs")
    with pytest.raises(HomeError, match="is not a folder"):
        ensure_home(writable=False)
