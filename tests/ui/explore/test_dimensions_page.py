from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import put_faces
from tests.support.session import Open, Picture, Session, read_array
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.latent.planes import dimension_name

PAGE, DIGITS = "dimensions", "digits-vae-2d"
VIEW = f"dimensions-{DIGITS}"
LOOKS = ("kl", "spread", "length", "labels")


@pytest.fixture
def session(open_app: Open) -> Session:
    return open_app(PAGE, model=DIGITS)


def test_the_bars_are_the_cards_kl_the_strongest_first(session: Session) -> None:
    (bars,) = session.chart(f"{VIEW}-kl")["data"]
    kl = np.array(load_checkpoint(DIGITS).card.metrics["kl_per_dimension"].value)
    np.testing.assert_allclose(read_array(bars["y"]), np.sort(kl)[::-1])
    assert bars["x"] == [dimension_name(k) for k in np.argsort(-kl)]


def test_a_slider_moves_its_own_dimension(session: Session) -> None:
    strongest = session.view(f"{VIEW}-sliders")["settings"][0]["name"]
    session.send(f"{VIEW}-sliders", "values", {strongest: 1.5})
    tiles = session.view(VIEW)["tiles"]
    assert tiles["x"] == strongest
    assert session.view(VIEW)["values"][strongest] == 1.5
    axis = np.array(tiles["plane"]["axes"])[0]
    assert axis[int(strongest.removeprefix("dim")) - 1] == 1
    assert np.count_nonzero(axis) == 1


def test_each_strong_dimension_has_a_strip(session: Session, pictures: list[Picture]) -> None:
    pictures.clear()
    session.run()
    assert len(pictures) == 2
    assert "z₁ varied from −3 to 3" in session.words


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_is_there_for_digits_and_faces(
    open_app: Open, checkpoint_root: Path, shelf: Path, look: str
) -> None:
    put_faces(checkpoint_root / DIGITS, shelf / "faces")
    session = open_app(PAGE, model="faces", look_at=look)
    assert session.chart(f"dimensions-faces-{look}")["data"]
    assert session.notices == ""
    if look == "labels":
        (field,) = session.chart("dimensions-faces-labels")["data"]
        r = read_array(field["z"]).reshape(6, 3)
        assert np.abs(r).max() > 0.5  # the made-up attributes are signs of three dimensions
        assert field["x"] == ["Male", "Smiling", "Wearing hat"]


def test_a_link_reopens_the_sliders(session: Session, open_app: Open) -> None:
    session.send(f"{VIEW}-sliders", "values", {"dim1": -2.0})
    again = open_app(PAGE, **session.link)
    assert again.view(VIEW) == session.view(VIEW)
