"""Pictures out: PNG at a whole multiple of their size, crisp or smooth, and ZIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import streamlit as st

from vae_explorer.images import as_shown, png_bytes, tile, zip_of_pngs
from vae_explorer.ui.controls import choose

_MIME = {
    "png": "image/png",
    "zip": "application/zip",
    "webp": "image/webp",
    "gif": "image/gif",
    "jpg": "image/jpeg",
}
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

        _offer("PNG", f"{name}.png", write_png)
        if single:
            _offer("ZIP of pictures", f"{name}.zip", write_zip)


def offer_files(files: Mapping[str, tuple[str, Callable[[], bytes]]], *, note: str = "") -> None:
    """Offer files: by label, each one's name, and what writes it when it is asked for."""
    with st.popover("Save", icon=":material/download:", width="stretch"):
        for label, (name, write) in files.items():
            _offer(label, name, write)
        if note:
            st.caption(note)


def _offer(label: str, name: str, write: Callable[[], bytes]) -> None:
    mime = _MIME[name.rpartition(".")[2]]
    st.download_button(label, write, name, mime, on_click="ignore", width="stretch")
