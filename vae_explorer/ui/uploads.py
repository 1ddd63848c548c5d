"""Uploads: which files are taken, and that they stay in the session's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit import config
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vae_explorer.errors import ModelFileError
from vae_explorer.preprocessing import MAX_BYTES
from vae_explorer.ui.state import plain
from vae_explorer.workspace import is_read_only

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


def ask_for_picture(label: str, key: str) -> UploadedFile | None:
    """Let a picture be uploaded, and say what becomes of it."""
    file = st.file_uploader(label, _TYPES, key=key, max_upload_size=MAX_BYTES // 2**20)
    say_where_it_stays()
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
        st.error(plain(str(error)))
        return None


def say_where_it_stays() -> None:
    """Say what becomes of a picture that somebody gives."""
    st.caption(
        "It stays in this session's memory, never on disk, in a link or in a log. "
        "A reload forgets it."
    )
