"""Photos: upload, camera or sample; the faces found in them; the list of the session's faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import streamlit as st
from PIL import Image

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.data.image_io import DecodedImage
from vae_explorer.errors import UploadError
from vae_explorer.faces import Face, face_from_eyes, find_faces
from vae_explorer.images import image_url, to_pil
from vae_explorer.inference import decode
from vae_explorer.preprocessing import read_photo
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.faces.picker import example_photo
from vae_explorer.ui.faces.session_faces import (
    SessionFace,
    add_face,
    remove_all_faces,
    remove_face,
    rename_face,
    session_faces,
)
from vae_explorer.ui.files import explain_privacy, upload_image
from vae_explorer.ui.stage.component import draw_view
from vae_explorer.ui.stage.views import show_image

_PHOTO, _READ, _UPLOAD = "photo", "photo_read", "photo_round"
_NEAREST_EYES = 4  # px of the photo; if nearer, both clicks were on one eye
_SHOWN_SIDE = 1000
_SIDE = 64
_SOURCES = {"upload": "Upload", "camera": "Camera", "sample": "Examples"}


@dataclass(frozen=True, eq=False)
class Photo:
    """The current photo, and the faces found in it."""

    name: str
    source: DecodedImage
    """As its file has it."""
    found: tuple[Face, ...] = ()
    marked: Face | None = None
    """The face whose eyes the user has marked."""
    chosen: int = 0
    marks_eyes: bool = False
    """Whether the next clicks mark the two eyes."""
    generated: bool = False
    """Whether it is a generated face, which is aligned already."""

    @property
    def image(self) -> Image.Image:
        """The photo: RGB, upright."""
        return self.source.rgb

    @property
    def faces(self) -> tuple[Face, ...]:
        """All faces that can be selected."""
        return self.found if self.marked is None else (*self.found, self.marked)

    @cached_property
    def data_url(self) -> str:
        """The photo at screen size, as a data URL."""
        shown = self.image.copy()
        shown.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE), reducing_gap=2.0)
        return image_url(shown)

    @cached_property
    def face(self) -> SessionFace | None:
        """The selected face, if there is one."""
        if self.generated:
            return SessionFace(self.name, self.source, None)
        if not self.faces:
            return None
        return SessionFace(self.name, self.source, self.faces[self.chosen])


def current_photo() -> Photo:
    """Return the session's current photo; an example until there is one."""
    return st.session_state.get(_PHOTO) or _example()


def is_example(photo: Photo) -> bool:
    """Say whether a photo is the example, shown until the user gives one."""
    return photo is _example()


def ask_for_photo(checkpoint: Checkpoint) -> None:
    """Ask for a photo, by upload, camera or sample; an unusable one leaves the last one."""
    way = st.segmented_control(
        "Photo source",
        list(_SOURCES),
        format_func=_SOURCES.__getitem__,
        default="upload",
        key="photo_source",
        required=True,
        width="stretch",
    )
    if way == "sample":
        _offer_samples(checkpoint)
        return
    turn = st.session_state.get(_UPLOAD, 0)
    if way == "camera":
        file = st.camera_input("Take a photo", key=f"photo_camera-{turn}")
        explain_privacy()
    else:
        file = upload_image("Upload or paste a photo of a face", f"photo_upload-{turn}")
    if file is None or st.session_state.get(_READ) == file.file_id:
        return
    try:
        source = read_photo(file.getvalue())
    except UploadError as error:
        st.error(str(error))
        return
    st.session_state[_READ] = file.file_id
    found = tuple(find_faces(source.rgb))
    _set_photo(Photo("Photo", source, found, marks_eyes=not found))


def show_found(photo: Photo, height: int) -> None:
    """Show the photo with the faces found; a click selects one, or marks an eye."""
    count = len(photo.faces)
    data = {
        "view": "photo",
        "picture": photo.data_url,
        "size": photo.image.size,
        "faces": [
            {"box": list(face.box), "landmarks": face.landmarks.tolist()} for face in photo.faces
        ],
        "chosen": photo.chosen if photo.faces else None,
        "places": photo.marks_eyes,
        "height": height,
        "description": f"Photo: {count or 'no'} {'face' if count == 1 else 'faces'} found",
    }
    draw_view("photo-found", data, {}, chosen=_choose, eyes=_mark_eyes)


