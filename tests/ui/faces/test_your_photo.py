from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee

from tests.support.checkpoints import put, put_faces
from tests.support.session import Open, Picture, Session
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.faces import align, face_from_eyes, find_faces
from vae_explorer.inference import encode_image

PAGE, MODEL = "your_photo", "faces"
PORTRAIT = Image.fromarray(astronaut())
NO_FACE = Image.fromarray(coffee())


def as_file(image: Image.Image, name: str = "me.png") -> tuple[str, bytes, str]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return name, buffer.getvalue(), "image/png"


def upload(session: Session, image: Image.Image) -> Session:
    session.app.file_uploader[0].set_value(as_file(image))
    return session.run()


def shown(session: Session) -> dict:
    """What the view of the photo was given."""
    return session.view("photo-found")


def names_in_tray(session: Session) -> list[str]:
    return list(session.faces())


@pytest.fixture
def session(checkpoint_root: Path, shelf: Path, open_app: Open) -> Session:
    put_faces(checkpoint_root / "digits-vae-2d", shelf / MODEL)
    return open_app(PAGE, model=MODEL)


def test_it_begins_with_an_example_that_is_nobodys_yet(session: Session) -> None:
    assert "Example photo" in session.words
    assert len(shown(session)["faces"]) == 1
    assert names_in_tray(session) == []


def test_the_steps_are_the_photo_the_aligned_face_and_what_the_model_makes_of_it(
    session: Session, pictures: list[Picture]
) -> None:
    pictures.clear()
    mirrored = PORTRAIT.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    upload(session, mirrored)
    (face,) = find_faces(mirrored)
    np.testing.assert_allclose(shown(session)["faces"][0]["landmarks"], face.landmarks)
    assert shown(session)["size"] == list(PORTRAIT.size)
    by_caption = {picture.caption: picture.pixels.astype(int) for picture in pictures}
    aligned = by_caption["**2** · Aligned"]
    assert np.abs(aligned - align(mirrored, face, len(aligned)).image).max() <= 1
    model = load_checkpoint(MODEL).model
    small = np.asarray(align(mirrored, face, 16).image, np.float32).transpose(2, 0, 1) / 255
    wanted = 255 * encode_image(model, small).reconstruction.mean(axis=(1, 2))
    found = by_caption["**3** · Reconstruction"].mean(axis=(0, 1))
    np.testing.assert_allclose(found, wanted, atol=2)
    assert names_in_tray(session) == ["Photo"]


def test_how_close_it_came_is_its_place_among_unseen_faces(session: Session) -> None:
    upload(session, PORTRAIT)
    (face,) = find_faces(PORTRAIT)
    small = np.asarray(align(PORTRAIT, face, 16).image, np.float32).transpose(2, 0, 1) / 255
    error = np.square(
        encode_image(load_checkpoint(MODEL).model, small).reconstruction - small
    ).sum()
    # The made-up percentiles go evenly from 0 to the number of values.
    wanted = 100 - round(100 * error / small.size)
    assert int(re.search(r"\*\*(\d+) of 100\*\*", session.words)[1]) == wanted


def test_of_several_faces_one_is_chosen_by_a_click(session: Session) -> None:
    two = Image.new("RGB", (1024, 512))
    two.paste(PORTRAIT, (0, 0))
    two.paste(PORTRAIT.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (512, 0))
    upload(session, two)
    assert "2 faces" in session.words
    assert shown(session)["chosen"] == 0
    session.send("photo-found", "chosen", {"face": 1})
    assert shown(session)["chosen"] == 1
    assert names_in_tray(session) == ["Photo", "Photo 2"]
    session.send("photo-found", "chosen", {"face": 0})
    assert names_in_tray(session) == ["Photo", "Photo 2"]  # chosen again, it is no third


@pytest.mark.parametrize("value", [{"face": 7}, {"face": -1}, {"face": "1"}, {}, "face", [1], 1])
def test_a_face_that_is_not_there_is_not_chosen(session: Session, value: object) -> None:
    upload(session, PORTRAIT)
    session.send("photo-found", "chosen", value)
    assert shown(session)["chosen"] == 0


def test_without_a_face_the_eyes_can_be_clicked(session: Session, pictures: list[Picture]) -> None:
    upload(session, NO_FACE)
    assert "No face was found" in session.words
    assert shown(session)["places"]
    assert names_in_tray(session) == []
    pictures.clear()
    session.send("photo-found", "eyes", {"places": [[300, 210], [200, 190]]})
    assert not shown(session)["places"]
    wanted = align(NO_FACE, face_from_eyes([200, 190], [300, 210]), 168).image
    (aligned,) = (picture for picture in pictures if picture.caption == "**2** · Aligned")
    assert np.abs(aligned.pixels.astype(int) - wanted).max() <= 1
    assert names_in_tray(session) == ["Photo"]


@pytest.mark.parametrize(
    "places",
    [
        [[5, 5], [5, 5]],
        [[5, 5], [6, 7]],
        [[1, 2]],
        [[None, 1], [2, 3]],
        "eyes",
        [],
        None,
        {},
        [[1, 2], [3]],
        [[-1, 5], [50, 5]],
        [[5, 5], [5, 401]],
        [[1e12, 0], [0, 1e12]],
        [[1e400, 0], [5, 5]],
    ],
)
def test_eyes_at_one_place_or_outside_of_the_photo_change_nothing(
    session: Session, places: object
) -> None:
    upload(session, NO_FACE)
    session.send("photo-found", "eyes", {"places": places})
    assert shown(session)["faces"] == []
    assert names_in_tray(session) == []


