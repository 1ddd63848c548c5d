from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage.data import astronaut

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.config import ModelConfig
from vae_explorer.faces import Face, align, edit_photo, editing, face_from_eyes
from vae_explorer.faces.geometry import transform_points
from vae_explorer.faces.tuning import TunedFaces
from vae_explorer.inference import decode, encode
from vae_explorer.models import build_model

PHOTO = Image.fromarray(astronaut())
FACE = face_from_eyes(np.array([203.0, 105.0]), np.array([246.0, 103.0]))
SIZE = 16
AMOUNTS = {"Smiling": 1.5, "Young": -2.0}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """An untrained model of faces, with vectors along which it changes much."""
    config = ModelConfig(image_size=SIZE, image_channels=3, latent_dim=6, channels=(8, 8))
    rng = np.random.default_rng(0)
    vectors = {name: 30 * rng.standard_normal(6).astype(np.float32) for name in AMOUNTS}
    return cast(
        Checkpoint,
        SimpleNamespace(
            model=build_model(config).eval(),
            card=SimpleNamespace(model=config),
            attribute_vectors=vectors,
        ),
    )


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), int)


def outside(face: Face, image: Image.Image) -> np.ndarray:
    """Where a photo lies outside of the aligned crop, bool (height, width)."""
    matrix = align(image, face, SIZE).matrix
    rows, columns = np.indices(image.size[::-1])
    places = transform_points(matrix, np.stack([columns.ravel(), rows.ravel()], 1) + 0.5)
    inside = ((places >= 0) & (places <= SIZE)).all(axis=1)
    return ~inside.reshape(rows.shape)


def changed_face(checkpoint: Checkpoint) -> np.ndarray:
    """What the model makes of the face with `AMOUNTS`, float32 (3, SIZE, SIZE)."""
    crop = pixels(align(PHOTO, FACE, SIZE).image).transpose(2, 0, 1)[None] / 255
    z = encode(checkpoint.model, crop.astype(np.float32))[0]
    z += sum(amount * checkpoint.attribute_vectors[name] for name, amount in AMOUNTS.items())
    return decode(checkpoint.model, z)[0]


@pytest.mark.parametrize("amounts", [{}, {"Smiling": 0.0}, {"Smiling": 0, "Young": 0}])
def test_without_a_change_the_photo_comes_back_bit_for_bit(
    checkpoint: Checkpoint, amounts: dict[str, float]
) -> None:
    edited = edit_photo(PHOTO, FACE, checkpoint, amounts)
    assert (edited.mode, edited.size) == ("RGB", PHOTO.size)
    np.testing.assert_array_equal(pixels(edited), pixels(PHOTO))


@pytest.mark.parametrize("detail", [0.0, 0.5, 1.0])
def test_outside_of_the_face_the_photo_stays_bit_for_bit(
    checkpoint: Checkpoint, detail: float
) -> None:
    edited = edit_photo(PHOTO, FACE, checkpoint, AMOUNTS, detail)
    there = outside(FACE, PHOTO)
    np.testing.assert_array_equal(pixels(edited)[there], pixels(PHOTO)[there])
    assert (pixels(edited) != pixels(PHOTO)).any()


def test_the_photo_that_came_in_is_left_as_it_is(checkpoint: Checkpoint) -> None:
    before = PHOTO.copy()
    edit_photo(PHOTO, FACE, checkpoint, AMOUNTS, 0.3)
    assert before == PHOTO


