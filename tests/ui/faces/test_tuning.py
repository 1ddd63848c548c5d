"""Decoders tuned to photos, on all Faces pages."""

from __future__ import annotations

import gc
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from tests.support.checkpoints import put, put_faces
from tests.support.session import Files, Open, Picture, Session, read_floats
from tests.support.tuned import WaitingDecoders, wait_until_finished
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.errors import RequestError
from vae_explorer.faces import edit_photo, find_faces
from vae_explorer.faces.morph import FADE_POWER, TUNED_FADE_POWER
from vae_explorer.server.tuned import EVERYONE, TunedDecoder, TunedDecoders

MODEL = "faces"
PHOTOS = [
    Image.fromarray(astronaut()).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    Image.fromarray(astronaut()).rotate(10),
]


@pytest.fixture(autouse=True)
def _models(checkpoint_root: Path, shelf: Path) -> None:
    put_faces(checkpoint_root / "digits-vae-2d", shelf / MODEL)
    put_faces(checkpoint_root / "digits-vae-2d", shelf / "small", image_size=8)


def upload(session: Session, *photos: Image.Image) -> Session:
    session.visit("your_photo", model=MODEL)
    for photo in photos:
        buffer = io.BytesIO()
        photo.save(buffer, "PNG")
        session.app.file_uploader[0].set_value(("me.png", buffer.getvalue(), "image/png"))
        session.run()
    return session


def settle(session: Session, decoders: TunedDecoders) -> TunedDecoder:
    """Let the tuning finish and the page run again; return the decoder it was used last."""
    tuning = wait_until_finished(decoders)[-1]
    session.run()
    assert tuning.decoder is not None, tuning.failure
    return tuning.decoder


def ring(session: Session) -> str:
    """What is said of the progress of a tuning."""
    return "\n".join(html.value for html in session.app.html if 'class="vae-tuning"' in html.value)


@pytest.mark.parametrize("page", ["morph", "arithmetic"])
def test_without_a_photo_there_is_nothing_of_it(
    open_app: Open, tuned_decoders: TunedDecoders, page: str
) -> None:
    session = open_app(page, model=MODEL)
    assert "Decoder" not in session.labels()
    assert not wait_until_finished(tuned_decoders)
    assert open_app(page, model=MODEL, decoder="trained").notices == ""


def test_a_model_of_other_images_has_nothing_of_it(
    open_app: Open, checkpoint_root: Path, shelf: Path, tuned_decoders: TunedDecoders
) -> None:
    put(checkpoint_root / "digits-vae-2d", shelf / "digits")
    session = open_app("arithmetic", model="digits", decoder="trained")
    assert "decoder is not a setting" in session.notices.replace("`", "")
    assert "Decoder" not in session.labels()
    assert not wait_until_finished(tuned_decoders)


def test_an_upload_is_seen_at_once_and_exact_when_it_is_tuned(
    open_app: Open, pictures: list[Picture], tuned_decoders: TunedDecoders
) -> None:
    session = upload(open_app("your_photo", model=MODEL), PHOTOS[0])
    pictures.clear()
    decoder = settle(session, tuned_decoders)
    captions = [picture.caption for picture in pictures if picture.caption]
    psnr = {stage: f"{values[0]:.1f} dB" for stage, values in decoder.faces.psnr.items()}
    assert captions[:4] == [
        "**2** · Aligned",
        f"**3** · Encoder, {psnr['encoder']}",
        f"**4** · z optimised, {psnr['z']}",
        f"**5** · Decoder tuned, {psnr['decoder']}",
    ]
    assert "amortisation gap" in session.words
    assert not ring(session)


