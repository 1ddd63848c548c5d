"""The test images that come with the app."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.data import DATASETS, DatasetError, held_out
from vae_explorer.data.held_out import HELD_OUT, load_held_out
from vae_explorer.inference import encode


@pytest.mark.parametrize("name", sorted(HELD_OUT))
def test_they_are_the_published_ones(name: str) -> None:
    found, spec = load_held_out(name), DATASETS[name]
    assert found.images.shape == (10_000, 1, 28, 28)
    assert set(found.labels.tolist()) == set(range(10))
    assert found.label_names == spec.label_names
    np.testing.assert_array_equal(found.rows("test"), 60_000 + np.arange(10_000))
    assert not len(found.rows("train"))
    assert found.held_out == "test"


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [("fashion-vae-2d", "fashion-mnist"), ("mnist-vae-2d", "mnist")],
)
def test_their_rows_are_those_of_the_shipped_encodings(checkpoint: str, name: str) -> None:
    model = load_checkpoint(checkpoint)
    rows = model.encodings.row_id[:64]
    images = load_held_out(name).take(rows, model.card.model.image_size)
    z_mean, _ = encode(model.model, images.astype(np.float32) / 255)
    np.testing.assert_allclose(z_mean, model.encodings.z_mean[:64], atol=0.02)


@pytest.mark.parametrize("rows", [[0], [59_999, 60_000], [70_000], [-1]])
def test_other_rows_are_refused(rows: list[int]) -> None:
    with pytest.raises(DatasetError, match="Only the test images"):
        load_held_out("mnist").take(np.array(rows))


def test_an_archive_that_is_another_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "MNIST").mkdir()
    for file in (held_out.ARCHIVES / "MNIST").iterdir():
        (tmp_path / "MNIST" / file.name).write_bytes(file.read_bytes()[:-1])
    monkeypatch.setattr(held_out, "ARCHIVES", tmp_path)
    with pytest.raises(DatasetError, match="not the published archive"):
        load_held_out("mnist")


def test_of_other_data_there_are_none() -> None:
    with pytest.raises(DatasetError, match="celeba"):
        load_held_out("celeba")
