"""A garment of one's own on the map: uploaded, made like the data set's pictures, and encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.errors import UploadError
from vae_explorer.inference import Placement, place_image
from vae_explorer.preprocessing import fit_garment, read_upload
from vae_explorer.ui.explore.map_points import MANY_DIMENSIONS, describe_posterior, show_nearest
from vae_explorer.ui.files import upload_image
from vae_explorer.ui.stage.views import show_image

_DATASET = "fashion-mnist"
_GARMENT = "garment"


@dataclass(frozen=True)
class _Garment:
    """The last upload that could be used, as the model is given it."""

    file_id: str
    image: np.ndarray
    """float32 (1, height, width)."""


def show_garment_upload(checkpoint: Checkpoint) -> np.ndarray | None:
    """Let a garment be uploaded, and show what the model makes of it.

    Nothing of it leaves the session: not into the URL, the pin, or a cache that sessions share.

    Returns
    -------
    ndarray of float32 (latent_dim,) or None
        Its `z_mean`; None without an upload, or where the model knows no garments.
    """
    if not knows_garments(checkpoint):
        return None
    with st.expander("Upload a garment", icon=":material/upload:"):
        image = ask_for_garment(checkpoint)
        if image is None:
            return None
        placement = place_image(checkpoint.model, image)
        left, right = st.columns(2)
        with left:
            show_image(image, "What the model was given")
        with right:
            show_image(placement.reconstruction, "Reconstruction")
        if len(placement.z_mean) <= MANY_DIMENSIONS:
            st.caption(describe_posterior(placement.z_mean, placement.z_log_var))
        st.caption(_describe_cost(checkpoint, placement))
        show_nearest(checkpoint, placement.z_mean)
    return placement.z_mean


def knows_garments(checkpoint: Checkpoint) -> bool:
    """Say whether a model learnt from garments, so that an upload makes sense to it."""
    return checkpoint.card.dataset.name == _DATASET


def ask_for_garment(checkpoint: Checkpoint) -> np.ndarray | None:
    """Let a garment be uploaded, and return it (1, height, width) as the model is given it.

    Of an upload that cannot be used it says why, and returns the one before.
    """
    file = upload_image("A picture of one garment before a plain background", "upload")
    image_size = checkpoint.card.model.image_size
    if file is None:
        # Not forgotten yet: the uploader also holds nothing while the next file is on its way.
        return None
    kept: _Garment | None = st.session_state.get(_GARMENT)
    if kept is not None and kept.image.shape[-1] != image_size:  # made for another model
        kept = None
    if kept is None or kept.file_id != file.file_id:
        try:
            image = fit_garment(read_upload(file.getvalue()), image_size)
            kept = st.session_state[_GARMENT] = _Garment(file.file_id, image)
        except UploadError as error:
            st.error(str(error))
            if kept is not None:
                st.caption("This is still the one before.")
    return None if kept is None else kept.image


def _describe_cost(checkpoint: Checkpoint, placement: Placement) -> str:
    metric = "negative_elbo"
    text = f"It costs {placement.nll:.0f} nats to reconstruct"
    if placement.z_log_var is None:
        metric = "reconstruction"
    else:
        text = (
            f"It costs {placement.cost:.0f} nats (−ELBO): reconstruction {placement.nll:.0f}, "
            f"KL {placement.kl:.3g}"
        )
    usual = checkpoint.card.metrics.get(metric)
    if usual is None:
        return f"{text}."
    return f"{text}. A held-out picture costs {usual.value:.0f} on average."
