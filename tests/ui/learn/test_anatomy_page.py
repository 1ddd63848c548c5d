from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.checkpoints import put_colour_mlp, put_faces
from tests.support.session import Open, Session, read_floats
from vae_explorer.checkpoints import load_checkpoint, save_checkpoint
from vae_explorer.config import ModelConfig
from vae_explorer.data import ImageDataset
from vae_explorer.encodings import Encodings
from vae_explorer.models import build_model
from vae_explorer.preprocessing import fit_garment
from vae_explorer.server.trace import TraceRequest, pack_trace

PAGE, DIGITS, AUTOENCODER = "anatomy", "digits-vae-2d", "digits-ae-2d"
VIEW = f"anatomy-{DIGITS}"


@pytest.fixture
def session(open_app: Open) -> Session:
    return open_app(PAGE, model=DIGITS)


def image_of(session: Session, view: str = VIEW) -> np.ndarray:
    return read_floats(session.view(view)["image"])


def unpack(packed: str) -> dict:
    answer = base64.b64decode(packed)
    return json.loads(answer[4 : 4 + int.from_bytes(answer[:4], "little")])


def test_a_held_out_picture_is_followed_and_another_one_can_be_picked(
    session: Session, digits: ImageDataset
) -> None:
    encodings = load_checkpoint(DIGITS).encodings
    first = int(session.widget("picture").value)
    row = int(np.flatnonzero(encodings.labels == 7)[1])
    for picked in (first, row):
        session.set(picture=str(picked))
        wanted = digits.take(encodings.row_id[[picked]], 8).ravel() / np.float32(255)
        np.testing.assert_allclose(image_of(session), wanted, atol=1e-6)
    assert session.view(VIEW)["name"].startswith("7")
    assert session.link["picture"] == str(row)


def test_where_there_is_no_data_a_stored_encoding_is_decoded(
    open_app: Open, checkpoint_root: Path, shelf: Path
) -> None:
    put_colour_mlp(checkpoint_root / DIGITS, shelf / "mine")
    session = open_app(PAGE, model="mine", picture="3")
    assert image_of(session, "anatomy-mine").size == 3 * 4 * 4
    assert session.view("anatomy-mine")["name"] == "Image 3, reconstructed"
    assert "Shown instead: the reconstruction" in session.words


def test_a_plain_autoencoder_is_not_asked_whether_to_sample(open_app: Open) -> None:
    session = open_app(PAGE, model=AUTOENCODER)
    assert session.view(f"anatomy-{AUTOENCODER}")["sampled"] is False
    assert "z = μ" not in session.labels()
    assert "Why there is no σ" in session.words


def test_z_is_a_sample_unless_the_mean_is_asked_for(session: Session) -> None:
    assert session.view(VIEW)["sampled"] is True
    session.set(mean=True)
    assert session.view(VIEW)["sampled"] is False
    assert session.link["mean"] == "1"


def test_noise_is_what_the_slider_says_and_can_be_another(session: Session) -> None:
    session.send(f"{VIEW}-sliders", "values", {"noise": 0.25})
    assert session.view(VIEW)["noise"] == 0.25
    before = session.view(VIEW)["values"]["noise_seed"]
    session.click("Resample noise")
    assert session.view(VIEW)["values"]["noise_seed"] == before + 1
    assert session.link["noise"] == "0.25"


def test_what_is_clicked_on_the_stage_is_in_the_link(session: Session, open_app: Open) -> None:
    session.send(VIEW, "values", {"layer": 4, "epsilon_seed": 2})
    assert session.view(VIEW)["values"] == {"noise_seed": 0, "epsilon_seed": 2, "layer": 4}
    again = open_app(PAGE, **session.link)
    assert again.seen() == session.seen()


@pytest.mark.parametrize("sent", [{"layer": -5.0}, {"layer": 1e9}, {"layer": "x"}, {"model": 3.0}])
def test_what_no_stage_would_send_does_no_harm(session: Session, sent: dict[str, object]) -> None:
    session.send(VIEW, "values", sent)
    values = session.view(VIEW)["values"]
    assert 0 <= values["layer"] <= 99
    assert session.view(VIEW)["checkpoint"] == DIGITS


def test_without_the_route_the_answer_comes_with_the_page(open_app: Open) -> None:
    session = open_app(PAGE, model=DIGITS, live=False, mean="1")
    session.set(noise=0.3)
    view = session.view(VIEW)
    image = image_of(session).reshape(1, 8, 8)
    wanted = TraceRequest(image, 0.3, sampled=False).trace_forward(load_checkpoint(DIGITS).model)
    assert base64.b64decode(view["answer"]) == pack_trace(wanted)
    assert unpack(view["answer"])["error_of_input"] > 0
    assert "Images update when you release" in session.words


def test_with_the_route_the_page_itself_computes_nothing(session: Session) -> None:
    assert session.view(VIEW)["answer"] is None
    assert f"{VIEW}-layer" in session.views()


def test_a_face_is_followed_and_is_no_part_of_the_link(
    open_app: Open, checkpoint_root: Path, shelf: Path
) -> None:
    put_faces(checkpoint_root / DIGITS, shelf / "faces")
    session = open_app(PAGE, model="faces")
    view = "anatomy-faces"
    assert session.view(view)["name"] == "Astronaut"
    assert image_of(session, view).size == 3 * 16 * 16
    before = image_of(session, view)
    session.set(face="Generated B")
    assert np.abs(image_of(session, view) - before).max() > 0.05
    assert session.link.get("face") == "Generated B"


def put_garments(source: Path, path: Path) -> None:
    """Save an untrained model that passes for one of garments: five pictures, without data."""
    checkpoint = load_checkpoint(source)
    dataset = replace(checkpoint.card.dataset, name="fashion-mnist")
    config = ModelConfig(image_size=32, image_channels=1, latent_dim=2, channels=(4,))
    arrays = {name: a if a is None else a[:5] for name, a in vars(checkpoint.encodings).items()}
    save_checkpoint(
        path,
        model=build_model(config).eval(),
        card=replace(checkpoint.card, model=config, dataset=dataset),
        encodings=Encodings(**arrays),
        history=checkpoint.history,
    )


def test_a_garment_can_be_uploaded_and_stays_out_of_the_link(
    open_app: Open, checkpoint_root: Path, shelf: Path
) -> None:
    put_garments(checkpoint_root / DIGITS, shelf / "garments")
    session, view = open_app(PAGE, model="garments"), "anatomy-garments"
    before, link = image_of(session, view), dict(session.link)
    photo, file = Image.new("RGB", (100, 120), "white"), io.BytesIO()
    photo.paste("navy", (30, 20, 70, 100))
    photo.save(file, "PNG")
    session.app.file_uploader[0].set_value(("coat.png", file.getvalue(), "image/png"))
    session.run()
    assert session.view(view)["name"] == "Your upload"
    np.testing.assert_array_equal(image_of(session, view), fit_garment(photo, 32).ravel())
    assert np.abs(image_of(session, view) - before).max() > 0.1
    assert session.link == link
