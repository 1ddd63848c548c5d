"""Image files of a folder or a zip archive, by relative name, read one at a time."""

from __future__ import annotations

import itertools
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vae_explorer.errors import DatasetError, ImageError

_KINDS = "jpg jpeg jfif png webp bmp gif tif tiff ppm pgm heic heif avif"
IMAGE_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())
MAX_FILE_BYTES = 256 * 2**20
_PIECE = 2**20
_TOO_LARGE = f"larger than {MAX_FILE_BYTES // 2**20} MB"


@dataclass(frozen=True)
class ImageFiles:
    """An open folder or zip.

    Attributes
    ----------
    names : tuple of str
        Files by relative path with forward slashes, sorted; hidden ones are left out. A folder
        that wraps everything in a zip is left out of the names.
    read : callable (name) -> bytes
        Raises `ImageError` for what cannot be read.
    unpacked_bytes : int
        Of all entries of a zip, as they declare it; 0 for a folder. No more than that comes out.
    """

    names: tuple[str, ...]
    read: Callable[[str], bytes]
    unpacked_bytes: int = 0

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names that end as images do."""
        return tuple(n for n in self.names if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES)


@contextmanager
def open_image_files(path: Path) -> Iterator[ImageFiles]:
    """Open a folder or a zip of images. Nothing is ever unpacked to disk.

    Raises
    ------
    DatasetError
        If `path` is neither, or a zip with an entry that is a link or points outside it.
    """
    if path.is_dir():
        yield _open_folder(path)
        return
    if not path.exists():
        raise DatasetError(f"{path} does not exist: name a folder or a zip of pictures.")
    try:
        archive = zipfile.ZipFile(path)
    # NotImplementedError, UnicodeDecodeError: a kind of zip, a name, that Python cannot read.
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} is neither a folder nor a zip that can be read ({error}): unpack it, or zip "
            "the pictures again."
        ) from error
    with archive:
        yield _open_zip(path, archive)


def _open_folder(folder: Path) -> ImageFiles:
    files = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in files)

    def read(name: str) -> bytes:
        try:
            if (folder / name).stat().st_size > MAX_FILE_BYTES:
                raise ImageError(_TOO_LARGE)
            return (folder / name).read_bytes()
        except OSError as error:
            raise ImageError(str(error)) from error

    return ImageFiles(tuple(sorted(name for name in names if not _is_hidden(name))), read)


def _open_zip(path: Path, archive: zipfile.ZipFile) -> ImageFiles:
    entries = {}
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        if _points_outside(name) or stat.S_ISLNK(entry.external_attr >> 16):
            raise DatasetError(
                f"{path} is refused: its entry {entry.filename!r} is a link or points outside "
                "the archive. Zip the pictures again without it."
            )
        if not entry.is_dir() and not _is_hidden(name):
            entries[name] = entry
    wrapper = _common_folder(list(entries))
    entries = {name[len(wrapper) :]: entry for name, entry in entries.items()}

    def read(name: str) -> bytes:
        if entries[name].file_size > MAX_FILE_BYTES:
            raise ImageError(_TOO_LARGE)
        if entries[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ImageError("it is packed in a way that is not read here")
        try:
            with archive.open(entries[name]) as file:
                # In pieces: what an entry unpacks to may be far more than it declares, of which
                # no more than this is unpacked at once before that comes out. (Of the other
                # ways of packing, Python unpacks all at once.)
                return b"".join(iter(lambda: file.read(_PIECE), b""))
        # RuntimeError: a password; NotImplementedError, its subclass: an unknown compression.
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise ImageError(str(error)) from error

    declared = sum(entry.file_size for entry in archive.infolist())
    return ImageFiles(tuple(sorted(entries)), read, declared)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _points_outside(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/") or bool(re.match(r"[A-Za-z]:/", name))


def _common_folder(names: list[str]) -> str:
    """The folders that all names share, a slash after each."""
    parents = {PurePosixPath(name).parent.parts for name in names}
    shared = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*parents, strict=False))
    return "".join(f"{parts[0]}/" for parts in shared)
