"""Tables as people save them, and the images that their rows name."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_explorer.data import DatasetError
from vae_explorer.data.base import Source
from vae_explorer.data.folder import read_folder
from vae_explorer.data.tables import parse_number, read_table, sort_labels

WANTED = {"cat/Käse.png": "gut", "cat/b.png": "Straße", "dog/c.png": "gut", "dog/d.png": "a,b;c"}


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "PNG")
    return file.getvalue()


PNG = png()


def source(
    folder: Path,
    table: bytes | str,
    name: str = "labels.csv",
    images: Mapping[str, object] = WANTED,
) -> Source:
    """Read a zip of images with a table."""
    data = table.encode() if isinstance(table, str) else table
    with zipfile.ZipFile(folder / "pets.zip", "w") as archive:
        for image in images:
            archive.writestr(image, PNG)
        archive.writestr(name, data)
    return read_folder(folder, 8, folder / "pets.zip")


def labels(found: Source) -> dict[str, str]:
    return {each.name: found.label_names[each.label or 0] for each in found.records}


def attributes(found: Source) -> list[list[int]]:
    return [np.asarray(each.attributes, int).tolist() for each in found.records]


def write(separator: str = ",", end: str = "\n", head: bool = True, quote: bool = False) -> str:
    rows = [("file", "label")] * head + list(WANTED.items())

    def cell(text: str) -> str:
        return f'"{text}"' if quote or separator in text else text

    return end.join(separator.join(map(cell, row)) for row in rows) + end


# Forms of one table


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("head", [True, False])
def test_a_table_is_read_as_spreadsheets_save_it(tmp_path: Path, separator, end, encoding, head):
    for quote in (True, False):
        table = write(separator, end, head, quote).encode(encoding)
        assert labels(source(tmp_path, table)) == WANTED


def spaced(text: str) -> str:
    lines = text.splitlines()
    return "\n \n" + "\n".join(f"  {line.replace(';', ' ; ')}  \n;\n" for line in lines)


FORMS = {
    "decomposed": unicodedata.normalize("NFD", write()),
    "spaces and empty rows": spaced(write(";", quote=True).replace("a,b ; c", "a,b;c")).replace(
        "a,b ; c", "a,b;c"
    ),
    "empty columns": write(quote=True).replace("\n", ",,\n"),
    "Excel's first line": "sep=;\n" + write(";"),
    "Windows paths": write().replace("/", "\\"),
    "dots": write().replace("cat/", "./cat/").replace("dog/", ".\\dog\\"),
    "another case": write().replace("cat/", "CAT/").replace(".png", ".PNG"),
    "bare names": write().replace("cat/", "").replace("dog/", ""),
    "absolute paths": write()
    .replace("cat/", "C:\\me\\pets\\cat\\")
    .replace("dog", "c:/me/pets/dog"),
    "absolute, without a head": write(head=False)
    .replace("cat/", "/x/cat/")
    .replace("dog", "/x/dog"),
    "two equal rows": write() + "cat/b.png,Straße\n./cat/b.png,Straße\n",
    "rows of others": write() + "elsewhere.png,x\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_unambiguous_is_accepted(tmp_path: Path, form: str) -> None:
    assert labels(source(tmp_path, FORMS[form])) == WANTED


def test_a_quoted_cell_may_go_over_lines_and_later_lines_are_still_named(tmp_path: Path) -> None:
    table = 'file,label\na.png,"one\nlabel"\nb.png,two\n'
    images = dict.fromkeys(("a.png", "b.png"))
    assert labels(source(tmp_path, table, images=images))["a.png"] == "one\nlabel"
    with pytest.raises(DatasetError, match="line 5"):
        source(tmp_path, f"{table}b.png\n", images=images)


@pytest.mark.parametrize("wrapper", ["", "pets/"])
@pytest.mark.parametrize("place", ["", "pets/"])
@pytest.mark.parametrize("prefix", ["", "pets/"])
def test_rows_may_begin_at_the_top_or_at_the_images(tmp_path: Path, wrapper, place, prefix):
    images = {f"{wrapper}{name}": None for name in WANTED}
    table = write().replace("cat/", f"{prefix}cat/").replace("dog/", f"{prefix}dog/")
    place = place if wrapper else ""
    assert labels(source(tmp_path, table, f"{place}labels.csv", images)) == WANTED


def test_a_path_is_preferred_to_the_end_of_one(tmp_path: Path) -> None:
    images = dict.fromkeys(("a/0.png", "0.png"))
    found = labels(source(tmp_path, "0.png,top\na/0.png,below\n", images=images))
    assert found == {"0.png": "top", "a/0.png": "below"}


# What is refused, with its lines


PAIR = dict.fromkeys(("a/0.png", "b/0.png"))
FLAT = dict.fromkeys(("0.png", "1.png"))
REFUSED = {
    "ambiguous names": (PAIR, "file,label\n0.png,cat\n\n0.png,dog\n", "lines 2 and 4.*a/0.png or"),
    "one ambiguous name": (PAIR, "file,label\n0.png,cat\n", "line 2.*a/0.png or b/0.png"),
    "ambiguous beside a path": (PAIR, "a/0.png,cat\n0.png,dog\n", "line 2.*a/0.png or b/0.png"),
    "ambiguous in case": (
        dict.fromkeys(("A.png", "a.png")),
        "f,l\nA.png,x\na.png,y\na.PNG,z",
        "line 4.*A.png or a.png",
    ),
    "conflict": (FLAT, "file,label\n0.png,cat\n1.png,cat\n0.png,dog\n", "lines 2 and 4 contradict"),
    "conflict in other forms": (FLAT, "0.png,cat\n1.png,cat\n.\\0.PNG,dog\n", "lines 1 and 3"),
    "paths elsewhere": (FLAT, "x/0.png,cat\ny/1.png,dog\n", "no row for 2"),
    "rows elsewhere": (FLAT, "0.png,cat\nx/1.png,dog\n", "no row for 1 .*Line 2 names 'x/1.png'"),
    "no label": (
        FLAT,
        "file,label\n0.png,\n1.png,dog\n",
        "line 2.*'0.png' is not.*column 2 is empty",
    ),
    "no name": (FLAT, "file,label\n,cat\n", "line 2.*column 1 is empty"),
    "more columns": (FLAT, "file;label\n0.png;cat;x\n", "line 2.*column 3 holds 'x'"),
    "an open quote": (FLAT, 'file,label\n0.png,"cat\n1.png,dog\n', "line 2.*quotation mark"),
    "Latin-1": (FLAT, "file,label\n0.png,Käse\n".encode("latin-1"), "line 2.*Save it as UTF-8"),
    "UTF-16 unmarked": (FLAT, "0.png,a\n1.png,b".encode("utf-16-le"), "line 1.*Save it as UTF-8"),
    "empty": (FLAT, " \n;\n", "is empty"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_ambiguous_is_refused_with_its_lines(tmp_path: Path, fault: str) -> None:
    images, table, message = REFUSED[fault]
    with pytest.raises(DatasetError, match=message) as error:
        source(tmp_path, table, images=images)
    assert str(error.value).startswith("labels.csv")


def test_two_tables_of_one_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("0.png,a\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.png").write_bytes(PNG)
    (tmp_path / "in/labels.csv").write_text("0.png,b\n")
    with pytest.raises(DatasetError, match=r"in/labels.csv and labels.csv"):
        read_folder(tmp_path, 8, tmp_path)


# Attributes


@pytest.mark.parametrize(
    "table",
    [
        "file,tall,red\n0.png,1,0\n1.png,-1,1\n",
        "\ufefffile;tall;red;\r\n.\\0.png;TRUE;False;\r\n;;;\r\n1.PNG;no;yes\r\n",
        "file\ttall\tred\n 0.png \t 1.0\t0.0\n1.png\t-1.0\t1.0\n0.png\t1\t-1\n",
    ],
)
def test_attributes_are_read_in_any_form(tmp_path: Path, table: str) -> None:
    found = source(tmp_path, table, "attributes.csv", FLAT)
    assert found.attribute_names == ("tall", "red")
    assert attributes(found) == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("images", "table", "message"),
    [
        (FLAT, "file,tall\n0.png,1\n1.png,2\n", r"line 3: column 2 \(tall\) holds '2'"),
        (FLAT, "file,a,b\n0.png,1,1\n1.png,1\n", r"line 3.*column 3 \(b\) is empty"),
        (FLAT, "file,a,b\n0.png,,1\n", r"line 2: column 2 \(a\) holds ''"),
        (FLAT, "0.png,1\n1.png,1\n", "line 1.*header"),
        (FLAT, "file,a,a\n0.png,1,1\n1.png,1,1\n", "line 1: column 3 repeats 'a'"),
        (FLAT, "file,,a\n0.png,1,1\n1.png,1,1\n", "line 1: column 2 has no name"),
        (FLAT, "file,a\n0.png,1\n1.png,1\n0.png,0\n", "lines 2 and 4 contradict"),
        (PAIR, "file,a\n0.png,1\n0.png,1\n", "lines 2 and 3.*a/0.png or b/0.png"),
    ],
)
def test_attributes_that_are_wrong_say_where(tmp_path: Path, images, table: str, message: str):
    with pytest.raises(DatasetError, match=message):
        source(tmp_path, table, "attributes.csv", images)


# Numbers


def test_labels_that_are_numbers_sort_as_numbers() -> None:
    assert sort_labels(["10", "9", "-1", "2.5", "2", "-10", "0,5"]) == [
        "-10",
        "-1",
        "0,5",
        "2",
        "2.5",
        "9",
        "10",
    ]
    assert sort_labels(["10", "9", "x"]) == ["10", "9", "x"]
    assert sort_labels(["nan", "1"]) == ["1", "nan"]


def test_folders_that_are_numbers_sort_as_numbers(tmp_path: Path) -> None:
    images = {f"{n}/{n}.png": None for n in (10, 9, 0)}
    found = source(tmp_path, "", "notes.txt", images)
    assert found.label_names == ("0", "9", "10")
    assert labels(found) == {"0/0.png": "0", "9/9.png": "9", "10/10.png": "10"}


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), ("-0,5", -0.5), ("−1,5e-3", -0.0015), (",5", 0.5), ("7", 7)]
)
def test_a_number_may_have_a_decimal_comma(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["", "two", "1.234,5", "1,234.5", "1,2,3", "1_0", "1 2"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        parse_number(text)


def test_the_separator_is_that_of_most_rows_that_look_right() -> None:
    rows = read_table("t", b"a,b.png;x,y\nc,d.png;z\n", lambda cells: cells[0].endswith(".png"))
    assert [row.cells for row in rows] == [["a,b.png", "x,y"], ["c,d.png", "z"]]
