from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import poison_weights, put, put_faces
from tests.support.session import Open, Picture, Session
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.images import for_display, to_uint8
from vae_explorer.inference import decode

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
PAGES = ("latent_map", "overview", "decoded_grid", "generate")


def test_models_go_by_their_titles(open_app: Open):
    session = open_app(model=DEEP)
    assert session.widget("model").options == [
        "Digits, 8×8, autoencoder, 2-D",
        "Digits, 8×8, VAE, 2-D",
        "Digits, 8×8, VAE, 5-D",
    ]


def test_two_models_of_one_title_are_told_apart_by_their_folders(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    put(checkpoint_root / AUTOENCODER, shelf / "other")
    for name in ("first", "second"):
        put(checkpoint_root / VAE, shelf / name)
    session = open_app()
    assert session.widget("model").options == [
        "Digits, 8×8, VAE, 2-D (first)",
        "Digits, 8×8, autoencoder, 2-D",
        "Digits, 8×8, VAE, 2-D (second)",
    ]
    assert session.set(model="second").views() == ["map-second"]


def test_the_fashion_vae_opens_first_where_it_is_there(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    put(checkpoint_root / AUTOENCODER, shelf / "a-model")
    put(checkpoint_root / VAE, shelf / "fashion-vae-2d")
    session = open_app()
    assert session.app.title[0].value == "Latent map"
    assert session.views() == ["map-fashion-vae-2d"]
    assert session.link == {}


def test_without_a_model_every_page_says_how_to_train_one(open_app: Open, shelf: Path):
    session = open_app()
    for name in PAGES:
        session.visit(name)
        assert session.app.title[0].value == "No models yet"
        assert "python -m vae_explorer train --dataset" in session.words


def test_a_folder_dropped_in_appears_at_the_next_rerun(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    session = open_app("overview")
    put(checkpoint_root / VAE, shelf / "first")
    assert session.run().widget("model").value == "first"
    put(checkpoint_root / AUTOENCODER, shelf / "another", title="Brand new")
    session.run()
    assert session.widget("model").options == ["Brand new", "Digits, 8×8, VAE, 2-D"]
    assert session.widget("model").value == "first"  # what was looked at stays


def test_the_chosen_model_gives_way_when_its_folder_goes(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    for name in ("kept", "leaving"):
        put(checkpoint_root / VAE, shelf / name)
    session = open_app(model="leaving")
    (shelf / "leaving").rename(shelf / ".leaving")
    assert session.run().views() == ["map-kept"]


def test_a_model_trained_again_under_its_name_is_shown_anew(
    open_app: Open, shelf: Path, checkpoint_root: Path, pictures: list[Picture]
):
    put(checkpoint_root / VAE, shelf / "mine")
    session = open_app(pin="0.5,0.5")
    put(checkpoint_root / VAE, shelf / "mine", seed=3)
    session.run()
    before, after = (p.pixels for p in pictures if p.caption == "Decoded")
    assert np.any(before != after)
    model = load_checkpoint("mine").model
    wanted = to_uint8(for_display(decode(model, np.full((1, 2), 0.5, np.float32))))[0, ..., 0]
    np.testing.assert_array_equal(after[::20, ::20], wanted)


def test_a_pin_beyond_what_a_model_trained_again_has_is_dropped(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    put(checkpoint_root / VAE, shelf / "mine")
    session = open_app(pin="300")
    assert session.link == {"pin": "300"}
    put(checkpoint_root / VAE, shelf / "mine", count=50)
    assert session.run().link == {}


def test_a_damaged_checkpoint_is_named_with_its_reason_and_the_others_work(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    put(checkpoint_root / VAE, shelf / "good")
    for name in ("cut-off", "torn"):
        put(checkpoint_root / VAE, shelf / name)
    (shelf / "cut-off" / "model.safetensors").unlink()
    (shelf / "torn" / "card.json").write_text("{", encoding="utf-8")
    for page in PAGES:
        session = open_app(page)
        assert session.widget("model").value == "good"
        assert "2 checkpoints cannot be read" in session.words
        assert "model.safetensors is missing" in session.words
        assert "card.json is not JSON" in session.words
        assert "git checkout -- checkpoints/torn" in session.words


def test_weights_that_only_loading_finds_broken_give_way_to_another_model(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    put(checkpoint_root / VAE, shelf / "good")
    put(checkpoint_root / VAE, shelf / "poisoned", title="Poisoned")
    poison_weights(shelf / "poisoned")
    session = open_app(model="poisoned")
    assert session.widget("model").value == "good"
    assert "Poisoned cannot be read" in session.notices
    assert "One checkpoint cannot be read" in session.words
    assert "NaN" in session.words
    assert session.views() == ["map-good"]
    session.run()
    assert not session.notices
    assert "One checkpoint cannot be read" in session.words


def test_where_all_checkpoints_are_broken_the_page_says_so_and_how_to_train_one(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    put(checkpoint_root / VAE, shelf / "poisoned")
    poison_weights(shelf / "poisoned")
    session = open_app()
    assert session.app.title[0].value == "No models yet"
    assert "One checkpoint cannot be read" in session.words


# Which model a page opens with


@pytest.fixture
def with_faces(shelf: Path, checkpoint_root: Path) -> Path:
    """Two models of digits and two of faces."""
    for name in (VAE, DEEP):
        put(checkpoint_root / VAE, shelf / name)
    for name in ("faces-a", "faces-b"):
        put_faces(checkpoint_root / VAE, shelf / name)
    return shelf


def model_of(session: Session) -> object:
    return session.widget("model").value


def test_a_section_goes_on_with_the_model_it_showed_last(open_app: Open, with_faces: Path):
    session = open_app("latent_map", model=DEEP)
    assert model_of(session.visit("edit")) == "faces-a"
    assert model_of(session.set(model="faces-b").visit("morph")) == "faces-b"
    assert model_of(session.visit("generate")) == DEEP
    assert model_of(session.visit("your_photo")) == "faces-b"


def test_a_section_opens_with_the_last_model_that_fits(open_app: Open, with_faces: Path):
    session = open_app("latent_map", model="faces-b")
    assert model_of(session.visit("edit")) == "faces-b"
    assert model_of(open_app("latent_map", model=DEEP).visit("anatomy")) == DEEP


def test_a_link_that_names_a_model_wins(open_app: Open, with_faces: Path):
    session = open_app("edit")
    assert model_of(session.visit("morph", model="faces-b")) == "faces-b"
    assert model_of(session.visit("edit")) == "faces-b"


@pytest.mark.parametrize("page", ["your_photo", "morph", "edit"])
def test_pages_of_faces_offer_models_of_faces_alone(open_app: Open, with_faces: Path, page: str):
    session = open_app(page, model=VAE)
    assert model_of(session) == "faces-a"
    assert len(session.widget("model").options) == 2
    assert "cannot be shown on this page" in session.notices


@pytest.mark.parametrize("name", ["no-such-model", "../../etc/passwd"])
def test_a_link_to_a_model_that_is_not_here_says_so(open_app: Open, name: str):
    session = open_app(model=name)
    assert f"there is no model {name} here" in session.notices
    assert session.link == {}


@pytest.mark.parametrize("page", ["objective", "lecture", "train"])
def test_pages_about_no_model_have_no_picker(open_app: Open, page: str):
    with pytest.raises(ValueError, match="not enough values"):
        open_app(page).widget("model")


def test_the_link_that_is_shared_reopens_the_view(open_app: Open):
    session = open_app("latent_map", model=DEEP, pin="3").click("Share")
    (link, snippet) = (code.value for code in session.app.code)
    assert link.endswith(f"?model={DEEP}&pin=3")
    assert "embed=true" in snippet
