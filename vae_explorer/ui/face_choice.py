"""Faces to choose from: the session's own, a portrait, and some that the model makes up."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.faces import Face, find_faces
from vae_explorer.inference import decode, encode
from vae_explorer.morphs import enlarge
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.tray import TrayFace, faces_in_tray

SIDE = 256
"""Of the faces as they are shown, in pixels."""
_MADE_UP = "ABCDEF"
_ASTRONAUT = "Astronaut"
_SEEN = "tray_seen_by_pickers"


@dataclass(frozen=True, eq=False)
class ChosenFace:
    """A face, and where the model puts it."""

    name: str
    z: np.ndarray
    """float32 (latent_dim,)."""
    portrait: np.ndarray
    """float32 (3, SIDE, SIDE) in [0, 1]: the photo, aligned, or what the model made."""


def choose_faces(checkpoint: Checkpoint, roles: Sequence[tuple[str, str]]) -> list[ChosenFace]:
    """Let a face be chosen for each role, and return them.

    Parameters
    ----------
    roles : sequence of (key, label)
        Of the pickers. Each begins with another face; the session's own come first.
    """
    tray = {kept.name: kept for kept in faces_in_tray()}
    made_up = [f"Made up {letter}" for letter in _MADE_UP]
    shared = [_ASTRONAUT, *made_up]
    names = [*tray, *(name for name in shared if name not in tray)]
    if _is_news(tray):  # then they are what the person wants to see here
        for key, _ in roles:
            st.session_state.pop(key, None)
    defaults = [*list(tray)[-len(roles) :], *(name for name in made_up if name not in tray)]
    columns = st.columns(2)
    return [
        _find(
            checkpoint,
            _choose(columns[k % 2], key, label, names, default=defaults[k], tray=tray),
            tray,
        )
        for k, (key, label) in enumerate(roles)
    ]


def _choose(
    place: DeltaGenerator,
    key: str,
    label: str,
    names: list[str],
    *,
    default: str,
    tray: Container[str],
) -> str:
    """Let a face be chosen by name; names that the person gave stay out of the URL."""

    def parse(text: str) -> str:
        if text in names and text not in tray:
            return text
        raise ValueError("no such face is here; photos are never part of a link")

    if seed_from_url(key, default, parse) not in names:
        st.session_state[key] = default
    name: str = place.selectbox(label, names, key=key, persist_state="session")
    write_to_url(key, default if name in tray else name, default)
    return name


def _is_news(tray: Iterable[str]) -> bool:
    """Say whether the person's faces are others than when this was last asked."""
    names = list(tray)
    changed = st.session_state.get(_SEEN, []) != names
    st.session_state[_SEEN] = names
    return changed


def _find(checkpoint: Checkpoint, name: str, tray: dict[str, TrayFace]) -> ChosenFace:
    if name in tray:
        return _place(checkpoint, name, tray[name])
    if name == _ASTRONAUT:
        return _place(checkpoint, name, TrayFace(name, *find_astronaut()))
    seed = _MADE_UP.index(name[-1])
    z = sample_latents(checkpoint, 1, available_priors(checkpoint)[-1], seed=seed)
    return ChosenFace(name, z[0], enlarge(decode(checkpoint.model, z), SIDE)[0])


def _place(checkpoint: Checkpoint, name: str, face: TrayFace) -> ChosenFace:
    # Decoded and encoded here, never through a cache: those are shared between sessions.
    pixels = face.pixels(checkpoint.card.model.image_size)
    z_mean, _ = encode(checkpoint.model, pixels[None])
    return ChosenFace(name, z_mean[0], face.pixels(SIDE))


@st.cache_resource(show_spinner=False)
def find_astronaut() -> tuple[Image.Image, Face]:
    """Return the portrait that comes with scikit-image (NASA, public domain), and its face."""
    from skimage.data import astronaut

    image = Image.fromarray(astronaut())
    return image, find_faces(image)[0]
