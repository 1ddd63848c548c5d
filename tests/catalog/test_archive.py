from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle  # noqa: TID251 - to make one that must not be loaded
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.support import PROJECT
from vae_explorer import workspace
from vae_explorer.catalog import archive
from vae_explorer.catalog.archive import (
    largest_map,
    pack_checkpoint,
    read_archive,
    unpack_checkpoint,
)
from vae_explorer.catalog.library import SHIPPED
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.config import ModelConfig
from vae_explorer.errors import CheckpointError, ReadOnlyError
from vae_explorer.inference import decode
from vae_explorer.workspace import READ_ONLY

Files = dict[str, bytes]


@pytest.fixture
def shelf(published_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of checkpoints that holds one, `mine`; at the end of a test nothing else is in it.

    That is: nothing that is half-written, and nothing that was there is changed.
    """
    root = tmp_path / "checkpoints"
    shutil.copytree(published_checkpoints / "digits-vae-2d", root / "mine")
    monkeypatch.setattr(workspace, "CHECKPOINTS", root)
    return root


@pytest.fixture
def packed(shelf: Path) -> Files:
    """The files of `mine`, as they are packed, by bare name."""
    return read_archive(pack_checkpoint(shelf / "mine"))[1]


def pack(files: Files, folder: str = "new/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(folder + name, data)
    return buffer.getvalue()


def change_card(files: Files, change: Callable[[dict], object]) -> Files:
    card = json.loads(files["card.json"])
    change(card)
    return {**files, "card.json": json.dumps(card).encode()}


def replace_file(files: Files, name: str, data: bytes) -> Files:
    """Change a file and its hash, as somebody who means harm would."""
    digest = hashlib.sha256(data).hexdigest()
    return change_card({**files, name: data}, lambda card: card["sha256"].update({name: digest}))


def read_folder(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(shelf: Path, data: bytes, reason: str, name: str | None = "new") -> None:
    """Check that an upload is refused for this reason, and leaves no trace."""
    before, folders = read_folder(shelf), sorted(shelf.iterdir())
    with pytest.raises(CheckpointError, match=reason):
        unpack_checkpoint(data, name)
    assert read_folder(shelf) == before
    assert sorted(shelf.iterdir()) == folders


# There and back


def test_what_was_packed_comes_back_under_another_name(shelf: Path) -> None:
    data = pack_checkpoint(shelf / "mine")
    card = unpack_checkpoint(data, "again")
    assert list_checkpoints() == (
        {"again": card, "mine": dataclasses.replace(card, name="mine")},
        {},
    )
    z = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        decode(load_checkpoint("again").model, z), decode(load_checkpoint("mine").model, z)
    )


def test_a_zip_holds_one_folder_that_may_be_unpacked_by_hand(shelf: Path, tmp_path: Path) -> None:
    data = pack_checkpoint(shelf / "mine")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path / "by-hand")
    assert load_checkpoint(tmp_path / "by-hand" / "mine").card == load_checkpoint("mine").card
    assert pack_checkpoint(shelf / "mine") == data


def test_a_folder_renamed_by_hand_is_packed_under_its_new_name(shelf: Path) -> None:
    (shelf / "mine").rename(shelf / "yours")
    data = pack_checkpoint(shelf / "yours")
    shutil.rmtree(shelf / "yours")
    assert unpack_checkpoint(data).name == "yours"
    assert list(list_checkpoints()[0]) == ["yours"]


@pytest.mark.parametrize("folder", ["", "another name/"])
def test_files_may_lie_at_the_top_or_in_a_folder_as_macs_pack_it(
    shelf: Path, packed: Files, folder: str
) -> None:
    extra = {".DS_Store": b"x"}
    buffer = io.BytesIO(pack(packed | extra, folder))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("__MACOSX/new/._card.json", b"x")
    assert unpack_checkpoint(buffer.getvalue(), "new").name == "new"
    assert {path.name for path in (shelf / "new").iterdir()} == set(packed)


def test_a_zip_may_have_a_comment_or_a_prefix_or_be_a_zip64(
    shelf: Path, packed: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO(pack(packed))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"Made for a class." * 3
    unpack_checkpoint(buffer.getvalue(), "commented")
    unpack_checkpoint(b"#!/bin/sh\n" + pack(packed), "prefixed")
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    large = pack(packed)
    monkeypatch.undo()
    assert b"PK\x06\x06" in large
    monkeypatch.setattr(workspace, "CHECKPOINTS", shelf)
    unpack_checkpoint(large, "zip64")
    for name in ("commented", "prefixed", "zip64"):
        assert load_checkpoint(shelf / name).card.name == name


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_checkpoint_can_be_taken_along_and_back(name: str) -> None:
    card, files = read_archive(pack_checkpoint(PROJECT / "checkpoints" / name))
    assert card.name == name
    assert set(files) == {path.name for path in (PROJECT / "checkpoints" / name).iterdir()}


def test_a_damaged_checkpoint_is_not_packed(shelf: Path) -> None:
    (shelf / "mine" / "history.csv").write_bytes(b"epoch\n")
    with pytest.raises(CheckpointError, match=r"'mine' is broken.*history.csv is damaged"):
        pack_checkpoint(shelf / "mine")


# Names


def test_a_taken_name_is_refused_with_one_that_is_free(shelf: Path, packed: Files) -> None:
    refuse(
        shelf,
        pack(packed),
        "“mine” is already in use. Choose another name, for example “mine-2”",
        name=None,
    )
    refuse(shelf, pack(packed), "“MINE” is already in use", name="MINE")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fashion-vae-2d", "reserved for a model that comes with the app"),
        ("classifiers", "already in use"),
        ("Classifiers", "already in use"),
    ],
)
def test_names_of_what_comes_along_are_kept(
    shelf: Path, packed: Files, name: str, reason: str
) -> None:
    refuse(shelf, pack(packed), reason, name=name)


@pytest.mark.parametrize(
    "name", ["", ".hidden", "../up", "a/b", "a\\b", "a b", "-x", "x.", "é", "x" * 65, "a\n", "C:x"]
)
def test_names_that_no_folder_should_have_are_refused(
    shelf: Path, packed: Files, name: str
) -> None:
    refuse(shelf, pack(packed), "not a valid name", name=name)


def test_the_name_in_a_card_is_checked_as_well(shelf: Path, packed: Files) -> None:
    files = change_card(packed, lambda card: card.update(name="../../evil"))
    refuse(shelf, pack(files), "not a valid name", name=None)


# Zips that are none, or mean harm


@pytest.mark.parametrize("data", [b"", b"PK", b"\x89PNG" + bytes(100), b"PK\x03\x04" + bytes(99)])
def test_what_is_no_zip_is_refused(shelf: Path, data: bytes) -> None:
    refuse(shelf, data, "not a zip file, or it is incomplete")


def test_a_zip_cut_short_or_with_flipped_bytes_is_refused(shelf: Path, packed: Files) -> None:
    data = pack(packed)
    for end in range(0, len(data), len(data) // 23):
        refuse(shelf, data[:end], "incomplete")
    for place in range(10, len(data) - 22, len(data) // 41):
        torn = bytearray(data)
        torn[place] ^= 0xFF
        try:
            unpack_checkpoint(bytes(torn), "torn")
        except CheckpointError:
            assert not (shelf / "torn").exists()
        else:  # a byte that says nothing: of a time, say
            assert load_checkpoint("torn").card.sha256 == load_checkpoint("mine").card.sha256
            shutil.rmtree(shelf / "torn")
    assert list(list_checkpoints()[0]) == ["mine"]


@pytest.mark.parametrize(
    "path", ["../card.json", "/etc/passwd", "new/../../x.csv", "C:\\x.csv", "..\\x.csv", "C:x"]
)
def test_a_path_that_points_outside_is_refused(
    shelf: Path, packed: Files, path: str, tmp_path: Path
) -> None:
    outside = read_folder(tmp_path)
    buffer = io.BytesIO(pack(packed))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(path, b"x")
    refuse(shelf, buffer.getvalue(), "is a link or points outside")
    assert read_folder(tmp_path) == outside


def test_a_link_is_refused(shelf: Path, packed: Files) -> None:
    buffer = io.BytesIO(pack(packed))
    link = zipfile.ZipInfo("new/extra.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refuse(shelf, buffer.getvalue(), "is a link or points outside")


def test_more_than_a_folder_is_refused(shelf: Path, packed: Files) -> None:
    both = {f"{folder}/{name}": data for folder in "ab" for name, data in packed.items()}
    refuse(shelf, pack(both, ""), "files must be in one folder")
    refuse(shelf, pack(packed, "a/b/"), "files must be in one folder")
    refuse(shelf, pack({}), "files must be in one folder")


def test_a_name_twice_is_refused(shelf: Path, packed: Files) -> None:
    buffer = io.BytesIO(pack(packed))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("new/card.json", packed["card.json"])
    refuse(shelf, buffer.getvalue(), "'new/card.json' twice")


def test_a_bomb_is_refused_by_what_it_declares(shelf: Path, packed: Files) -> None:
    bomb = pack({**packed, "extra.csv": bytes(archive.MAX_BYTES)})
    assert len(bomb) < 2**20
    refuse(shelf, bomb, "This zip unpacks to")


def test_a_bomb_that_declares_little_is_unpacked_no_further(shelf: Path, packed: Files) -> None:
    size = 50 * 2**20
    bomb = pack({**packed, "history.csv": bytes(size)})
    small = len(packed["history.csv"])
    assert bomb.count(struct.pack("<L", size)) == 2  # in the entry's head, and in the index
    refuse(shelf, bomb.replace(struct.pack("<L", size), struct.pack("<L", small)), "damaged")


def test_a_huge_card_is_refused_unread(shelf: Path, packed: Files) -> None:
    card = packed["card.json"] + b" " * 2**20
    refuse(shelf, pack({**packed, "card.json": card}), "with card.json of")


def test_an_archive_over_the_limit_is_refused_unread(
    shelf: Path, packed: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pack(packed)
    monkeypatch.setattr(archive, "MAX_BYTES", len(data) - 1)
    refuse(shelf, data, "the limit is 0 MB")


def test_a_zip_of_very_many_files_is_refused_unread(shelf: Path, packed: Files) -> None:
    many = {f"{k}.csv": b"" for k in range(2_000)}
    refuse(shelf, pack(packed | many), "far more files than a checkpoint")


def test_other_ways_of_packing_and_passwords_are_refused(shelf: Path, packed: Files) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        for name, data in packed.items():
            archive.writestr(name, data)
    refuse(shelf, buffer.getvalue(), "compression method")
    locked = bytearray(pack(packed))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = locked.find(magic)
        while place >= 0:
            locked[place + flags] |= 1
            place = locked.find(magic, place + 1)
    refuse(shelf, bytes(locked), "protected by a password")


# Checkpoints that do not fit their card


def test_a_file_that_the_card_does_not_list_is_named(shelf: Path, packed: Files) -> None:
    refuse(shelf, pack({**packed, "notes.txt": b"hi"}), "does not list: notes.txt")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "encodings.safetensors", "history.csv", "card.json"]
)
def test_a_missing_file_is_named(shelf: Path, packed: Files, name: str) -> None:
    del packed[name]
    refuse(shelf, pack(packed), rf"(lacks|has no).*{name}")


class Evil:
    """Leaves a file where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("unpickled"),)


