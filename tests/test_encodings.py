from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from vae_explorer.config import ModelConfig
from vae_explorer.encodings import ROWS_AT_ONCE, Encodings, encode_dataset
from vae_explorer.inference import encode
from vae_explorer.models import build_model


@dataclass
class MadeDataset:
    """Stands in for `ImageDataset`: 6x6 pictures that are padded to 8x8."""

    images: np.ndarray
    labels: np.ndarray | None
    attributes: np.ndarray | None
    split: np.ndarray

    def take(self, rows: np.ndarray, image_size: int) -> np.ndarray:
        border = (image_size - self.images.shape[-1]) // 2
        return np.pad(self.images[rows], ((0, 0), (0, 0), (border, border), (border, border)))


def make_dataset(n: int, *, annotated: bool = True) -> MadeDataset:
    rng = np.random.default_rng(0)
    return MadeDataset(
        images=rng.integers(0, 256, (n, 1, 6, 6), dtype=np.uint8),
        labels=rng.integers(0, 10, n) if annotated else None,
        attributes=rng.random((n, 3)) < 0.5 if annotated else None,
        split=np.where(np.arange(n) < 3, "train", "test"),
    )


def make_encodings(n: int = 7) -> Encodings:
    rng = np.random.default_rng(1)
    return Encodings(
        row_id=np.arange(n) * 3,
        split=np.where(np.arange(n) < 3, "train", "test"),
        z_mean=rng.normal(size=(n, 4)).astype(np.float32),
        z_log_var=rng.normal(size=(n, 4)).astype(np.float32),
        labels=rng.integers(0, 10, n),
        attributes=rng.random((n, 3)) < 0.5,
    )


def assert_same(found: Encodings, want: Encodings, rtol: float = 0) -> None:
    for field in fields(Encodings):
        got, expected = getattr(found, field.name), getattr(want, field.name)
        if expected is None or expected.dtype != np.float32:
            np.testing.assert_array_equal(got, expected)
        else:
            np.testing.assert_allclose(got, expected, rtol=rtol)


@pytest.mark.parametrize("n", [0, 7])
@pytest.mark.parametrize("bare", [False, True])
def test_the_round_trip_keeps_all_but_the_last_digits(n: int, bare: bool) -> None:
    encodings = make_encodings(n)
    if bare:
        encodings = replace(encodings, z_log_var=None, labels=None, attributes=None)
    tensors, metadata = encodings.to_tensors()
    found = Encodings.from_tensors(tensors, metadata)
    assert_same(found, encodings, rtol=2**-11)  # half a unit in float16's last place
    if not bare:
        types = {name: array.dtype.name for name, array in tensors.items()}
        assert types == {
            "row_id": "int32",
            "split": "uint8",
            "z_mean": "float16",
            "z_log_var": "float16",
            "labels": "int16",
            "attributes": "uint8",
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": np.array(["train"])}, "split must have 7 rows, as row_id has; found 1"),
        ({"labels": np.zeros(6, np.int64)}, "labels must have 7 rows"),
        ({"attributes": np.zeros((5, 3), bool)}, "attributes must have 7 rows"),
        ({"z_mean": np.zeros((7, 4))}, "z_mean must be float32 of 2 dimensions; found float64"),
        ({"z_mean": np.zeros(7, np.float32)}, r"z_mean must be .* of shape \(7,\)"),
        ({"z_mean": np.full((7, 4), np.nan, np.float32)}, "z_mean must be finite; found 28"),
        ({"z_log_var": np.zeros((7, 3), np.float32)}, "must have the shape of z_mean"),
        ({"row_id": np.zeros(7)}, "row_id must be int64"),
    ],
)
def test_arrays_that_disagree_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(make_encodings(), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z_mean": np.full((7, 4), 7e4, np.float32)}, "z_mean must lie in .*65504.*70000"),
        ({"z_log_var": np.full((7, 4), -1e9, np.float32)}, "z_log_var must lie in"),
        ({"labels": np.full(7, 40_000)}, "labels must lie in .* int16; found 40000"),
        ({"row_id": np.full(7, 2**31)}, "row_id must lie in .* int32"),
    ],
)
def test_values_too_large_for_the_disk_are_refused(
    change: dict[str, np.ndarray], message: str
) -> None:
    encodings = replace(make_encodings(), **change)
    with pytest.raises(ValueError, match=message):
        encodings.to_tensors()


@pytest.mark.parametrize(
    ("change", "metadata", "message"),
    [
        ({"z_mean": None}, {"split_names": "[]"}, "encodings lack z_mean"),
        ({}, {}, "must hold split_names"),
        ({}, {"split_names": "[1]"}, "must hold split_names"),
        ({}, {"split_names": '["train"]'}, "uint8 codes below 1"),
    ],
)
def test_incomplete_tensors_are_refused(
    change: dict[str, None], metadata: dict[str, str], message: str
) -> None:
    tensors, _ = make_encodings().to_tensors()
    kept = {name: array for name, array in tensors.items() if name not in change}
    with pytest.raises(ValueError, match=message):
        Encodings.from_tensors(kept, metadata)


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
@pytest.mark.parametrize("annotated", [True, False])
def test_a_data_set_is_encoded_in_the_order_of_the_rows(kind: str, annotated: bool) -> None:
    config = ModelConfig.from_dict(
        {"image_size": 8, "image_channels": 1, "latent_dim": 2, "channels": [4], "kind": kind}
    )
    model, dataset = build_model(config).eval(), make_dataset(40, annotated=annotated)
    rows = np.array([5, 39, 0, 7])

    encodings = encode_dataset(model, dataset, rows)

    pixels = dataset.take(rows, 8).astype(np.float32) / 255
    z_mean, z_log_var = encode(model, pixels)
    want = Encodings(
        row_id=rows,
        split=dataset.split[rows],
        z_mean=z_mean,
        z_log_var=z_log_var,
        labels=dataset.labels[rows] if annotated else None,
        attributes=dataset.attributes[rows] if annotated else None,
    )
    assert_same(encodings, want)


@pytest.mark.parametrize("n", [0, ROWS_AT_ONCE + 1])
def test_a_data_set_is_read_in_parts(n: int) -> None:
    config = ModelConfig(image_size=8, image_channels=1, latent_dim=2, channels=(4,))
    model, dataset = build_model(config).eval(), make_dataset(max(n, 1))
    encodings = encode_dataset(model, dataset, np.arange(n))
    assert encodings.z_mean.shape == (n, 2)
    if n:
        last = dataset.take(np.array([n - 1]), 8).astype(np.float32) / 255
        np.testing.assert_allclose(encodings.z_mean[-1:], encode(model, last)[0], atol=1e-6)
