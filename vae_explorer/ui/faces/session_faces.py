"""The session's faces, kept in its memory only: a reload forgets them.

They and their names are never in the URL, in a shared cache, or in a log; so no widget's key
contains a name. What is tuned to a face goes with it.
"""

from __future__ import annotations

import secrets
import weakref
from dataclasses import dataclass, field, replace

import numpy as np
import streamlit as st
from PIL import Image

from vae_explorer.data.image_io import DecodedImage
from vae_explorer.faces import Face, align
from vae_explorer.server import tuned
from vae_explorer.ui.text import escape_markdown

_FACES, _OWNER = "tray", "tuning_owner"
_MOST = 12  # faces
_MOST_PIXELS = 80_000_000  # of the photos they were found in
_LONGEST = 40  # characters of a name


@dataclass(frozen=True, eq=False)
class SessionFace:
    """A face found in a photo, or a generated one."""

    name: str
    source: DecodedImage
    """The photo as its file has it."""
    face: Face | None
    """Where it is in the photo; None if the photo is an aligned face."""
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    _crops: dict[int, Image.Image] = field(default_factory=dict, repr=False)

    @property
    def photo(self) -> Image.Image:
        """The photo: RGB, upright."""
        return self.source.rgb

    def crop(self, size: int) -> Image.Image:
        """Return the aligned face, size x size."""
        if size not in self._crops:
            self._crops[size] = (
                self.photo.resize((size, size), Image.Resampling.LANCZOS)
                if self.face is None
                else align(self.photo, self.face, size).image
            )
        return self._crops[size]

    def pixels(self, size: int) -> np.ndarray:
        """Return the aligned face as float32 (3, size, size) in [0, 1]."""
        channels_last = np.asarray(self.crop(size), np.float32) / np.float32(255)
        return np.ascontiguousarray(channels_last.transpose(2, 0, 1))


def session_faces() -> list[SessionFace]:
    """Return the session's faces, newest last."""
    return list(st.session_state.get(_FACES, []))


def add_face(wanted: SessionFace) -> None:
    """Add a face, unless it is there already; without room, remove another one."""
    faces = session_faces()
    if any(kept.source is wanted.source and kept.face is wanted.face for kept in faces):
        return
    names = {kept.name for kept in faces}
    numbered = (f"{wanted.name} {number}" for number in range(2, len(names) + 3))
    free = next(each for each in (wanted.name, *numbered) if each not in names)
    _set_faces(_make_room([*faces, replace(wanted, name=free)]))


def remove_face(id: str) -> None:
    """Remove one face."""
    _set_faces([kept for kept in session_faces() if kept.id != id])


def remove_all_faces() -> None:
    """Remove all faces."""
    _set_faces([])


def find_session_face(face: SessionFace) -> SessionFace:
    """Return the session's own object of a face, or the face itself if it was removed."""
    same = (k for k in session_faces() if k.source is face.source and k.face is face.face)
    return next(same, face)


def tuning_owner() -> str:
    """Return the random name under which the session's tuned decoders are held."""
    owner = st.session_state.setdefault(_OWNER, _Owner())
    return _end_with_connection(owner.name)


class _Owner:
    """Ends with the state of its session, as the faces do."""

    def __init__(self) -> None:
        self.name = secrets.token_urlsafe(16)
        weakref.finalize(self, _end, self.name)


def _end(owner: str) -> None:
    tuned.TUNED.end(owner)


@st.cache_resource(scope="session", show_spinner=False, on_release=_end)
def _end_with_connection(owner: str) -> str:
    """Have an owner end already when the browser disconnects: its state lives on for a while."""
    return owner


def _set_faces(faces: list[SessionFace]) -> None:
    st.session_state[_FACES] = faces
    if _OWNER in st.session_state:
        tuned.TUNED.keep_only(st.session_state[_OWNER].name, {kept.id for kept in faces})


def rename_face(id: str, wanted: str) -> bool:
    """Rename a face; return False if the name is empty or already in use."""
    faces = session_faces()
    wanted = wanted.strip()[:_LONGEST]
    if not wanted or any(kept.name == wanted for kept in faces):
        return False
    st.session_state[_FACES] = [
        replace(kept, name=wanted) if kept.id == id else kept for kept in faces
    ]
    return True


def _make_room(faces: list[SessionFace]) -> list[SessionFace]:
    """Remove faces until the rest fit: generated ones first, then the oldest; never the newest."""
    removed = []
    while len(faces) > 1 and (len(faces) > _MOST or _count_pixels(faces) > _MOST_PIXELS):
        generated = [kept for kept in faces[:-1] if kept.face is None]
        oldest = (generated or faces)[0]
        faces.remove(oldest)
        removed.append(oldest.name)
    if removed:
        st.toast(
            f"Removed to make room: {escape_markdown(', '.join(removed))}. "
            f"A session holds up to {_MOST} faces.",
            icon=":material/inbox:",
        )
    return faces


def _count_pixels(faces: list[SessionFace]) -> int:
    photos = (image for kept in faces for image in (kept.photo, kept.source.pixels))
    return sum(image.width * image.height for image in {id(each): each for each in photos}.values())
