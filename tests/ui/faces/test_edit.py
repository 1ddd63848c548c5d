from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.checkpoints import put_faces
from tests.support.files import ADOBE_RGB, P3, write_image
from tests.support.session import Files, Open, Picture, Session, read_floats, read_picture
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.data.image_io import decode_image_file
from vae_explorer.editing.recipe import Recipe, write_recipe
from vae_explorer.faces import align, edit_photo, find_faces
from vae_explorer.faces.geometry import invert, transform_points
from vae_explorer.ui.faces.picker import example_photo

PAGE, MODEL = "edit", "faces"
VIEW = f"edit-{MODEL}"


@pytest.fixture
def session(checkpoint_root: Path, shelf: Path, open_app: Open) -> Session:
    put_faces(checkpoint_root / "digits-vae-2d", shelf / MODEL)
    return open_app(PAGE, model=MODEL)


def move(session: Session, **amounts: float) -> Session:
    """Drag sliders and let go; each lives in its group."""
    for name, amount in amounts.items():
        key = f"edit_{name}"
        (view,) = (
            v for v in session.views() if key in session.view(v).get("values", {}) and v != VIEW
        )
        values = {**session.view(view)["values"], key: amount}
        session.send(view, "values", values)
    return session


def amounts(session: Session) -> dict[str, float]:
    values = session.view(VIEW)["values"]
    return {k.removeprefix("edit_"): v for k, v in values.items() if k.startswith("edit_") and v}


def vector(session: Session, name: str) -> np.ndarray:
    return read_floats(session.view(VIEW)["vectors"][f"edit_{name}"])


def read_file(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)), int)


def test_it_begins_with_a_photo_and_each_offered_vector(session: Session) -> None:
    view = session.view(VIEW)
    assert view["name"] == "Astronaut"
    vectors = load_checkpoint(MODEL).attribute_vectors
    for name in ("Smiling", "Wearing_Hat", "Male"):
        np.testing.assert_allclose(vector(session, name), vectors[name], atol=1e-6)


def test_untouched_the_photo_is_saved_as_it_was(session: Session, files: Files) -> None:
    session.run()
    image, _ = example_photo()
    np.testing.assert_array_equal(read_file(files["edited.png"]()), np.asarray(image))


def test_what_is_moved_is_saved_as_edit_photo_makes_it(session: Session, files: Files) -> None:
    move(session, Smiling=2.0, Male=-1.5)
    image, face = example_photo()
    checkpoint = load_checkpoint(MODEL)
    wanted = edit_photo(image, face, checkpoint, {"Smiling": 2.0, "Male": -1.5})
    saved = read_file(files["edited.png"]())
    np.testing.assert_array_equal(saved, np.asarray(wanted))
    assert (saved != np.asarray(image)).any()


def test_a_link_holds_amounts_and_reopens_them(session: Session, open_app: Open) -> None:
    move(session, Smiling=2.0, Wearing_Hat=1.0)
    session.set(locked=["Male"], vectors="plain")
    assert session.link["edit_Smiling"] == "2"
    again = open_app(PAGE, **session.link)
    assert again.view(VIEW) == session.view(VIEW)
    assert again.notices == ""


def test_a_lock_makes_the_other_directions_orthogonal(session: Session) -> None:
    male = vector(session, "Male")
    assert abs(vector(session, "Smiling") @ male) > 1e-4
    session.set(locked=["Male"])
    assert vector(session, "Smiling") @ male == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(vector(session, "Male"), male)


def test_another_kind_has_other_directions(session: Session) -> None:
    best = vector(session, "Smiling")
    session.set(vectors="regression")
    np.testing.assert_allclose(vector(session, "Smiling"), -best, atol=1e-6)


def test_each_step_can_be_taken_back_and_done_again(session: Session) -> None:
    move(session, Smiling=2.0)
    move(session, Male=1.0)
    session.set(vectors="regression")
    session.click("Undo")
    assert session.widget("vectors").value == "best"
    session.click("Undo")
    assert amounts(session) == {"Smiling": 2.0}
    session.click("Undo")
    assert amounts(session) == {}
    session.click("Redo").click("Redo")
    assert amounts(session) == {"Smiling": 2.0, "Male": 1.0}


def test_a_new_step_takes_the_place_of_those_taken_back(session: Session) -> None:
    move(session, Smiling=2.0)
    session.click("Undo")
    move(session, Male=1.0)
    session.click("Undo").click("Redo")
    assert amounts(session) == {"Male": 1.0}


