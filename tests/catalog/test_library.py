from __future__ import annotations

import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import PROJECT
from vae_explorer import workspace
from vae_explorer.catalog import library
from vae_explorer.catalog.library import (
    SHIPPED,
    check_free,
    delete_checkpoint,
    free_name,
    is_shipped,
    rename_checkpoint,
)
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.errors import CheckpointError, ReadOnlyError
from vae_explorer.runs.run import Run
from vae_explorer.runs.status import RunStatus
from vae_explorer.workspace import READ_ONLY


@pytest.fixture
def shelf(published_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of checkpoints: `mine`, and one in the place of a shipped one."""
    root = tmp_path / "checkpoints"
    for name in ("mine", "fashion-vae-2d"):
        shutil.copytree(published_checkpoints / "digits-vae-2d", root / name)
    monkeypatch.setattr(workspace, "CHECKPOINTS", root)
    return root


def read_folder(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_shipped_are_those_that_the_project_tracks() -> None:
    done = subprocess.run(
        ["git", "ls-files", "checkpoints/*/card.json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a clone: nothing says what is tracked")
    folders = (Path(line).parts for line in done.stdout.splitlines())
    assert {parts[1] for parts in folders if len(parts) == 3} == SHIPPED


def test_a_name_and_a_title_are_changed(shelf: Path) -> None:
    before = load_checkpoint("mine")
    card = rename_checkpoint("mine", "yours", "  Digits of my own ")
    assert sorted(path.name for path in shelf.iterdir()) == ["fashion-vae-2d", "yours"]
    after = load_checkpoint("yours")
    assert after.card == card
    assert (card.name, card.title) == ("yours", "Digits of my own")
    assert card.sha256 == before.card.sha256
    assert card.fingerprint != before.card.fingerprint  # so that no cache shows the old one


def test_a_name_that_a_training_will_publish_is_taken_until_it_has(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunStatus(name="yours", phase="paused", arguments=(), out="checkpoints/yours")
    Run.named("yours").write_status(run)
    assert free_name("yours") == "yours-2"
    with pytest.raises(CheckpointError, match="already in use"):
        rename_checkpoint("mine", "yours", "Title")
    Run.named("yours").write_status(replace(run, phase="finished"))
    assert rename_checkpoint("mine", "yours", "Title").name == "yours"


def test_a_title_alone_is_changed_in_place(shelf: Path) -> None:
    rename_checkpoint("mine", "mine", "Another")
    assert load_checkpoint("mine").card.title == "Another"
    assert sorted(path.name for path in shelf.iterdir()) == ["fashion-vae-2d", "mine"]


@pytest.mark.parametrize(
    ("name", "title", "reason"),
    [
        ("fashion-vae-2d", "Title", "reserved for a model"),
        ("a/b", "Title", "not a valid name"),
        ("yours", " ", "A title must be one line"),
        ("yours", "two\nlines", "A title must be one line"),
        ("yours", "![x](y)", "A title must be one line"),
        ("file", "Title", "already in use"),
    ],
)
def test_a_renaming_that_cannot_be_changes_nothing(
    shelf: Path, name: str, title: str, reason: str
) -> None:
    (shelf / "file").write_text("something")
    before = read_folder(shelf)
    with pytest.raises(CheckpointError, match=reason):
        rename_checkpoint("mine", name, title)
    assert read_folder(shelf) == before


def test_a_renaming_that_the_disk_refuses_changes_nothing(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = read_folder(shelf)
    monkeypatch.setattr(library, "write_files", fail)
    with pytest.raises(CheckpointError, match="No space left on device"):
        rename_checkpoint("mine", "yours", "Title")
    assert read_folder(shelf) == before


def test_a_damaged_checkpoint_is_not_renamed_and_can_be_deleted(shelf: Path) -> None:
    (shelf / "mine" / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="broken"):
        rename_checkpoint("mine", "yours", "Title")
    delete_checkpoint("mine")
    assert list_checkpoints()[1] == {}


def test_what_is_deleted_is_gone_and_its_name_free(shelf: Path) -> None:
    delete_checkpoint("mine")
    assert [path.name for path in shelf.iterdir()] == ["fashion-vae-2d"]
    assert check_free("mine") == shelf / "mine"
    with pytest.raises(CheckpointError, match="mine"):
        delete_checkpoint("mine")


def test_a_link_is_deleted_and_not_what_it_leads_to(shelf: Path, tmp_path: Path) -> None:
    shutil.move(shelf / "mine", tmp_path / "elsewhere")
    (shelf / "mine").symlink_to(tmp_path / "elsewhere")
    delete_checkpoint("mine")
    assert not (shelf / "mine").is_symlink()
    assert (tmp_path / "elsewhere" / "card.json").is_file()


@pytest.mark.parametrize("name", ["fashion-vae-2d"])
def test_a_shipped_one_is_neither_deleted_nor_renamed(shelf: Path, name: str) -> None:
    before = read_folder(shelf)
    with pytest.raises(CheckpointError, match="comes with the app and cannot be deleted"):
        delete_checkpoint(name)
    with pytest.raises(CheckpointError, match="comes with the app and cannot be renamed"):
        rename_checkpoint(name, "yours", "Title")
    assert read_folder(shelf) == before


@pytest.mark.parametrize("name", ["..", "../checkpoints/mine", "", ".", "/", "classifiers", "none"])
def test_only_what_is_listed_can_be_deleted(shelf: Path, name: str) -> None:
    before = read_folder(shelf.parent)
    with pytest.raises(CheckpointError):
        delete_checkpoint(name)
    assert read_folder(shelf.parent) == before


def test_a_copy_for_looking_changes_nothing(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    before = read_folder(shelf)
    with pytest.raises(ReadOnlyError, match="deleting a model is turned off"):
        delete_checkpoint("mine")
    with pytest.raises(ReadOnlyError, match="renaming a model is turned off"):
        rename_checkpoint("mine", "yours", "Title")
    assert read_folder(shelf) == before


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("new", "new"),
        ("mine", "mine-2"),
        ("Mine", "Mine-2"),
        ("fashion-vae-2d", "fashion-vae-2d-2"),
        ("faces-vae-64", "faces-vae-64-2"),
        ("my model (1)", "my-model-1"),
        ("../../etc", "etc"),
        ("é?", "e"),
        ("模?", "mine-2"),
        ("classifiers", "classifiers-2"),
        ("x" * 200, "x" * 59),
        ("My Model", "my-model"),
        ("a.b", "a.b"),
    ],
)
def test_a_free_name_is_near_the_wanted_one_and_taken_by_nothing(
    shelf: Path, wanted: str, name: str
) -> None:
    assert free_name(wanted) == name
    assert check_free(name).parent == shelf
    assert not is_shipped(name)


def test_two_sessions_that_want_one_name_do_not_both_get_it(
    shelf: Path, published_checkpoints: Path
) -> None:
    shutil.copytree(published_checkpoints / "digits-vae-5d", shelf / "other")
    faults: list[str] = []

    def rename(name: str) -> None:
        try:
            rename_checkpoint(name, "wanted", "Title")
        except CheckpointError as error:
            faults.append(str(error))

    threads = [threading.Thread(target=rename, args=(name,)) for name in ("mine", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(faults) == 1
    assert "already in use" in faults[0]
    assert len(list_checkpoints()[0]) == 3