def offer_eyes(photo: Photo) -> None:
    """Offer to mark the eyes manually, except in a generated face."""
    if photo.marks_eyes and photo.faces:
        st.button("Cancel", icon=":material/close:", on_click=_mark, args=(False,))
    elif not photo.marks_eyes and not photo.generated:
        st.button(
            "Mark the eyes manually",
            icon=":material/ads_click:",
            on_click=_mark,
            args=(True,),
        )


def show_session_faces() -> None:
    """Show the session's faces; each can be renamed or removed, or all with their photos."""
    faces = session_faces()
    if faces:
        st.markdown(
            f"**Your faces** · {len(faces)}",
            help="Available on all Faces pages until you reload the app.",
        )
    for kept in faces:
        picture, name, button = st.columns([0.2, 0.62, 0.18], vertical_alignment="center")
        with picture:
            show_image(kept.pixels(_SIDE), "", _SIDE)
        key = f"name-{kept.id}"
        st.session_state.setdefault(key, kept.name)
        name.text_input(
            "Name",
            key=key,
            label_visibility="collapsed",
            max_chars=40,
            on_change=_rename,
            args=(kept, key),
        )
        button.button(
            "",
            icon=":material/close:",
            key=f"remove-{kept.id}",
            help="Remove this face",
            on_click=_remove,
            args=(kept,),
            type="tertiary",
        )
    if faces or not is_example(current_photo()):
        st.button(
            "Remove all photos", icon=":material/delete:", on_click=_forget_all, type="tertiary"
        )


def forget_photo() -> None:
    """Forget the current photo, and the files it may have come from."""
    st.session_state[_PHOTO] = None
    # A file is released with its widget: the next widgets have other keys.
    st.session_state[_UPLOAD] = st.session_state.get(_UPLOAD, 0) + 1


@st.cache_resource(show_spinner=False)
def _example() -> Photo:
    image, face = example_photo()
    return Photo("Astronaut", DecodedImage(image), (face,))


def _offer_samples(checkpoint: Checkpoint) -> None:
    st.button(
        "Astronaut",
        icon=":material/rocket_launch:",
        on_click=_take_astronaut,
        width="stretch",
        help="Eileen Collins. Photo: NASA, public domain, from scikit-image.",
    )
    st.button(
        "Generated face",
        icon=":material/casino:",
        on_click=_take_sample,
        args=(checkpoint,),
        width="stretch",
        help="A random z, decoded: this person does not exist.",
    )


def _take_astronaut() -> None:
    # A copy: the example itself means that nothing was chosen yet.
    _set_photo(replace(_example()))


def _take_sample(checkpoint: Checkpoint) -> None:
    seed = st.session_state["photo_seed"] = st.session_state.get("photo_seed", -1) + 1
    z = sample_latents(checkpoint, 1, available_priors(checkpoint)[-1], seed=seed)
    image = to_pil(decode(checkpoint.model, z)[0])
    _set_photo(Photo("Generated", DecodedImage(image), generated=True))


def _set_photo(photo: Photo) -> None:
    st.session_state[_PHOTO] = photo
    if photo.face is not None:
        add_face(photo.face)


def _choose(sent: Mapping[str, object]) -> None:
    photo, index = current_photo(), sent.get("face")
    if isinstance(index, int) and 0 <= index < len(photo.faces):
        _set_photo(replace(photo, chosen=index))


def _mark(marks_eyes: bool) -> None:
    st.session_state[_PHOTO] = replace(current_photo(), marks_eyes=marks_eyes)


def _mark_eyes(sent: Mapping[str, object]) -> None:
    photo = current_photo()
    try:
        places = np.array(sent.get("places"), float)
    except (ValueError, TypeError, OverflowError):
        return  # not something that the view sends
    if places.shape != (2, 2) or not ((places >= 0) & (places <= photo.image.size)).all():
        return
    left, right = places[np.argsort(places[:, 0])]
    if np.linalg.norm(right - left) < _NEAREST_EYES:
        return
    marked = face_from_eyes(left, right)
    _set_photo(replace(photo, marked=marked, chosen=len(photo.found), marks_eyes=False))


def _rename(kept: SessionFace, key: str) -> None:
    if not rename_face(kept.id, st.session_state[key]):
        st.session_state[key] = kept.name


def _remove(kept: SessionFace) -> None:
    remove_face(kept.id)
    if current_photo().source is kept.source and all(
        other.source is not kept.source for other in session_faces()
    ):
        forget_photo()


def _forget_all() -> None:
    remove_all_faces()
    forget_photo()
