"""Data that change after they were prepared: prepared again, and a training on them refused."""

from __future__ import annotations

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_explorer.cli import main
from vae_explorer.data import (
    DatasetError,
    cache,
    find_content,
    find_prepared,
    load_dataset,
    prepare,
)
from vae_explorer.data.user_sets import add_user_set, list_user_sets
from vae_explorer.training.classifier import train_classifier

SIZE = 16
Change = Callable[[Path], object]


def write_images(folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of two classes."""
    folder = tmp_path / "pets"
    write_images(folder / "cat", range(8))
    write_images(folder / "dgo", range(8, 14))
    return folder


def open_again(root: Path, source: Path) -> tuple[int, tuple[str, ...], str]:
    """Prepare the images; return their number, labels and digest."""
    found = prepare("folder", root, size=SIZE, source=source)
    return len(found.images), found.label_names, found.content


def overwrite(file: Path) -> None:
    """Write another image of the same length in bytes."""
    image = Image.new("RGB", (20, 20), "red")
    before = file.stat()
    image.save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


@pytest.mark.parametrize(
    ("change", "images", "labels"),
    [
        (lambda folder: write_images(folder / "cat", range(20, 29)), 23, ("cat", "dgo")),
        (lambda folder: (folder / "dgo").rename(folder / "dog"), 14, ("cat", "dog")),
        (lambda folder: (folder / "cat" / "0.png").unlink(), 13, ("cat", "dgo")),
        (lambda folder: overwrite(folder / "cat" / "0.png"), 14, ("cat", "dgo")),
        (
            lambda folder: (folder / "labels.csv").write_text(
                "file,label\n" + "".join(f"{k}.png,{k % 3}\n" for k in range(14))
            ),
            14,
            ("0", "1", "2"),
        ),
    ],
)
def test_changed_data_are_prepared_again(
    tmp_path: Path, source: Path, change: Change, images: int, labels: tuple[str, ...]
) -> None:
    before = open_again(tmp_path, source)
    opened = load_dataset("folder", tmp_path, size=SIZE, source=source)
    first = np.array(opened.images)
    change(source)
    assert find_prepared("folder", tmp_path, source=source) == {}
    with pytest.raises(DatasetError, match="has changed since it was prepared"):
        load_dataset("folder", tmp_path, size=SIZE, source=source)
    said: list[str] = []
    after = prepare("folder", tmp_path, size=SIZE, source=source, report=said.append)
    assert (len(after.images), after.label_names) == (images, labels)
    assert after.content != before[2]
    assert len(said) == 1
    np.testing.assert_array_equal(opened.images, first)  # who has the old ones mapped keeps them
    assert [path.name[0] for path in (tmp_path / "cache").iterdir()] == ["f"]  # nothing is left
    assert find_prepared("folder", tmp_path, source=source)[SIZE].content == after.content


def test_touched_files_of_the_same_content_are_the_same_data(tmp_path: Path, source: Path) -> None:
    before = open_again(tmp_path, source)
    os.utime(source / "cat" / "0.png")
    assert open_again(tmp_path, source) == before


def test_a_file_that_is_no_image_changes_nothing(tmp_path: Path, source: Path) -> None:
    prepare("folder", tmp_path, size=SIZE, source=source)
    (source / "README.txt").write_text("cats and dogs")
    said: list[str] = []
    prepare("folder", tmp_path, size=SIZE, source=source, report=said.append)
    assert said == []


def test_prepared_data_outlive_their_source(tmp_path: Path, source: Path) -> None:
    before = open_again(tmp_path, source)
    shutil.rmtree(source)
    said: list[str] = []
    prepare("folder", tmp_path, size=SIZE, source=source, report=said.append)
    assert "no longer exists" in said[0]
    assert open_again(tmp_path, source) == before


def test_a_source_that_can_no_longer_be_read_is_not_passed_over(
    tmp_path: Path, source: Path
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", source))
    open_again(tmp_path, archive)
    archive.write_bytes(archive.read_bytes()[:-30])
    for open_it in (prepare, load_dataset):
        with pytest.raises(
            DatasetError, match=r"packed.zip is neither a folder nor a readable zip"
        ):
            open_it("folder", tmp_path, size=SIZE, source=archive)
    assert find_prepared("folder", tmp_path, source=archive) == {}


@pytest.mark.parametrize("missing", [False, True])
def test_files_of_a_cache_that_is_replaced_meanwhile_are_not_mixed(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    open_again(tmp_path, source)
    (folder,) = (tmp_path / "cache").iterdir()
    other = tmp_path / "other"
    (source / "dgo").rename(source / "ant")  # as many images in another order, with other labels
    prepare("folder", other, size=SIZE, source=source)
    (after,) = (other / "cache").iterdir()
    opened = cache.open_cache
    aside = folder.with_name(f".{folder.name}.partial.here.1.abc.old")

    def replace_first(*arguments) -> object:
        monkeypatch.setattr(cache, "open_cache", opened)
        folder.rename(aside)
        if missing:  # for a while
            threading.Timer(0.05, after.rename, [folder]).start()
        else:
            after.rename(folder)
        return opened(*arguments)

    monkeypatch.setattr(cache, "open_cache", replace_first)
    place = cache._Place.find("folder", tmp_path, SIZE, source, None)
    found = place.open()
    wanted = load_dataset("folder", tmp_path, size=SIZE, source=source)
    assert found.label_names == wanted.label_names == ("ant", "cat")
    np.testing.assert_array_equal(found.images, wanted.images)
    np.testing.assert_array_equal(found.labels, wanted.labels)


def test_a_cache_of_an_earlier_version_is_used_as_long_as_it_fits(
    tmp_path: Path, source: Path
) -> None:
    open_again(tmp_path, source)
    (cache,) = (tmp_path / "cache").iterdir()
    text = (cache / "dataset.json").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith('"content"')]
    old = "\n".join(lines).replace('"source_digest"', '"source_digest_"')
    start = old.index('  "source_digest_"')
    old = old[:start].rstrip().rstrip(",") + "\n}\n"
    (cache / "dataset.json").write_text(old)
    assert load_dataset("folder", tmp_path, size=SIZE, source=source).content == ""
    (source / "dgo").rename(source / "dog")
    assert open_again(tmp_path, source)[1] == ("cat", "dog")


def test_what_is_left_out_is_named_with_its_reason(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    (source / "cat" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (source / "notes.txt").write_text("no image")
    found = prepare("folder", tmp_path, size=SIZE, source=source)
    assert set(found.left_out) == {"cat/3.png", "notes.txt"}
    assert all(found.left_out.values())
    for _ in range(2):  # when they are prepared, and whenever they are opened
        assert main(["prepare", "folder", "--size", "16", "--source", str(source)]) == 0
        said = capsys.readouterr().err
        assert "2 files were left out" in said
        assert "cat/3.png: " in said
        assert "notes.txt: " in said


def test_of_many_files_left_out_all_are_counted(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    for number in range(30):
        (source / f"{number}.txt").write_text("no image")
    monkeypatch.setattr(cache, "MOST_LEFT_OUT", 25)
    found = prepare("folder", tmp_path, size=SIZE, source=source)
    assert (len(found.left_out), found.left_out_count) == (25, 30)
    assert main(["prepare", "folder", "--size", "16", "--source", str(source)]) == 0
    said = capsys.readouterr().err
    assert "30 files were left out" in said
    assert "and 10 more" in said


def test_colour_images_can_be_had_in_grey_beside_the_others(tmp_path: Path, source: Path) -> None:
    colour = prepare("folder", tmp_path, size=SIZE, source=source)
    grey = prepare("folder", tmp_path, size=SIZE, source=source, channels=1)
    assert (colour.images.shape[1], grey.images.shape[1]) == (3, 1)
    luma = np.tensordot(colour.images, [0.299, 0.587, 0.114], axes=(1, 0))
    np.testing.assert_allclose(grey.images[:, 0], luma, atol=0.51)
    np.testing.assert_array_equal(colour.labels, grey.labels)
    assert len(load_dataset("folder", tmp_path, size=SIZE, source=source).images.shape) == 4


def test_a_zip_that_is_replaced_by_hand_is_looked_through_again(
    tmp_path: Path, source: Path
) -> None:
    def pack(path: Path) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(source.rglob("*.png")):
                archive.write(file, file.relative_to(source))
        return path

    with pack(tmp_path / "pets.zip").open("rb") as file:
        own = add_user_set("pets", file, tmp_path)
    assert [each.pictures for each in list_user_sets(tmp_path)] == [14]
    write_images(source / "bird", range(30, 34))
    pack(own.source)
    (again,) = list_user_sets(tmp_path)
    assert (again.pictures, again.label_names) == (18, ("bird", "cat", "dgo"))
    assert list_user_sets(tmp_path) == [again]
    own.source.write_bytes(b"no zip at all")
    (broken,) = list_user_sets(tmp_path)
    assert "not a zip file" in broken.fault
    assert broken.counts == {}
    assert list_user_sets(tmp_path) == [broken]  # told, and not read at each look
    pack(own.source)
    assert list_user_sets(tmp_path)[0].fault == ""


def test_a_training_on_changed_data_is_not_resumed_and_loses_nothing(
    training_folder: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = training_folder / "own.json"
    config.write_text(
        '{"model": {"image_size": 16, "image_channels": 3, "latent_dim": 2, "channels": [8, 8]},'
        ' "train": {"dataset": "folder", "epochs": 1, "warmup_steps": 2}}'
    )
    out = ["--out", "checkpoints/pets"]
    assert main(["train", "--config", str(config), "--source", str(source), *out]) == 0
    shutil.rmtree("checkpoints/pets")
    (Path("runs/pets/published")).unlink()
    state = Path("runs/pets/state.safetensors").read_bytes()
    (source / "dgo").rename(source / "dog")
    write_images(source / "cat", range(20, 29))
    assert main(["train", *out, "--resume"]) != 0  # the source is remembered
    said = capsys.readouterr().err
    assert "then: 14 images; labels cat, dgo; now: 23 images; labels cat, dog" in said
    assert main(["train", *out, "--resume", "--finish"]) != 0
    assert not Path("checkpoints/pets").exists()
    assert Path("runs/pets/state.safetensors").read_bytes() == state
    (source / "dog").rename(source / "dgo")
    for number in range(20, 29):
        (source / "cat" / f"{number}.png").unlink()
    assert main(["train", *out, "--resume"]) == 0
    assert main(["train", *out, "--resume", "--source", str(training_folder)]) != 0

    # A card of an earlier version does not name the content: what it does say is compared.
    card = Path("checkpoints/pets/card.json")
    values = json.loads(card.read_text())
    del values["dataset"]["content"]
    card.write_text(json.dumps(values))
    evaluate = ["evaluate", "checkpoints/pets", "--source", str(source), "--write"]
    before = {path.name: path.read_bytes() for path in card.parent.iterdir()}
    write_images(source / "cat", range(20, 29))
    assert main(evaluate) != 0
    assert "not the images that pets was trained on" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in card.parent.iterdir()} == before
    for number in range(20, 29):
        (source / "cat" / f"{number}.png").unlink()
    assert main(evaluate) == 0


def test_a_classifier_of_own_images_is_resumed_from_what_its_run_began_with(
    training_folder: Path, source: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(source / "cat", range(20, 45))
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.png"))
    rows = (f"{name},{number % 2}\n" for number, name in enumerate(names))
    (source / "attributes.csv").write_text("file,Smiling\n" + "".join(rows))
    out = ["--out", "checkpoints/classifiers/mine"]
    began = ["--dataset", "folder", "--architecture", "strided", "--epochs", "2"]

    def stop(*arguments, **options) -> Iterator[object]:
        yield next(iter(train_classifier(*arguments, **options)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vae_explorer.cli.classifier.train_classifier", stop)
        assert main(["train-classifier", *began, "--source", str(source), *out]) == 130
    other = ["--source", str(training_folder)]
    assert main(["train-classifier", *out, "--resume", *other]) != 0
    assert f"was started with --source {source}" in capsys.readouterr().err
    assert main(["train-classifier", *out, "--resume"]) == 0


def test_the_images_of_a_model_are_found_by_their_content_alone(
    tmp_path: Path, source: Path
) -> None:
    other = tmp_path / "birds"
    write_images(other / "hen", range(30, 36))
    sets = [prepare("folder", tmp_path, size=SIZE, source=each) for each in (source, other)]
    shutil.rmtree(source)  # the cache is what is left
    for wanted in sets:
        folder = find_content("folder", wanted.content, tmp_path)
        assert folder is not None
        found = cache.open_cache(folder, cache.read_info(folder))
        assert np.array_equal(found.images, wanted.images)
    for name, content in (("folder", ""), ("folder", "0" * 64), ("digits", sets[0].content)):
        assert find_content(name, content, tmp_path) is None
