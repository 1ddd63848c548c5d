"""The cache: written once, in one rename, and checked whenever it is opened."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import PROJECT
from vae_explorer.data import DATASETS, DatasetError, DatasetSpec, load_dataset, prepare
from vae_explorer.data.base import Record, Source
from vae_explorer.errors import ImageError

SIZE = 8


def picture(value: int, size: int = SIZE) -> np.ndarray:
    return np.full((1, size, size), value, dtype=np.uint8)


def made_source(count: int = 20, damaged: tuple[int, ...] = ()) -> Source:
    """Picture i is filled with i."""

    def load(index: int) -> np.ndarray:
        if index in damaged:
            raise ImageError("scratched")
        return picture(index)

    records = (
        Record(f"{i}.png", lambda i=i: load(i), label=i % 2, attributes=np.array([i > 5, True]))
        for i in range(count)
    )
    return Source(records, count, ("even", "odd"), ("large", "any"))


@pytest.fixture
def register(monkeypatch):
    """Make a reader the data set "made"."""

    def add(read, **changes) -> DatasetSpec:
        spec = replace(DATASETS["digits"], name="made", image_size=SIZE, read=read, bundled=False)
        monkeypatch.setitem(DATASETS, "made", replace(spec, **changes))
        return DATASETS["made"]

    return add


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "cache").iterdir())


def test_digits_cover_the_whole_grey_range_and_keep_their_labels(tmp_path):
    dataset = load_dataset("digits", tmp_path)
    assert dataset.images.shape == (1797, 1, 8, 8)
    assert dataset.images.dtype == np.uint8
    assert (dataset.images.min(), dataset.images.max()) == (0, 255)
    assert set(dataset.labels.tolist()) == set(range(10))
    assert dataset.label_names == tuple("0123456789")
    assert dataset.attributes is None


def test_the_cache_opens_as_a_memory_map_equal_to_what_was_prepared(tmp_path, register):
    register(lambda root, size, source: made_source())
    prepared = prepare("made", tmp_path)
    opened = load_dataset("made", tmp_path)
    assert isinstance(opened.images, np.memmap)
    for name in ("images", "labels", "attributes", "split"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(prepared, name))
    assert opened.label_names == ("even", "odd")
    assert opened.attribute_names == ("large", "any")


def test_a_second_prepare_reads_nothing(tmp_path, register):
    calls = []
    register(lambda root, size, source: calls.append(1) or made_source())
    prepare("made", tmp_path)
    prepare("made", tmp_path)
    assert len(calls) == 1


def test_every_row_is_in_exactly_one_split(tmp_path):
    dataset = load_dataset("digits", tmp_path)
    rows = [dataset.rows(split) for split in ("train", "val", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(1797))
    shares = [len(part) / 1797 for part in rows]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.001)


def test_the_same_seed_draws_the_same_split_and_another_seed_another(tmp_path):
    first, again, other = (
        prepare("digits", tmp_path / str(i), seed=seed).split for i, seed in enumerate((3, 3, 4))
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_a_cache_split_with_another_seed_is_not_passed_off(tmp_path):
    prepare("digits", tmp_path, seed=3)
    with pytest.raises(DatasetError, match="seed 3, not 4"):
        prepare("digits", tmp_path, seed=4)


def test_held_out_is_the_validation_split_where_there_is_no_test_split(tmp_path, register):
    def read(root, size, source):
        splits = ("train", "train", "val")
        records = [Record(s, lambda: picture(1), label=0, split=s) for s in splits]
        return Source(records, 3)

    register(read, shares=None)
    dataset = prepare("made", tmp_path)
    assert dataset.held_out == "val"
    assert dataset.rows("test").size == 0
    assert load_dataset("digits", tmp_path).held_out == "test"


def test_an_unknown_split_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="train, val, test"):
        load_dataset("digits", tmp_path).rows("tset")


def test_damaged_pictures_are_listed_and_leave_no_holes(tmp_path, register):
    register(lambda root, size, source: made_source(20, damaged=(0, 7, 19)))
    dataset = prepare("made", tmp_path)
    kept = [i for i in range(20) if i not in (0, 7, 19)]
    assert dataset.damaged == ("0.png", "7.png", "19.png")
    assert dataset.images[:, 0, 0, 0].tolist() == kept
    assert dataset.labels.tolist() == [i % 2 for i in kept]
    assert dataset.attributes[:, 0].tolist() == [i > 5 for i in kept]
    bytes_needed = 128 + len(kept) * SIZE * SIZE
    assert (tmp_path / "cache/made-8/images.npy").stat().st_size == bytes_needed


def test_no_usable_picture_is_an_error_with_the_reason(tmp_path, register):
    register(lambda root, size, source: made_source(4, damaged=(0, 1, 2, 3)))
    with pytest.raises(DatasetError, match=r"None of the 4 images .*0.png: scratched"):
        prepare("made", tmp_path)
    assert leftovers(tmp_path) == []


def test_too_few_pictures_to_split_are_an_error(tmp_path, register):
    register(lambda root, size, source: made_source(2))
    with pytest.raises(DatasetError, match="at least 3 are needed"):
        prepare("made", tmp_path)


def test_every_split_of_a_seeded_set_has_a_row(tmp_path, register):
    register(lambda root, size, source: made_source(3))
    assert sorted(prepare("made", tmp_path).split) == ["test", "train", "val"]


def test_progress_ends_at_the_total(tmp_path, register):
    register(lambda root, size, source: made_source(250))
    seen = []
    prepare("made", tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 250)
    assert seen[-1] == (250, 250)
    assert seen == sorted(seen)


def test_a_set_larger_than_memory_streams(tmp_path, register):
    count, size = 400, 64

    def read(root, size, source):
        records = (Record(str(i), lambda: picture(1, size), label=0) for i in range(count))
        return Source(records, count)

    register(read, image_size=size)
    prepare("made", tmp_path)  # what is loaded once only, code and such, is loaded by now
    tracemalloc.start()
    prepare("made", tmp_path / "again")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < count * size * size / 2


def test_a_reader_that_breaks_its_promise_is_told(tmp_path, register):
    records = [Record("a", lambda: picture(1, size=9))]
    register(lambda root, size, source: Source(records, 1))
    with pytest.raises(TypeError, match=r"\(1, 9, 9\), not uint8 \(1, 8, 8\)"):
        prepare("made", tmp_path)


# Padding


def test_take_pads_with_zeros_all_round(tmp_path):
    dataset = load_dataset("digits", tmp_path)
    rows = np.array([5, 0, 5])
    padded = dataset.take(rows, 12)
    assert padded.shape == (3, 1, 12, 12)
    assert padded.dtype == np.uint8
    np.testing.assert_array_equal(padded[:, :, 2:-2, 2:-2], dataset.images[rows])
    assert padded.sum() == dataset.images[rows].sum(dtype=np.int64)


def test_take_gives_a_copy_to_change(tmp_path):
    dataset = load_dataset("digits", tmp_path)
    taken = dataset.take(np.array([0]))
    taken[:] = 7
    assert np.any(dataset.images[0] != 7)


@pytest.mark.parametrize("image_size", [6, 9, 0])
def test_take_refuses_a_size_that_no_even_border_reaches(tmp_path, image_size):
    with pytest.raises(DatasetError, match="8, 10, 12 and so on are possible"):
        load_dataset("digits", tmp_path).take(np.array([0]), image_size)


# Arguments


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(DatasetError, match="mnist, fashion-mnist, digits, celeba, folder"):
        prepare("nist", tmp_path)


def test_a_set_with_a_size_of_its_own_takes_no_other(tmp_path):
    with pytest.raises(DatasetError, match="8x8: leave out --size"):
        prepare("digits", tmp_path, size=16)


@pytest.mark.parametrize("size", [0, -4, 10_000])
def test_an_impossible_size_is_an_error(tmp_path, size):
    with pytest.raises(DatasetError, match="from 8 to 512"):
        prepare("celeba", tmp_path, size=size)


def test_loading_what_is_not_prepared_names_the_command(tmp_path):
    root, source = tmp_path / "my data", tmp_path / "faces"
    with pytest.raises(DatasetError) as error:
        load_dataset("celeba", root, size=32, source=source)
    command = f"prepare celeba --root '{root}' --size 32 --source {source}`"
    assert f"`python -m vae_explorer {command}" in str(error.value)
    assert not root.exists()


def test_a_root_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "root").write_text("a file")
    with pytest.raises(DatasetError, match=r"cannot be written.*--root"):
        prepare("digits", tmp_path / "root")


# Atomicity


def test_an_interrupted_prepare_leaves_nothing_and_the_next_one_repairs(tmp_path, register):
    def stop() -> np.ndarray:
        raise KeyboardInterrupt

    records = [Record("0", lambda: picture(0)), Record("1", stop)]
    register(lambda root, size, source: Source(records, 2))
    with pytest.raises(KeyboardInterrupt):
        prepare("made", tmp_path)
    assert leftovers(tmp_path) == []
    register(lambda root, size, source: made_source())
    assert len(prepare("made", tmp_path).images) == 20
    assert leftovers(tmp_path) == ["made-8"]


KILLED = """
import os, signal, sys
from pathlib import Path
from vae_explorer.data import prepare
def kill(done, total):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
prepare("digits", Path(sys.argv[1]), progress=kill)
"""


def test_a_killed_prepare_leaves_no_cache_and_the_next_one_clears_up(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=PROJECT, check=False)
    assert killed.returncode == -signal.SIGKILL
    (half_written,) = leftovers(tmp_path)
    assert half_written.startswith(".digits-8.partial")
    assert len(prepare("digits", tmp_path).images) == 1797
    assert leftovers(tmp_path) == ["digits-8"]


def test_the_half_written_folder_of_a_running_process_is_left_alone(tmp_path):
    running = tmp_path / "cache" / f".digits-8.partial.{platform.node()}.{os.getppid()}.abc"
    elsewhere = tmp_path / "cache" / ".digits-8.partial.another-machine.1.abc"
    running.mkdir(parents=True)
    elsewhere.mkdir()
    prepare("digits", tmp_path)
    assert running.is_dir()
    assert elsewhere.is_dir()


def test_of_two_that_prepare_at_once_the_slower_opens_what_the_faster_wrote(tmp_path, register):
    def overtake() -> np.ndarray:
        register(lambda root, size, source: made_source(20))
        prepare("made", tmp_path)
        return picture(99)

    records = [Record("0", overtake, label=0)]
    records += [Record(str(i), lambda: picture(99), label=0) for i in range(1, 5)]
    register(lambda root, size, source: Source(records, 5, ("even", "odd")))
    assert prepare("made", tmp_path).images[:, 0, 0, 0].tolist() == list(range(20))
    assert leftovers(tmp_path) == ["made-8"]


# Corrupt caches


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def change(field: str, value: object):
    def edit(file: Path) -> None:
        fields = json.loads(file.read_text())
        file.write_text(json.dumps(fields | {field: value}))

    return edit


FAULTS = {
    "images missing": ("images.npy", Path.unlink, "images.npy cannot be read"),
    "images cut short": ("images.npy", truncate, "images.npy cannot be read"),
    "images empty": ("images.npy", lambda f: f.write_bytes(b""), "images.npy cannot be read"),
    "labels missing": ("labels.npy", Path.unlink, "labels.npy cannot be read"),
    "labels short": ("labels.npy", lambda f: np.save(f, np.zeros(3, int)), r"instead of int64"),
    "labels high": ("labels.npy", lambda f: np.save(f, np.full(20, 2)), "beyond the 2 label"),
    "labels pickled": (
        "labels.npy",
        lambda f: np.save(f, np.array([None] * 20), allow_pickle=True),
        "labels.npy cannot be read",
    ),
    "attributes short": (
        "attributes.npy",
        lambda f: np.save(f, np.zeros((20, 1), bool)),
        r"\(20, 1\) instead of bool \(20, 2\)",
    ),
    "split other": ("split.npy", lambda f: np.save(f, np.full(20, "val")), "split.npy and the"),
    "no JSON": ("dataset.json", lambda f: f.write_text("{"), "dataset.json cannot be used"),
    "JSON list": ("dataset.json", lambda f: f.write_text("[]"), "dataset.json cannot be used"),
    "JSON missing": ("dataset.json", Path.unlink, "dataset.json cannot be used"),
    "unknown field": ("dataset.json", change("colour", 1), "dataset.json cannot be used"),
    "newer format": ("dataset.json", change("format_version", 2), "newer version.*: format 2"),
    "counts empty": ("dataset.json", change("counts", {}), "counts no images"),
    "counts text": ("dataset.json", change("counts", "many"), "dataset.json cannot be used"),
    "names none": ("dataset.json", change("label_names", 3), "label_names must be a list; found 3"),
    "size other": ("dataset.json", change("size", 9), "images.npy holds"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_corrupt_cache_says_what_to_delete_and_what_to_run(tmp_path, register, fault):
    name, corrupt, message = FAULTS[fault]
    register(lambda root, size, source: made_source())
    prepare("made", tmp_path)
    folder = tmp_path / "cache" / "made-8"
    corrupt(folder / name)
    with pytest.raises(DatasetError, match=message) as error:
        load_dataset("made", tmp_path)
    assert (
        f"Delete that folder and run `python -m vae_explorer prepare made --root {tmp_path}`"
        in (str(error.value))
    )
    shutil.rmtree(folder)
    assert len(prepare("made", tmp_path).images) == 20
