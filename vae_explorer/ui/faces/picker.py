"""Pickers of images: the session's faces, an example photo, encodings and generated images."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image
from skimage.data import data_dir

from vae_explorer.checkpoints import Checkpoint, list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.data.image_io import DecodedImage
from vae_explorer.errors import CheckpointError
from vae_explorer.evaluation.metrics import PERCENTILES
from vae_explorer.faces import Face, find_faces
from vae_explorer.images import enlarge, for_display, to_pil
from vae_explorer.inference import decode, encode
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.cache import get_checkpoint, key_of
from vae_explorer.ui.faces.session_faces import SessionFace, session_faces
from vae_explorer.ui.page import close_page
from vae_explorer.ui.state import seed_from_url, write_to_url

SIDE = 256
"""Side of the faces on the screen, in pixels."""
FACES = "celeba"
Roles = tuple[tuple[str, str], ...]
"""Keys and labels of pickers."""
ONE: Roles = (("face", "Face"),)
TWO: Roles = (("morph_from", "From"), ("morph_to", "To"))
THREE: Roles = (("a", "Start from A"), ("b", "Subtract B"), ("c", "Add C"))
FOUR: Roles = (
    ("corner_a", "Top left"),
    ("corner_b", "Top right"),
    ("corner_c", "Bottom left"),
    ("corner_d", "Bottom right"),
)
_GENERATED = tuple(f"Generated {letter}" for letter in "ABCDEF")
_ASTRONAUT = "Astronaut"
_EXAMPLES = 2  # of each label
BEST_FACE_MODELS = ("faces-vae-96", "faces-vae-64")
TEMPERATURE = 0.7
"""Of the generated examples: A − B + C of three lies √3 times as far from the middle as each."""
_SEEN = "tray_seen_by_pickers"


@dataclass(frozen=True, eq=False)
class ChosenFace:
    """A selected image and its latent; of any data set, not only of faces."""

    name: str
    z: np.ndarray
    """float32 (latent_dim,)."""
    kept: SessionFace
    """The photo with the place of the face in it, or the decoded image."""

    @property
    def image(self) -> np.ndarray:
        """The aligned face, float32 (3, SIDE, SIDE) in [0, 1]."""
        return self.kept.pixels(SIDE)


def choose_faces(checkpoint: Checkpoint, roles: Roles) -> list[ChosenFace]:
    """Select an image for each role of `ONE`, `TWO` and so on.

    Each role has another default, the user's own faces before generated ones. A face that was just
    added is what the user wants to see, so it replaces earlier choices.
    """
    faces = _usable_faces(checkpoint)
    options = _options(checkpoint, faces)
    _reset_choices_if_added(faces)
    # For a single face a photo is best: it has a background and details to keep.
    starters = (_ASTRONAUT, *_GENERATED) if roles == ONE else _GENERATED
    begun = (*_first_examples(checkpoint), *starters)
    defaults = [*list(faces)[-len(roles) :], *(name for name in begun if name in options)]
    columns = st.columns(2 if len(roles) % 2 == 0 else 1)
    chosen = []
    for k, (key, label) in enumerate(roles):
        if st.session_state.get(key, defaults[k]) not in options:  # it was removed
            chosen_now = [st.session_state.get(other) for other, _ in roles]
            st.session_state[key] = next(each for each in defaults if each not in chosen_now)
        with columns[k % len(columns)]:
            option = _choose(key, label, options, default=defaults[k], faces=faces)
        chosen.append(_find(checkpoint, option, faces))
    return chosen


def choose_face_set(checkpoint: Checkpoint, key: str, label: str) -> list[ChosenFace]:
    """Select any number of images; the choice is kept in the session, not in the URL."""
    faces = _usable_faces(checkpoint)
    options = _options(checkpoint, faces)
    kept = st.session_state.get(key, [])
    st.session_state[key] = [option for option in kept if option in options]
    chosen = st.multiselect(
        label,
        list(options),
        format_func=options.__getitem__,
        key=key,
        persist_state="session",
        placeholder="Choose images",
    )
    return [_find(checkpoint, option, faces) for option in chosen]


def encode_face(checkpoint: Checkpoint, face: SessionFace) -> ChosenFace:
    """Return a face with the encoder's z, never through a cache: sessions share those."""
    pixels = face.pixels(checkpoint.card.model.image_size)
    z_mean, _ = encode(checkpoint.model, pixels[None])
    return ChosenFace(face.name, z_mean[0], face)


def is_face_model(card: ModelCard, _cards: Mapping[str, ModelCard]) -> bool:
    """Say whether a model was trained on faces."""
    return card.dataset.name == FACES


def needs_faces(card: ModelCard) -> None:
    """Stop the script with an explanation if no model of faces is here."""
    if card.dataset.name == FACES:
        return
    st.info("This page needs a face model, and none is installed. Import one, or train one.")
    st.page_link("pages/overview.py", label="Import a model", icon=":material/upload:")
    st.page_link("pages/train.py", label="Train a model", icon=":material/model_training:")
    close_page()
    st.stop()


