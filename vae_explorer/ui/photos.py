"""A photo on its way into the app: uploaded, taken or a sample; its faces found, one chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import streamlit as st
from PIL import Image

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.faces import Face, face_from_eyes, find_faces
from vae_explorer.images import picture_url, to_pil
from vae_explorer.inference import decode
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.face_choice import find_astronaut
from vae_explorer.ui.live_faces import draw_photo
from vae_explorer.ui.tray import TrayFace, keep_face
from vae_explorer.ui.uploads import ask_for_picture
from vae_explorer.uploads import UploadError, read_upload

_PHOTO, _READ, _EXAMPLE = "photo", "photo_read", "example"
_SHOWN_SIDE = 1000
_SOURCES = {"upload": "Upload", "camera": "Camera", "sample": "Sample"}


@dataclass(frozen=True, eq=False)
class Photo:
    """The photo that is looked at, and what was found in it."""

    source: str
    """What tells it from another: an upload's id, or a sample's name."""
    name: str
    image: Image.Image
    faces: tuple[Face, ...]
    chosen: int = 0
    aims: bool = False
    """Whether the person is to click the two eyes."""
    made_up: bool = False
    """Whether a model made it: a face that is aligned already."""

    def take_face(self) -> TrayFace | None:
        """Return the face that was chosen, if there is any."""
        if self.made_up:
            return TrayFace(self.name, self.image, None)
        return TrayFace(self.name, self.image, self.faces[self.chosen]) if self.faces else None


def current_photo() -> Photo:
    """Return the photo that is looked at in this session; an example until there is one."""
    photo = cast("Photo | None", st.session_state.get(_PHOTO))
    if photo is None:
        image, face = find_astronaut()
        photo = Photo(_EXAMPLE, "Astronaut", image, (face,))
    return photo


def is_example(photo: Photo) -> bool:
    """Say whether the person has not chosen any photo yet."""
    return photo.source == _EXAMPLE


def forget_photo() -> None:
    """Forget the photo that is looked at."""
    st.session_state[_PHOTO] = None


def ask_for_photo(checkpoint: Checkpoint) -> None:
    """Let a photo be uploaded, taken, or chosen; one that cannot be used leaves the last one."""
    source = st.segmented_control(
        "A face", list(_SOURCES), format_func=_SOURCES.__getitem__, default="upload",
        key="photo_source", required=True, width="stretch",
    )  # fmt: skip
    if source == "sample":
        _offer_samples(checkpoint)
        return
    if source == "camera":
        file = st.camera_input("Look into the camera", key="photo_camera")
    else:
        file = ask_for_picture("A photo with a face in it; or paste one", "photo_upload")
    if file is None or st.session_state.get(_READ) == file.file_id:
        return
    try:
        image = read_upload(file.getvalue())
    except UploadError as error:
        st.error(str(error))
        return
    st.session_state[_READ] = file.file_id
    _take(file.file_id, "Photo", image)


def show_found(photo: Photo, height: int) -> None:
    """Draw the photo with its faces; a click chooses one, or marks an eye."""
    image = photo.image.copy()
    image.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    draw_photo(
        picture_url(image), photo.image.size,
        [(face.box, face.landmarks.tolist()) for face in photo.faces], "photo-found",
        chosen=photo.chosen if photo.faces else None, aims=photo.aims, height=height,
        description=_describe(photo), on_face=_choose, on_eyes=_mark_eyes,
    )  # fmt: skip


def offer_eyes(photo: Photo) -> None:
    """Offer to mark the eyes by hand, where somebody's photo is shown."""
    if photo.aims:
        st.button("Leave that", icon=":material/close:", on_click=_aim, args=(False,))
    elif not photo.made_up:
        st.button("Mark the eyes", icon=":material/ads_click:", on_click=_aim, args=(True,))


def _describe(photo: Photo) -> str:
    count = len(photo.faces)
    return f"The photo, with {count} {'face' if count == 1 else 'faces'} found"


def _offer_samples(checkpoint: Checkpoint) -> None:
    st.button(
        "An astronaut", icon=":material/rocket_launch:", on_click=_take_astronaut, width="stretch",
        help="Eileen Collins; NASA, public domain. The picture comes with scikit-image.",
    )  # fmt: skip
    st.button(
        "A face of the model's own", icon=":material/casino:", on_click=_take_sample,
        args=(checkpoint,), width="stretch", help="Nobody: a random z, decoded.",
    )  # fmt: skip


def _take_astronaut() -> None:
    image, face = find_astronaut()
    st.session_state[_PHOTO] = Photo("astronaut", "Astronaut", image, (face,))
    keep_face(image, face, "Astronaut")


def _take_sample(checkpoint: Checkpoint) -> None:
    seed = st.session_state["photo_seed"] = st.session_state.get("photo_seed", -1) + 1
    z = sample_latents(checkpoint, 1, available_priors(checkpoint)[-1], seed=seed)
    image = to_pil(decode(checkpoint.model, z)[0])
    keep_face(image, None, "Made up")
    st.session_state[_PHOTO] = Photo(f"sample-{seed}", "Made up", image, (), made_up=True)


def _take(source: str, name: str, image: Image.Image) -> None:
    faces = tuple(find_faces(image))
    st.session_state[_PHOTO] = Photo(source, name, image, faces, aims=not faces)
    if faces:
        keep_face(image, faces[0], name)


def _choose(sent: Mapping[str, object]) -> None:
    photo, index = current_photo(), sent.get("face")
    if isinstance(index, int) and 0 <= index < len(photo.faces):
        st.session_state[_PHOTO] = replace(photo, chosen=index)
        keep_face(photo.image, photo.faces[index], photo.name)


def _aim(aims: bool) -> None:
    st.session_state[_PHOTO] = replace(current_photo(), aims=aims)


def _mark_eyes(sent: Mapping[str, object]) -> None:
    photo = current_photo()
    try:
        places = np.array(sent["places"], float)
        left, right = places[np.argsort(places[:, 0])]
        face = face_from_eyes(left, right)
    except (KeyError, ValueError, TypeError, IndexError):
        return  # two clicks at one place, or nothing that the stage sends
    faces = (*photo.faces, face)
    st.session_state[_PHOTO] = replace(photo, faces=faces, chosen=len(faces) - 1, aims=False)
    keep_face(photo.image, face, photo.name)
