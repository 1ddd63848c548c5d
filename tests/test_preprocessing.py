"""Pictures as people upload them, and garments made like Fashion-MNIST's."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vae_explorer.errors import UploadError
from vae_explorer.preprocessing import fit_garment, read_upload

# Outline of a dress, in a frame of 100 wide and 160 high that it touches on all sides.
DRESS = np.array([(30, 0), (70, 0), (62, 50), (100, 160), (0, 160), (38, 50)], float)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def draw_dress(
    *,
    ink: tuple[int, int, int] = BLACK,
    paper: tuple[int, int, int] = WHITE,
    size: tuple[int, int] = (300, 400),
    at: tuple[int, int] = (90, 110),
    scale: float = 1.0,
) -> Image.Image:
    picture = Image.new("RGB", size, paper)
    outline = (scale * DRESS + at).ravel().tolist()
    ImageDraw.Draw(picture).polygon(outline, fill=ink)
    return picture


def margins(image: np.ndarray) -> tuple[int, int, int, int]:
    """Empty rows and columns of a picture (1, height, width): top, bottom, left, right."""
    rows, columns = (np.flatnonzero(image[0].any(axis=axis)) for axis in (1, 0))
    height, width = image.shape[1:]
    return rows[0], height - 1 - rows[-1], columns[0], width - 1 - columns[-1]


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG, up to where its pixels would come."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    pixels = struct.pack(">I", 100) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + checksum + pixels


# What is read


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "LA", "RGBA", "I;16", "CMYK", "YCbCr"])
def test_every_mode_of_a_picture_gives_the_same_garment(mode: str) -> None:
    dress = draw_dress()
    if mode == "I;16":
        deep = np.asarray(dress.convert("L"), np.uint16) * 257
        data = encoded(Image.fromarray(deep))
    else:
        data = encoded(dress.convert(mode), "TIFF" if mode in {"CMYK", "YCbCr"} else "PNG")
    picture = read_upload(data)
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(fit_garment(picture, 32), fit_garment(dress, 32))


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"])
def test_every_format_gives_the_same_garment_but_for_compression(form: str) -> None:
    image = fit_garment(read_upload(encoded(draw_dress(), form, quality=95)), 32)
    assert np.abs(image - fit_garment(draw_dress(), 32)).mean() < 0.02


def test_a_photo_is_turned_upright_by_its_exif_tag() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise
    lying = draw_dress().transpose(Image.Transpose.ROTATE_90)
    picture = read_upload(encoded(lying, exif=exif))
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(draw_dress()))


def test_what_is_transparent_becomes_white() -> None:
    cut_out = draw_dress(paper=(0, 128, 0)).convert("RGBA")
    shape = draw_dress(ink=WHITE, paper=BLACK).convert("L")
    cut_out.putalpha(shape)
    np.testing.assert_array_equal(
        np.asarray(read_upload(encoded(cut_out))), np.asarray(draw_dress())
    )


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(form: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (WHITE, BLACK)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert np.asarray(read_upload(data)).min() > 250


# What is refused


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty.*Choose a JPEG"),
        (b"hello", "not an image.*Choose a JPEG"),
        (b"\xff\xd8\xff\xe0", "it is damaged"),
        (b"%PDF-1.7 ...", "is a PDF.*Choose a JPEG"),
        (b"PK\x03\x04 ...", "ZIP archive"),
        (b"8BPS ...", "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
        (b'\n <svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it is damaged.*HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "it is damaged.*AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(UploadError, match=message):
        read_upload(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"])
def test_a_picture_cut_short_is_said_to_be(form: str) -> None:
    data = encoded(draw_dress(size=(60, 80), scale=0.3, at=(10, 10)), form)
    with pytest.raises(UploadError, match=r"incomplete|damaged") as error:
        read_upload(data[: len(data) * 2 // 3])
    assert "again" in str(error.value) or "Choose" in str(error.value)


def test_a_png_cut_short_is_said_to_be_a_png() -> None:
    data = encoded(draw_dress())
    with pytest.raises(UploadError, match="This PNG image is damaged or incomplete"):
        read_upload(data[: len(data) // 2])


def test_too_many_bytes_are_refused_before_anything_is_read() -> None:
    data = encoded(draw_dress())
    with pytest.raises(UploadError, match=r"the limit is .* MB"):
        read_upload(data, max_bytes=len(data) - 1)
    assert read_upload(data, max_bytes=len(data)).size == (300, 400)


def test_too_many_pixels_are_refused_before_any_is_decoded() -> None:
    with pytest.raises(UploadError, match=r"8,000 × 7,000 = 56,000,000 pixels.*40 million"):
        read_upload(png_header(8000, 7000))  # decoding it would find no pixel at all
    with pytest.raises(UploadError, match=r"300 × 400"):
        read_upload(encoded(draw_dress()), max_pixels=300 * 400 - 1)
    assert read_upload(encoded(draw_dress()), max_pixels=300 * 400).size == (300, 400)


@pytest.mark.parametrize("size", [(31, 400), (400, 31)])
def test_a_picture_too_small_to_show_anything_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UploadError, match=f"{size[0]} × {size[1]} pixels; the minimum is 32"):
        read_upload(encoded(Image.new("RGB", size)))


def test_a_decompression_bomb_is_refused() -> None:
    with pytest.raises(UploadError, match=r"more than 178,956,970 pixels.*40 million"):
        read_upload(png_header(100_000, 100_000))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what is damaged
@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "HEIF", "AVIF"]
)
def test_damage_anywhere_gives_a_picture_or_a_word_about_it(form: str) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    good = np.frombuffer(encoded(noise, form), np.uint8)
    refused = 0
    for _ in range(60):
        bad = good.copy()
        places = rng.integers(0, min(len(bad), 300), 4)
        bad[places] = rng.integers(0, 256, 4)
        try:
            picture = read_upload(bad.tobytes(), max_pixels=10_000)
        except UploadError:
            refused += 1
        else:
            assert picture.mode == "RGB"
    assert refused


# A garment as the model is given it


def test_a_dress_on_white_is_ink_on_nothing_as_long_as_the_frame_and_centred() -> None:
    image = fit_garment(draw_dress(), 28)
    assert image.shape == (1, 28, 28)
    assert image.dtype == np.float32
    assert np.isin(image, (0, 1)).mean() > 0.95  # all but where the outline runs
    assert image[0, 20:26, 12:16].min() == 1
    top, bottom, left, right = margins(image)
    assert (top, bottom) == (0, 0)
    assert 28 - left - right == round(28 * 100 / 160)
    assert left - right in {0, 1}
    assert image[0, 0].sum() < image[0, -1].sum()  # not upside down


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("sides", [(10, 280), (30, 280), (270, 280), (280, 280)])
def test_the_wider_margin_is_at_the_top_or_the_left(sides: tuple[int, int], turned: bool) -> None:
    width, height = reversed(sides) if turned else sides
    picture = Image.new("RGB", (600, 600), WHITE)
    picture.paste(BLACK, (100, 100, 100 + width, 100 + height))
    top, bottom, left, right = margins(fit_garment(picture, 28))
    assert (28 - top - bottom, 28 - left - right) == (height // 10, width // 10)
    assert {top - bottom, left - right} <= {0, 1}


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        (WHITE, BLACK),
        (BLACK, (253, 253, 253)),
        (BLACK, (200, 190, 170)),
        (WHITE, (60, 60, 90)),
        (BLACK, (60, 60, 60)),
        (WHITE, (190, 190, 190)),
    ],
)
def test_light_on_dark_and_any_plain_background_give_the_same(
    ink: tuple[int, int, int], paper: tuple[int, int, int]
) -> None:
    image = fit_garment(draw_dress(ink=ink, paper=paper), 32)
    np.testing.assert_allclose(image, fit_garment(draw_dress(), 32), atol=0.05)


def test_a_grey_garment_keeps_its_grey() -> None:
    image = fit_garment(draw_dress(ink=(155, 155, 155)), 28)
    inside = image[0, 20:26, 12:16]
    np.testing.assert_allclose(inside, 100 / 255, atol=1e-6)


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.5, 4.0])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.9, 0.2), (0.3, 1.0)])
def test_size_and_place_of_the_garment_do_not_matter(
    scale: float, place: tuple[float, float]
) -> None:
    free = 1000 - 100 * scale - 20, 1000 - 160 * scale - 20
    at = tuple(round(10 + part * room) for part, room in zip(place, free, strict=True))
    image = fit_garment(draw_dress(size=(1000, 1000), scale=scale, at=at), 32)
    assert np.abs(image - fit_garment(draw_dress(), 32)).mean() < 0.03


def test_a_large_photo_with_the_noise_of_a_camera_gives_nearly_the_same() -> None:
    dress = draw_dress(size=(1200, 1600), scale=5, at=(300, 400), paper=(230, 228, 220))
    noise = np.random.default_rng(0).normal(0, 3, (1600, 1200, 1))
    pixels = (np.asarray(dress) + noise).clip(0, 255).astype(np.uint8)
    photo = read_upload(encoded(Image.fromarray(pixels), "JPEG", quality=80))
    assert np.abs(fit_garment(photo, 32) - fit_garment(draw_dress(), 32)).mean() < 0.03


@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("enlarged", [1, 2, 8])
def test_a_picture_of_the_set_comes_back(negated: bool, enlarged: int) -> None:
    pixels = np.zeros((28, 28), np.uint8)
    pixels[:, 6:23] = 255  # an odd width: the wider margin is at the left already
    pixels[:4, 12:16] = pixels[14:, 14:16] = 0
    pixels[8, 8:20] = 255
    shown = Image.fromarray(255 - pixels if negated else pixels).convert("RGB")
    side = 28 * enlarged
    image = fit_garment(shown.resize((side, side), Image.Resampling.NEAREST), 28)
    assert np.mean(image[0] != pixels / np.float32(255)) < 0.02


def test_sharpening_deepens_both_sides_of_an_outline() -> None:
    pixels = np.full((280, 280, 3), 255, np.uint8)
    pixels[:, 40:140] = 160
    pixels[:, 140:240] = 100
    row = fit_garment(Image.fromarray(pixels), 28)[0, 14]
    left, right = row[4:14], row[14:24]
    assert left[-1] < left[4]
    assert right[0] > right[5]


def test_a_fine_pattern_becomes_grey_instead_of_a_coarse_one() -> None:
    pixels = np.full((700, 700, 3), 255, np.uint8)
    pixels[100:600, 100:600] = 255 * (np.arange(500) % 4 < 2)[:, None]
    inside = fit_garment(Image.fromarray(pixels), 28)[0, 2:-2, 2:-2]
    np.testing.assert_allclose(inside, 0.5, atol=0.1)


def test_a_stain_in_one_corner_does_not_pass_for_the_background() -> None:
    stained = draw_dress()
    stained.paste(BLACK, (0, 0, 40, 40))
    image = fit_garment(stained, 28)
    assert image[0, :, -4:].max() == 0
    assert 0.1 < image.mean() < 0.5


def test_values_are_those_of_8_bits() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((200, 200, 3), 245, np.uint8)
    pixels[30:170, 50:150] = rng.integers(0, 256, (140, 100, 3))
    image = fit_garment(Image.fromarray(pixels), 32)
    assert image.min() == 0
    assert image.max() <= 1
    np.testing.assert_array_equal(image, np.rint(image * 255).astype(np.float32) / 255)


def test_a_larger_frame_only_adds_an_empty_border() -> None:
    small, large = fit_garment(draw_dress(), 28), fit_garment(draw_dress(), 32)
    np.testing.assert_array_equal(large, np.pad(small, ((0, 0), (2, 2), (2, 2))))


@pytest.mark.parametrize("size", [0, 27, 26, 29, 33])
def test_a_frame_that_the_set_cannot_be_padded_to_is_an_error(size: int) -> None:
    with pytest.raises(ValueError, match=f"28, 30, 32 and so on; found {size}"):
        fit_garment(draw_dress(), size)


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        (WHITE, WHITE),
        (BLACK, BLACK),
        ((247, 247, 247), WHITE),
        ((120, 128, 120), (128, 128, 128)),
        ((255, 0, 0), (76, 76, 76)),  # as light as its background, if not of its colour
    ],
)
def test_a_picture_of_one_colour_is_refused_in_words(
    ink: tuple[int, int, int], paper: tuple[int, int, int]
) -> None:
    with pytest.raises(UploadError, match=r"No garment was found.*plain background"):
        fit_garment(draw_dress(ink=ink, paper=paper), 32)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 900), (5000, 2)])
def test_odd_shapes_end_in_a_picture_or_in_words(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, WHITE)
    if max(size) < 3:
        with pytest.raises(UploadError, match="No garment was found"):
            fit_garment(picture, 28)
        return
    picture.paste(BLACK, (size[0] // 3, size[1] // 3, 1 + 2 * size[0] // 3, 1 + 2 * size[1] // 3))
    assert fit_garment(picture, 28).max() == 1
