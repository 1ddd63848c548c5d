"""Files of a folder or a zip: what counts as an image, names, what is left out, the digest."""

from __future__ import annotations

import io
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from tests.support.files import put, put_zip
from vae_explorer.data import DatasetError
from vae_explorer.data.files import LABELS_FILE, open_image_files
from vae_explorer.data.formats import FORMATS, HEAD_BYTES, IMAGE_SUFFIXES, is_image_head
from vae_explorer.errors import ImageError

Files = dict[str, bytes]
Put = Callable[[Path, Files], Path]
FORMS = ("NFC", "NFD")


def encoded(form: str = "PNG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (20, 20), "gray").save(file, form)
    return file.getvalue()


PNG = encoded()


def put_beside(folder: Path, files: Files) -> Path:
    return put_zip(Path(f"{folder}.zip"), files)


def raw_zip(path: Path, names: list[tuple[bytes, bytes]], flags: int = 0) -> Path:
    """A zip of (name, extra field) as bytes, as command-line tools write them."""
    file, directory = io.BytesIO(), b""
    sums = (zlib.crc32(PNG), len(PNG), len(PNG))
    for name, extra in names:
        at = file.tell()
        head = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, flags, 0, 0, 33, *sums, len(name), 0)
        file.write(head + name + PNG)
        head = struct.pack("<IHHHHHHIII", 0x02014B50, 20, 20, flags, 0, 0, 33, *sums)
        lengths = struct.pack("<HHHHHII", len(name), len(extra), 0, 0, 0, 0, at)
        directory += head + lengths + name + extra
    end = file.tell()
    count = len(names)
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), end, 0)
    path.write_bytes(file.getvalue() + directory + tail)
    return path


def unicode_path(raw: bytes, name: str, checksum: int | None = None) -> bytes:
    data = name.encode()
    checksum = zlib.crc32(raw) if checksum is None else checksum
    return struct.pack("<HHBL", 0x7075, 5 + len(data), 1, checksum) + data


def pictures(path: Path) -> tuple[str, ...]:
    with open_image_files(path) as files:
        return files.pictures


def left_out(path: Path) -> dict[str, str]:
    with open_image_files(path) as files:
        return dict(files.left_out)


def digest(path: Path) -> str:
    with open_image_files(path) as files:
        return files.digest


# Formats


def test_every_ending_of_a_format_that_is_read_is_known() -> None:
    register_heif_opener()
    Image.init()
    registered = {e for e, form in Image.registered_extensions().items() if form in FORMATS}
    assert registered | {".mpo"} <= IMAGE_SUFFIXES


@pytest.mark.parametrize(
    ("form", "mode"),
    [(form, "RGB") for form in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "HEIF", "AVIF")]
    + [("MPO", "RGB"), ("PPM", "L"), ("PPM", "1"), ("PPM", "F")],
)
def test_an_image_is_known_by_its_first_bytes(form: str, mode: str) -> None:
    assert is_image_head(encoded(form, mode)[:HEAD_BYTES])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"BMW is a car, and this is a text.",
        b"P1 is a text",
        b"Python 3",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        b"PK\x03\x04",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"file,label\n",
        b"<svg>",
    ],
)
def test_other_files_are_no_images(head: bytes) -> None:
    assert not is_image_head(head)


@pytest.mark.parametrize("place", [put, put_beside])
def test_a_file_without_a_known_ending_is_decided_by_its_content(tmp_path: Path, place: Put):
    files = {"image": PNG, "image.v2": encoded("JPEG"), "photo.HIF": b"damaged"}
    files |= {"README": b"text", "a.svg": b"<svg>", "inner.zip": b"PK\x03\x04"}
    path = place(tmp_path / "p", files)
    assert pictures(path) == ("image", "image.v2", "photo.HIF")
    assert left_out(path).keys() == {"README", "a.svg", "inner.zip"}


# Wrapping folders


@pytest.mark.parametrize("place", [put, put_beside])
@pytest.mark.parametrize("wrapper", ["", "pets/", "my/pets/"])
@pytest.mark.parametrize("beside", [{}, {"README.txt": b"text"}, {"other/notes": b"", ".x": b""}])
def test_a_wrapping_folder_is_found_by_the_images(tmp_path: Path, place: Put, wrapper, beside):
    files = {f"{wrapper}{name}": PNG for name in ("cat/0.png", "dog/0.png")}
    path = place(tmp_path / "p", files | beside)
    assert pictures(path) == ("cat/0.png", "dog/0.png")
    assert left_out(path).keys() == {name for name in beside if name != ".x"}


