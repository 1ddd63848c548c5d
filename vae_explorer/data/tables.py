"""Tables as spreadsheets and people save them, and the images that their rows name."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np

from vae_explorer.data.files import ImageFiles
from vae_explorer.errors import DatasetError

SEPARATORS = (",", ";", "\t")
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins like that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PIECE = 2**20
_SAMPLE = 2**16  # characters by which the separator is found
_SAMPLE_ROWS = 100
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?\s*', re.IGNORECASE)  # Excel's
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

T = TypeVar("T", str, np.ndarray)


class Row(NamedTuple):
    """One row that is not empty."""

    line: int
    """Where it begins in the file, from 1."""
    cells: list[str]
    """Without spaces around them, in Unicode's form NFC; empty ones at the end are left out."""


@dataclass(frozen=True)
class Table:
    """An open table."""

    name: str
    """For messages."""
    separator: str
    rows: Iterator[Row]
    """Read as they are asked for; raises `DatasetError` where the file is not as it should be."""


def open_table(name: str, file: BinaryIO, is_expected: Callable[[list[str]], bool]) -> Table:
    """Open a table: comma, semicolon or tab; UTF-8, or what its first bytes say; any line ends.

    Parameters
    ----------
    name : str
        For messages.
    file : binary file
        Can be sought in, and stays open while rows are read. No more than a part of it is in
        memory.
    is_expected : callable (cells)
        Whether a row looks like one of this table: the separator is the one that gives most such
        rows.

    Raises
    ------
    DatasetError
        If it is no text in these encodings, naming the line.
    """
    encoding = _find_encoding(name, file)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, newline="")
    sample = text.read(_SAMPLE)
    text.seek(0)
    told = _SEPARATOR_LINE.match(sample)
    if told and (told.end() == len(sample) or sample[told.end() - 1] in "\r\n"):
        next(text)
        return Table(name, told[1], _read_rows(name, text, told[1], lines_before=1))
    separator = max(SEPARATORS, key=lambda each: _rate(sample, each, is_expected))
    return Table(name, separator, _read_rows(name, text, separator))


def read_table(name: str, data: bytes, is_expected: Callable[[list[str]], bool]) -> list[Row]:
    """Read a whole table from memory, as `open_table` does."""
    return list(open_table(name, io.BytesIO(data), is_expected).rows)


def parse_number(text: str) -> float:
    """Parse a number with a decimal point or comma; neither separates thousands.

    Raises
    ------
    ValueError
        If it is none. "nan" and "inf" are numbers here.
    """
    text = text.replace("\N{MINUS SIGN}", "-")
    if text.lstrip("+-").lower() in ("nan", "inf"):
        return float(text)
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    return float(text.replace(",", "."))


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Sort labels: by value where all of them are numbers, else by letters."""
    labels = sorted(labels)
    if all(_NUMBER.fullmatch(label.replace("\N{MINUS SIGN}", "-")) for label in labels):
        labels.sort(key=parse_number)
    return labels


def collect(name: str, rows: Iterable[tuple[int, str, T]]) -> dict[str, T]:
    """Gather (line, key, value) by key.

    Raises
    ------
    DatasetError
        If two rows give one key different values, naming both lines.
    """
    found: dict[str, tuple[int, T]] = {}
    for line, key, value in rows:
        before, known = found.setdefault(key, (line, value))
        if known is not value and not np.array_equal(known, value):
            said = f": {known!r} and {value!r}" if isinstance(value, str) else ""
            raise DatasetError(
                f"{name}: lines {before} and {line} contradict each other about {key}{said}. "
                "Keep the right one."
            )
    return {key: value for key, (_, value) in found.items()}


class ImageNames:
    r"""The images that the rows of a table may name, in whatever form people write paths.

    A row names an image by its path, below the folder of all images or from the top, or by the
    end of that path, such as its bare name. Backslashes, ``./`` and another case are understood.
    If none of a table's rows does so, all of them may begin with the same further folders, such
    as ``C:\Users\me\pets``.
    """

    def __init__(self, image_files: ImageFiles) -> None:
        self._images = image_files.pictures
        self._wrapper = image_files.wrapper
        self._exact = _Index(self._images, self._wrapper, str)
        self._folded: _Index | None = None

    def is_named(self, cell: str) -> bool:
        """Whether a cell names an image, in any of these ways."""
        path = _tidy_path(cell)
        return any(
            index.whole(path) or index.by_tail(path) or index.below(path)
            for index in self._indices()
        )

    def match(self, name: str, rows: Sequence[tuple[int, str, T]]) -> dict[str, T]:
        """Find the value of each image in rows of (line, path, value).

        Rows that name no image here are passed over.

        Raises
        ------
        DatasetError
            If a row may mean several images, two rows contradict each other, or an image has no
            row; naming the lines.
        """
        paths = [_tidy_path(path) for _, path, _ in rows]
        found = [self._find(path) for path in paths]
        if not any(is_whole for is_whole, _ in found):
            found = self._find_below(paths, found)
        for (_, text, _), path, (_, images) in zip(rows, paths, found, strict=True):
            if len(images) > 1:
                lines = [r[0] for r, each in zip(rows, paths, strict=True) if each == path]
                raise DatasetError(
                    f"{name}, {_name_lines(lines)}: {text} may be {images[0]} or {images[1]}. "
                    "Write the folder too."
                )
        table = collect(
            name,
            [(r[0], images[0], r[2]) for r, (_, images) in zip(rows, found, strict=True) if images],
        )
        if missing := [image for image in self._images if image not in table]:
            strange = [r for r, (_, images) in zip(rows, found, strict=True) if not images]
            hint = (
                f" (Line {strange[0][0]} names {strange[0][1]!r}, which is not here.)"
                if strange
                else ""
            )
            raise DatasetError(f"{say_missing(name, missing)}{hint}")
        return table

    def _indices(self) -> Iterator[_Index]:
        yield self._exact
        if self._folded is None:  # made when it is needed: most tables need none
            self._folded = _Index(self._images, self._wrapper, str.casefold)
        yield self._folded

    def _find(self, path: str) -> tuple[bool, Sequence[str]]:
        """Return whether a path is a whole one, and the images that it may mean."""
        for index in self._indices():
            if images := index.whole(path):
                return True, images
            if images := index.by_tail(path):
                return False, images
        return False, ()

    def _find_below(
        self, paths: Sequence[str], found: list[tuple[bool, Sequence[str]]]
    ) -> list[tuple[bool, Sequence[str]]]:
        """Find images whose whole path is the end of a row's, below the same folder each."""
        below = [
            next(filter(None, (index.below(path) for index in self._indices())), None)
            if not images
            else None
            for path, (_, images) in zip(paths, found, strict=True)
        ]
        if len({folder.casefold() for folder, _ in filter(None, below)}) != 1:
            return found
        return [
            each if further is None else (True, further[1])
            for each, further in zip(found, below, strict=True)
        ]


