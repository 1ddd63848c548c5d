"""Files as cameras, editors and instruments write them: colours, ranges, damage, and back."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from tests.support.files import (
    ADOBE_RGB,
    P3,
    PROPHOTO,
    SRGB,
    make_grey_profile,
    make_ink_profile,
    png_chunk,
    with_chunks,
    write_image,
    write_png16,
    write_tiff,
)
from vae_explorer.data.image_io import DecodedImage, decode, decode_image_file, open_image
from vae_explorer.errors import ImageBombError, ImageError, ImageRangeError

SKIN = (200, 150, 125)
IN_SRGB = {P3: (209, 147, 121), ADOBE_RGB: (217, 151, 125), PROPHOTO: (249, 154, 139)}
LINEAR = make_grey_profile(1.0)
# pytest's own filters are in force, in place of those of the module.
QUIET = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
RAMP = np.tile(np.linspace(0, 1, 96), (48, 1))
PHOTO = Image.fromarray(astronaut()).crop((150, 30, 310, 230))


def skin(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (40, 48), SKIN)
    if mode == "P":  # a palette of its own, which need not be that of the web
        return image.quantize(4)
    return image.convert(mode)


def decoded(data: bytes) -> DecodedImage:
    with open_image(data) as image:
        return decode(image)


def colour(data: bytes) -> np.ndarray:
    return np.asarray(decode_image_file(data), int)[20, 20]


# Colours


@pytest.mark.parametrize("profile", IN_SRGB, ids=["P3", "Adobe RGB", "ProPhoto"])
@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *product(["PNG", "TIFF"], ["RGB", "RGBA"]),
        ("PNG", "P"),
        ("TIFF", "P"),
        ("WEBP", "RGBA"),
        ("JPEG", "RGB"),
        ("HEIF", "RGB"),
        ("AVIF", "RGB"),
    ],
)
def test_a_profile_is_converted_to_srgb(form: str, mode: str, profile: bytes) -> None:
    options = {"lossless": True} if form == "WEBP" else {"quality": 100}
    data = write_image(skin(mode), form, icc_profile=profile, **options)
    lossy = form in {"JPEG", "HEIF", "AVIF"}
    np.testing.assert_allclose(colour(data), IN_SRGB[profile], atol=2 if lossy else 1)


def test_16_bits_have_a_profile_too() -> None:
    profile = png_chunk(b"iCCP", b"P3\0\0" + zlib.compress(P3))
    samples = np.full((40, 40, 3), SKIN, np.uint16) * 257
    np.testing.assert_allclose(colour(write_png16(samples, 2, profile)), IN_SRGB[P3], atol=1)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("value", [0, 20, 100, 255])
def test_a_profile_of_grey_is_converted(form: str, value: int) -> None:
    light = value / 255  # linear in the file
    srgb = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    data = write_image(Image.new("L", (40, 48), value), form, icc_profile=LINEAR)
    np.testing.assert_allclose(colour(data), 255 * srgb, atol=2 if form == "JPEG" else 1)


def test_grey_of_16_bits_and_grey_with_transparency_have_a_profile_too() -> None:
    wanted = colour(write_image(Image.new("L", (40, 48), 100), "PNG", icc_profile=LINEAR))
    deep = Image.fromarray(np.full((40, 40), 25700, np.uint16))
    np.testing.assert_allclose(colour(write_image(deep, "PNG", icc_profile=LINEAR)), wanted, atol=1)
    clear = Image.new("LA", (40, 48), (100, 255))
    np.testing.assert_array_equal(colour(write_image(clear, "PNG", icc_profile=LINEAR)), wanted)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
@pytest.mark.parametrize("ink", [(60, -10, 20), (45, 30, 10), (80, 0, -15)])
def test_a_profile_of_inks_is_converted(ink: tuple[int, int, int], form: str) -> None:
    lightness, a, b = ink
    steps = (lightness + 16) / 116 + np.array([a / 500, 0, -b / 200])
    xyz = np.where(steps > 6 / 29, steps**3, 3 * (6 / 29) ** 2 * (steps - 4 / 29))
    # From D50 to linear sRGB, by Lindbloom.
    matrix = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    light = matrix @ (xyz * (0.9642, 1, 0.8249))
    wanted = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {}
    image = Image.new("CMYK", (40, 48), (255, 0, 0, 0))
    data = write_image(image, form, icc_profile=make_ink_profile(ink), **options)
    np.testing.assert_allclose(colour(data), 255 * wanted, atol=2)
    saved = decoded(data).encode()  # in sRGB, and it says so
    np.testing.assert_allclose(colour(saved), 255 * wanted, atol=3)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_the_profile_of_srgb_changes_no_pixel(form: str) -> None:
    with_profile = write_image(PHOTO, form, icc_profile=SRGB)
    np.testing.assert_array_equal(
        np.asarray(decode_image_file(with_profile)),
        np.asarray(decode_image_file(write_image(PHOTO, form))),
    )


@pytest.mark.parametrize(
    ("image", "profile"),
    [
        (skin(), b"no profile"),
        (skin(), P3[:200]),
        (skin(), P3[:132] + bytes(len(P3) - 132)),
        (skin(), LINEAR),
        (skin("L"), P3),
        (skin("CMYK"), P3),
    ],
    ids=["text", "short", "empty tags", "grey for RGB", "RGB for grey", "RGB for CMYK"],
)
def test_a_broken_or_mismatching_profile_is_ignored(image: Image.Image, profile: bytes) -> None:
    form = "JPEG" if image.mode == "CMYK" else "PNG"
    np.testing.assert_array_equal(
        colour(write_image(image, form, icc_profile=profile)), colour(write_image(image, form))
    )


def test_damaged_profiles_never_end_in_an_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(P3)
        for place in rng.integers(0, len(bad), rng.integers(1, 9)):
            bad[place] = rng.integers(256)
        assert decode_image_file(write_image(skin(), "PNG", icc_profile=bytes(bad))).mode == "RGB"


GAMMA = png_chunk(b"gAMA", struct.pack(">I", 45455))
P3_POINTS = png_chunk(
    b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
)
SRGB_CHUNK = png_chunk(b"sRGB", b"\0")
P3_CHUNK = png_chunk(b"cICP", bytes([12, 13, 0, 1]))
ADOBE_CHUNK = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(ADOBE_RGB))


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        ([P3_CHUNK], IN_SRGB[P3]),
        ([ADOBE_CHUNK, P3_CHUNK], IN_SRGB[P3]),
        ([SRGB_CHUNK, ADOBE_CHUNK], IN_SRGB[ADOBE_RGB]),
        ([GAMMA, P3_POINTS], IN_SRGB[P3]),
        ([GAMMA, P3_POINTS, SRGB_CHUNK], SKIN),
        ([GAMMA], SKIN),
        ([P3_POINTS], SKIN),
        ([png_chunk(b"cICP", bytes([2, 2, 0, 1]))], SKIN),
        ([png_chunk(b"gAMA", bytes(4)), png_chunk(b"cHRM", bytes(32))], SKIN),
        ([GAMMA, png_chunk(b"cHRM", bytes(32))], SKIN),
        # Of linear light, by the curve of sRGB.
        ([png_chunk(b"gAMA", struct.pack(">I", 100_000))], (229, 202, 186)),
    ],
)
def test_what_a_png_says_of_its_colours_counts_as_in_browsers(
    chunks: list[bytes], wanted: tuple[int, int, int]
) -> None:
    png = write_image(skin(), "PNG")
    np.testing.assert_allclose(colour(with_chunks(png, *chunks)), wanted, atol=1)


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_code_points_count_where_there_is_no_profile(form: str) -> None:
    data = bytearray(write_image(skin(), form, quality=100))
    place = data.find(b"colrnclx") + 8
    data[place : place + 4] = struct.pack(">HH", 12, 13)
    np.testing.assert_allclose(colour(bytes(data)), IN_SRGB[P3], atol=2)


# Ranges


def assert_ramp(data: bytes) -> None:
    found = np.asarray(decode_image_file(data), int)[5, :, 0]
    np.testing.assert_allclose(found, 255 * RAMP[5], atol=2)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("dtype", "white"),
    [
        ("u1", 255),
        ("u2", 255),
        ("u2", 1023),
        ("u2", 4095),
        ("u2", 16383),
        ("u2", 65535),
        ("i2", 255),
        ("i2", 32767),
        ("i4", 255),
        ("i4", 4095),
        ("i4", 65535),
        ("i4", 2**31 - 1),
        ("f4", 1),
        ("f4", 255),
        ("f4", 65535),
    ],
)
def test_the_range_is_that_of_the_data(dtype: str, white: int, order: str) -> None:
    assert_ramp(write_tiff((RAMP * white).astype(dtype), order=order))


@pytest.mark.parametrize("white", [255, 65535, 2**32 - 1])
def test_32_bits_without_a_sign_are_not_negative(white: int) -> None:
    assert_ramp(write_tiff((RAMP * white).astype("u4")))


def test_floats_around_zero_and_just_beyond_their_range() -> None:
    assert_ramp(write_tiff((2 * RAMP - 1).astype("f4")))
    assert_ramp(write_tiff((1.01 * RAMP - 0.005).astype("f4")))


@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_where_white_is_zero_it_is_white(white: int) -> None:
    assert_ramp(write_tiff(((1 - RAMP) * white).astype("u2"), photometric=0))
    assert_ramp(write_tiff((1 - RAMP).astype("f4"), photometric=0))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bits_of_grey_in_every_format(form: str) -> None:
    assert_ramp(write_image(Image.fromarray((RAMP * 65535).astype("u2")), form))


def test_16_bits_of_colour() -> None:
    samples = np.repeat((RAMP * 65535).astype("u2")[..., None], 3, axis=2)
    assert_ramp(write_png16(samples, 2))
    assert_ramp(write_tiff(samples, photometric=2))


@pytest.mark.parametrize("values", [RAMP * 40_000, RAMP * 20_000, RAMP * 0])
def test_a_dark_image_of_16_bits_stays_dark(values: np.ndarray) -> None:
    found = np.asarray(decode_image_file(write_tiff(values.astype("u2"))), int)
    np.testing.assert_allclose(found[..., 0], values / 257, atol=1)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ((RAMP * 10_000).astype("u2"), "end at 10,000"),
        ((RAMP * 700).astype("i4"), "end at 700"),
        ((RAMP * 255 - 128).astype("i4"), "negative values, down to -128"),
        ((RAMP * 65535 - 32768).astype("i2"), "negative"),
        ((RAMP * 255 - 128).astype("i1"), "negative"),
        ((RAMP * 255 - 128).astype("f4"), "from -128 to 127"),
        ((RAMP * 12).astype("f4"), "from 0 to 12"),
        ((RAMP * 1.1 - 0.1).astype("f4"), "from -0.1 to 1"),
        (np.where(RAMP > 0.5, np.nan, RAMP).astype("f4"), "not finite"),
        (np.where(RAMP > 0.5, np.inf, RAMP).astype("f4"), "not finite"),
        (
            np.repeat((RAMP * 4095).astype("u2")[..., None], 3, axis=2),
            "end at 4,095",
        ),
    ],
)
def test_what_is_ambiguous_is_refused_with_the_reason(samples: np.ndarray, reason: str) -> None:
    data = write_tiff(samples, photometric=2 if samples.ndim == 3 else 1)
    with pytest.raises(ImageRangeError, match=reason) as error:
        decode_image_file(data)
    assert "save it" in str(error.value)


def test_a_kind_of_tiff_that_is_not_read_is_called_that() -> None:
    with pytest.raises(ImageError, match="unsupported pixel values") as error:
        decode_image_file(write_tiff(RAMP.astype("f8")))
    assert "0x" not in str(error.value)


def test_transparency_of_16_bits() -> None:
    grey = np.full((40, 40), 30_000, np.uint16)
    grey[:, 20:] = 30_001
    grey[0, 0] = 65535
    found = decoded(write_png16(grey, 0, png_chunk(b"tRNS", struct.pack(">H", 30_000))))
    assert found.pixels.mode == "LA"
    np.testing.assert_array_equal(np.asarray(found.pixels)[5, [5, 30]], [[117, 0], [117, 255]])
    np.testing.assert_array_equal(np.asarray(found.rgb)[5, [5, 30], 0], [255, 117])
    rgb = np.full((40, 40, 3), (0x1234, 0x5678, 0xFEDC), np.uint16)
    rgb[:, 20:] = 0xFFFF
    found = decoded(write_png16(rgb, 2, png_chunk(b"tRNS", struct.pack(">3H", *rgb[0, 0]))))
    assert np.asarray(found.pixels)[5, [5, 30], 3].tolist() == [0, 255]
    both = np.stack([np.full((40, 40), 65535), np.tile(np.linspace(0, 65535, 40), (40, 1))], axis=2)
    alpha = np.asarray(decoded(write_png16(both.astype(np.uint16), 4)).pixels, int)[5, :, -1]
    np.testing.assert_allclose(alpha, both[5, :, 1] / 257, atol=1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_a_tiff_of_every_mode_is_read(mode: str) -> None:
    image = Image.new("LAB", (40, 40), (137, 128, 128)) if mode == "LAB" else skin(mode)
    assert decode_image_file(write_image(image, "TIFF")).mode == "RGB"


# Damage


def with_timescale_zero() -> bytes:
    frames = [PHOTO, PHOTO.rotate(90), PHOTO.rotate(180)]
    avif = write_image(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=100)
    data = bytearray(avif)
    for box in (b"mdhd", b"mvhd"):
        place = data.find(box)
        while place >= 0:
            at = place + 8 + (16 if data[place + 4] == 1 else 8)
            data[at : at + 4] = bytes(4)
            place = data.find(box, place + 4)
    return bytes(data)


def test_whatever_a_decoder_raises_means_damage() -> None:
    with pytest.raises(ImageError, match="damaged"):
        decode_image_file(with_timescale_zero())


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyError, AssertionError, RecursionError])
@pytest.mark.parametrize("step", ["PIL.Image.open", "PIL.PngImagePlugin.PngImageFile.load"])
def test_no_error_of_pillow_comes_through(
    monkeypatch: pytest.MonkeyPatch, step: str, error: type[Exception]
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    data = write_image(PHOTO, "PNG")
    monkeypatch.setattr(step, fail)
    with pytest.raises(ImageError, match=error.__name__):
        decode_image_file(data)


def test_no_memory_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(MemoryError):
        decode_image_file(write_image(PHOTO, "PNG"))


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
SHORT = {
    "JPEG": write_image(NOISE, "JPEG", icc_profile=P3),
    "MPO": write_image(NOISE, "MPO", save_all=True, append_images=[NOISE]),
    "PNG": write_image(NOISE, "PNG", icc_profile=P3),
    "WEBP": write_image(NOISE, "WEBP", icc_profile=P3),
    "GIF": write_image(NOISE, "GIF", save_all=True, append_images=[NOISE.rotate(90)]),
    "BMP": write_image(NOISE, "BMP"),
    "TIFF": write_image(NOISE, "TIFF", icc_profile=P3),
    "LZW": write_image(NOISE, "TIFF", compression="tiff_lzw"),
    "floats": write_tiff(RAMP.astype("f4")),
    "16 bits": write_tiff((RAMP * 65535).astype("u2"), order=">"),
    "PPM": write_image(NOISE, "PPM"),
    "HEIF": write_image(NOISE, "HEIF", icc_profile=P3),
    "AVIF": write_image(NOISE, "AVIF", save_all=True, append_images=[NOISE.rotate(90)]),
}


@QUIET
@pytest.mark.parametrize("form", SHORT)
def test_damage_anywhere_gives_an_image_or_the_error_for_it(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)  # a size is damaged as well
    rng = np.random.default_rng(0)
    good = np.frombuffer(SHORT[form], np.uint8)
    outcomes = set()
    for _ in range(150):
        bad = good.copy()
        reach = min(len(bad), int(rng.choice([100, 600, len(bad)])))
        places = rng.integers(0, reach, rng.integers(1, 7))
        bad[places] = rng.integers(0, 256, len(places))
        start, stop = np.sort(rng.integers(0, len(bad) + 1, 2))
        shorter = [bad, bad[:stop], np.delete(bad, slice(start, start + 9))]
        data = shorter[rng.choice(3, p=[0.8, 0.1, 0.1])].tobytes()
        try:
            assert decode_image_file(data).mode == "RGB"
            outcomes.add("image")
        except ImageError:
            outcomes.add("error")
    assert outcomes == {"image", "error"}


def test_damaged_files_print_nothing(tmp_path: Path) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(20)
    large = Image.new("1", (10_000, 9_000))  # above the first of Pillow's two limits
    (tmp_path / "a").write_bytes(write_image(NOISE, "JPEG", exif=exif))
    (tmp_path / "b").write_bytes(write_image(large, "PNG"))
    code = (
        "import pathlib, sys; from vae_explorer.data.image_io import decode_image_file\n"
        "for name in sys.argv[1:]: decode_image_file(pathlib.Path(name).read_bytes())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a"), str(tmp_path / "b")]
    done = subprocess.run(command, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@QUIET
def test_damaged_exif_is_no_damage_to_the_image() -> None:
    for exif in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3"):
        np.testing.assert_array_equal(
            np.asarray(decode_image_file(write_image(NOISE, "PNG", exif=exif))), np.asarray(NOISE)
        )


def test_a_bomb_is_called_one() -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")
    with pytest.raises(ImageBombError):
        open_image(data)


LONG = zlib.compress(b"x" * 3_000_000)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"a\0" + b"x" * 3_000_000),
        png_chunk(b"zTXt", b"workflow\0\0" + LONG),
        png_chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + LONG),
        png_chunk(b"zTXt", b"a\0\7nonsense"),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
        png_chunk(b"iCCP", b"a\0\0" + LONG),
        png_chunk(b"iCCP", b"a\0\0" + b"nonsense"),
        png_chunk(b"iCCP", b"a"),
        png_chunk(b"iCCP", b""),
        png_chunk(b"gAMA", b"\0"),
        png_chunk(b"cHRM", b"\0"),
        png_chunk(b"sRGB", b""),
        png_chunk(b"pHYs", b"\0"),
        png_chunk(b"acTL", b"\0"),
        png_chunk(b"fcTL", b"\0"),
        png_chunk(b"tIME", b"\0"),
        png_chunk(b"vpAg", b"\0"),
        *(
            png_chunk(kind, b"a\0b", crc=1)
            for kind in (b"tEXt", b"iCCP", b"tRNS", b"eXIf", b"gAMA")
        ),
    ],
)
def test_what_a_png_holds_beside_pixels_does_no_harm(chunk: bytes) -> None:
    data = with_chunks(write_image(NOISE, "PNG"), chunk)
    np.testing.assert_array_equal(np.asarray(decode_image_file(data)), np.asarray(NOISE))
    at_end = write_image(NOISE, "PNG")
    at_end = at_end[:-12] + chunk + at_end[-12:]
    np.testing.assert_array_equal(np.asarray(decode_image_file(at_end)), np.asarray(NOISE))


def test_a_large_profile_counts() -> None:
    padded = P3 + bytes(2_000_000)
    padded = struct.pack(">I", len(padded)) + padded[4:]
    chunk = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(padded))
    found = colour(with_chunks(write_image(skin(), "PNG"), chunk))
    np.testing.assert_allclose(found, IN_SRGB[P3], atol=1)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_texts_that_unpack_to_gigabytes_are_not_unpacked(kind: bytes) -> None:
    packer, parts = zlib.compressobj(9), []
    for _ in range(300):
        parts.append(packer.compress(bytes(2**20)))
    bomb = b"Raw profile type exif\0\0" + b"".join([*parts, packer.flush()])
    data = with_chunks(write_image(NOISE, "PNG"), png_chunk(kind, bomb))
    tracemalloc.start()
    decode_image_file(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 * 2**20


def test_pixels_of_a_png_that_are_damaged_are_damage() -> None:
    png = write_image(NOISE, "PNG")
    place = png.find(b"IDAT") + 20
    with pytest.raises(ImageError, match="damaged"):
        decode_image_file(png[:place] + b"\0\0\0\0\0\0" + png[place + 6 :])


@pytest.mark.parametrize("where", ["eXIf", "tEXt", "iTXt"])
def test_a_png_is_turned_upright_wherever_it_says_so(where: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    chunk = {
        "eXIf": png_chunk(b"eXIf", raw.removeprefix(b"Exif\0\0")),
        "tEXt": png_chunk(
            b"tEXt", b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(raw), raw.hex().encode())
        ),
        "iTXt": png_chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"></x>'),
    }[where]
    found = decode_image_file(with_chunks(write_image(NOISE, "PNG"), chunk))
    np.testing.assert_array_equal(np.asarray(found), np.rot90(np.asarray(NOISE), -1))


# And back into a file


def edit(image: Image.Image) -> Image.Image:
    """Make the middle of a photo lighter, redder, and a little noisy."""
    pixels = np.asarray(image, int).copy()
    rng = np.random.default_rng(0)
    middle = pixels[60:140, 40:120]
    middle += np.array([25, 10, 0]) + rng.integers(-5, 6, middle.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def outside(pixels: np.ndarray) -> np.ndarray:
    """All but the middle, and the blocks of a JPEG that reach into it."""
    there = np.ones(pixels.shape[:2], bool)
    there[40:160, 20:140] = False
    return pixels[there]


def with_alpha(image: Image.Image) -> Image.Image:
    alpha = np.tile(np.linspace(-255, 510, image.width).clip(0, 255), (image.height, 1))
    image = image.copy()
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


PROFILES = {"none": None, "P3": P3, "Adobe RGB": ADOBE_RGB, "sRGB": SRGB}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *product(["PNG", "TIFF"], ["RGB", "RGBA", "P", "L", "LA"]),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
        ("BMP", "RGB"),
        ("GIF", "P"),
        ("PPM", "RGB"),
    ],
)
def test_without_loss_all_but_the_edit_is_saved_bit_for_bit(
    form: str, mode: str, profile: str
) -> None:
    image = PHOTO.convert(mode.removesuffix("A"))
    image = with_alpha(image) if mode.endswith("A") else image
    icc = PROFILES[profile]
    if mode in {"L", "LA"} and icc is not None:
        icc = LINEAR
    options: dict[str, object] = {} if icc is None else {"icc_profile": icc}
    if form == "WEBP":
        options |= {"lossless": True, "exact": True}
    before = decoded(write_image(image, form, **options))
    changed = edit(before.rgb)
    saved = before.with_change(changed).encode()
    with Image.open(io.BytesIO(saved)) as file:
        assert file.format == ("WEBP" if form == "WEBP" else "PNG")
        assert file.mode == {"P": "RGB"}.get(mode, mode)
        assert file.info.get("icc_profile") == before.profile
        own = np.asarray(file)
    np.testing.assert_array_equal(
        outside(own), outside(np.asarray(image.convert("RGB") if mode == "P" else image))
    )
    after = decoded(saved)
    np.testing.assert_array_equal(outside(np.asarray(after.rgb)), outside(np.asarray(before.rgb)))
    if mode in {"RGB", "P"}:
        inside = np.s_[60:140, 40:120]
        wanted = np.asarray(changed, int)[inside]
        # Colours of wider spaces are rounded twice.
        assert np.abs(np.asarray(after.rgb, int)[inside] - wanted).mean() < 1


@pytest.mark.parametrize("profile", ["none", "P3"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("sampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [50, 85, 95, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_stays_one_of_its_size_with_the_error_of_one(
    mode: str, quality: int, sampling: int, orientation: int, profile: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    options: dict[str, object] = {"quality": quality, "subsampling": sampling, "exif": exif}
    if profile == "P3" and mode == "RGB":
        options["icc_profile"] = P3
    upload = write_image(PHOTO.convert(mode), "JPEG", **options)
    before = decoded(upload)
    saved = before.with_change(edit(before.rgb)).encode()
    with Image.open(io.BytesIO(saved)) as file:
        assert (file.format, file.mode) == ("JPEG", mode)
        assert not file.getexif()
        assert file.info.get("icc_profile") == options.get("icc_profile")
    if orientation == 1:
        assert len(saved) < 1.2 * len(upload)
    if orientation not in {6, 7}:  # the middle lies elsewhere
        error = outside(np.asarray(decoded(saved).rgb, int)) - outside(np.asarray(before.rgb, int))
        assert np.abs(error).mean() < 1.5


@pytest.mark.parametrize("form", ["MPO", "HEIF", "AVIF", "CMYK"])
def test_what_only_some_programs_read_becomes_a_jpeg(form: str) -> None:
    if form == "MPO":
        data = write_image(PHOTO, form, save_all=True, append_images=[NOISE])
    elif form == "CMYK":
        data = write_image(PHOTO.convert("CMYK"), "JPEG")
    else:
        data = write_image(PHOTO, form, icc_profile=P3)
    before = decoded(data)
    saved = before.encode()
    with Image.open(io.BytesIO(saved)) as file:
        assert (file.format, file.mode) == ("JPEG", "RGB")
    difference = np.asarray(decoded(saved).rgb, int) - np.asarray(before.rgb, int)
    assert np.abs(difference).mean() < 1.5


@pytest.mark.parametrize("form", ["HEIF", "AVIF", "WEBP"])
def test_transparency_is_kept_where_a_jpeg_has_none(form: str) -> None:
    before = decoded(write_image(with_alpha(PHOTO), form))
    with Image.open(io.BytesIO(before.encode())) as file:
        assert file.format == ("WEBP" if form == "WEBP" else "PNG")
        np.testing.assert_array_equal(
            np.asarray(file.getchannel("A")), np.asarray(before.pixels.getchannel("A"))
        )


def test_colours_beyond_srgb_stay_beyond_it() -> None:
    vivid = Image.new("RGB", (160, 200), (255, 0, 0))
    before = decoded(write_image(vivid, "PNG", icc_profile=P3))
    changed = np.asarray(before.rgb).copy()
    changed[80:120, 60:100] += np.array([0, 1, 1], np.uint8)
    after = before.with_change(Image.fromarray(changed))
    assert np.abs(np.asarray(after.pixels, int) - np.asarray(vivid, int)).max() <= 3


def test_no_change_is_no_copy() -> None:
    before = decoded(write_image(PHOTO, "PNG"))
    assert before.with_change(before.rgb.copy()) is before
    assert before.rgb is before.pixels


def test_nothing_that_the_camera_wrote_is_saved() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"):
        data = write_image(PHOTO, form, exif=exif)
        with Image.open(io.BytesIO(decoded(data).encode())) as file:
            assert not file.getexif()
            assert set(file.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"} | {
                "loop",
                "background",
                "timestamp",
                "duration",
                "lossless",
            }
