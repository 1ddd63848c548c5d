from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import put
from tests.support.session import Open, Picture, Session
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.inference import decode
from vae_explorer.sampling import sample_box

PAGE, DIGITS, STRONG = "autoencoder_or_vae", "digits-vae-2d", "digits-strong"


@pytest.fixture
def strong(checkpoint_root: Path, shelf: Path) -> ModelCard:
    """A second model of the same digits, of another β, beside the first."""
    source = checkpoint_root / DIGITS
    put(source, shelf / DIGITS)
    train = replace(load_checkpoint(source).card.train, beta=10.0)
    return put(source, shelf / STRONG, seed=5, scale=4, train=train, title="Strong")


@pytest.fixture
def session(open_app: Open, strong: ModelCard) -> Session:
    return open_app(PAGE, model=DIGITS)


def test_each_model_has_a_map_of_the_same_pictures(session: Session) -> None:
    view = session.view("linked")
    assert [m["checkpoint"] for m in view["maps"]] == [DIGITS, STRONG]
    assert [m["title"] for m in view["maps"]] == ["VAE, β = 0.1", "VAE, β = 10"]
    near, far = (
        np.frombuffer(base64.b64decode(m["z"]), "<f4").reshape(-1, 2) for m in view["maps"]
    )
    np.testing.assert_allclose(far, 4 * near, rtol=1e-3, atol=1e-3)
    assert view["maps"][1]["half"] == pytest.approx(4 * view["maps"][0]["half"], rel=1e-2)
    assert len(view["labels"]) == len(near)


def test_the_same_z_is_at_the_same_place_where_that_is_asked_for(session: Session) -> None:
    session.set(link="z")
    first, second = session.view("linked")["maps"]
    assert (first["middle"], first["half"]) == (second["middle"], second["half"]) == ([0, 0], 3.6)


def test_a_walk_goes_between_the_same_pictures_in_each(
    session: Session, pictures: list[Picture]
) -> None:
    names = load_checkpoint(DIGITS).card.label_names
    pictures.clear()
    session.set(spaces="walk")
    before = [picture.pixels for picture in pictures]
    assert len(before) == 2
    assert "VAE, β = 10" in session.words
    pictures.clear()
    session.set(**{"from": names[3]})
    after = [picture.pixels for picture in pictures]
    assert not np.array_equal(before[0], after[0])
    width = before[0].shape[-1] // 8
    np.testing.assert_array_equal(before[0][:, -width + 8 :], after[0][:, -width + 8 :])


def test_samples_come_from_the_prior_or_from_the_box_of_each_models_encodings(
    session: Session, pictures: list[Picture]
) -> None:
    pictures.clear()
    session.set(spaces="samples")
    prior = [picture.pixels for picture in pictures]
    pictures.clear()
    session.set(drawn_from="box", seed=3)
    box = pictures[1].pixels
    assert not np.array_equal(prior[1], box)
    checkpoint = load_checkpoint(STRONG)
    z = sample_box(checkpoint.encodings.z_mean, 8, 3)
    size, wanted = checkpoint.card.model.image_size, decode(checkpoint.model, z)
    found = box[::2, ::2][:, :size]
    np.testing.assert_allclose(255 - found, 255 * wanted[0, 0], atol=1)


def test_coverage_tells_the_stretched_model_from_the_other(session: Session) -> None:
    session.set(spaces="cover")
    titles = [a["text"] for a in session.chart("cover")["layout"]["annotations"]]
    shares = [float(title.split(":")[1].split("%")[0]) for title in titles]
    assert shares[1] != shares[0]
    assert session.set(spaces="p").charts() == ["p_values"]


def test_where_the_browser_cannot_ask_there_are_still_maps(
    open_app: Open, strong: ModelCard
) -> None:
    session = open_app(PAGE, model=DIGITS, live=False)
    assert session.charts() == ["linked-still"]
    assert "when you release" in session.words


def test_a_model_alone_says_what_it_lacks(
    open_app: Open, checkpoint_root: Path, shelf: Path
) -> None:
    put(checkpoint_root / DIGITS, shelf / DIGITS)
    session = open_app(PAGE, model=DIGITS)
    (info,) = session.app.info
    assert "There is no model to compare" in info.value