def test_a_pickle_is_never_loaded_whatever_its_name(
    shelf: Path, packed: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = pickle.dumps(Evil())
    for name in ("model.safetensors", "latent.safetensors", "extra.safetensors"):
        refuse(shelf, pack(replace_file(packed, name, evil)), f"{name} is not a safetensors file")
    refuse(
        shelf, pack(replace_file(packed, "model.pkl", evil)), "only hold safetensors and CSV files"
    )
    assert not (tmp_path / "unpickled").exists()


def test_a_wrong_hash_is_refused(shelf: Path, packed: Files) -> None:
    files = {**packed, "history.csv": packed["history.csv"] + b"\n"}
    refuse(shelf, pack(files), "history.csv is damaged or was changed")


def test_weights_of_another_shape_or_that_are_no_numbers_are_refused(
    shelf: Path, packed: Files
) -> None:
    tensors = safetensors.numpy.load(packed["model.safetensors"])
    name = "encoder.z_mean.weight"
    for array, reason in (
        (tensors[name][:, :-1].copy(), f"{name} must be"),
        (np.full_like(tensors[name], np.nan), "finite"),
    ):
        data = safetensors.numpy.save({**tensors, name: array})
        refuse(shelf, pack(replace_file(packed, "model.safetensors", data)), reason)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "BOOL", "I64"])
