from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.checkpoints import put_faces
from tests.support.session import Files, Open, Picture, Session, read_floats, read_picture
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.images import enlarge, to_uint8
from vae_explorer.inference import decode
from vae_explorer.latent.interpolation import corner_grid, lerp, slerp
from vae_explorer.sampling import sample_latents
from vae_explorer.ui.faces.picker import TEMPERATURE

PAGE, MODEL = "morph", "faces"
VIEW = f"morph-{MODEL}"


@pytest.fixture
def session(checkpoint_root: Path, shelf: Path, open_app: Open) -> Session:
    put_faces(checkpoint_root / "digits-vae-2d", shelf / MODEL)
    return open_app(PAGE, model=MODEL)


def made_up(index: int) -> np.ndarray:
    return sample_latents(load_checkpoint(MODEL), 1, "fitted", TEMPERATURE, seed=index)[0]


def read_path(session: Session) -> np.ndarray:
    return read_floats(session.view(VIEW)["path"]).reshape(-1, 6)


def options(session: Session, key: str = "morph_from") -> list[str]:
    return list(session.widget(key).options)


@pytest.mark.parametrize(("path", "between"), [("spherical", slerp), ("linear", lerp)])
def test_it_goes_from_one_made_up_face_to_another(session: Session, path: str, between) -> None:
    session.set(path=path)
    t = np.linspace(0, 1, len(read_path(session)))
    wanted = between(made_up(0), made_up(1), t)
    np.testing.assert_allclose(read_path(session), wanted, rtol=1e-5, atol=1e-5)


def test_the_faces_themselves_stand_at_the_ends(session: Session) -> None:
    session.set(morph_to="Generated C")
    images = decode(load_checkpoint(MODEL).model, np.stack([made_up(0), made_up(2)]))
    for address, image in zip(session.view(VIEW)["pictures"], images, strict=True):
        wanted = to_uint8(enlarge(image[None], 256)[0]).astype(int)
        assert np.abs(read_picture(address) - wanted).max() <= 1
    assert session.view(VIEW)["names"] == ["Generated A", "Generated C"]


def test_a_link_reopens_made_up_faces(session: Session, open_app: Open) -> None:
    session.set(morph_from="Generated D", morph_to="Astronaut", steps=5, path="linear")
    again = open_app(PAGE, **session.link)
    assert again.view(VIEW) == session.view(VIEW)
    assert again.notices == ""


def test_the_persons_faces_are_the_ends_and_stay_out_of_the_link(session: Session) -> None:
    session.visit("your_photo", model=MODEL).set(photo_source="sample")
    session.click("Astronaut").click("Generated face")
    session.visit(PAGE, model=MODEL)
    assert session.view(VIEW)["names"] == ["Astronaut", "Generated"]
    session.set(morph_to="Generated B")
    session.widget("morph_from").select("Generated")
    session.run()
    assert session.link["morph_to"] == "Generated B"
    assert "morph_from" not in session.link


def test_a_new_face_is_an_end_wherever_faces_are_chosen_and_a_new_name_changes_nothing(
    session: Session,
) -> None:
    session.set(kind="four").set(kind="two").set(morph_to="Generated F")
    session.visit("your_photo", model=MODEL).set(photo_source="sample")
    session.click("Astronaut").visit(PAGE, model=MODEL)
    assert session.view(VIEW)["names"] == ["Astronaut", "Generated A"]
    assert session.set(kind="four").view(VIEW)["names"][0] == "Astronaut"
    session.set(kind="two").set(morph_to="Generated E")
    session.visit("your_photo", model=MODEL).rename("Astronaut", "Eileen").visit(PAGE, model=MODEL)
    assert session.view(VIEW)["names"] == ["Eileen", "Generated E"]


def test_a_face_that_was_forgotten_gives_way_to_another(session: Session) -> None:
    session.visit("your_photo", model=MODEL).set(photo_source="sample")
    session.click("Generated face").visit(PAGE, model=MODEL)
    assert "Generated" in options(session)
    session.visit("your_photo", model=MODEL).forget("Generated").visit(PAGE, model=MODEL)
    assert "Generated" not in options(session)
    assert sorted(session.view(VIEW)["names"]) == ["Generated A", "Generated B"]


def test_a_link_to_somebodys_photo_says_that_none_travels(session: Session, open_app: Open) -> None:
    other = open_app(PAGE, model=MODEL, morph_from="Ada")
    assert "links never contain photos" in other.notices
    assert other.view(VIEW)["names"][0] == "Generated A"


@pytest.mark.parametrize("name", ["morph.webp", "morph.gif"])
def test_the_morph_is_saved_as_an_animation_from_face_to_face(
    session: Session, files: Files, name: str
) -> None:
    session.set(morph_from="Astronaut").run()
    animation = Image.open(io.BytesIO(files[name]()))
    assert 30 < animation.n_frames <= 60  # there and back; equal ones are one frame
    assert animation.size == (256, 256)
    first = np.asarray(animation.convert("RGB"), int)
    # With the detail of the photos, it begins with the photo itself.
    photo = read_picture(session.view(VIEW)["pictures"][0]).astype(int)
    assert np.abs(first - photo).mean() < 8


def test_without_detail_the_strip_is_what_the_model_makes(session: Session, files: Files) -> None:
    session.set(steps=4, morph_from="Astronaut").send(f"{VIEW}-detail", "values", {"detail": 0.0})
    strip = np.asarray(Image.open(io.BytesIO(files["morph-strip.png"]())), int)
    assert strip.shape == (256, 4 * 256, 3)
    path = read_path(session)
    images = decode(load_checkpoint(MODEL).model, path[[0, -1]])
    wanted = to_uint8(enlarge(images, 256)).astype(int)
    assert np.abs(strip[:, :256] - wanted[0]).max() <= 1
    assert np.abs(strip[:, -256:] - wanted[1]).max() <= 1


def test_four_faces_span_a_field(session: Session, files: Files) -> None:
    session.set(kind="four").set(columns=5)
    view = session.view(VIEW)
    corners = np.stack([made_up(k) for k in range(4)])
    np.testing.assert_allclose(read_floats(view["corners"]).reshape(4, 6), corners, atol=1e-5)
    assert (view["columns"], view["spherical"], len(view["pictures"])) == (5, True, 4)
    grid = Image.open(io.BytesIO(files["morph-grid.png"]()))
    assert grid.size == (5 * 16 * 2, 5 * 16 * 2)


@pytest.mark.parametrize("kind", ["two", "four"])
def test_where_it_is_not_live_the_pictures_stand_still(
    session: Session, open_app: Open, pictures: list[Picture], kind: str
) -> None:
    pictures.clear()
    still = open_app(PAGE, live=False, model=MODEL, kind=kind, steps="5", columns="3")
    assert still.views() == []
    assert "when you release" in still.words
    last = pictures[-1].pixels.astype(int)
    if kind == "two":
        assert last.shape[1] > 5 * 256
    else:
        z = corner_grid(np.stack([made_up(k) for k in range(4)]), 3)
        centre = to_uint8(decode(load_checkpoint(MODEL).model, z[4:5])[0]).astype(int)
        side = last.shape[0] // 3
        assert (
            np.abs(last[side : 2 * side, side : 2 * side].mean((0, 1)) - centre.mean((0, 1))).max()
            < 2
        )