@pytest.mark.parametrize("place", [put, put_beside])
@pytest.mark.parametrize(
    ("table", "is_found"),
    [
        ("labels.csv", True),
        ("my/Labels.CSV", True),
        ("my/pets/LABELS.csv", True),
        ("my/pets/cat/labels.csv", False),
        ("other/labels.csv", False),
    ],
)
def test_a_table_lies_at_the_top_or_beside_the_images(tmp_path: Path, place: Put, table, is_found):
    files = {f"my/pets/{name}": PNG for name in ("cat/0.png", "dog/0.png")} | {table: b"text"}
    with open_image_files(place(tmp_path / "p", files)) as found:
        assert bool(found.tables[LABELS_FILE]) == is_found
        assert (table in found.left_out) != is_found
        assert [found.read(name) for name in found.tables[LABELS_FILE]] == [b"text"] * is_found


# Names


@pytest.mark.parametrize("flags", [0, 0x800])
def test_names_in_utf_8_are_read_with_and_without_the_flag(tmp_path: Path, flags: int) -> None:
    names = [("Käse/0.png".encode(), b""), ("日本/1.png".encode(), b"")]
    assert pictures(raw_zip(tmp_path / "p.zip", names, flags)) == ("Käse/0.png", "日本/1.png")


def test_the_unicode_path_wins_over_the_bytes_if_it_belongs_to_them(tmp_path: Path) -> None:
    cat, snow = "猫/1.png".encode("gbk"), "表/0.png".encode("shift_jis")
    names = [(cat, unicode_path(cat, "猫/1.png")), (snow, unicode_path(snow, "表/0.png"))]
    assert pictures(raw_zip(tmp_path / "p.zip", names)) == ("猫/1.png", "表/0.png")
    names = [(b"a/0.png", unicode_path(b"a/0.png", "表/0.png", checksum=1)), (b"b/0.png", b"")]
    assert pictures(raw_zip(tmp_path / "q.zip", names)) == ("a/0.png", "b/0.png")


def test_what_is_no_utf_8_is_cp437(tmp_path: Path) -> None:
    names = [("Käse/0.png".encode("cp437"), b""), (b"x/1.png", b"")]
    assert pictures(raw_zip(tmp_path / "p.zip", names)) == ("Käse/0.png", "x/1.png")


def test_the_second_byte_of_a_character_separates_no_folders(tmp_path: Path) -> None:
    names = [("表/0.png".encode("shift_jis"), b""), (b"x/1.png", b"")]
    found = pictures(raw_zip(tmp_path / "p.zip", names))
    assert len(found) == 2
    assert all(name.count("/") == 1 for name in found)


def test_backslashes_separate_folders(tmp_path: Path) -> None:
    names = [(b"cat\\0.png", b""), (b"dog\\1.png", b"")]
    assert pictures(raw_zip(tmp_path / "p.zip", names)) == ("cat/0.png", "dog/1.png")


def test_a_dot_is_no_hidden_folder(tmp_path: Path) -> None:
    names = [(b"./cat/0.png", b""), (b"./dog//1.png", b"")]
    assert pictures(raw_zip(tmp_path / "p.zip", names)) == ("cat/0.png", "dog/1.png")


@pytest.mark.parametrize("place", [put, put_beside])
def test_both_forms_of_a_name_are_one_folder(tmp_path: Path, place: Put) -> None:
    files = {unicodedata.normalize(f, f"café/{f}.png"): PNG for f in FORMS}
    assert pictures(place(tmp_path / "p", files)) == ("café/NFC.png", "café/NFD.png")


@pytest.mark.parametrize("place", [put, put_beside])
def test_files_of_one_name_are_read_or_named(tmp_path: Path, place: Put) -> None:
    files = {unicodedata.normalize(f, "é.png"): PNG for f in FORMS} | {"a.png": PNG}
    path = place(tmp_path / "p", files)
    assert pictures(path) == ("a.png", "é.png")
    assert list(left_out(path)) == ["é.png (2)"]


def test_entries_of_one_name_are_counted_and_named(tmp_path: Path) -> None:
    names = [(b"a.png", b"")] * 3 + [(b"a.png (3)", b""), (b"b.png", b"")]
    path = raw_zip(tmp_path / "p.zip", names)
    assert pictures(path) == ("a.png", "a.png (3)", "b.png")
    assert len(left_out(path)) == 2
    assert all(name.startswith("a.png (") for name in left_out(path))


def test_a_name_with_a_zero_byte_is_named_and_a_long_one_read(tmp_path: Path) -> None:
    long = b"a" * 60_000 + b".png"
    path = raw_zip(tmp_path / "p.zip", [(b"a\0.png", b""), (long, b"")])
    assert pictures(path) == (long.decode(),)
    assert list(left_out(path)) == ["a\\0.png"]


