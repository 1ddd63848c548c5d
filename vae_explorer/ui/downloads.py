"""Pictures out: PNG at a whole multiple of their size, crisp or smooth, and ZIP."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from vae_explorer.images import as_shown, png_bytes, tile, zip_of_pngs
from vae_explorer.ui.controls import choose

_SIZES = {"1": "1 ×", "4": "4 ×", "8": "8 ×"}


def offer_pictures(
    decode: Callable[[], np.ndarray], columns: int, name: str, *, single: bool = False
) -> None:
    """Offer pictures as one PNG, and each alone in a ZIP.

    Parameters
    ----------
    decode : callable
        Gives the images (n, channels, height, width); called when a file is asked for.
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

        def write_png() -> bytes:
            return png_bytes(tile(as_shown(decode()), columns), scale, smooth)

        def write_zip() -> bytes:
            images = as_shown(decode())
            names = [f"{name}-{k + 1:03d}" for k in range(len(images))]
            return zip_of_pngs(images, names, scale, smooth)

        files = [("PNG", write_png, f"{name}.png", "image/png")]
        if single:
            files.append(("ZIP of pictures", write_zip, f"{name}.zip", "application/zip"))
        for label, write, file_name, mime in files:
            st.download_button(label, write, file_name, mime, on_click="ignore", width="stretch")
