from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import put_faces
from tests.support.session import Files, Open, Session, read_floats
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.editing.user_vectors import read_user_vector
from vae_explorer.sampling import sample_latents
from vae_explorer.ui.faces.picker import TEMPERATURE

PAGE, MODEL = "arithmetic", "faces"
VIEW = f"arithmetic-{MODEL}"
DIGITS = "digits-vae-2d"


@pytest.fixture
def session(checkpoint_root: Path, shelf: Path, open_app: Open) -> Session:
    put_faces(checkpoint_root / DIGITS, shelf / MODEL)
    return open_app(PAGE, model=MODEL)


def made_up(index: int) -> np.ndarray:
    return sample_latents(load_checkpoint(MODEL), 1, "fitted", TEMPERATURE, seed=index)[0]


def result(session: Session, key: str = VIEW) -> np.ndarray:
    """What stands on the stage: from the centre, as far as the weight says."""
    view = session.view(key)
    z, centre = (read_floats(view["tiles"][name]) for name in ("z", "centre"))
    return centre + view["values"]["weight"] * (z - centre)


def make(session: Session, name: str, with_it: list[str], without_it: list[str]) -> Session:
    session.set(own_with=with_it, own_without=without_it, own_name=name)
    (button,) = (
        b for b in session.app.button if b.label in ("Create direction", "Replace direction")
    )
    button.click()
    return session.run()


def test_three_pictures_are_summed(session: Session) -> None:
    session.set(a="Generated D", b="Generated B", c="Generated E")
    wanted = made_up(3) - made_up(1) + made_up(4)
    np.testing.assert_allclose(result(session), wanted, rtol=1e-4, atol=1e-4)


def test_the_difference_has_a_weight(session: Session) -> None:
    session.send(f"{VIEW}-weight", "values", {"weight": -0.5})
    wanted = made_up(0) - 0.5 * (made_up(2) - made_up(1))
    np.testing.assert_allclose(result(session), wanted, rtol=1e-4, atol=1e-4)
    assert session.link["weight"] == "-0.5"


def test_a_link_reopens_the_sum(session: Session, open_app: Open) -> None:
    session.set(a="Astronaut", c="Generated F").send(f"{VIEW}-weight", "values", {"weight": 2.0})
    again = open_app(PAGE, **session.link)
    assert again.view(VIEW) == session.view(VIEW)
    assert again.notices == ""


def test_a_direction_is_made_of_pictures(session: Session) -> None:
    session.set(sum="own")
    np.testing.assert_allclose(result(session), made_up(0), atol=1e-5)
    make(session, "Like C", ["Generated C", "Generated D"], ["Generated B"])
    direction = (made_up(2) + made_up(3)) / 2 - made_up(1)
    np.testing.assert_allclose(result(session), made_up(0) + direction, rtol=1e-4, atol=1e-4)
    assert "From 2 with and 1 without" in session.words
    assert "Standard error" in session.words


def test_one_picture_a_side_says_that_nothing_can_be_said(session: Session) -> None:
    make(session.set(sum="own"), "Thin", ["Generated C"], ["Generated B"])
    assert "With so few images" in session.words


def test_a_direction_is_a_slider_of_edit(session: Session) -> None:
    make(session.set(sum="own"), "Like C", ["Generated C"], ["Generated B"])
    session.visit("edit", model=MODEL)
    vectors = session.view(f"edit-{MODEL}")["vectors"]
    (own,) = (name for name in vectors if name.startswith("edit_own."))
    np.testing.assert_allclose(read_floats(vectors[own]), made_up(2) - made_up(1), atol=1e-5)
    groups = {view: session.view(view).get("settings", []) for view in session.views()}
    (view,) = (v for v, settings in groups.items() if own in [each["name"] for each in settings])
    assert [setting["label"] for setting in groups[view]] == ["Like C"]
    session.send(view, "values", {own: 2.0})
    assert session.view(f"edit-{MODEL}")["values"][own] == 2
    assert not set(session.link) - {"model"}  # a name is somebody's own words


def test_a_direction_is_saved_and_loaded(session: Session, files: Files, open_app: Open) -> None:
    make(session.set(sum="own"), "Like C", ["Generated C"], ["Generated B"])
    data = files["direction.json"]()
    assert isinstance(data, bytes)
    assert read_user_vector(data, load_checkpoint(MODEL).card).name == "Like C"
    other = open_app(PAGE, model=MODEL, sum="own")
    other.app.file_uploader[0].set_value(("direction.json", data, "application/json"))
    other.run().run()
    np.testing.assert_allclose(result(other), result(session), atol=1e-4)


def test_a_file_that_is_no_direction_is_refused(session: Session) -> None:
    session.set(sum="own")
    session.app.file_uploader[0].set_value(("x.json", b"{}", "application/json"))
    session.run()
    assert "not a direction" in session.words


def test_digits_have_examples_of_each_label(open_app: Open) -> None:
    digits = open_app(PAGE, model=DIGITS)
    checkpoint = load_checkpoint(DIGITS)
    options = list(digits.widget("a").options)
    assert "Astronaut" not in options
    assert set(digits.widget("a").options) >= {f"{name}, 1" for name in checkpoint.card.label_names}
    digits.set(b="7, 1", c="3, 2", a="3, 1")
    rows = [np.flatnonzero(checkpoint.encodings.labels == label) for label in (3, 7)]
    a, c, b = (checkpoint.encodings.z_mean[row] for row in (*rows[0][:2], rows[1][0]))
    wanted = a - b + c
    np.testing.assert_allclose(result(digits, f"arithmetic-{DIGITS}"), wanted, atol=1e-4)


def test_two_selections_of_the_map_make_a_direction(open_app: Open) -> None:
    session = open_app("latent_map", model=DIGITS, drag="lasso")
    (key,) = (view for view in session.views() if view.startswith("map-"))
    session.encircle(key, [0, 1, 2]).click("As examples with the attribute")
    session.encircle(key, [5, 6]).click("As examples without it")
    session.visit(PAGE, model=DIGITS, sum="own")
    assert "3 selected on the latent map" in session.words
    session.click("Create direction")
    z = load_checkpoint(DIGITS).encodings.z_mean
    base = read_floats(session.view(f"arithmetic-{DIGITS}")["tiles"]["centre"])
    wanted = base + z[:3].mean(axis=0) - z[5:7].mean(axis=0)
    np.testing.assert_allclose(result(session, f"arithmetic-{DIGITS}"), wanted, atol=1e-4)