def test_the_unicode_path_cannot_point_outside(tmp_path: Path) -> None:
    names = [(b"a.png", unicode_path(b"a.png", "../evil.png"))]
    with (
        pytest.raises(DatasetError, match=r"evil.*points outside"),
        open_image_files(raw_zip(tmp_path / "p.zip", names)),
    ):
        pass


def test_a_name_on_disk_that_is_no_utf_8_can_be_written(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/K\xe4se.png")).write_bytes(PNG)
    except OSError:
        pytest.skip("names are Unicode on this disk")
    assert pictures(tmp_path) == ("Käse.png",)
    with open_image_files(tmp_path) as files:
        assert files.read("Käse.png") == PNG


# Links, and what cannot be read


def test_links_are_followed_once_and_never_round_in_circles(tmp_path: Path) -> None:
    root = put(tmp_path / "pets", {"cat/0.png": PNG, "dog/1.png": PNG, ".store/owl/5.png": PNG})
    put(tmp_path / "birds", {"2.png": PNG, "deep/3.png": PNG})
    links = {
        "bird": tmp_path / "birds",
        "owl": Path(".store/owl"),
        "again": root / "dog",
        "self": root / "self",
        "loop": root,
        "up": tmp_path,
        "cat/back": root / "cat",
        "gone": tmp_path / "nowhere",
        "one.png": root / "cat/0.png",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert pictures(root) == (
        "bird/2.png",
        "bird/deep/3.png",
        "cat/0.png",
        "dog/1.png",
        "one.png",
        "owl/5.png",
    )
    assert left_out(root).keys() == {"again", "self", "loop", "up", "cat/back", "gone"}


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    put(tmp_path, {"a.png": PNG})
    assert pictures(tmp_path) == ("a.png",)
    assert list(left_out(tmp_path)) == ["pipe.png"]


def test_a_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = put(tmp_path / "p", {"a/0.png": PNG, "b/1.png": PNG, "c/2.png": PNG})
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert pictures(root) == ("a/0.png", "c/2.png")
    assert "Permission denied" in left_out(root)["b"]
    monkeypatch.setattr(os, "scandir", lambda _path: refuse("b"))
    with pytest.raises(DatasetError, match="Permission denied"), open_image_files(root):
        pass


def test_a_file_that_vanishes_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path, {"a.png": PNG, "b.png": PNG})
    with open_image_files(tmp_path) as files:
        (tmp_path / "a.png").unlink()
        for name in ("a.png", "never"):
            with pytest.raises(ImageError):
                files.read(name)
        assert files.read("b.png") == PNG


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "p.zip", [(b"a.png", b""), (b"README", b"")], flags=1)
    with open_image_files(path) as files:
        assert "encrypted" in files.left_out["README"]
        with pytest.raises(ImageError, match="encrypted"):
            files.read("a.png")


@pytest.mark.parametrize("name", ["a\0b", "a" * 5_000])
def test_a_path_that_cannot_be_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError), open_image_files(tmp_path / name):
        pass


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="is a link"), open_image_files(tmp_path / "p.zip"):
        pass


# The digest


FILES = {"cat/0.png": PNG, "dog/1.png": PNG, "labels.csv": b"0.png,a\n1.png,b\n", "README": b"x"}
CHANGES = {
    "another image": {"dog/2.png": PNG},
    "another content": {"cat/0.png": encoded("JPEG")},
    "another table": {"labels.csv": b"0.png,b\n1.png,a\n"},
}


@pytest.mark.parametrize("place", [put, put_beside])
@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_changes_with_the_images_and_tables(tmp_path: Path, place: Put, change: str):
    path = place(tmp_path / "p", FILES)
    before = digest(path)
    kept = {} if place is put else FILES  # in a folder, the others keep their times
    assert digest(place(tmp_path / "p", kept | {"README": b"other"})) == before
    assert digest(place(tmp_path / "p", kept | CHANGES[change])) != before


def test_the_digest_changes_with_names_and_times(tmp_path: Path) -> None:
    path = put(tmp_path / "p", FILES)
    before = digest(path)
    (path / "dog").rename(path / "cow")
    renamed = digest(path)
    assert renamed != before
    os.utime(path / "cow/1.png", ns=(1, 1))
    assert digest(path) not in (before, renamed)


def test_the_digest_reads_no_image(tmp_path: Path) -> None:
    path = put(tmp_path / "p", FILES)
    with open_image_files(path) as files:
        for name in files.pictures:
            (path / name).unlink()
        assert len(files.digest) == 16