def other_models_of_faces(card: ModelCard) -> list[Checkpoint]:
    """Return up to two other readable models of faces, best first."""
    found = []
    for other in _models_of_faces():
        if other.name != card.name:
            with suppress(CheckpointError):
                found.append(get_checkpoint(key_of(other)))
    return found[:2]


def describe_likeness(card: ModelCard, squared_error: float) -> str:
    """Describe a reconstruction error by its percentile among held-out faces."""
    metric = card.metrics.get("squared_error_percentiles")
    if metric is None or isinstance(metric.value, float):
        return ""
    worse = 100 - round(np.interp(squared_error, metric.value, PERCENTILES))
    if worse <= 1:
        return (
            "Worse than almost all held-out faces: this reconstruction is farther from its "
            "original. The face may be turned, covered, unlike the training images, or not a photo."
        )
    share = "almost all" if worse >= 99 else f"**{worse} of 100**"
    return f"Better than {share} held-out faces: this reconstruction is closer to its original."


@st.cache_resource(show_spinner=False)
def example_photo() -> tuple[Image.Image, Face]:
    """Return the photo that comes with scikit-image (NASA, public domain), and its face."""
    image = Image.open(Path(data_dir) / "astronaut.png").convert("RGB")
    return image, find_faces(image)[0]


@st.cache_resource(show_spinner=False)
def example_face() -> SessionFace:
    """Return the example photo's face, which is in no session's list."""
    image, face = example_photo()
    return SessionFace(_ASTRONAUT, DecodedImage(image), face)


def _usable_faces(checkpoint: Checkpoint) -> dict[str, SessionFace]:
    """Return the session's faces by id; none for a model of other images."""
    if checkpoint.card.dataset.name != FACES:
        return {}
    return {kept.id: kept for kept in session_faces()}


def _options(checkpoint: Checkpoint, faces: Mapping[str, SessionFace]) -> dict[str, str]:
    """Return the labels of all options, by id or name."""
    taken = {kept.name for kept in faces.values()}
    photos = (_ASTRONAUT,) if checkpoint.card.dataset.name == FACES else ()
    shared = (*photos, *_rows_of_examples(checkpoint), *_GENERATED)
    mine = {id: kept.name for id, kept in faces.items()}
    return mine | {name: name for name in shared if name not in taken}


def _first_examples(checkpoint: Checkpoint) -> list[str]:
    """Return one example of each label, by name."""
    return list(_rows_of_examples(checkpoint))[::_EXAMPLES]


def _rows_of_examples(checkpoint: Checkpoint) -> dict[str, int]:
    """Return a few encodings of each label, by name."""
    labels = checkpoint.encodings.labels
    if labels is None:
        return {}
    return {
        f"{name}, {k + 1}": int(row)
        for label, name in enumerate(checkpoint.card.label_names)
        for k, row in enumerate(np.flatnonzero(labels == label)[:_EXAMPLES])
    }


def _choose(
    key: str, label: str, options: Mapping[str, str], *, default: str, faces: Container[str]
) -> str:
    """Select an option; the user's own faces stay out of the URL."""

    def parse(text: str) -> str:
        if text not in options:  # perhaps under the name that older versions gave it
            text = text.replace("Made up", "Generated")
        if text in options and text not in faces:
            return text
        raise ValueError("there is no such image here, and links never contain photos")

    seed_from_url(key, default, parse)
    option: str = st.selectbox(
        label, list(options), format_func=options.__getitem__, key=key, persist_state="session"
    )
    write_to_url(key, default if option in faces else option, default)
    return option


def _reset_choices_if_added(faces: Iterable[str]) -> None:
    seen: set[str] = st.session_state.setdefault(_SEEN, set())
    if not seen.issuperset(faces):
        for key, _ in (*ONE, *TWO, *THREE, *FOUR):
            st.session_state.pop(key, None)
    seen.update(faces)


def _find(checkpoint: Checkpoint, option: str, faces: Mapping[str, SessionFace]) -> ChosenFace:
    if option in faces:
        return encode_face(checkpoint, faces[option])
    if option == _ASTRONAUT:
        return encode_face(checkpoint, example_face())
    if option in _GENERATED:
        prior, seed = available_priors(checkpoint)[-1], _GENERATED.index(option)
        z = sample_latents(checkpoint, 1, prior, TEMPERATURE, seed=seed)
    else:
        z = checkpoint.encodings.z_mean[[_rows_of_examples(checkpoint)[option]]]
    shown = for_display(enlarge(decode(checkpoint.model, z), SIDE), checkpoint.card.is_inverted)[0]
    image = DecodedImage(to_pil(shown).convert("RGB"))
    return ChosenFace(option, z[0], SessionFace(option, image, None))


def _models_of_faces() -> list[ModelCard]:
    cards, _ = list_checkpoints()
    models = [card for card in cards.values() if card.dataset.name == FACES]
    return sorted(models, key=lambda card: (*BEST_FACE_MODELS, card.name).index(card.name))
