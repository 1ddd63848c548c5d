"""File uploads and downloads: photos, model files, images as PNG or ZIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit import config
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vae_explorer.data.formats import IMAGE_SUFFIXES
from vae_explorer.errors import ModelFileError
from vae_explorer.images import for_display, png_bytes, tile, zip_of_pngs
from vae_explorer.preprocessing import MAX_BYTES
from vae_explorer.ui.header import show_inverted
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select
from vae_explorer.workspace import is_read_only

T = TypeVar("T")
_MIME = {
    "png": "image/png",
    "zip": "application/zip",
    "webp": "image/webp",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "html": "text/html",
}
_SIZES = {"1": "1 ×", "4": "4 ×", "8": "8 ×"}
_COMMON = ("jpg", "png", "heic", "webp")  # there is room to show so many
_TYPES = (*_COMMON, *sorted({suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES} - {*_COMMON}))


def keep_uploads_in_memory() -> None:
    """Keep the server from writing photos to temporary files, which it does above 1 MB.

    It refuses what is larger than `server.maxUploadSize` and 1 MB of framing; see config.toml.
    That limit is for models: each uploader of images takes less, and so does a read-only copy.
    """
    MultiPartParser.spool_max_size = MAX_BYTES + 2 * 2**20
    if is_read_only():
        config.set_option("server.maxUploadSize", MAX_BYTES // 2**20)


def upload_image(label: str, key: str) -> UploadedFile | None:
    """Ask for an image, and explain where it is kept."""
    with st.container(key=f"image_upload-{key}"):  # whose list of formats is not shown: it is cut
        file = st.file_uploader(
            label,
            _TYPES,
            key=key,
            max_upload_size=MAX_BYTES // 2**20,
            help=f"JPEG, PNG, HEIC, WebP and other formats, up to {MAX_BYTES // 2**20} MB.",
        )
    explain_privacy()
    return file


def take_model_file(label: str, key: str, max_bytes: int, read: Callable[[bytes], T]) -> T | None:
    """Ask for a small JSON file; return its content once, or show what is wrong with it.

    Parameters
    ----------
    max_bytes : int
        At most one byte more than this is read.
    read : callable
        Parses the bytes; raises `ModelFileError`.
    """
    file = st.file_uploader(label, "json", key=key, max_upload_size=1)
    seen = f"{key}_seen"
    if file is None or st.session_state.get(seen) == file.file_id:
        return None
    st.session_state[seen] = file.file_id
    try:
        return read(file.read(max_bytes + 1))
    except ModelFileError as error:
        st.error(escape_markdown(str(error)))
        return None


def explain_privacy() -> None:
    """Explain where an uploaded image is kept."""
    st.caption(
        "Kept in memory for this session only; never saved to disk, put in a link or logged. "
        "Reloading the page deletes it."
    )


def offer_images(
    decode: Callable[[], np.ndarray], columns: int, name: str, *, single: bool = False
) -> None:
    """Offer images as one PNG, or each by itself in a ZIP.

    Parameters
    ----------
    decode : callable
        Returns the images (n, channels, height, width); called when a file is requested.
    columns : int
        Of the mosaic.
    name : str
        Of the files, without their extensions.
    single : bool
        Whether to offer the ZIP too.
    """
    inverted = show_inverted()  # now: files are written outside the session
    with st.popover("Save", icon=":material/download:", width="stretch"):
        scale = int(select("save_size", "Scale", _SIZES))
        smooth = select("save_as", "Pixels", {"crisp": "Crisp", "smooth": "Smooth"}) == "smooth"

        def write_png() -> bytes:
            return png_bytes(tile(for_display(decode(), inverted), columns), scale, smooth)

        def write_zip() -> bytes:
            images = for_display(decode(), inverted)
            names = [f"{name}-{k + 1:03d}" for k in range(len(images))]
            return zip_of_pngs(images, names, scale, smooth)

        _offer("PNG", f"{name}.png", write_png)
        if single:
            _offer("ZIP of images", f"{name}.zip", write_zip)


def offer_files(files: Mapping[str, tuple[str, Callable[[], bytes]]], *, note: str = "") -> None:
    """Offer files: by label, the name and the function that writes the file on request."""
    with st.popover("Save", icon=":material/download:", width="stretch"):
        for label, (name, write) in files.items():
            _offer(label, name, write)
        if note:
            st.caption(note)


def _offer(label: str, name: str, write: Callable[[], bytes]) -> None:
    mime = _MIME[name.rpartition(".")[2]]
    st.download_button(label, write, name, mime, on_click="ignore", width="stretch")
