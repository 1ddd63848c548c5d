"""Uploaded garments: prepared like the images of Fashion-MNIST, encoded, and reconstructed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.errors import UploadError
from vae_explorer.inference import ImageEncoding, encode_image
from vae_explorer.preprocessing import fit_garment, read_upload
from vae_explorer.ui.explore.map_points import MANY_DIMENSIONS, describe_posterior, show_nearest
from vae_explorer.ui.files import upload_image
from vae_explorer.ui.stage.views import show_image
from vae_explorer.ui.text import escape_markdown

_DATASET = "fashion-mnist"
_GARMENT = "garment"


@dataclass(frozen=True)
class _Garment:
    """The last usable upload, as input of the model."""

    file_id: str
    image: np.ndarray
    """float32 (1, height, width)."""


def show_garment_upload(checkpoint: Checkpoint) -> np.ndarray | None:
    """Ask for an image of a garment, and show its reconstruction and posterior.

    Nothing of it leaves the session: it is not in the URL, the pin, or a shared cache.

    Returns
    -------
    ndarray of float32 (latent_dim,) or None
        Its `z_mean`; None without an upload, or for a model that was not trained on garments.
    """
    if not knows_garments(checkpoint):
        return None
    with st.expander("Upload a garment", icon=":material/upload:"):
        image = ask_for_garment(checkpoint)
        if image is None:
            return None
        placement = encode_image(checkpoint.model, image)
        left, right = st.columns(2)
        with left:
            show_image(image, "Model input")
        with right:
            show_image(placement.reconstruction, "Reconstruction")
        if len(placement.z_mean) <= MANY_DIMENSIONS:
            st.caption(describe_posterior(placement.z_mean, placement.z_log_var))
        st.caption(_describe_cost(checkpoint, placement))
        show_nearest(checkpoint, placement.z_mean)
    return placement.z_mean


def knows_garments(checkpoint: Checkpoint) -> bool:
    """Say whether a model was trained on garments, so that an upload makes sense."""
    return checkpoint.card.dataset.name == _DATASET


def ask_for_garment(checkpoint: Checkpoint) -> np.ndarray | None:
    """Ask for an image of a garment, and return it (1, height, width) as input of the model.

    If the upload cannot be used, show why and return the previous one.
    """
    file = upload_image("Image of one garment on a plain background", "upload")
    image_size = checkpoint.card.model.image_size
    if file is None:
        # Kept for now: the uploader is also empty while the next file is being sent.
        return None
    kept: _Garment | None = st.session_state.get(_GARMENT)
    if kept is not None and kept.image.shape[-1] != image_size:  # prepared for another model
        kept = None
    if kept is None or kept.file_id != file.file_id:
        try:
            image = fit_garment(read_upload(file.getvalue()), image_size)
            kept = st.session_state[_GARMENT] = _Garment(file.file_id, image)
        except UploadError as error:
            st.error(escape_markdown(str(error)))
            if kept is not None:
                st.caption("The previous upload is still shown.")
    return None if kept is None else kept.image


def _describe_cost(checkpoint: Checkpoint, placement: ImageEncoding) -> str:
    metric = "negative_elbo"
    text = f"Reconstruction error: {placement.nll:.0f} nats"
    if placement.z_log_var is None:
        metric = "reconstruction"
    else:
        text = (
            f"−ELBO: {placement.cost:.0f} nats (reconstruction {placement.nll:.0f} + "
            f"KL {placement.kl:.3g})"
        )
    usual = checkpoint.card.metrics.get(metric)
    if usual is None:
        return f"{text}."
    return f"{text}. Average of the test images: {usual.value:.0f} nats."
