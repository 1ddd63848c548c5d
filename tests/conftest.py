"""What several test files share: small data, small models, small checkpoints; no download."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.classifiers import NAMES, TINY, TRAIN, make_faces
from vae_explorer import workspace
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import ImageDataset, load_dataset
from vae_explorer.models import build_model
from vae_explorer.publishing import publish
from vae_explorer.training.classifier import save_config as save_classifier_config
from vae_explorer.training.classifier import train_classifier
from vae_explorer.training.snapshots import read_epochs
from vae_explorer.training.state import history_columns, load_state, save_config
from vae_explorer.training.trainer import train

TINY_VAE = ModelConfig(image_size=8, image_channels=1, latent_dim=2, channels=(8, 16))
PUBLISHED = {
    "digits-vae-2d": TINY_VAE,
    "digits-vae-5d": replace(TINY_VAE, latent_dim=5),
    "digits-ae-2d": replace(TINY_VAE, kind="autoencoder"),
}


@pytest.fixture(scope="session", autouse=True)
def single_thread() -> None:
    """Models this small are many times slower when threads wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data that holds the prepared digits."""
    root = tmp_path_factory.mktemp("data")
    load_dataset("digits", root)
    return root


@pytest.fixture(scope="session")
def digits(data_root: Path) -> ImageDataset:
    """scikit-learn's 1,797 digits of 8x8 pixels."""
    return load_dataset("digits", data_root)


@pytest.fixture(scope="session")
def tiny_vae_config() -> ModelConfig:
    """A 2-D VAE for digits that trains in a second."""
    return TINY_VAE


@pytest.fixture(scope="session")
def tiny_train_config() -> TrainConfig:
    """Three epochs of nine steps, in float32 so that they are as fast on any processor."""
    return TrainConfig(
        dataset="digits",
        epochs=3,
        warmup_steps=4,
        learning_rate=5e-3,
        weight_average=0.9,
        precision="float32",
    )


@pytest.fixture(scope="session")
def trained_run(
    tmp_path_factory: pytest.TempPathFactory,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> Path:
    """The folder of a run that went through without a stop; only to be read."""
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    list(train(tiny_vae_config, tiny_train_config, digits, run))
    return run


@pytest.fixture(scope="session")
def kept_run(
    tmp_path_factory: pytest.TempPathFactory,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> Path:
    """A run of three epochs that kept them; only to be read."""
    run = tmp_path_factory.mktemp("runs") / "kept"
    config = replace(tiny_train_config, keep_epochs=True)
    save_config(run, tiny_vae_config, config)
    list(train(tiny_vae_config, config, digits, run))
    return run


@pytest.fixture(scope="session")
def with_snapshots(
    tmp_path_factory: pytest.TempPathFactory,
    digits: ImageDataset,
    kept_run: Path,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> Path:
    """The checkpoint published of `kept_run`, which carries its epochs; only to be read."""
    state, out = load_state(kept_run), tmp_path_factory.mktemp("checkpoints") / "with_snapshots"
    model = build_model(tiny_vae_config).eval()
    model.load_state_dict(state.best)
    history = history_columns(state.history)
    publish(model, tiny_train_config, digits, history, out, epochs=read_epochs(kept_run))
    return out


@pytest.fixture(scope="session")
def published_checkpoints(tmp_path_factory: pytest.TempPathFactory, digits: ImageDataset) -> Path:
    """A folder of three checkpoints trained on digits, `PUBLISHED`; only to be read."""
    root = tmp_path_factory.mktemp("checkpoints")
    config = TrainConfig(
        dataset="digits",
        epochs=10,
        batch_size=64,
        beta=0.1,  # at 1, so small a model soon stops using z
        learning_rate=1e-2,
        warmup_steps=20,
        weight_average=0.9,
        precision="float32",
    )
    for name, model_config in PUBLISHED.items():
        run = tmp_path_factory.mktemp("runs") / name
        list(train(model_config, config, digits, run))
        state = load_state(run)
        model = build_model(model_config).eval()
        model.load_state_dict(state.best)
        publish(model, config, digits, history_columns(state.history), root / name)
    return root


@pytest.fixture(scope="session")
def classifier_faces() -> ImageDataset:
    """480 images of 16x16 pixels with three attributes that a classifier learns."""
    images, attributes = make_faces(480)
    split = np.array(["train"] * 400 + ["val"] * 80)
    return ImageDataset("celeba", images, None, (), attributes, NAMES, split, ())


@pytest.fixture(scope="session")
def classifier_runs(
    tmp_path_factory: pytest.TempPathFactory, classifier_faces: ImageDataset
) -> dict[str, Path]:
    """A finished run of each classifier architecture; only to be read."""
    root = tmp_path_factory.mktemp("classifiers")
    for name, network in TINY.items():
        save_classifier_config(root / name, network, TRAIN)
        list(train_classifier(network, TRAIN, classifier_faces, root / name))
    return {name: root / name for name in TINY}


@pytest.fixture
def checkpoint_root(published_checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have checkpoints looked for, by name, among `published_checkpoints`."""
    monkeypatch.setattr(workspace, "CHECKPOINTS", published_checkpoints)
    return published_checkpoints


@pytest.fixture
def training_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run commands in, with a configuration of 40 epochs on digits, `small.json`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path / "checkpoints")
    train_values = {"dataset": "digits", "epochs": 40, "warmup_steps": 9}
    values = {"model": TINY_VAE.to_dict(), "train": train_values}
    (tmp_path / "small.json").write_text(json.dumps(values), encoding="utf-8")
    handler = signal.getsignal(signal.SIGINT)  # `train` takes Ctrl-C for itself
    yield tmp_path
    signal.signal(signal.SIGINT, handler)