class _Index:
    """Images by their whole paths, and by the ends of them."""

    def __init__(self, images: Sequence[str], wrapper: str, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._names: defaultdict[str, list[str]] = defaultdict(list)
        self._paths: defaultdict[str, list[str]] = defaultdict(list)
        self._tails: defaultdict[str, list[str]] = defaultdict(list)
        for image in images:
            self._names[fold(image)].append(image)
            path = fold(wrapper + image)
            if wrapper:
                self._paths[path].append(image)
            while "/" in path:
                path = path.partition("/")[2]
                self._tails[path].append(image)

    def whole(self, path: str) -> Sequence[str]:
        """Return the images of this path below the folder of all images, or from the top."""
        path = self._fold(path)
        return self._names.get(path) or self._paths.get(path) or ()

    def by_tail(self, path: str) -> Sequence[str]:
        """Return the images whose path ends like this."""
        return self._tails.get(self._fold(path), ())

    def below(self, path: str) -> tuple[str, Sequence[str]] | None:
        """Return the images whose whole path is the end of this one, and what comes before."""
        before, rest = "", self._fold(path)
        while "/" in rest:
            folder, _, rest = rest.partition("/")
            before += f"{folder}/"
            if rest in self._names:
                return before, self._names[rest]
        return None


def say_missing(name: str, missing: Sequence[str]) -> str:
    """Say that a table has no row for some images."""
    return (
        f"{name} has no row for {len(missing)} images ({', '.join(missing[:3])} ...): add "
        "the rows, or remove the images."
    )


def _name_lines(lines: Sequence[int]) -> str:
    if len(lines) == 1:
        return f"line {lines[0]}"
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    *first, last = [str(line) for line in lines[:3]]
    return f"lines {', '.join(first)}{', ' if more else ' and '}{last}{more}"


def _tidy_path(text: str) -> str:
    parts = text.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _find_encoding(name: str, file: BinaryIO) -> str:
    """Return the encoding, once all of the file is known to be text in it."""
    file.seek(0)
    head = file.read(4)
    encoding = next((each for bom, each in _BOMS.items() if head.startswith(bom)), "utf-8")
    # UTF-16 without its mark, or a table of another encoding, could only be guessed.
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    file.seek(0)
    line, piece = 1, b"-"
    while piece:
        piece = file.read(_PIECE)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            raise _no_text(
                name, line + before.count(b"\n"), f"is not {encoding.removesuffix('-sig').upper()}"
            ) from error
        if "\0" in text:
            raise _no_text(
                name, line + text[: text.index("\0")].count("\n"), "contains a zero byte"
            )
        line += text.count("\n")
    return encoding


def _no_text(name: str, line: int, found: str) -> DatasetError:
    return DatasetError(
        f"{name} cannot be read (line {line} {found}). Save it as UTF-8, or remove it."
    )


def _rate(sample: str, separator: str, is_expected: Callable[[list[str]], bool]) -> tuple[int, int]:
    """Rate a separator: by the rows that look as they should, then by the cells of the first."""
    rows = []
    try:
        for row in itertools.islice(
            _read_rows("", io.StringIO(sample, newline=""), separator), _SAMPLE_ROWS
        ):
            rows.append(row.cells)
    except DatasetError:  # it is named where the rows are used, or the sample ends within quotes
        pass
    return sum(map(is_expected, rows)), len(rows[0]) if rows else 0


def _read_rows(
    name: str, text: Iterable[str], separator: str, lines_before: int = 0
) -> Iterator[Row]:
    reader = csv.reader(
        _tidy_lines(text, separator), delimiter=separator, skipinitialspace=True, strict=True
    )
    while True:
        line = lines_before + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DatasetError(
                f"{name}, line {line}: this row cannot be read ({error}). Check that every "
                "quotation mark is closed."
            ) from error
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield Row(line, cells)


def _tidy_lines(text: Iterable[str], separator: str) -> Iterator[str]:
    """Normalise the letters, and take away spaces behind closing quotation marks."""
    spaces = re.compile(rf'(?<!")" +(?=[{separator}\r\n]|$)')
    for line in text:
        tidy = spaces.sub('"', line) if '"' in line else line
        yield tidy if tidy.isascii() else unicodedata.normalize("NFC", tidy)
