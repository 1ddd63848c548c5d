"""Faces that a person works with, in this session's memory alone: gone with a reload.

They never go into the URL, into a cache that sessions share, or into a log; nor do their names,
which is why no widget's key holds one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

import numpy as np
import streamlit as st
from PIL import Image

from vae_explorer.faces import Face, align
from vae_explorer.images import PictureFormat

_TRAY = "tray"
_MOST = 12  # faces
_MOST_PIXELS = 80_000_000  # of the photos they were found in
_LONGEST = 40  # characters of a name


@dataclass(frozen=True, eq=False)
class SessionFace:
    """A face found in a photo, or one that a model made."""

    name: str
    photo: Image.Image
    """RGB, upright."""
    face: Face | None
    """Where it is in the photo; None where the photo is a face aligned already."""
    format: PictureFormat = "png"
    """Of the file that the photo came in."""
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    _crops: dict[int, Image.Image] = field(default_factory=dict, repr=False)

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
    """Return the session's faces, the newest last."""
    return list(st.session_state.get(_TRAY, []))


def add_face(wanted: SessionFace) -> None:
    """Put a face into the tray, unless it is there; where there is no room, another one goes."""
    tray = session_faces()
    if any(kept.photo is wanted.photo and kept.face is wanted.face for kept in tray):
        return
    names = {kept.name for kept in tray}
    numbered = (f"{wanted.name} {number}" for number in range(2, len(names) + 3))
    free = next(each for each in (wanted.name, *numbered) if each not in names)
    st.session_state[_TRAY] = _make_room([*tray, replace(wanted, name=free)])


def remove_face(id: str) -> None:
    """Forget one face."""
    st.session_state[_TRAY] = [kept for kept in session_faces() if kept.id != id]


def remove_all_faces() -> None:
    """Forget every face."""
    st.session_state[_TRAY] = []


def rename_face(id: str, wanted: str) -> bool:
    """Give a face another name, and say whether it has it: not if it is empty, or taken."""
    tray = session_faces()
    wanted = wanted.strip()[:_LONGEST]
    if not wanted or any(kept.name == wanted for kept in tray):
        return False
    st.session_state[_TRAY] = [
        replace(kept, name=wanted) if kept.id == id else kept for kept in tray
    ]
    return True


def _make_room(tray: list[SessionFace]) -> list[SessionFace]:
    """Let faces go until the rest fit: made-up ones first, then the oldest; never the newest."""
    count = len(tray)
    while len(tray) > 1 and (len(tray) > _MOST or _count_pixels(tray) > _MOST_PIXELS):
        generated = [kept for kept in tray[:-1] if kept.face is None]
        tray.remove((generated or tray)[0])
    if len(tray) < count:
        st.toast("There was no more room: the oldest face was let go.", icon=":material/inbox:")
    return tray


def _count_pixels(tray: list[SessionFace]) -> int:
    photos = {id(kept.photo): kept.photo for kept in tray}
    return sum(photo.width * photo.height for photo in photos.values())