def test_a_reset_can_be_taken_back(session: Session) -> None:
    move(session, Smiling=2.0)
    session.click("Reset")
    assert amounts(session) == {}
    session.click("Undo")
    assert amounts(session) == {"Smiling": 2.0}


def test_each_model_has_steps_of_its_own(session: Session, shelf: Path) -> None:
    put_faces(shelf / MODEL, shelf / "others", title="Others")
    for amount in (1.0, 2.0):
        move(session, Smiling=amount)
    session.visit(PAGE, model="others").visit(PAGE, model=MODEL)
    session.click("Undo")
    assert amounts(session) == {"Smiling": 1.0}


def test_what_a_file_says_is_never_read_as_markup(session: Session) -> None:
    picture = "![](http://example.com/a.png)"
    recipe = json.loads(write_recipe(Recipe(), load_checkpoint(MODEL).card))
    data = json.dumps(recipe | {"checkpoint": picture}).encode()
    session.app.file_uploader[0].set_value(("recipe.json", data, "application/json"))
    session.run()
    (error,) = session.app.error
    assert "is for the model" in error.value
    assert "![" not in error.value


def test_a_recipe_sets_the_page(session: Session, files: Files, open_app: Open) -> None:
    move(session, Smiling=2.0)
    session.set(locked=["Wearing_Hat"], vectors="plain")
    recipe = files["recipe.json"]()
    assert isinstance(recipe, bytes)
    other = open_app(PAGE, model=MODEL)
    other.app.file_uploader[0].set_value(("recipe.json", recipe, "application/json"))
    other.run()
    assert amounts(other) == {"Smiling": 2.0}
    assert other.view(VIEW)["vectors"] == session.view(VIEW)["vectors"]


def test_a_file_that_is_no_recipe_changes_nothing(session: Session) -> None:
    move(session, Smiling=2.0)
    session.app.file_uploader[0].set_value(("recipe.json", b'{"amounts": {}}', "application/json"))
    session.run()
    assert "not a recipe" in session.words
    assert amounts(session) == {"Smiling": 2.0}


def test_it_says_what_else_changes_but_not_of_directions_that_were_not_measured(
    session: Session,
) -> None:
    def beside() -> list[str]:
        settings = session.view(f"{VIEW}-0")["settings"]
        return [name for setting in settings for name, _ in setting["beside"]]

    assert beside() == ["Male", "Smiling", "Wearing hat"]
    assert session.tables()[0]["Mean difference"][0] == "0.8 at 1.5"
    session.set(locked=["Male"])
    assert beside() == []


def test_the_whole_tray_is_changed_and_saved(session: Session, files: Files) -> None:
    session.visit("your_photo", model=MODEL).set(photo_source="sample")
    session.click("Astronaut").click("Generated face").visit(PAGE, model=MODEL)
    move(session, Smiling=2.0)
    with zipfile.ZipFile(io.BytesIO(files["edited.zip"]())) as archive:
        assert archive.namelist() == ["01.png", "02.png"]
        image, face = example_photo()
        wanted = edit_photo(image, face, load_checkpoint(MODEL), {"Smiling": 2.0})
        np.testing.assert_array_equal(read_file(archive.read("01.png")), np.asarray(wanted))


def test_a_photo_keeps_its_format_and_loses_what_the_camera_wrote(
    session: Session, files: Files
) -> None:
    image, _ = example_photo()
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    exif.get_ifd(0x8825)[1] = "N"
    buffer = io.BytesIO()
    image.rotate(180).save(buffer, "JPEG", quality=97, exif=exif)
    session.visit("your_photo", model=MODEL)
    session.app.file_uploader[0].set_value(("me.jpg", buffer.getvalue(), "image/jpeg"))
    session.run().visit(PAGE, model=MODEL)
    saved = Image.open(io.BytesIO(files["edited.jpg"]()))
    assert saved.format == "JPEG"
    assert not saved.getexif()
    assert np.abs(np.asarray(saved, int) - np.asarray(image, int)).mean() < 4  # upright
    assert find_faces(saved)


def photo_file(form: str, mode: str = "RGB", **options: object) -> bytes:
    """The example, as another file has it: with a frame around that is transparent if it can be."""
    image = example_photo()[0].convert(mode)
    if mode.endswith("A"):
        alpha = Image.new("L", image.size)
        alpha.paste(255, (40, 0, 470, 512))
        image.putalpha(alpha)
    return write_image(image, form, **options)


def edited(session: Session, files: Files, name: str, data: bytes) -> tuple[str, bytes]:
    """Upload a photo, make it smile, and save it: the file's name, and the file."""
    session.visit("your_photo", model=MODEL)
    session.app.file_uploader[0].set_value((name, data, "application/octet-stream"))
    session.run().visit(PAGE, model=MODEL)
    move(session, Smiling=2.0)
    (saved,) = (name for name in files if name.startswith("edited.") and name != "edited.zip")
    return saved, files[saved]()