def test_eyes_are_marked_once_and_then_anew(session: Session) -> None:
    upload(session, PORTRAIT)
    for left in (100, 120, 140):
        session.click("Mark the eyes manually")
        session.send("photo-found", "eyes", {"places": [[left, 90], [left + 50, 90]]})
    assert len(shown(session)["faces"]) == 2
    assert shown(session)["chosen"] == 1
    session.click("Mark the eyes manually").click("Cancel")
    assert "2 faces" in session.words


def test_a_photo_without_a_face_can_be_forgotten(session: Session) -> None:
    upload(session, NO_FACE)
    assert "Cancel" not in session.labels()
    session.click("Remove all photos")
    assert "Example photo" in session.words
    assert session.app.file_uploader[0].value is None


def test_a_photo_is_forgotten_with_the_last_of_its_faces(session: Session) -> None:
    upload(session, PORTRAIT)
    session.set(photo_source="sample").click("Generated face")
    session.set(photo_source="upload")
    upload(session, PORTRAIT.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    session.forget("Photo")
    assert "Example photo" not in session.words  # the other photo is looked at
    session.forget("Photo 2")
    assert "Example photo" in session.words
    assert names_in_tray(session) == ["Generated"]


def test_a_full_tray_lets_made_up_faces_go_before_photos(session: Session) -> None:
    upload(session, PORTRAIT)
    session.set(photo_source="sample")
    for _ in range(14):
        session.click("Generated face")
    assert len(names_in_tray(session)) == 12
    assert names_in_tray(session)[0] == "Photo"
    assert "Removed to make room" in session.app.toast[0].value


def test_what_a_person_names_a_face_is_in_no_log(
    session: Session, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    upload(session, PORTRAIT)
    session.rename("Photo", "Secret Sue").rename("Secret Sue", "").rename("Secret Sue", "Sue 2")
    session.visit("morph", model=MODEL)
    assert "Sue" not in caplog.text + "".join(capfd.readouterr())


def test_what_is_no_picture_is_told_and_costs_nothing(session: Session) -> None:
    upload(session, PORTRAIT)
    before = shown(session)
    session.app.file_uploader[0].set_value(("me.png", b"<svg></svg>", "image/png"))
    session.run()
    assert [error.value for error in session.app.error] != []
    assert shown(session) == before
    assert names_in_tray(session) == ["Photo"]


def test_the_camera_is_a_way_in(session: Session) -> None:
    session.set(photo_source="camera")
    buffer = io.BytesIO()
    PORTRAIT.save(buffer, "JPEG")
    session.app.camera_input[0].set_value(("shot.jpg", buffer.getvalue(), "image/jpeg"))
    session.run()
    assert len(shown(session)["faces"]) == 1
    assert names_in_tray(session) == ["Photo"]


def test_samples_need_no_photo(session: Session) -> None:
    session.set(photo_source="sample").click("Generated face")
    assert "Generated by the model" in session.words
    session.click("Generated face").click("Astronaut")
    assert names_in_tray(session) == ["Generated", "Generated 2", "Astronaut"]


def test_faces_are_renamed_and_forgotten_one_by_one_and_all_at_once(session: Session) -> None:
    session.set(photo_source="sample").click("Generated face")
    session.click("Generated face").click("Astronaut")
    session.rename("Generated", "Ada")
    assert names_in_tray(session) == ["Ada", "Generated 2", "Astronaut"]
    for refused in ("Ada", " ", ""):  # taken, or nothing
        session.rename("Generated 2", refused)
        assert names_in_tray(session) == ["Ada", "Generated 2", "Astronaut"]
    assert names_in_tray(session.forget("Ada")) == ["Generated 2", "Astronaut"]
    session.click("Remove all photos")
    assert names_in_tray(session) == []
    assert "Example photo" in session.words


def test_the_other_models_of_faces_stand_beside_it_on_demand(
    checkpoint_root: Path, shelf: Path, open_app: Open, pictures: list[Picture]
) -> None:
    digits = checkpoint_root / "digits-vae-2d"
    put_faces(digits, shelf / "faces")
    put_faces(digits, shelf / "small", image_size=8, title="Smaller")
    put(digits, shelf / "digits")
    session = open_app(PAGE, model="faces")
    assert "Smaller" not in [picture.caption for picture in pictures]
    session.set(compare=True)
    assert "Smaller" in [picture.caption for picture in pictures]
    assert session.link["compare"] == "1"


def test_a_model_of_something_else_leads_to_one_of_faces(
    checkpoint_root: Path, shelf: Path, open_app: Open
) -> None:
    put(checkpoint_root / "digits-vae-2d", shelf / "digits")
    session = open_app(PAGE, model="digits")
    assert [each.value for each in session.app.info] == [
        "This page needs a face model, and none is installed. Import one, or train one."
    ]
    put_faces(checkpoint_root / "digits-vae-2d", shelf / MODEL)
    session = open_app(PAGE, model="digits")
    assert session.widget("model").value == MODEL
    assert "cannot be shown on this page" in session.notices
    assert "Example photo" in session.words


def test_a_photo_stays_with_its_session_and_out_of_the_link(
    session: Session, open_app: Open
) -> None:
    upload(session, PORTRAIT)
    session.rename("Photo", "Ada")
    assert set(session.link) <= {"model"}
    other = open_app(PAGE, model=MODEL)
    assert names_in_tray(other) == []
    assert "Example photo" in other.words
