"""Zips of pictures that people bring to train on, hostile ones among them."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_explorer.catalog.table import list_rows
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.cli import main
from vae_explorer.data import DATASETS, DatasetError, find_prepared, load_dataset, prepare
from vae_explorer.data import user_sets as sets
from vae_explorer.data.user_sets import add_user_set, delete_user_set, list_user_sets
from vae_explorer.errors import ReadOnlyError
from vae_explorer.workspace import READ_ONLY

Files = dict[str, bytes]


def picture(value: int = 128, side: int = 12) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def zipped(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def some(count: int = 4, folder: str = "") -> Files:
    return {f"{folder}{number}.png": picture(number * 20) for number in range(count)}


def with_link() -> bytes:
    file = io.BytesIO(zipped(some()))
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    return file.getvalue()


def with_lie(name: str, declared: int) -> bytes:
    """A zip whose entry of that name says that it unpacks to another number of bytes."""
    data = bytearray(zipped(some() | {name: b"\0" * 3_000_000}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            head = 30 if signature == b"PK\x03\x04" else 46
            if data[start + head : start + head + len(name)] == name.encode():
                struct.pack_into("<I", data, start + offset, declared)
    return bytes(data)


def read_tree(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def add(root: Path, data: bytes, name: str = "mine") -> sets.UserSet:
    return add_user_set(name, io.BytesIO(data), root)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_packed_so_that_it_may_unpack_without_bounds_is_not_read(
    tmp_path: Path, compression: int
):
    with pytest.raises(DatasetError, match="compression method"):
        add(tmp_path, zipped(some(), compression))
    assert read_tree(tmp_path) == {}


# What is kept


def test_a_set_is_kept_listed_and_can_be_prepared(tmp_path: Path):
    found = add(tmp_path, zipped(some(5)))
    assert list_user_sets(tmp_path) == [found]
    assert (found.pictures, found.damaged, found.others) == (5, 0, 0)
    dataset = prepare("folder", tmp_path, size=8, source=found.source)
    assert len(dataset.images) == found.pictures
    assert sorted(dataset.images[:, 0, 0, 0].tolist()) == [0, 20, 40, 60, 80]


def test_other_files_and_damaged_pictures_are_counted_and_named(tmp_path: Path):
    files = some() | {"note.txt": b"x", "inner.zip": zipped(some(9)), "bad.png": b"no", ".x": b""}
    found = add(tmp_path, zipped(files | {"labels.csv": table_of(some() | {"bad.png": b""})}))
    assert (found.pictures, found.damaged_names) == (4, ("bad.png",))
    assert set(found.other_names) == {"note.txt", "inner.zip"}
    assert (found.damaged, found.others) == (1, 2)


def table_of(files: Files) -> bytes:
    rows = [f"{name},{'even' if index % 2 == 0 else 'odd'}" for index, name in enumerate(files)]
    return "\n".join(["file,label", *rows]).encode()


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (some(3, "cat/") | some(3, "dog/"), ("cat", "dog")),
        (some(4) | {"labels.csv": table_of(some(4))}, ("even", "odd")),
        (some(4, "all/a/") | {"all/labels.csv": table_of(some(4, "a/"))}, ("even", "odd")),
        (some(4), ()),
    ],
)
def test_labels_come_from_sub_folders_or_from_the_table(tmp_path: Path, files: Files, labels):
    assert add(tmp_path, zipped(files)).label_names == labels


# What is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a zip file"),
        (b"PK\x03\x04 nothing", "not a zip file"),
        (zipped(some())[:-30], "not a zip file"),
        (zipped({"note.txt": b"x"}), "This zip has no images"),
        (zipped({}), "This zip has no images"),
        (zipped(some(2)), "2 images are usable; at least 3 are needed"),
        (zipped({f"{n}.png": b"x" for n in range(4)}), "0 of 4 images are usable.* 0.png: not a"),
        (zipped(some() | {"../evil.png": picture()}), "evil.*points outside"),
        (zipped(some() | {"/evil.png": picture()}), "evil.*points outside"),
        (zipped(some() | {"C:\\evil.png": picture()}), "evil.*points outside"),
        (with_link(), "link.png.*is a link"),
        (zipped(some() | {"labels.csv": b"file,label\n0.png,a\n"}), "no row for 3 images"),
        (zipped(some() | {"labels.csv": b"file,label\n0.png\n"}), "'0.png' is not an image's"),
        (zipped(some() | {"labels.csv": b"\xff\xfe"}), "Save it as UTF-8"),
    ],
)
def test_a_zip_that_is_refused_costs_nothing_that_was_there(tmp_path: Path, data: bytes, reason):
    add(tmp_path, zipped(some()), "first")
    before = read_tree(tmp_path)
    with pytest.raises(DatasetError, match=reason) as error:
        add(tmp_path, data)
    assert str(tmp_path) not in str(error.value)
    assert read_tree(tmp_path) == before
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["first"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "Ä", "x" * 65, ".hidden", "a b", "a.", "-a"])
def test_a_name_that_cannot_be_a_folders_is_refused(tmp_path: Path, name: str):
    with pytest.raises(DatasetError, match="for example"):
        add(tmp_path, zipped(some()), name)
    assert read_tree(tmp_path) == {}


def test_a_name_that_is_taken_is_refused_with_a_free_one(tmp_path: Path):
    add(tmp_path, zipped(some(5)))
    before = read_tree(tmp_path)
    with pytest.raises(DatasetError, match=r"“mine” is already in use.*“mine-2”"):
        add(tmp_path, zipped(some(3)))
    assert read_tree(tmp_path) == before


def test_too_many_entries_are_refused_before_the_zip_is_opened(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sets, "MAX_ENTRIES", 10)
    monkeypatch.setattr(sets, "_PIECE", 7)  # marks lie across the pieces
    assert add(tmp_path, zipped(some(10)), "ten").pictures == 10
    monkeypatch.setattr(sets, "open_image_files", None)
    with pytest.raises(DatasetError, match="limit of 10 entries"):
        add(tmp_path, zipped(some(11)), "eleven")


def test_a_zip_that_is_too_long_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sets, "MAX_BYTES", 2**20)
    noise = np.random.default_rng(0).bytes(2**20)
    with pytest.raises(DatasetError, match="limit of 1 MB"):
        add(tmp_path, zipped(some() | {"noise.bin": noise}))


def test_a_bomb_that_declares_itself_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sets, "MAX_UNPACKED_BYTES", 2**20)
    with pytest.raises(DatasetError, match="unpacks to"):
        add(tmp_path, zipped(some() | {"zeros.bin": b"\0" * 2**21}))


def test_a_bomb_that_hides_its_size_comes_out_no_larger_than_it_says(tmp_path: Path):
    found = add(tmp_path, with_lie("lie.png", 10))
    assert found.damaged_names == ("lie.png",)
    assert found.pictures == 4


def test_reading_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sets, "MAX_SECONDS", -1)
    with pytest.raises(DatasetError, match="within the limit"):
        add(tmp_path, zipped(some()))
    assert list_user_sets(tmp_path) == []


def test_a_disk_that_is_full_is_said_and_nothing_is_kept(tmp_path: Path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sets, "_copy", fail)
    with pytest.raises(DatasetError, match="No space left"):
        add(tmp_path, zipped(some()))
    assert read_tree(tmp_path) == {}
    assert list((tmp_path / "own").iterdir()) == []


# Labels, all the way to a checkpoint


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (some(30, "cat/") | some(30, "dog/"), ("cat", "dog")),
        (some(40) | {"labels.csv": table_of(some(40))}, ("even", "odd")),
    ],
)
def test_labels_end_in_the_checkpoint(training_folder: Path, files: Files, labels):
    found = add(Path("data"), zipped(files))
    options = "--image-size 8 --image-channels 3 --channels 8 --latent-dim 2 --epochs 1"
    command = ["train", "--dataset", "folder", "--source", str(found.source), *options.split()]
    assert main([*command, "--out", "checkpoints/mine"]) == 0
    checkpoint = load_checkpoint("checkpoints/mine")
    dataset = load_dataset("folder", size=8, source=found.source)
    assert checkpoint.card.label_names == labels
    held_out = dataset.labels[checkpoint.encodings.row_id]
    assert checkpoint.encodings.labels.tolist() == held_out.tolist()
    assert set(dataset.labels.tolist()) == {0, 1}
    # Sets of different people are not taken for the same data, as models nor as runs.
    title = f"{DATASETS['folder'].title}: {found.name}"
    assert checkpoint.card.dataset.title == title
    shutil.rmtree("checkpoints/mine")
    assert [row.data for row in list_rows(Path("runs"), Path("checkpoints"))[0]] == [title]


# Deleting


def test_deleting_takes_the_caches_along_and_nothing_else(tmp_path: Path):
    mine, other = add(tmp_path, zipped(some())), add(tmp_path, zipped(some()), "mine-2")
    for each in (mine, other):
        prepare("folder", tmp_path, size=8, source=each.source)
    (cache,) = (tmp_path / "cache").glob("folder-mine-????????-8")
    cache.with_name(f"{cache.name[:-1]}16").mkdir()  # damaged
    delete_user_set("mine", tmp_path)
    assert list_user_sets(tmp_path) == [other]
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.name.startswith("folder-mine-2-")
    assert list(find_prepared("folder", tmp_path, source=other.source)) == [8]
    with pytest.raises(DatasetError, match="no longer exists"):
        delete_user_set("mine", tmp_path)


def test_a_new_set_of_an_old_name_is_not_taken_for_it(tmp_path: Path):
    first = add(tmp_path, zipped(some(4)))
    prepare("folder", tmp_path, size=8, source=first.source)
    for path in first.source.parent.iterdir():
        path.unlink()
    first.source.parent.rmdir()  # by hand: the cache is still there
    second = add(tmp_path, zipped(some(7)))
    assert len(prepare("folder", tmp_path, size=8, source=second.source).images) == 7


@pytest.mark.parametrize("name", ["..", "../..", "", ".", "first/../first"])
def test_only_a_set_can_be_deleted(tmp_path: Path, name: str):
    add(tmp_path, zipped(some()), "first")
    before = read_tree(tmp_path)
    with pytest.raises(DatasetError, match="no longer exists"):
        delete_user_set(name, tmp_path)
    assert read_tree(tmp_path) == before


@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}", b'{"name": 3}'])
def test_a_damaged_set_is_left_out(tmp_path: Path, damage: bytes):
    kept = add(tmp_path, zipped(some()), "kept")
    broken = add(tmp_path, zipped(some()), "broken")
    (broken.source.parent / "set.json").write_bytes(damage)
    assert list_user_sets(tmp_path) == [kept]


@pytest.mark.parametrize(
    "act",
    [lambda root: add(root, zipped(some()), "new"), lambda root: delete_user_set("mine", root)],
)
def test_a_copy_that_is_for_looking_keeps_and_deletes_nothing(
    tmp_path: Path, monkeypatch, act: Callable[[Path], object]
):
    add(tmp_path, zipped(some()))
    before = read_tree(tmp_path)
    monkeypatch.setenv(READ_ONLY, "1")
    with pytest.raises(ReadOnlyError):
        act(tmp_path)
    assert read_tree(tmp_path) == before