@pytest.mark.parametrize("file", ["encodings.safetensors", "latent.safetensors"])
def test_arrays_of_strange_types_are_refused_or_harmless(
    shelf: Path, packed: Files, file: str, dtype: str
) -> None:
    data = packed[file]
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    start, end = header[name]["data_offsets"]
    width = 8 if dtype == "I64" else 2 if dtype == "BF16" else 1
    header[name] |= {"dtype": dtype, "shape": [(end - start) // width]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    made = len(text).to_bytes(8, "little") + text + data[8 + length :]
    refuse(shelf, pack(replace_file(packed, file, made)), "cannot be used|not a safetensors")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda card: card.update(title="![x](https://x.org/a.png)"), "A title must be one line"),
        (lambda card: card.update(title="x" * 200), "A title must be one line"),
        (lambda card: card["dataset"].update(terms="[free](https://x.org)"), "plain text"),
        (lambda card: card["dataset"].update(url="<script>"), "plain text"),
        (lambda card: card["versions"].update({"![x": "1"}), "plain text"),
        (lambda card: card["metrics"]["kl"].update(protocol="![x][y]"), "plain text"),
        (lambda card: card.update(format_version=99), "newer version"),
        (lambda card: card.update(more=1), "unknown fields: more"),
        (lambda card: card["sha256"].update({"../x.csv": "0" * 64}), "files of this folder"),
        (lambda card: card["model"].update(image_size=2**16), "feature maps"),
        (lambda card: card["model"].update(channels=[2**30, 16]), "feature maps"),
    ],
)
def test_a_card_that_says_too_much_is_refused(
    shelf: Path, packed: Files, change: Callable[[dict], object], reason: str
) -> None:
    refuse(shelf, pack(change_card(packed, change)), reason)


def test_a_card_that_is_no_json_is_refused(shelf: Path, packed: Files) -> None:
    for text in (b"{", b"[]", b"\xff\xfe", b"[" * 100_000):
        refuse(shelf, pack({**packed, "card.json": text}), "card cannot be read")


def test_a_disk_that_is_full_leaves_nothing(
    shelf: Path, packed: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "write_files", fail)
    refuse(shelf, pack(packed), "No space left on device")


def test_a_copy_for_looking_takes_nothing_in_and_packs(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    before = read_folder(shelf)
    data = pack_checkpoint(shelf / "mine")
    with pytest.raises(ReadOnlyError, match="adding a model is turned off"):
        unpack_checkpoint(data, "new")
    assert read_folder(shelf) == before


def test_the_largest_map_is_that_of_the_layers() -> None:
    config = ModelConfig(
        image_size=16, image_channels=3, latent_dim=2, channels=(8, 4), decoder_channels=(4, 9, 6)
    )
    assert largest_map(config) == 6 * 16 * 16
