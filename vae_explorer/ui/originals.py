"""Original images of a model's data set: loaded if prepared here, else offered for download."""

from __future__ import annotations

import numpy as np
import streamlit as st

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.data import DATASETS, DatasetError, DatasetSpec, ImageDataset, prepare
from vae_explorer.encodings import Encodings
from vae_explorer.installation import shell_command
from vae_explorer.ui.text import escape_markdown
from vae_explorer.workspace import is_read_only


def take_originals(card: ModelCard, originals: ImageDataset, row_ids: np.ndarray) -> np.ndarray:
    """Return originals (n, channels, height, width) in [0, 1], padded as the model sees them."""
    return originals.take(row_ids, card.model.image_size).astype(np.float32) / 255


def name_held_out(encodings: Encodings) -> str:
    """Return "test images", or "held-out images" where there are also those of validation."""
    is_test = encodings.split[encodings.split != "train"] == "test"
    return "test images" if is_test.all() else "held-out images"


def offer_originals(card: ModelCard) -> None:
    """Offer to download the data set, since its images do not come with the app."""
    st.caption("The original images are not included with this app.")
    spec = DATASETS.get(card.dataset.name)
    if is_read_only():
        st.caption("This copy is read-only, so the data set cannot be downloaded here.")
    elif spec is None or not (spec.bundled or spec.download_bytes):
        st.caption(
            "To show them, prepare the data set on the machine that runs the app. FOLDER is the "
            "folder or ZIP file of the original images."
        )
        st.code(_name_preparation(card), language="bash", wrap_lines=True)
    elif st.button(
        _name_download(spec), icon=":material/download:", help=escape_markdown(card.dataset.terms)
    ):
        _fetch(card)


def _name_preparation(card: ModelCard) -> str:
    size, channels = card.dataset.image_size, card.model.image_channels
    command = f"prepare {card.dataset.name} --size {size} --source FOLDER"
    return shell_command(command if channels != 1 else f"{command} --channels 1")


def _name_download(spec: DatasetSpec) -> str:
    size = f" ({spec.download_bytes / 1e6:.0f} MB)" if spec.download_bytes else ""
    return f"Download {spec.title}{size}"


def _fetch(card: ModelCard) -> None:
    bar = st.progress(0.0, text=f"Downloading {escape_markdown(card.dataset.title)} …")

    def show(done: int, total: int | None) -> None:
        bar.progress(done / total if total else 0.0, text=f"{done:,} images prepared")

    try:
        prepare(card.dataset.name, progress=show)
    except DatasetError as error:
        st.error(escape_markdown(str(error)))
    else:
        st.rerun()
