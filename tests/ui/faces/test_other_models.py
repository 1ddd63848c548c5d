"""Pages for a model that is unlike the shipped ones: five colour pictures, and no labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import put_colour_mlp, put_faces
from tests.support.session import Open, Picture, read_array
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.evaluation.description import format_attribute

LIVE = pytest.mark.parametrize("live", [True, False], ids=["live", "still"])


@pytest.fixture
def model(shelf: Path, checkpoint_root: Path) -> str:
    put_colour_mlp(checkpoint_root / "digits-vae-2d", shelf / "mine")
    return "mine"


@LIVE
def test_a_pinned_picture_is_told_of_without_a_label(
    open_app: Open, model: str, pictures: list[Picture], live
):
    session = open_app(live=live, pin="2", show="tiles,samples", plane="z")
    lines = session.words.split("\n")
    assert "Test image 2" in lines
    assert "Nearest neighbours (reconstructed)" in lines
    assert any(line.startswith("To show them, prepare the data set") for line in lines)
    assert {picture.pixels.shape[-1] for picture in pictures} == {3}


def test_a_pinned_place_has_as_many_neighbours_as_there_are_pictures(
    open_app: Open, model: str, pictures: list[Picture]
):
    session = open_app(pin="0.5,0.5")
    (line,) = [line for line in session.words.split("\n") if line.startswith("Nearest images")]
    assert line.endswith("), reconstructed")
    assert pictures[-1].pixels.shape == (4, 5 * 4 + 4 * 4, 3)


def test_a_map_without_labels_has_one_trace_and_no_legend(open_app: Open, model: str):
    figure = open_app(live=False).chart(f"map-{model}-still")
    assert len(figure["data"]) == 1
    assert not figure["layout"]["showlegend"]


def test_what_is_encircled_is_counted_without_labels(open_app: Open, model: str):
    session = open_app(drag="lasso").encircle(f"map-{model}", [0, 3])
    assert "**2 points selected**" in session.words
    assert session.tables() == []


def test_dimensions_are_offered_plainly_where_no_kl_was_measured(open_app: Open, model: str):
    assert open_app(plane="z").widget("z_x").options == ["z₁", "z₂", "z₃"]


@LIVE
@pytest.mark.parametrize("name", ["decoded_grid", "generate", "overview"])
def test_the_other_pages_show_it_too(open_app: Open, model: str, name, live):
    session = open_app(name, live=live)
    assert "mine" in "".join([*session.views(), *session.charts()])


def test_a_sample_is_near_some_picture(open_app: Open, model: str):
    figure = open_app("generate", live=False).chart(f"samples-{model}-still")
    assert figure["data"][0]["text"][0].startswith("nearest: an image, ")


# Faces: attributes instead of labels


@pytest.fixture
def faces(shelf: Path, checkpoint_root: Path) -> str:
    put_faces(checkpoint_root / "digits-vae-2d", shelf / "faces")
    return "faces"


@pytest.mark.parametrize("attribute", ["Smiling", "Wearing_Hat"])
def test_points_are_coloured_by_an_attribute(open_app: Open, faces: str, attribute: str):
    session = open_app(live=False, model=faces, colour=attribute)
    encodings = load_checkpoint(faces).encodings
    column = {"Male": 0, "Smiling": 1, "Wearing_Hat": 2}[attribute]
    without, having = session.chart(f"map-{faces}-still")["data"]
    name = format_attribute(attribute)
    assert (without["name"], having["name"]) == (f"{name}: no", f"{name}: yes")
    rows = read_array(having["customdata"])
    np.testing.assert_array_equal(rows, np.flatnonzero(encodings.attributes[:, column]))


def test_the_first_colours_are_of_an_attribute_that_says_little_of_a_person(
    open_app: Open, faces: str
):
    assert open_app(live=False, model=faces).widget("colour").value == "Smiling"


def test_a_pinned_face_is_told_of_by_its_attributes(open_app: Open, faces: str):
    encodings = load_checkpoint(faces).encodings
    row = int(np.flatnonzero(encodings.attributes.sum(axis=1) == 2)[0])
    wanted = [
        n
        for n, has in zip(
            ["Male", "Smiling", "Wearing hat"], encodings.attributes[row], strict=False
        )
        if has
    ]
    lines = open_app(model=faces, pin=str(row)).words.split("\n")
    assert ", ".join(wanted) in lines
