from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.ui.explore.map_points import find_neighbours, write_csv


@pytest.fixture
def checkpoint(checkpoint_root: Path) -> Checkpoint:
    return load_checkpoint("digits-vae-5d")


def test_a_csv_holds_row_id_split_label_and_z_of_each_row(checkpoint: Checkpoint):
    rows = np.array([250, 0, 31])
    header, *lines = csv.reader(io.StringIO(write_csv(checkpoint, rows)))
    assert header == ["row_id", "split", "label", "z1", "z2", "z3", "z4", "z5"]
    encodings = checkpoint.encodings
    for row, line in zip(rows, lines, strict=True):
        assert int(line[0]) == encodings.row_id[row]
        assert line[1] == encodings.split[row] == "test"
        assert line[2] == str(encodings.labels[row])
        np.testing.assert_allclose(np.array(line[3:], float), encodings.z_mean[row], rtol=1e-4)


def test_a_csv_of_nothing_has_its_header(checkpoint: Checkpoint):
    assert write_csv(checkpoint, np.zeros(0, int)).count("\n") == 1


@pytest.mark.parametrize("row", [0, 7, 358])
def test_neighbours_are_the_nearest_others(checkpoint: Checkpoint, row):
    z_mean = checkpoint.encodings.z_mean
    distances = np.linalg.norm(z_mean - z_mean[row], axis=1)
    distances[row] = np.inf
    assert set(find_neighbours(checkpoint, row)) == set(np.argsort(distances)[:6])
