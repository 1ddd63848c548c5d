"""Every cache of the app, keyed by a checkpoint's name and fingerprint.

Retraining changes the fingerprint, so nothing stale is ever shown. Checkpoints are shared by all
sessions: their models are frozen, and nobody changes their arrays.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from vae_explorer.catalog.reconstructions import load_run_model
from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.config import ModelConfig
from vae_explorer.data import (
    DatasetError,
    ImageDataset,
    find_content,
    find_prepared,
    load_dataset,
)
from vae_explorer.data.cache import open_cache, read_info
from vae_explorer.data.held_out import HeldOutImages, load_held_out
from vae_explorer.errors import CacheError
from vae_explorer.export import export_onnx
from vae_explorer.images import zip_of_files
from vae_explorer.inference import decode
from vae_explorer.latent.planes import PrincipalComponents, principal_components
from vae_explorer.models import Autoencoder
from vae_explorer.webpage import build_page


class CheckpointKey(NamedTuple):
    """The key of values that are cached for a checkpoint."""

    name: str
    fingerprint: str


def key_of(card: ModelCard) -> CheckpointKey:
    """Return the key of values that are cached for this version of a checkpoint."""
    return CheckpointKey(card.name, card.fingerprint)


@st.cache_resource(max_entries=8, show_spinner=False)
def get_checkpoint(key: CheckpointKey) -> Checkpoint:
    """Load a checkpoint once for all sessions; raises `CheckpointError`."""
    return load_checkpoint(key.name)


@st.cache_data(max_entries=16, show_spinner=False)
def get_onnx(key: CheckpointKey) -> bytes:
    """Export a checkpoint's encoder and decoder as ONNX, in one zip."""
    return zip_of_files(export_onnx(get_checkpoint(key))[0])


@st.cache_data(max_entries=8, show_spinner=False)
def get_page(key: CheckpointKey) -> bytes:
    """Export a checkpoint as one HTML page."""
    return build_page([get_checkpoint(key)])


@st.cache_data(max_entries=128, show_spinner=False)
def get_decoded(key: CheckpointKey, z: np.ndarray) -> np.ndarray:
    """Decode latents (n, latent_dim) to images (n, channels, height, width) in [0, 1]."""
    return decode(get_checkpoint(key).model, np.asarray(z, np.float32))


@st.cache_resource(max_entries=16, show_spinner=False)
def get_components(key: CheckpointKey) -> PrincipalComponents:
    """Return the principal components of a checkpoint's encodings."""
    return principal_components(get_checkpoint(key).encodings.z_mean)


@st.cache_resource(max_entries=8, show_spinner=False)
def get_run_model(folder: Path, config: ModelConfig, written: int) -> Autoencoder:
    """Load a run's best weights as of when they were `written`, in ns; raises `RunError`."""
    return load_run_model(folder, config)


def find_originals(card: ModelCard) -> ImageDataset | None:
    """Open the data set a checkpoint was trained on; None if it was not prepared here."""
    folder = find_content(card.dataset.name, card.dataset.content)
    if folder is not None:
        with suppress(CacheError):
            return _open_cache(folder, card.dataset.content)
    dataset = find_dataset(card.dataset.name, card.dataset.image_size)
    if isinstance(dataset, HeldOutImages):
        encoded = get_checkpoint(key_of(card)).encodings.row_id
        return dataset if np.isin(encoded, dataset.rows("test")).all() else None
    try:
        card.check_data("" if dataset is None else dataset.content)
    except DatasetError:
        return None  # the rows of the encodings are other images now
    return dataset


def find_dataset(name: str, image_size: int) -> ImageDataset | None:
    """Open a data set, or the test images of it that come with the app; None without either."""
    found = find_prepared(name).get(image_size)
    with suppress(DatasetError):
        return _open_dataset(name, image_size, "" if found is None else found.content)
    with suppress(DatasetError):
        return _open_held_out(name)
    return None


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_cache(folder: Path, content: str) -> ImageDataset:
    del content  # what it is cached under: the folder may be written again
    return open_cache(folder, read_info(folder))


@st.cache_resource(show_spinner=False)
def _open_held_out(name: str) -> ImageDataset:
    return load_held_out(name)


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_dataset(name: str, image_size: int, content: str) -> ImageDataset:
    del content  # what it is cached under: the data may be prepared again
    return load_dataset(name, size=image_size)
