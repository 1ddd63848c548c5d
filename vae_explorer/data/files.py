"""Image files of a folder or a zip archive, by relative name, read one at a time."""

from __future__ import annotations

import hashlib
import itertools
import os
import posixpath
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vae_explorer.data.formats import HEAD_BYTES, IMAGE_SUFFIXES, is_image_head
from vae_explorer.errors import DatasetError, ImageError

ATTRIBUTES_FILE = "attributes.csv"
LABELS_FILE = "labels.csv"
MAX_FILE_BYTES = 256 * 2**20
_PIECE = 2**20
_TOO_LARGE = f"larger than {MAX_FILE_BYTES // 2**20} MB"
_GONE = "it no longer exists"
_UTF8_FLAG = 0x800
_ENCRYPTED_FLAG = 0x1
_UNICODE_PATH = 0x7075  # Info-ZIP's extra field


@dataclass(frozen=True)
class ImageFiles:
    """An open folder or zip.

    Names are relative paths with forward slashes, in Unicode's form NFC. Hidden files are not
    listed. If all images lie in one folder, that folder is not part of their names: a folder or
    zip that wraps another folder gives the same names as that folder itself.
    """

    pictures: tuple[str, ...]
    """The images, sorted: files that end as images do, and those of other or no endings whose
    first bytes are an image's."""
    tables: Mapping[str, tuple[str, ...]]
    """By `LABELS_FILE` and `ATTRIBUTES_FILE`, in any case: the files of that name at the top, in
    the folder of the images, or between them."""
    left_out: Mapping[str, str]
    """Why each of the other files is not used."""
    wrapper: str
    """The folders that all images share, a slash after each; empty if there are none."""
    unpacked_bytes: int
    """Of all entries of a zip, as they declare it; 0 for a folder. No more than that comes out."""
    _listing: _Listing = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All files, sorted."""
        tables = itertools.chain.from_iterable(self.tables.values())
        return tuple(sorted({*self.pictures, *tables, *self.left_out}))

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that change if the images or the tables do.

        Of the names, sizes and modification times of the images (in a zip: names, sizes and
        check sums), and the content of the tables. No image is read.
        """
        parts = hashlib.sha256()
        for name in self.pictures:
            parts.update(repr((name, *self._listing.stamps[self.wrapper + name])).encode())
        for name in itertools.chain.from_iterable(self.tables.values()):
            try:
                content = self.read(name)
            except ImageError as error:
                content = str(error).encode()
            parts.update(repr((name, len(content))).encode() + content)
        return parts.hexdigest()[:16]

    def read(self, name: str) -> bytes:
        """Read one file.

        Parameters
        ----------
        name : str
            One of `pictures` or `tables`.

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        stamps = self._listing.stamps
        full = self.wrapper + name
        if full not in stamps:
            full = name
        if full not in stamps:
            raise ImageError(_GONE)
        if stamps[full][0] > MAX_FILE_BYTES:
            raise ImageError(_TOO_LARGE)
        return self._listing.read(full, None)


@dataclass(frozen=True)
class _Listing:
    """What lies in a folder or zip, before it is known what of it are images."""

    read: Callable[[str, int | None], bytes]
    """Returns the first bytes of a file, or all; raises `ImageError`."""
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size in bytes, and modification time in ns or check sum, by name."""
    left_out: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    """The folder of a file as it is written, where that is not in form NFC."""
    _copies: Counter[str] = field(default_factory=Counter)

    def add(self, written: str, size: int, stamp: int) -> str | None:
        """Add a file, unless there is one of that name; return its name in form NFC."""
        name = unicodedata.normalize("NFC", written)
        if name in self.stamps:
            self.leave_out(name, "another file has the same name")
            return None
        self.stamps[name] = (size, stamp)
        if name != written:
            self.folders[name] = posixpath.dirname(written)
        return name

    def leave_out(self, name: str, reason: str) -> None:
        """Name a file that is not used; numbers tell those of one name apart."""
        free = name = unicodedata.normalize("NFC", name)
        while free in self.stamps or free in self.left_out:
            # Counted: a zip may hold one name a hundred thousand times.
            self._copies[name] += 1
            free = f"{name} ({self._copies[name] + 1})"
        self.left_out[free] = reason