def test_without_detail_the_middle_of_the_face_is_the_models_own(checkpoint: Checkpoint) -> None:
    edited = edit_photo(PHOTO, FACE, checkpoint, AMOUNTS, 0.0)
    middle = slice(SIZE // 4, -SIZE // 4)
    found = pixels(align(edited, FACE, SIZE).image)[middle, middle]
    wanted = 255 * changed_face(checkpoint).transpose(1, 2, 0)[middle, middle]
    before = pixels(align(PHOTO, FACE, SIZE).image)[middle, middle]
    # Enlarged smoothly and made small again, what is as fine as a pixel is weaker.
    assert np.abs(found - wanted).mean() < 0.2 * np.abs(before - wanted).mean()
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.85


def test_with_detail_the_photos_fine_structure_stays(checkpoint: Checkpoint) -> None:
    edited = edit_photo(PHOTO, FACE, checkpoint, AMOUNTS)
    x0, y0, x1, y1 = (round(v) for v in FACE.box)
    part = (slice(y0 + 30, y1 - 30), slice(x0 + 30, x1 - 30))

    def grain(image: Image.Image) -> np.ndarray:
        # The second difference along a row: nothing that 16 pixels across a face can draw.
        return np.diff(pixels(image)[part].mean(axis=2), n=2, axis=1)

    kept = np.corrcoef(grain(edited).ravel(), grain(PHOTO).ravel())[0, 1]
    lost = edit_photo(PHOTO, FACE, checkpoint, AMOUNTS, 0.0)
    assert kept > 0.9
    assert np.corrcoef(grain(lost).ravel(), grain(PHOTO).ravel())[0, 1] < 0.5


def test_the_border_of_the_face_shows_no_seam(checkpoint: Checkpoint) -> None:
    grey = Image.new("RGB", (400, 400), (128, 128, 128))
    face = face_from_eyes(np.array([170.0, 190.0]), np.array([230.0, 200.0]))
    edited = edit_photo(grey, face, checkpoint, AMOUNTS, 0.0)
    steps = [np.abs(np.diff(pixels(edited), axis=axis)).max() for axis in (0, 1)]
    model = 255 * np.ptp(changed_face(checkpoint))
    assert max(steps) < max(8, model / 8)


def edited_grey(monkeypatch: pytest.MonkeyPatch, change: np.ndarray) -> np.ndarray:
    """What a grey photo's crop gains, (s, s, 3), by a model that makes this change (3, s, s)."""
    size = change.shape[-1]
    pictures = np.stack([np.full_like(change, 0.5), 0.5 + change]).astype(np.float32)
    monkeypatch.setattr(editing, "encode", lambda _model, _images: np.zeros((1, 2), np.float32))
    monkeypatch.setattr(editing, "decode", lambda _model, _z: pictures)
    made_up = SimpleNamespace(
        model=None,
        card=SimpleNamespace(model=SimpleNamespace(image_size=size)),
        attribute_vectors={"Smiling": np.ones(2, np.float32)},
    )
    grey = Image.new("RGB", (400, 400), (128, 128, 128))
    face = face_from_eyes(np.array([170.0, 190.0]), np.array([230.0, 190.0]))
    edited = edit_photo(grey, face, cast(Checkpoint, made_up), {"Smiling": 1.0})
    return pixels(align(edited, face, size).image) - 128


def test_light_that_the_whole_face_shares_is_not_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert np.abs(edited_grey(monkeypatch, np.full((3, 16, 16), 0.2))).max() == 0


def test_hair_may_change_as_a_whole_where_the_face_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = np.zeros((3, 16, 16))
    change[:, :5] = [[[0.3]], [[0.2]], [[0.0]]]
    change[:, :, :4] = change[:, :, 12:] = [[[0.3]], [[0.2]], [[0.0]]]
    gained = edited_grey(monkeypatch, change)
    red, green, blue = gained[4, 6:10].mean(axis=0)
    assert red > 1.2 * green > 0
    assert abs(blue) < 0.2 * red
    assert np.abs(gained[9, 8]).max() < 0.1 * red


def test_tints_from_pixel_to_pixel_are_softened_and_brightness_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = 0.3 * (np.indices((64, 64)).sum(axis=0) // 2 % 2 * 2 - 1)
    board[20:] = 0  # in the hair alone: what the face shares is another matter
    tints = edited_grey(monkeypatch, np.stack([board, 0 * board, -board]))
    light = edited_grey(monkeypatch, np.stack([board, board, board]))
    assert tints.std() < 0.2 * light.std()


def test_the_order_of_edits_does_not_matter(checkpoint: Checkpoint) -> None:
    results = [
        pixels(edit_photo(PHOTO, FACE, checkpoint, dict(order)))
        for order in permutations(AMOUNTS.items())
    ]
    assert np.abs(results[0] - results[1]).max() <= 1


def test_other_vectors_take_the_place_of_the_checkpoints(checkpoint: Checkpoint) -> None:
    own = {"thinner": checkpoint.attribute_vectors["Smiling"]}
    found = edit_photo(PHOTO, FACE, checkpoint, {"thinner": 1.5}, vectors=own)
    wanted = edit_photo(PHOTO, FACE, checkpoint, {"Smiling": 1.5})
    assert found == wanted
    with pytest.raises(ValueError, match="no vector 'Smiling'; there are thinner"):
        edit_photo(PHOTO, FACE, checkpoint, {"Smiling": 1.0}, vectors=own)


def test_a_tuned_decoder_and_its_z_take_the_place_of_the_models(checkpoint: Checkpoint) -> None:
    crop = pixels(align(PHOTO, FACE, SIZE).image).transpose(2, 0, 1)[None] / 255
    z = encode(checkpoint.model, crop.astype(np.float32))[0]
    psnr = {stage: np.zeros(1) for stage in ("encoder", "z", "decoder")}
    as_trained = edit_photo(PHOTO, FACE, checkpoint, AMOUNTS)
    same = TunedFaces(z, checkpoint.model, psnr)
    assert edit_photo(PHOTO, FACE, checkpoint, AMOUNTS, tuned=same) == as_trained
    other_model = build_model(checkpoint.model.config, 1).eval()
    for tuned in (TunedFaces(z + 1, checkpoint.model, psnr), TunedFaces(z, other_model, psnr)):
        assert edit_photo(PHOTO, FACE, checkpoint, AMOUNTS, tuned=tuned) != as_trained
        assert edit_photo(PHOTO, FACE, checkpoint, {}, tuned=tuned) == PHOTO
    two = TunedFaces(np.repeat(z, 2, axis=0), checkpoint.model, psnr)
    with pytest.raises(ValueError, match="must be of one face; found 2"):
        edit_photo(PHOTO, FACE, checkpoint, AMOUNTS, tuned=two)


def test_a_face_at_the_edge_of_the_photo_is_changed_as_far_as_it_is_there(
    checkpoint: Checkpoint,
) -> None:
    half = PHOTO.crop((225, 0, 512, 512))
    face = face_from_eyes(np.array([-22.0, 105.0]), np.array([21.0, 103.0]))
    edited = edit_photo(half, face, checkpoint, AMOUNTS, 0.0)
    assert edited.size == half.size
    assert (pixels(edited) != pixels(half)).any()


def test_a_face_outside_of_the_photo_is_none(checkpoint: Checkpoint) -> None:
    face = face_from_eyes(np.array([2000.0, 2000.0]), np.array([2040.0, 2000.0]))
    with pytest.raises(ValueError, match="outside the photo"):
        edit_photo(PHOTO, face, checkpoint, AMOUNTS, 0.0)


def test_every_mode_is_read_as_rgb(checkpoint: Checkpoint) -> None:
    grey = PHOTO.convert("L")
    ImageDraw.Draw(grey).point((0, 0), 7)
    edited = edit_photo(grey, FACE, checkpoint, {})
    np.testing.assert_array_equal(pixels(edited), pixels(grey))


@pytest.mark.parametrize(
    ("amounts", "detail", "message"),
    [
        ({"Wings": 1.0}, 1.0, "no vector 'Wings'; there are Smiling, Young"),
        ({"Smiling": float("nan")}, 1.0, "must be a finite number"),
        ({"Smiling": float("inf")}, 1.0, "must be a finite number"),
        ({}, 1.5, "from 0 to 1; found 1.5"),
        ({}, -0.1, "from 0 to 1"),
        ({}, float("nan"), "from 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_said(
    checkpoint: Checkpoint, amounts: dict[str, float], detail: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        edit_photo(PHOTO, FACE, checkpoint, amounts, detail)