def test_while_it_waits_the_page_says_so_and_shows_the_encoders_guess(
    open_app: Open, waiting_decoders: WaitingDecoders, pictures: list[Picture]
) -> None:
    first = upload(open_app("your_photo", model=MODEL), PHOTOS[0])
    second = upload(open_app("your_photo", model=MODEL), PHOTOS[0])
    assert "**3** · Reconstruction" in [picture.caption for picture in pictures]
    # The example's own comes first.
    assert "Waiting: 1 before you" in ring(first)
    assert "Waiting: 2 before you" in ring(second)
    first.click("Remove all photos")
    assert "Waiting: 1 before you" in ring(second.run())


def test_as_trained_is_a_setting_of_the_link(open_app: Open, tuned_decoders: TunedDecoders) -> None:
    session = upload(open_app("your_photo", model=MODEL), PHOTOS[0]).visit("edit", model=MODEL)
    decoder = settle(session, tuned_decoders)
    view = session.view(f"edit-{MODEL}")
    assert view["tuned"] == decoder.id
    np.testing.assert_allclose(read_floats(view["z"]), decoder.faces.z[0])
    assert "decoder" not in session.link
    session.set(decoder="trained")
    assert session.link["decoder"] == "trained"
    view = session.view(f"edit-{MODEL}")
    assert view["tuned"] is None
    assert np.abs(read_floats(view["z"]) - decoder.faces.z[0]).max() > 1e-3
    assert open_app("edit", **session.link).widget("decoder").value == "trained"


def test_what_is_saved_is_edited_by_the_tuned_decoder(
    open_app: Open, tuned_decoders: TunedDecoders, files: Files
) -> None:
    session = upload(open_app("your_photo", model=MODEL), *PHOTOS).visit("edit", model=MODEL)
    decoder = settle(session, tuned_decoders)
    (view,) = (
        v
        for v in session.views()
        if v != f"edit-{MODEL}" and "edit_Smiling" in session.view(v).get("values", {})
    )
    session.send(view, "values", {**session.view(view)["values"], "edit_Smiling": 2.0})
    saved = np.asarray(Image.open(io.BytesIO(files["edited.png"]())))
    photo, checkpoint = PHOTOS[1], load_checkpoint(MODEL)
    face = find_faces(photo)[0]
    wanted = edit_photo(photo, face, checkpoint, {"Smiling": 2.0}, tuned=decoder.faces)
    np.testing.assert_array_equal(saved, np.asarray(wanted))
    assert (saved != np.asarray(edit_photo(photo, face, checkpoint, {"Smiling": 2.0}))).any()


def test_the_photos_of_a_morph_are_tuned_together(
    open_app: Open, tuned_decoders: TunedDecoders, files: Files
) -> None:
    session = upload(open_app("your_photo", model=MODEL), *PHOTOS).visit("morph", model=MODEL)
    assert session.view(f"morph-{MODEL}")["constants"] == {"fade_power": FADE_POWER}
    decoder = settle(session, tuned_decoders)
    view = session.view(f"morph-{MODEL}")
    assert view["tuned"] == decoder.id
    assert view["constants"] == {"fade_power": TUNED_FADE_POWER}
    path = read_floats(view["path"]).reshape(-1, 6)
    ids = [session.widget(key).value for key in ("morph_from", "morph_to")]
    ends = np.stack([decoder.z(id) for id in ids])
    np.testing.assert_allclose(path[[0, -1]], ends, rtol=1e-5, atol=1e-5)
    assert len(files["morph.webp"]()) > 1000
    session.set(morph_to="Generated B")
    alone = settle(session, tuned_decoders)
    assert alone.scene.faces == (ids[0],)
    four = settle(session.set(kind="four"), tuned_decoders)
    view = session.view(f"morph-{MODEL}")
    assert (view["view"], view["tuned"]) == ("corners", four.id)
    assert sorted(four.scene.faces) == sorted(ids)


