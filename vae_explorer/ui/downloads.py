"""Pictures out: PNG at a whole multiple of their size, crisp or smooth, and ZIP."""

from __future__ import annotations

import numpy as np
import streamlit as st

from vae_explorer.images import as_shown, png_bytes, tile, zip_of_pngs
from vae_explorer.ui.controls import choose

_SIZES = {"1": "1 ×", "4": "4 ×", "8": "8 ×"}
_LARGEST = 40_000_000  # pixels of a mosaic; more is a picture that few programs open


def offer_pictures(images: np.ndarray, columns: int, name: str, *, single: bool = False) -> None:
    """Offer images (n, channels, height, width) as one PNG, and each alone in a ZIP.

    Parameters
    ----------
    columns : int
        Of the mosaic.
    name : str
        Of the files, without their endings.
    single : bool
        Offer the ZIP too.
    """
    with st.popover("Save", icon=":material/download:", width="stretch"):
        scale = int(choose("save_size", "Size", _SIZES))
        smooth = choose("save_as", "Enlarged", {"crisp": "Crisp", "smooth": "Smooth"}) == "smooth"
        mosaic = tile(as_shown(images), columns)
        if mosaic[0].size * scale**2 > _LARGEST:
            st.caption(f"At {scale} × this picture is too large; choose a smaller size.")
            return
        st.download_button(
            "PNG",
            lambda: png_bytes(mosaic, scale, smooth),
            f"{name}.png",
            "image/png",
            on_click="ignore",
            width="stretch",
        )
        if single:
            names = [f"{name}-{k + 1:03d}" for k in range(len(images))]
            st.download_button(
                "ZIP of single pictures",
                lambda: zip_of_pngs(as_shown(images), names, scale, smooth),
                f"{name}.zip",
                "application/zip",
                on_click="ignore",
                width="stretch",
            )
