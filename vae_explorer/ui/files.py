"""Pictures out: PNG at a whole multiple of their size, crisp or smooth, and ZIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit import config
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vae_explorer.errors import ModelFileError
from vae_explorer.images import as_shown, png_bytes, tile, zip_of_pngs
from vae_explorer.preprocessing import MAX_BYTES
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select
from vae_explorer.workspace import is_read_only

_MIME = {
    "png": "image/png",
    "zip": "application/zip",
    "webp": "image/webp",
    "gif": "image/gif",
    "jpg": "image/jpeg",
}
_SIZES = {"1": "1 ×", "4": "4 ×", "8": "8 ×"}


def offer_images(
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
        scale = int(select("save_size", "Size", _SIZES))
        smooth = select("save_as", "Enlarged", {"crisp": "Crisp", "smooth": "Smooth"}) == "smooth"

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


T = TypeVar("T")

_TYPES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif")


def keep_uploads_in_memory() -> None:
    """Have the server never write a photo to a temporary file, which it does above 1 MB.

    It refuses what is over `server.maxUploadSize`, 1 MB of framing on top; see config.toml. That
    is for models: of pictures each uploader takes less, and so does all of a copy for looking.
    """
    MultiPartParser.spool_max_size = MAX_BYTES + 2 * 2**20
    if is_read_only():
        config.set_option("server.maxUploadSize", MAX_BYTES // 2**20)


def upload_image(label: str, key: str) -> UploadedFile | None:
    """Let a picture be uploaded, and say what becomes of it."""
    file = st.file_uploader(label, _TYPES, key=key, max_upload_size=MAX_BYTES // 2**20)
    explain_privacy()
    return file


def take_model_file(label: str, key: str, max_bytes: int, read: Callable[[bytes], T]) -> T | None:
    """Let a small JSON file be loaded; return what it holds once, and say what is wrong with it.

    Parameters
    ----------
    max_bytes : int
        No more than one byte beyond is read.
    read : callable
        Turns the bytes into what the page wants; raises `ModelFileError`.
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
    """Say what becomes of a picture that somebody gives."""
    st.caption(
        "It stays in this session's memory, never on disk, in a link or in a log. "
        "A reload forgets it."
    )
