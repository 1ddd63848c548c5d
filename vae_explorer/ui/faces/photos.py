"""A photo on its way into the app: uploaded, taken or a sample; its faces found, one chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import streamlit as st
from PIL import Image

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.errors import UploadError
from vae_explorer.faces import Face, face_from_eyes, find_faces
from vae_explorer.images import PictureFormat, picture_url, to_pil
from vae_explorer.inference import decode
from vae_explorer.preprocessing import kept_format, read_upload
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

_PHOTO, _READ, _ROUND = "photo", "photo_read", "photo_round"
_NEAREST_EYES = 4  # px of the photo; nearer, two clicks were one
_SHOWN_SIDE = 1000
_SIDE = 64
_SOURCES = {"upload": "Upload", "camera": "Camera", "sample": "Sample"}


@dataclass(frozen=True, eq=False)
class Photo:
    """The photo that is looked at, and what was found in it."""

    name: str
    image: Image.Image
    found: tuple[Face, ...] = ()
    marked: Face | None = None
    """The one whose eyes the person has clicked."""
    chosen: int = 0
    aims: bool = False
    """Whether the person is to click the two eyes."""
    generated: bool = False
    """Whether a model made it: a face that is aligned already."""
    format: PictureFormat = "png"
    """Of the file it came in."""

    @property
    def faces(self) -> tuple[Face, ...]:
        """All that can be chosen."""
        return self.found if self.marked is None else (*self.found, self.marked)

    @cached_property
    def address(self) -> str:
        """The picture as it is shown, which its address carries."""
        shown = self.image.copy()
        shown.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE), reducing_gap=2.0)
        return picture_url(shown)

    @cached_property
    def face(self) -> SessionFace | None:
        """The face that was chosen, if there is any."""
        if self.generated:
            return SessionFace(self.name, self.image, None)
        if not self.faces:
            return None
        return SessionFace(self.name, self.image, self.faces[self.chosen], self.format)


def current_photo() -> Photo:
    """Return the photo that is looked at in this session; an example until there is one."""
    return st.session_state.get(_PHOTO) or _example()


def is_example(photo: Photo) -> bool:
    """Say whether the person has not chosen any photo yet."""
    return photo is _example()


def ask_for_photo(checkpoint: Checkpoint) -> None:
    """Let a photo be uploaded, taken, or chosen; one that cannot be used leaves the last one."""
    source = st.segmented_control(
        "A face",
        list(_SOURCES),
        format_func=_SOURCES.__getitem__,
        default="upload",
        key="photo_source",
        required=True,
        width="stretch",
    )
    if source == "sample":
        _offer_samples(checkpoint)
        return
    turn = st.session_state.get(_ROUND, 0)
    if source == "camera":
        file = st.camera_input("Look into the camera", key=f"photo_camera-{turn}")
        explain_privacy()
    else:
        file = upload_image("A photo with a face in it; or paste one", f"photo_upload-{turn}")
    if file is None or st.session_state.get(_READ) == file.file_id:
        return
    try:
        image, format = read_upload(file.getvalue()), kept_format(file.getvalue())
    except UploadError as error:
        st.error(str(error))
        return
    st.session_state[_READ] = file.file_id
    found = tuple(find_faces(image))
    _look_at(Photo("Photo", image, found, aims=not found, format=format))


def show_found(photo: Photo, height: int) -> None:
    """Draw the photo with its faces; a click chooses one, or marks an eye."""
    count = len(photo.faces)
    data = {
        "view": "photo",
        "picture": photo.address,
        "size": photo.image.size,
        "faces": [
            {"box": list(face.box), "landmarks": face.landmarks.tolist()} for face in photo.faces
        ],
        "chosen": photo.chosen if photo.faces else None,
        "places": photo.aims,
        "height": height,
        "description": f"The photo, with {count} {'face' if count == 1 else 'faces'} found",
    }
    draw_view("photo-found", data, {}, chosen=_choose, eyes=_mark_eyes)


def offer_eyes(photo: Photo) -> None:
    """Offer to mark the eyes by hand, where somebody's photo is shown."""
    if photo.aims and photo.faces:
        st.button("Leave that", icon=":material/close:", on_click=_aim, args=(False,))
    elif not photo.aims and not photo.generated:
        st.button("Mark the eyes", icon=":material/ads_click:", on_click=_aim, args=(True,))