def outside_of_the_crop(image: Image.Image) -> np.ndarray:
    """All of a photo but the upright box around the aligned face, and a JPEG's blocks at it."""
    (face, *_) = find_faces(image)
    matrix = invert(align(image, face, 64).matrix)
    places = transform_points(matrix, np.array([[0, 0], [64, 0], [0, 64], [64, 64]], float))
    (left, top), (right, bottom) = places.min(axis=0) - 17, places.max(axis=0) + 17
    there = np.ones(image.size[::-1], bool)
    there[max(0, int(top)) : int(bottom), max(0, int(left)) : int(right)] = False
    return there


@pytest.mark.parametrize(
    ("name", "form", "mode", "profile", "saved_as"),
    [
        ("cut-out.png", "PNG", "RGBA", None, "edited.png"),
        ("cut-out.png", "PNG", "LA", None, "edited.png"),
        ("p3.png", "PNG", "RGBA", P3, "edited.png"),
        ("grey.png", "PNG", "L", None, "edited.png"),
        ("p3.jfif", "JPEG", "RGB", P3, "edited.jpg"),
        ("grey.jpe", "JPEG", "L", None, "edited.jpg"),
        ("phone.mpo", "MPO", "RGB", P3, "edited.jpg"),
        ("photo.webp", "WEBP", "RGBA", ADOBE_RGB, "edited.webp"),
        ("photo.hif", "HEIF", "RGB", P3, "edited.jpg"),
        ("scan.tif", "TIFF", "RGB", ADOBE_RGB, "edited.png"),
    ],
)
def test_a_photo_comes_back_as_it_came_but_for_the_face(
    session: Session,
    files: Files,
    name: str,
    form: str,
    mode: str,
    profile: bytes | None,
    saved_as: str,
) -> None:
    options: dict[str, object] = {} if profile is None else {"icc_profile": profile}
    if form == "WEBP":
        options |= {"lossless": True, "exact": True}
    if form == "MPO":
        options |= {"save_all": True, "append_images": [Image.new("RGB", (64, 64))]}
    upload = photo_file(form, mode, **options)
    file, data = edited(session, files, name, upload)
    assert file == saved_as
    with Image.open(io.BytesIO(upload)) as before, Image.open(io.BytesIO(data)) as after:
        assert after.mode == mode
        assert after.info.get("icc_profile") == profile
        there = outside_of_the_crop(decode_image_file(upload) if profile else before)
        difference = np.abs(np.asarray(before, int) - np.asarray(after, int))
        assert difference[there].mean() < (1 if saved_as == "edited.jpg" else 1e-9)
        assert difference[~there].mean() > 0.1
        if mode.endswith("A"):
            assert not difference[..., -1].any()


def test_the_whole_photo_is_shown_as_it_is_saved(
    session: Session, pictures: list[Picture], files: Files
) -> None:
    _, data = edited(session, files, "grey.png", photo_file("PNG", "L"))
    pictures.clear()
    session.set(whole=True)
    whole = max((picture.pixels for picture in pictures), key=np.size)
    assert (np.ptp(whole, axis=2) <= 2).all()  # as grey as what is saved, but for the JPEG
    assert np.abs(whole - np.asarray(decode_image_file(data), int)).mean() < 3


def test_the_change_is_saved_as_an_animation_and_side_by_side(
    session: Session, files: Files
) -> None:
    move(session, Smiling=3.0)
    before = read_picture(session.view(VIEW)["picture"]).astype(int)
    pair = read_file(files["before-after.png"]())
    assert pair.shape == (320, 640, 3)
    np.testing.assert_array_equal(pair[:, 320:], read_file(files["face.png"]()))
    assert np.abs(pair[:, :320].mean() - before.mean()) < 2
    assert Image.open(io.BytesIO(files["edit.webp"]())).n_frames > 5


def test_where_it_is_not_live_before_and_after_stand_still(
    session: Session, open_app: Open, pictures: list[Picture], files: Files
) -> None:
    pictures.clear()
    still = open_app(PAGE, live=False, model=MODEL, edit_Smiling="3", whole="1")
    assert still.views() == []
    assert "when you release" in still.words
    both, whole = pictures[-2].pixels.astype(int), pictures[-1].pixels.astype(int)
    assert (both[:, :256] != both[:, -256:]).any()
    assert whole.shape == np.asarray(example_photo()[0]).shape
