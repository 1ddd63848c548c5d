"""Faces that a person works with, in this session's memory alone: gone with a reload.

They never go into the URL, into a cache that sessions share, or into a log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from PIL import Image

from vae_explorer.faces import Face, align

_TRAY = "tray"
_MOST = 12  # faces; the oldest goes first
_LONGEST = 40  # characters of a name


@dataclass(frozen=True, eq=False)
class TrayFace:
    """A face found in a photo, or one that a model made."""

    name: str
    photo: Image.Image
    """RGB, upright."""
    face: Face | None
    """Where it is in the photo; None where the photo is a face aligned already."""

    def portrait(self, size: int) -> Image.Image:
        """Return the aligned face, size x size."""
        if self.face is not None:
            return align(self.photo, self.face, size).image
        return self.photo.resize((size, size), Image.Resampling.LANCZOS)

    def pixels(self, size: int) -> np.ndarray:
        """Return the aligned face as float32 (3, size, size) in [0, 1]."""
        channels_last = np.asarray(self.portrait(size), np.float32) / np.float32(255)
        return np.ascontiguousarray(channels_last.transpose(2, 0, 1))


def faces_in_tray() -> list[TrayFace]:
    """Return the session's faces, the newest last."""
    return list(st.session_state.get(_TRAY, []))


def keep_face(photo: Image.Image, face: Face | None, name: str) -> TrayFace:
    """Put a face into the tray, unless it is there; return it as it is kept there."""
    tray = faces_in_tray()
    for kept in tray:
        if kept.photo is photo and kept.face is face:
            return kept
    names = {kept.name for kept in tray}
    numbered = (f"{name} {number}" for number in range(2, len(names) + 3))
    free = next(each for each in (name, *numbered) if each not in names)
    kept = TrayFace(free, photo, face)
    st.session_state[_TRAY] = [*tray, kept][-_MOST:]
    return kept


def remove_face(name: str) -> None:
    """Forget one face."""
    st.session_state[_TRAY] = [kept for kept in faces_in_tray() if kept.name != name]


def remove_all_faces() -> None:
    """Forget every face."""
    st.session_state[_TRAY] = []


def rename_face(name: str, wanted: str) -> bool:
    """Give a face another name, and say whether it has it: not if it is empty, or taken."""
    tray = faces_in_tray()
    wanted = wanted.strip()[:_LONGEST]
    if not wanted or any(kept.name == wanted for kept in tray):
        return False
    st.session_state[_TRAY] = [
        replace(kept, name=wanted) if kept.name == name else kept for kept in tray
    ]
    return True