def show_session_faces() -> None:
    """Show the session's faces; each can be renamed or forgotten, or all with their photos."""
    tray = session_faces()
    if tray:
        st.markdown(f"**Your faces** · {len(tray)}", help="For every face page, until a reload.")
    for kept in tray:
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
            help="Forget this face",
            on_click=_remove,
            args=(kept,),
            type="tertiary",
        )
    if tray or not is_example(current_photo()):
        st.button("Forget all", icon=":material/delete:", on_click=_forget_all, type="tertiary")


def forget_photo() -> None:
    """Forget the photo that is looked at, and the files it may have come from."""
    st.session_state[_PHOTO] = None
    # A file is let go with its widget: the next ones have other keys.
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1


@st.cache_resource(show_spinner=False)
def _example() -> Photo:
    image, face = example_photo()
    return Photo("Astronaut", image, (face,))


def _offer_samples(checkpoint: Checkpoint) -> None:
    st.button(
        "An astronaut",
        icon=":material/rocket_launch:",
        on_click=_take_astronaut,
        width="stretch",
        help="Eileen Collins; NASA, public domain. The picture comes with scikit-image.",
    )
    st.button(
        "A face of the model's own",
        icon=":material/casino:",
        on_click=_take_sample,
        args=(checkpoint,),
        width="stretch",
        help="Nobody: a random z, decoded.",
    )


def _take_astronaut() -> None:
    # A new one: the example itself stands for having chosen nothing yet.
    _look_at(replace(_example()))


def _take_sample(checkpoint: Checkpoint) -> None:
    seed = st.session_state["photo_seed"] = st.session_state.get("photo_seed", -1) + 1
    z = sample_latents(checkpoint, 1, available_priors(checkpoint)[-1], seed=seed)
    _look_at(Photo("Made up", to_pil(decode(checkpoint.model, z)[0]), generated=True))


def _look_at(photo: Photo) -> None:
    st.session_state[_PHOTO] = photo
    if photo.face is not None:
        add_face(photo.face)


def _choose(sent: Mapping[str, object]) -> None:
    photo, index = current_photo(), sent.get("face")
    if isinstance(index, int) and 0 <= index < len(photo.faces):
        _look_at(replace(photo, chosen=index))


def _aim(aims: bool) -> None:
    st.session_state[_PHOTO] = replace(current_photo(), aims=aims)


def _mark_eyes(sent: Mapping[str, object]) -> None:
    photo = current_photo()
    try:
        places = np.array(sent.get("places"), float)
    except (ValueError, TypeError, OverflowError):
        return  # nothing that the stage sends
    if places.shape != (2, 2) or not ((places >= 0) & (places <= photo.image.size)).all():
        return
    left, right = places[np.argsort(places[:, 0])]
    if np.linalg.norm(right - left) < _NEAREST_EYES:
        return
    marked = face_from_eyes(left, right)
    _look_at(replace(photo, marked=marked, chosen=len(photo.found), aims=False))


def _rename(kept: SessionFace, key: str) -> None:
    if not rename_face(kept.id, st.session_state[key]):
        st.session_state[key] = kept.name


def _remove(kept: SessionFace) -> None:
    remove_face(kept.id)
    if current_photo().image is kept.photo and all(
        other.photo is not kept.photo for other in session_faces()
    ):
        forget_photo()


def _forget_all() -> None:
    remove_all_faces()
    forget_photo()
