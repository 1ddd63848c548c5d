"""Uploads: which files are taken, and that they stay in the session's memory."""

from __future__ import annotations

import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vae_explorer.uploads import MAX_BYTES

_TYPES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif")


def keep_uploads_in_memory() -> None:
    """Have the server never write an upload to a temporary file, which it does above 1 MB.

    It refuses what is over `server.maxUploadSize`, 1 MB of framing on top; see config.toml.
    """
    MultiPartParser.spool_max_size = MAX_BYTES + 2 * 2**20


def ask_for_picture(label: str, key: str) -> UploadedFile | None:
    """Let a picture be uploaded, and say what becomes of it."""
    file = st.file_uploader(label, _TYPES, key=key, max_upload_size=MAX_BYTES // 2**20)
    say_where_it_stays()
    return file


def say_where_it_stays() -> None:
    """Say what becomes of a picture that somebody gives."""
    st.caption(
        "It stays in this session's memory, never on disk, in a link or in a log. "
        "A reload forgets it."
    )