def test_a_sum_is_decoded_by_the_decoder_of_its_photos(
    open_app: Open, tuned_decoders: TunedDecoders
) -> None:
    session = upload(open_app("your_photo", model=MODEL), *PHOTOS).visit("arithmetic", model=MODEL)
    decoder = settle(session, tuned_decoders)
    view = session.view(f"arithmetic-{MODEL}")
    assert view["tuned"] == decoder.id
    face = session.widget("a").value
    np.testing.assert_allclose(
        read_floats(view["tiles"]["centre"]), decoder.z(face), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("page", ["edit", "morph", "arithmetic"])
def test_where_it_is_not_live_it_is_the_tuned_decoder_all_the_same(
    open_app: Open, tuned_decoders: TunedDecoders, pictures: list[Picture], page: str
) -> None:
    session = upload(open_app("your_photo", model=MODEL, live=False), *PHOTOS)
    session.visit(page, model=MODEL)
    settle(session, tuned_decoders)
    assert "when you release" in session.words
    assert session.widget("decoder").value == "tuned"


def test_two_sessions_share_nothing_but_the_example(
    open_app: Open, tuned_decoders: TunedDecoders
) -> None:
    sessions = [open_app("edit", model=MODEL) for _ in range(2)]
    example = settle(sessions[0], tuned_decoders)
    assert sessions[1].run().view(f"edit-{MODEL}")["tuned"] == example.id
    ids = []
    for session in sessions:
        upload(session, PHOTOS[0]).visit("edit", model=MODEL)
        ids.append(settle(session, tuned_decoders).id)
    assert len({example.id, *ids}) == 3
    owners = {tuning.owner for tuning in wait_until_finished(tuned_decoders)}
    assert len(owners) == 3 and EVERYONE in owners


def test_with_its_photo_a_tuned_decoder_is_gone(
    open_app: Open, tuned_decoders: TunedDecoders
) -> None:
    session = upload(open_app("your_photo", model=MODEL), *PHOTOS)
    second = settle(session, tuned_decoders)
    both = settle(session.visit("morph", model=MODEL), tuned_decoders)
    session.visit("your_photo", model=MODEL).forget("Photo")
    assert tuned_decoders.find(second.id) is second
    with pytest.raises(RequestError):
        tuned_decoders.find(both.id)
    session.click("Remove all photos")
    with pytest.raises(RequestError):
        tuned_decoders.find(second.id)


def test_with_its_session_a_tuned_decoder_is_gone(
    open_app: Open, tuned_decoders: TunedDecoders
) -> None:
    session = upload(open_app("your_photo", model=MODEL), PHOTOS[0])
    decoder = settle(session, tuned_decoders)
    del session
    gc.collect()
    with pytest.raises(RequestError):
        tuned_decoders.find(decoder.id)


def test_a_photo_keeps_its_decoder_under_another_name_and_when_its_face_is_chosen_again(
    open_app: Open, tuned_decoders: TunedDecoders
) -> None:
    session = upload(open_app("your_photo", model=MODEL), PHOTOS[0])
    decoder = settle(session, tuned_decoders)
    session.rename("Photo", "Ada").send("photo-found", "chosen", {"face": 0})
    assert settle(session, tuned_decoders) is decoder


def test_each_model_has_a_decoder_of_its_own(open_app: Open, tuned_decoders: TunedDecoders) -> None:
    session = upload(open_app("your_photo", model=MODEL), PHOTOS[0])
    first = settle(session, tuned_decoders)
    second = settle(session.set(model="small"), tuned_decoders)
    assert second.faces.model.config.image_size == 8
    assert tuned_decoders.find(first.id) is first


def test_a_failure_leaves_the_model_as_trained(
    open_app: Open, tuned_decoders: TunedDecoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ValueError("no *such* luck")

    monkeypatch.setattr(tuned_decoders, "_tune", fail)
    session = upload(open_app("your_photo", model=MODEL), PHOTOS[0])
    wait_until_finished(tuned_decoders)
    session.run()
    assert "could not be tuned, so it is used as trained: no *such* luck" in session.words
    assert session.visit("edit", model=MODEL).view(f"edit-{MODEL}")["tuned"] is None
