from __future__ import annotations

import base64
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.support.files import P3
from vae_explorer.images import (
    data_url,
    encode_image_file,
    for_display,
    png_bytes,
    tile,
    to_pil,
    to_uint8,
    zip_of_pngs,
)


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(0).random((5, 3, 4, 6)).astype(np.float32)


@pytest.fixture
def digits() -> np.ndarray:
    return np.random.default_rng(1).random((5, 1, 4, 6)).astype(np.float32)


def test_grey_pictures_are_shown_as_ink_on_paper_and_colour_as_it_is(faces, digits):
    np.testing.assert_allclose(for_display(digits), 1 - digits)
    np.testing.assert_allclose(for_display(digits[0]), 1 - digits[0])
    np.testing.assert_array_equal(for_display(digits, ink_on_paper=False), digits)
    np.testing.assert_array_equal(for_display(faces), faces)


def test_bytes_are_the_nearest_and_come_channels_last(faces):
    pixels = to_uint8(faces)
    assert pixels.shape == (5, 4, 6, 3)
    np.testing.assert_allclose(pixels / 255, faces.transpose(0, 2, 3, 1), atol=0.5 / 255 + 1e-6)


def test_every_byte_survives_the_way_through_float():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_array_equal(to_uint8(grey / np.float32(255))[..., 0], grey[0])


def test_values_out_of_range_are_clipped():
    np.testing.assert_array_equal(to_uint8(np.array([[[-0.5, 1.5]]]))[0, :, 0], [0, 255])


@pytest.mark.parametrize("broken", [np.full((1, 2, 2), np.nan), np.zeros((2, 2, 2)), np.zeros(4)])
def test_what_is_no_image_is_refused(broken):
    with pytest.raises(ValueError, match=r"finite|1 or 3"):
        to_uint8(broken)


@pytest.mark.parametrize("images", ["faces", "digits"])
def test_enlarging_crisply_repeats_every_pixel(images, request):
    image = request.getfixturevalue(images)[0]
    small, large = np.asarray(to_pil(image)), np.asarray(to_pil(image, scale=3))
    np.testing.assert_array_equal(large, small.repeat(3, axis=0).repeat(3, axis=1))


def test_enlarging_smoothly_makes_values_that_were_not_there():
    step = np.zeros((1, 4, 4), np.float32)
    step[..., 2:] = 1
    crisp, smooth = (np.asarray(to_pil(step, 4, smooth=smooth)) for smooth in (False, True))
    assert set(np.unique(crisp)) == {0, 255}
    assert smooth.shape == (16, 16)
    assert len(np.unique(smooth)) > 2


def test_a_picture_cannot_be_enlarged_by_less_than_one(faces):
    with pytest.raises(ValueError, match="found 0"):
        to_pil(faces[0], scale=0)


def test_a_batch_is_no_picture(faces):
    with pytest.raises(ValueError, match=r"found \(5, 3, 4, 6\)"):
        to_pil(faces)


@pytest.mark.parametrize("gap", [0, 2])
def test_a_mosaic_holds_every_image_in_reading_order(faces, gap):
    mosaic = tile(faces, columns=2, gap=gap, background=0.25)
    assert mosaic.shape == (3, 3 * (4 + gap) - gap, 2 * (6 + gap) - gap)
    rest = np.ones_like(mosaic, dtype=bool)
    for k, image in enumerate(faces):
        at = np.s_[:, k // 2 * (4 + gap) :, k % 2 * (6 + gap) :]
        np.testing.assert_array_equal(mosaic[at][:, :4, :6], image)
        rest[at][:, :4, :6] = False
    assert np.all(mosaic[rest] == np.float32(0.25))
    assert rest[:, -4:, -6:].all()


def test_a_mosaic_of_fewer_images_than_columns_keeps_its_columns(faces):
    assert tile(faces, columns=7).shape == (3, 4, 42)


@pytest.mark.parametrize(("count", "columns", "gap"), [(0, 2, 0), (5, 0, 0), (5, 2, -1)])
def test_a_mosaic_that_cannot_be_is_refused(faces, count, columns, gap):
    with pytest.raises(ValueError, match="mosaic"):
        tile(faces[:count], columns, gap)


def test_a_png_holds_the_pixels(faces):
    decoded = Image.open(io.BytesIO(png_bytes(faces[0], scale=2)))
    assert decoded.format == "PNG"
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(to_pil(faces[0], scale=2)))


def test_a_data_url_carries_the_png(digits):
    head, _, body = data_url(digits[0], scale=2).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == png_bytes(digits[0], scale=2)


def test_a_zip_holds_one_png_a_name_and_no_clock(faces):
    names = [f"sample-{k}" for k in range(5)]
    packed = zip_of_pngs(faces, names, scale=2)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == [f"{name}.png" for name in names]
        assert archive.read("sample-3.png") == png_bytes(faces[3], scale=2)
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c", "d", "a"]])
def test_a_zip_needs_one_name_of_its_own_for_each_image(faces, names):
    with pytest.raises(ValueError, match="5 images"):
        zip_of_pngs(faces, names)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_an_image_file_holds_pixels_and_a_profile_and_nothing_else(kind, faces):
    image = Image.fromarray(np.kron(to_uint8(faces)[0], np.ones((8, 8, 1), np.uint8)))
    image.info = {"exif": b"Exif", "icc_profile": P3, "comment": b"me"}
    with Image.open(io.BytesIO(encode_image_file(image, kind, profile=P3))) as file:
        assert file.format == kind.upper()
        assert file.info["icc_profile"] == P3
        assert not file.getexif()
        assert (
            np.abs(np.asarray(file, int) - np.asarray(image, int)).mean() < 9
        )  # colours are halved in WebP


def test_the_options_of_an_image_file_win_over_its_defaults(faces):
    pixels = to_uint8(faces)[0]
    with Image.open(io.BytesIO(encode_image_file(pixels, "webp", lossless=True))) as file:
        np.testing.assert_array_equal(np.asarray(file), pixels)
    tables = [[7] * 64, [9] * 64]
    with Image.open(io.BytesIO(encode_image_file(pixels, "jpeg", qtables=tables))) as file:
        assert list(file.quantization.values()) == tables