@contextmanager
def open_image_files(path: Path) -> Iterator[ImageFiles]:
    """Open a folder or a zip of images. Nothing is ever unpacked to disk.

    Parameters
    ----------
    path : Path
        Links in a folder are followed, also out of it; each folder is read once.

    Raises
    ------
    DatasetError
        If `path` is neither, or a zip with an entry that is a link or points outside it.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} does not exist. Choose a folder or a zip file of images."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DatasetError(f"{path} cannot be read ({_reason(error)}).") from error
    if is_folder:
        yield _sort_out(_list_folder(path))
        return
    try:
        archive = zipfile.ZipFile(path)
    # NotImplementedError, UnicodeDecodeError: a kind of zip, a name, that Python cannot read.
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} is neither a folder nor a readable zip file ({error}). Unpack it, or zip "
            "the images again."
        ) from error
    with archive:
        declared = sum(entry.file_size for entry in archive.infolist())
        yield _sort_out(_list_zip(path, archive), declared)


def _sort_out(listing: _Listing, unpacked_bytes: int = 0) -> ImageFiles:
    """Tell images, tables and other files apart."""
    images, others, left_out = [], [], dict(listing.left_out)
    for name in sorted(listing.stamps):
        if posixpath.splitext(name)[1].strip().lower() in IMAGE_SUFFIXES:
            images.append(name)
        elif posixpath.basename(name).casefold() in (LABELS_FILE, ATTRIBUTES_FILE):
            others.append(name)
        else:
            try:
                is_image = is_image_head(listing.read(name, HEAD_BYTES))
            except ImageError as error:
                left_out[name] = str(error)
                continue
            if is_image:
                images.append(name)
            else:
                left_out[name] = "not a supported image format"
    # Folders whose names differ in their form are classes that become one, and wrap nothing.
    folders = {listing.folders.get(name) or posixpath.dirname(name) for name in images}
    wrapper = unicodedata.normalize("NFC", _common_folder(folders))
    tables: dict[str, tuple[str, ...]] = {LABELS_FILE: (), ATTRIBUTES_FILE: ()}
    for name in others:
        if wrapper.startswith(name[: name.rfind("/") + 1]):
            tables[posixpath.basename(name).casefold()] += (name,)
        else:
            left_out[name] = "tables are only read at the top, or in the folder of all images"
    for kind, names in tables.items():
        if len(names) == 1:  # else the folders tell them apart
            tables[kind] = (names[0].removeprefix(wrapper),)
    return ImageFiles(
        pictures=tuple(name[len(wrapper) :] for name in images),
        tables=tables,
        left_out=dict(sorted(left_out.items())),
        wrapper=wrapper,
        unpacked_bytes=unpacked_bytes,
        _listing=listing,
    )


def _list_folder(root: Path) -> _Listing:
    paths: dict[str, str] = {}

    def read(name: str, limit: int | None) -> bytes:
        try:
            with open(paths[name], "rb") as file:  # noqa: PTH123 - a Path each costs memory
                return file.read(-1 if limit is None else limit)
        except OSError as error:
            raise ImageError(_reason(error)) from error

    listing = _Listing(read)
    read_already: dict[tuple[int, int], str] = {}  # by device and inode
    top = root.resolve()
    # Links come after all real folders, so that these keep their own names.
    links = deque([(str(root), "")])
    while links:
        path, name = links.popleft()
        if name and top.is_relative_to(Path(path).resolve()):
            listing.leave_out(name, "a link to a folder that contains this one")
            continue
        folders = [(path, name)]
        while folders:
            path, name = folders.pop()
            try:
                found = os.stat(path)  # noqa: PTH116
                same = read_already.setdefault((found.st_dev, found.st_ino), name)
                if same != name:
                    listing.leave_out(name, f"the same folder as {same}")
                    continue
                with os.scandir(path) as entries:
                    inside = sorted(entries, key=lambda entry: entry.name, reverse=True)
            except OSError as error:
                if not name:
                    raise DatasetError(f"{root} cannot be read ({_reason(error)}).") from error
                listing.leave_out(name, f"this folder cannot be read ({_reason(error)})")
                continue
            for entry in inside:
                below = f"{name}/{_disk_name(entry.name)}".lstrip("/")
                if _is_hidden(below):
                    continue
                try:
                    if entry.is_dir():
                        (links if entry.is_symlink() else folders).append((entry.path, below))
                        continue
                    found = entry.stat()
                except OSError as error:
                    is_link = entry.is_symlink()
                    said = "a broken link" if is_link else _reason(error)
                    listing.leave_out(below, said)
                    continue
                if not stat.S_ISREG(found.st_mode):
                    listing.leave_out(below, "not a file")
                elif added := listing.add(below, found.st_size, found.st_mtime_ns):
                    paths[added] = entry.path
    return listing


def _list_zip(path: Path, archive: zipfile.ZipFile) -> _Listing:
    entries: dict[str, zipfile.ZipInfo] = {}

    def read(name: str, limit: int | None) -> bytes:
        entry = entries[name]
        if entry.flag_bits & _ENCRYPTED_FLAG:
            raise ImageError("it is encrypted: zip it without a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ImageError("its compression method is not supported")
        try:
            with archive.open(entry) as file:
                if limit is not None:
                    return file.read(limit)
                # In pieces: what an entry unpacks to may be far more than it declares, of which
                # no more than this is unpacked at once before that comes out. (Of the other
                # ways of packing, Python unpacks all at once.)
                return b"".join(iter(lambda: file.read(_PIECE), b""))
        # RuntimeError: a password; NotImplementedError, its subclass: an unknown compression.
        # ValueError: a name that is no UTF-8, or an offset that is none.
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
            struct.error,
        ) as error:
            raise ImageError(_reason(error)) from error

    listing = _Listing(read)
    infos = archive.infolist()
    has_slashes = any("/" in entry.orig_filename for entry in infos)
    for entry in infos:
        name = _zip_name(entry, has_slashes=has_slashes)
        if any(map(_points_outside, (name, entry.filename))) or stat.S_ISLNK(
            entry.external_attr >> 16
        ):
            raise DatasetError(
                f"{path} is refused: its entry {name!r} is a link or points outside "
                "the archive. Zip the images again without it."
            )
        if name.endswith("/"):
            continue
        name = "/".join(part for part in name.split("/") if part not in ("", "."))
        if not name or _is_hidden(name):
            continue
        if "\0" in name:
            listing.leave_out(name.replace("\0", "\\0"), "its name contains a zero byte")
        elif added := listing.add(name, entry.file_size, entry.CRC):
            entries[added] = entry
    return listing


def _zip_name(entry: zipfile.ZipInfo, *, has_slashes: bool) -> str:
    """Decode an entry's name: UTF-8 if flagged, else by the Unicode path, UTF-8, or cp437."""
    is_flagged = bool(entry.flag_bits & _UTF8_FLAG)
    # Python has decoded the bytes in the header, without loss.
    raw = entry.orig_filename.encode("utf-8" if is_flagged else "cp437")
    name = raw.decode("utf-8") if is_flagged else _unicode_path(entry.extra, raw)
    if name is None:
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            if has_slashes:
                # The second byte of a character in GBK or Shift JIS may be that of a backslash.
                raw = re.sub(rb"(?<![\x80-\xff])\\", b"/", raw)
                return raw.decode("cp437")
            name = raw.decode("cp437")
    return name.replace("\\", "/")


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in an entry's Unicode path field, if it belongs to this name."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        data, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and len(data) > 5:
            version, checksum = struct.unpack_from("<BL", data)
            if version == 1 and checksum == zlib.crc32(raw):
                try:
                    return data[5:].decode("utf-8")
                except UnicodeDecodeError:
                    return None
    return None


def _disk_name(name: str) -> str:
    """Return a file's name on disk; one that is no UTF-8 comes from an older system."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # it carries bytes that could not be decoded
        return os.fsencode(name).decode("latin-1")
    return name


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _points_outside(name: str) -> bool:
    name = name.replace("\\", "/")
    return name.startswith("/") or ".." in name.split("/") or bool(re.match(r"[A-Za-z]:/", name))


def _common_folder(folders: Iterable[str]) -> str:
    """Return the folders that all of these lie in, a slash after each."""
    shared = itertools.takewhile(
        lambda parts: len(set(parts)) == 1 and parts[0],
        zip(*(folder.split("/") for folder in folders), strict=False),
    )
    return "".join(f"{parts[0]}/" for parts in shared)
