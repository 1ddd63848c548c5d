"""MNIST and Fashion-MNIST: archives verified and used; an error that helps where there are none."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from vae_explorer.data import DATASETS, DatasetError, builtin, prepare
from vae_explorer.data.builtin import ARCHIVES, import_torchvision

CLOSED = "http://127.0.0.1:9/"  # nothing listens there: the answer of a machine without network
COUNTS = {"train": 6, "t10k": 4}


def idx_gz(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


def made_archives() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    archives = {}
    for part, n in COUNTS.items():
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        archives[f"{part}-images-idx3-ubyte.gz"] = idx_gz(images)
        archives[f"{part}-labels-idx1-ubyte.gz"] = idx_gz(np.arange(n, dtype=np.uint8))
    return archives


@pytest.fixture
def archives(monkeypatch) -> dict[str, bytes]:
    """Small archives in torchvision's stead, with their own checksums, and no network."""
    made = made_archives()
    datasets = import_torchvision().datasets
    resources = [(name, hashlib.md5(made[name]).hexdigest()) for name in ARCHIVES]
    small = type("MNIST", (datasets.MNIST,), {"resources": resources, "mirrors": [CLOSED]})
    monkeypatch.setattr(datasets, "MNIST", small)
    return made


def put(archives: dict[str, bytes], root: Path) -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    return folder


def test_archives_that_lie_there_are_used(tmp_path, archives):
    put(archives, tmp_path)
    dataset = prepare("mnist", tmp_path)
    assert dataset.images.shape == (10, 1, 28, 28)
    assert dataset.split.tolist() == ["train"] * 6 + ["test"] * 4
    assert dataset.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    published = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(dataset.images[:6, 0], published)
    assert dataset.held_out == "test"


def test_without_network_and_archives_the_error_names_files_and_folder(tmp_path, archives):
    with pytest.raises(DatasetError) as error:
        prepare("mnist", tmp_path)
    for name in ARCHIVES:
        assert name in str(error.value)
    assert str(tmp_path / "MNIST" / "raw") in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_an_archive_with_the_wrong_checksum_is_not_used(tmp_path, archives):
    name = ARCHIVES[0]
    put(archives | {name: archives[name][:-1]}, tmp_path)
    with pytest.raises(DatasetError, match=f"downloading {name}"):
        prepare("mnist", tmp_path)


def test_a_file_cut_short_while_unpacking_is_an_error_that_helps(tmp_path, archives):
    folder = put(archives, tmp_path)
    for name in ARCHIVES:
        (folder / name).with_suffix("").write_bytes(gzip.decompress(archives[name])[:-5])
    with pytest.raises(DatasetError, match="delete every other file"):
        prepare("mnist", tmp_path)


def test_a_folder_in_the_way_is_an_error(tmp_path, archives):
    (tmp_path / "MNIST").write_text("a file")
    with pytest.raises(DatasetError, match="can write to it"):
        prepare("mnist", tmp_path)


def test_label_names_are_the_published_ones():
    classes = import_torchvision().datasets.FashionMNIST.classes
    assert DATASETS["fashion-mnist"].label_names == tuple(classes)


def test_missing_operators_are_declared_and_the_import_tried_again(monkeypatch):
    calls = []

    def import_module(name: str) -> str:
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        return name

    monkeypatch.setattr(builtin.importlib, "import_module", import_module)
    monkeypatch.setattr(builtin, "_declare_operators", lambda: calls.append("declared"))
    assert import_torchvision.__wrapped__() == "torchvision"
    assert calls == ["torchvision", "declared", "torchvision", "torchvision.datasets"]


def test_another_failure_of_the_import_is_not_hidden(monkeypatch):
    def import_module(name: str) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(builtin.importlib, "import_module", import_module)
    with pytest.raises(RuntimeError, match="out of luck"):
        import_torchvision.__wrapped__()
