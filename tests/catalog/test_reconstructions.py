"""The same pictures for several models: which ones, cut to one size, and how near each comes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vae_explorer.catalog.reconstructions import (
    crop,
    draw_row_ids,
    find_latents,
    load_run_model,
    psnr,
)
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.errors import RunError
from vae_explorer.inference import decode
from vae_explorer.training.state import load_state, save_config


def test_pictures_are_drawn_from_those_that_all_models_have() -> None:
    ids = draw_row_ids([np.arange(0, 100), np.arange(60, 200)[::-1]], 12, 3)
    assert len(set(ids)) == 12
    assert set(ids) <= set(range(60, 100))
    assert np.array_equal(ids, np.sort(ids))


def test_a_seed_draws_its_own_and_always_the_same() -> None:
    unseen = [np.arange(1_000)]
    assert np.array_equal(draw_row_ids(unseen, 12, 1), draw_row_ids(unseen, 12, 1))
    assert not np.array_equal(draw_row_ids(unseen, 12, 1), draw_row_ids(unseen, 12, 2))


def test_where_there_are_few_all_are_drawn_and_none_where_there_are_none() -> None:
    assert draw_row_ids([np.array([4, 9])], 12, 0).tolist() == [4, 9]
    assert draw_row_ids([np.array([4]), np.array([9])], 12, 0).tolist() == []
    assert draw_row_ids([], 12, 0).tolist() == []


def test_latents_are_found_by_row_id(checkpoint_root: Path) -> None:
    encodings = load_checkpoint("digits-vae-2d").encodings
    places = np.array([5, 200, 31])
    found = find_latents(encodings, encodings.row_id[places])
    assert np.array_equal(found, encodings.z_mean[places])


def test_a_border_is_cut_off_and_nothing_else() -> None:
    picture = np.random.default_rng(0).random((2, 1, 28, 28))
    padded = np.pad(picture, ((0, 0), (0, 0), (2, 2), (2, 2)))
    assert np.array_equal(crop(padded, 28), picture)
    assert np.array_equal(crop(picture, 28), picture)


def test_psnr_is_that_of_each_picture_averaged() -> None:
    originals = np.zeros((2, 1, 4, 4))
    images = np.stack([np.full((1, 4, 4), 0.1), np.full((1, 4, 4), 0.01)])
    assert psnr(images, originals) == pytest.approx((20 + 40) / 2)


def test_a_runs_model_has_its_best_weights(
    tmp_path: Path,
    trained_run: Path,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    save_config(run, tiny_vae_config, tiny_train_config)
    model = load_run_model(run, tiny_vae_config)
    best = load_state(trained_run).best
    assert all(np.array_equal(best[name], t) for name, t in model.state_dict().items())
    assert np.isfinite(decode(model, np.zeros((1, 2), np.float32))).all()


def test_a_run_without_weights_says_so(tmp_path: Path, tiny_vae_config: ModelConfig) -> None:
    with pytest.raises(RunError, match="no run"):
        load_run_model(tmp_path, tiny_vae_config)
