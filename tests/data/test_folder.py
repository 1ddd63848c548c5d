"""Any folder or zip of pictures."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.files import put, put_zip
from vae_explorer.data import DatasetError, ImageDataset, load_dataset, prepare
from vae_explorer.data.folder import digest_folder, read_folder

SIZE = 16
Files = dict[str, bytes]


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def plain(colour: str = "gray") -> bytes:
    return encoded(Image.new("RGB", (20, 20), colour))


def prepared(tmp_path: Path, files: Files) -> ImageDataset:
    """Prepare the files beside three plain pictures that come after them."""
    files = files | {f"zz{i}.png": plain() for i in range(3)}
    source = put(tmp_path / "pictures", files)
    return prepare("folder", tmp_path / "root", size=SIZE, source=source)


def first_picture(tmp_path: Path, image: Image.Image, form: str = "PNG", **options) -> np.ndarray:
    content = encoded(image, form, **options)
    return prepared(tmp_path, {f"a.{form.lower()}": content}).images[0]


# Labels and attributes


@pytest.mark.parametrize("wrapper", ["", "my pictures/"])
@pytest.mark.parametrize("as_zip", [True, False])
def test_the_first_level_of_sub_folders_gives_the_labels(tmp_path, wrapper, as_zip):
    names = ("cat/1.png", "cat/deep/2.PNG", "dog/1.png", "dog/2.png")
    files = {f"{wrapper}{name}": plain() for name in names}
    if as_zip:
        source = put_zip(tmp_path / "pets.zip", files)
    else:
        source = put(tmp_path / "pets", files) / wrapper
    dataset = prepare("folder", tmp_path, size=SIZE, source=source)
    assert dataset.label_names == ("cat", "dog")
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    assert dataset.images.shape == (4, 3, SIZE, SIZE)


def test_pictures_beside_the_sub_folders_are_unsorted(tmp_path):
    dataset = prepared(tmp_path, {"cat/1.png": plain()})
    assert dataset.label_names == ("cat", "unsorted")
    assert dataset.labels.tolist() == [0, 1, 1, 1]


def test_without_sub_folders_there_are_no_labels(tmp_path):
    dataset = prepared(tmp_path, {})
    assert dataset.labels is None
    assert dataset.label_names == ()
    assert dataset.attributes is None


@pytest.mark.parametrize("as_zip", [True, False])
def test_attributes_are_found_by_path_or_by_bare_name(tmp_path, as_zip):
    table = "\ufefffile,tall,Red hair\nb/2.png,1,0\n1.png,-1,1\n3.png,0,1\nelsewhere.png,1,1\n"
    files = {name: plain() for name in ("a/1.png", "b/2.png", "b/3.png")}
    files["attributes.csv"] = table.encode()
    source = put_zip(tmp_path / "p.zip", files) if as_zip else put(tmp_path / "p", files)
    dataset = prepare("folder", tmp_path, size=SIZE, source=source)
    assert dataset.attribute_names == ("tall", "Red hair")
    assert dataset.attributes.tolist() == [[False, True], [True, False], [False, True]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"", "names no attribute"),
        (b"file,tall\nzz0.png,1\n", "no row for 2 images"),
        (b"file,tall\nzz0.png,2\n", "holds '2'"),
        (b"file,tall\nzz0.png,1,1\n", "2 values for 1"),
        (b"file,gr\xf6\xdfe\n", "Save it as UTF-8"),
    ],
)
def test_a_table_that_is_wrong_says_how(tmp_path, table, message):
    with pytest.raises(DatasetError, match=message):
        prepared(tmp_path, {"attributes.csv": table})


# Pictures of every kind


def test_an_exif_rotated_picture_is_turned_upright(tmp_path):
    upright = Image.new("RGB", (SIZE, SIZE), "red")
    upright.paste("blue", (0, SIZE // 2, SIZE, SIZE))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    image = first_picture(tmp_path, lying, exif=exif)
    np.testing.assert_array_equal(image, np.asarray(upright).transpose(2, 0, 1))


def test_transparency_is_laid_on_white(tmp_path):
    image = Image.new("RGBA", (SIZE, SIZE), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, SIZE, SIZE // 2))
    seen = first_picture(tmp_path, image)
    assert np.all(seen[:, SIZE // 2 :] == 255)
    assert np.all(seen[2, : SIZE // 2] == 255)
    assert np.all(seen[0, : SIZE // 2] == 0)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "1", "RGBA"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.new("RGB", (SIZE, SIZE), "white").convert(mode)
    assert np.all(first_picture(tmp_path, image) == 255)


def test_cmyk_becomes_rgb(tmp_path):
    image = Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0))
    red, green, blue = first_picture(tmp_path, image, "JPEG").mean(axis=(1, 2))
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize(
    ("values", "form"), [(np.uint16([0, 32896, 65535]), "PNG"), (np.float32([0, 0.5, 1]), "TIFF")]
)
def test_deep_grey_is_scaled_not_cut_off(tmp_path, values, form):
    image = Image.fromarray(np.repeat(values, SIZE * SIZE).reshape(3 * SIZE, SIZE))
    square = image.crop((0, SIZE, SIZE, 2 * SIZE))
    assert np.all(np.abs(first_picture(tmp_path, square, form).astype(int) - 128) <= 1)


def test_the_central_square_is_kept(tmp_path):
    wide = Image.new("RGB", (3 * SIZE, SIZE), "red")
    wide.paste("blue", (SIZE, 0, 2 * SIZE, SIZE))
    assert np.all(first_picture(tmp_path, wide)[0] == 0)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (SIZE, SIZE), colour) for colour in ("white", "black")]
    image = first_picture(tmp_path, frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.all(image == 255)


# Damaged and unwanted files


def test_damaged_pictures_are_listed_by_name(tmp_path):
    good = encoded(Image.effect_noise((64, 64), 50))
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 0xFF
    damaged = {
        "a/empty.png": b"",
        "a/text.jpg": b"not a picture",
        "b/short.png": good[: len(good) // 2],
        "b/wrong.png": bytes(flipped),
    }
    dataset = prepared(tmp_path, damaged)
    assert dataset.damaged == tuple(sorted(damaged))
    assert len(dataset.images) == 3


def test_a_decompression_bomb_counts_as_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    bomb = encoded(Image.new("1", (100, 100)))
    assert prepared(tmp_path, {"bomb.png": bomb}).damaged == ("bomb.png",)


def test_a_file_too_large_counts_as_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_explorer.data.files.MAX_FILE_BYTES", 1000)
    noise = encoded(Image.effect_noise((64, 64), 50))
    assert prepared(tmp_path, {"large.png": noise}).damaged == ("large.png",)
    files = {"large.png": noise} | {f"{i}.png": plain() for i in range(3)}
    source = put_zip(tmp_path / "large.zip", files)
    assert prepare("folder", tmp_path, size=SIZE, source=source).damaged == ("large.png",)


def test_postscript_in_disguise_is_not_run(tmp_path):
    disguised = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    assert prepared(tmp_path, {"a.png": disguised}).damaged == ("a.png",)


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("wrapper", ["", "pets/"])
@pytest.mark.parametrize("beside", [{}, {"README.txt": b"x"}, {"deep/notes": b"x"}])
def test_a_folder_and_a_zip_of_it_give_the_same_labels(tmp_path, as_zip, wrapper, beside):
    names = [f"Kälber/{i}.png" for i in range(2)] + ["Kühe/2", "Kühe/3.jpe"]
    files = {f"{wrapper}{name}": plain() for name in names} | beside
    source = put_zip(tmp_path / "p.zip", files) if as_zip else put(tmp_path / "p", files)
    found = read_folder(tmp_path, SIZE, source)
    assert found.label_names == ("Kälber", "Kühe")
    assert [record.name for record in found.records] == names
    assert found.left_out.keys() == beside.keys()
    assert found.digest == digest_folder(tmp_path, source)


@pytest.mark.parametrize("as_zip", [True, False])
def test_without_images_what_was_found_is_named(tmp_path, as_zip):
    files = {"notes.txt": b"x", "a.svg": b"<svg>"}
    source = put_zip(tmp_path / "p.zip", files) if as_zip else put(tmp_path / "p", files)
    with pytest.raises(DatasetError, match=r"2 files of other kinds \(a.svg, notes.txt\).*JPEG"):
        read_folder(tmp_path, SIZE, source)


@pytest.mark.parametrize("as_zip", [True, False])
def test_hidden_files_and_other_kinds_are_passed_over(tmp_path, as_zip):
    files = {f"{i}.png": plain() for i in range(3)}
    files |= {"__MACOSX/._0.png": b"x", ".hidden.png": b"x", ".cache/1.png": b"x", "note.txt": b"x"}
    source = put_zip(tmp_path / "p.zip", files) if as_zip else put(tmp_path / "p", files)
    dataset = prepare("folder", tmp_path, size=SIZE, source=source)
    assert len(dataset.images) == 3
    assert dataset.damaged == ()
    assert dataset.labels is None


@pytest.mark.parametrize("files", [{}, {"note.txt": b"x"}])
def test_a_folder_without_pictures_is_an_error(tmp_path, files):
    source = put(tmp_path / "empty", files)
    source.mkdir(exist_ok=True)
    with pytest.raises(DatasetError, match="has no images"):
        prepare("folder", tmp_path, source=source)


def test_a_folder_of_nothing_but_damage_is_an_error(tmp_path):
    source = put(tmp_path / "bad", {"a.png": b"x", "b.png": b"y"})
    with pytest.raises(
        DatasetError, match=r"None of the 2 images .* The first: a.png: not an image"
    ):
        prepare("folder", tmp_path, source=source)


# Zips


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "C:\\evil.png"])
def test_a_zip_that_points_outside_itself_is_refused(tmp_path, name):
    files = {f"{i}.png": plain() for i in range(3)} | {name: plain()}
    with pytest.raises(DatasetError, match=r"evil.*points outside"):
        prepare("folder", tmp_path, source=put_zip(tmp_path / "evil.zip", files))
    assert not (tmp_path / "cache").exists()


def test_a_zip_with_a_link_is_refused(tmp_path):
    source = put_zip(tmp_path / "evil.zip", {"a.png": plain()})
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match=r"link.png.*is a link"):
        prepare("folder", tmp_path, source=source)


def test_a_damaged_member_costs_only_itself(tmp_path):
    source = put_zip(tmp_path / "p.zip", {f"{i}.png": plain() for i in range(4)})
    content = bytearray(source.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 0xFF  # within the first member, stored as it is
    source.write_bytes(content)
    dataset = prepare("folder", tmp_path, size=SIZE, source=source)
    assert dataset.damaged == ("0.png",)
    assert len(dataset.images) == 3


def test_a_zip_and_a_folder_of_the_same_pictures_give_the_same_rows(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (6, 30, 24, 3), dtype=np.uint8)
    files = {f"{i % 2}/{i}.png": encoded(Image.fromarray(noise[i])) for i in range(6)}
    folder = prepare("folder", tmp_path, size=SIZE, source=put(tmp_path / "f", files))
    archive = prepare("folder", tmp_path, size=SIZE, source=put_zip(tmp_path / "z.zip", files))
    np.testing.assert_array_equal(folder.images, archive.images)
    np.testing.assert_array_equal(folder.labels, archive.labels)


# Sources and their caches


def test_a_source_must_be_named_and_must_exist(tmp_path):
    with pytest.raises(DatasetError, match="--source PATH"):
        prepare("folder", tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        prepare("folder", tmp_path, source=tmp_path / "nowhere")
    (tmp_path / "one.png").write_bytes(plain())
    with pytest.raises(DatasetError, match="neither a folder nor a readable zip"):
        prepare("folder", tmp_path, source=tmp_path / "one.png")


def test_two_sources_of_one_name_are_not_mistaken_for_one_another(tmp_path):
    files = {f"{i}.png": plain() for i in range(3)}
    mine, yours = (put(tmp_path / who / "My Cats", files) for who in ("me", "you"))
    prepare("folder", tmp_path, size=SIZE, source=mine)
    assert len(load_dataset("folder", tmp_path, size=SIZE, source=mine).images) == 3
    with pytest.raises(DatasetError, match="is not prepared"):
        load_dataset("folder", tmp_path, size=SIZE, source=yours)
    prepare("folder", tmp_path, size=SIZE, source=yours)
    found = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert len(found) == 2
    assert all(re.fullmatch(rf"folder-my-cats-[0-9a-f]{{8}}-{SIZE}", name) for name in found)


@pytest.mark.parametrize(
    ("name", "slug"), [("Ünï côde", "ünï-côde"), ("日本", "日本"), ("!", "pictures")]
)
def test_any_name_makes_a_cache_folder(tmp_path, name, slug):
    source = put(tmp_path / name, {f"{i}.png": plain() for i in range(3)})
    prepare("folder", tmp_path, size=SIZE, source=source)
    (cache,) = (tmp_path / "cache").iterdir()
    assert re.fullmatch(rf"folder-{slug}-[0-9a-f]{{8}}-{SIZE}", cache.name)
