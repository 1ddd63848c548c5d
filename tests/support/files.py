"""Folders and zips of files; image files of unusual kinds, byte by byte."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
_PCS = np.array([0.9642, 1.0, 0.8249])  # D50, as ICC rounds it
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def make_profile(
    primaries: list[tuple[float, float]], white: tuple[float, float], gamma: float | None
) -> bytes:
    """Write an ICC profile of red, green and blue; without a gamma the curve is sRGB's."""
    columns = np.stack([_xyz(*each) for each in primaries], axis=1)
    matrix = columns * np.linalg.solve(columns, _xyz(*white))
    gains = (_CONES @ _PCS) / (_CONES @ _xyz(*white))
    matrix = np.linalg.inv(_CONES) @ (gains[:, None] * _CONES) @ matrix
    curve = _curve(gamma)
    tags = {
        f"{letter}{kind}": content
        for letter, column in zip("rgb", matrix.T, strict=True)
        for kind, content in (("XYZ", b"XYZ \0\0\0\0" + _fixed(column)), ("TRC", curve))
    }
    return _pack_profile(b"RGB ", tags)


def make_grey_profile(gamma: float) -> bytes:
    """Write an ICC profile of grey."""
    return _pack_profile(b"GRAY", {"kTRC": _curve(gamma)})


def make_ink_profile(ink: tuple[int, int, int]) -> bytes:
    """Write an ICC profile of CMYK in which any C, M or Y is one ink of this L*, a* and b*."""
    paper, black = (100, 0, 0), (0, 0, 0)
    corners = [
        black if key else ink if any(inks) else paper for *inks, key in product((0, 1), repeat=4)
    ]
    grid = b"".join(bytes([round(2.55 * li), a + 128, b + 128]) for li, a, b in corners)
    ramp = bytes(range(256))
    head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(np.eye(3).ravel())
    profile = bytearray(_pack_profile(b"CMYK", {"A2B0": head + 4 * ramp + grid + 3 * ramp}))
    profile[8:12], profile[12:16], profile[20:24] = b"\2\x40\0\0", b"prtr", b"Lab "
    return bytes(profile)


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder, by relative name."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def put_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """Pack files into a zip, by relative name."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_image(image: Image.Image, form: str, **options: object) -> bytes:
    """Write an image by Pillow."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes, *, crc: int | None = None) -> bytes:
    """Write a chunk of a PNG, with its own check sum or another one."""
    found = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", found)


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """Insert chunks into a PNG after its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def write_png16(samples: np.ndarray, colour_type: int, *chunks: bytes) -> bytes:
    """Write a PNG of 16 bits from samples (height, width[, channels])."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def write_tiff(samples: np.ndarray, photometric: int = 1, order: str = "<") -> bytes:
    """Write a TIFF of any kind of sample, from (height, width[, 3])."""
    height, width = samples.shape[:2]
    count = samples[0, 0].size
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    bits = 8 * samples.itemsize
    end = 8 + len(data)
    extra = struct.pack(f"{order}{count}H", *[bits] * count) if count > 1 else b""
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, count, end if extra else bits),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (277, 3, 1, count),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
        (339, 3, 1, {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]),
    ]
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", end + len(extra))
    table = struct.pack(f"{order}H", len(entries))
    for tag, kind, many, value in entries:
        short = kind == 3 and many == 1
        table += struct.pack(f"{order}HHI", tag, kind, many)
        table += struct.pack(f"{order}HH" if short else f"{order}I", value, *[0] * short)
    return start + data + extra + table + bytes(4)


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def _fixed(values: object) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in np.atleast_1d(values))


def _curve(gamma: float | None) -> bytes:
    if gamma is None:
        return b"para\0\0\0\0\0\3\0\0" + _fixed((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    return b"curv\0\0\0\0\0\0\0\1" + struct.pack(">Hxx", round(gamma * 256))


def _pack_profile(space: bytes, tags: dict[str, bytes]) -> bytes:
    title = "test".encode("utf-16-be")
    text = b"mluc\0\0\0\0\0\0\0\1\0\0\0\x0cenUS" + struct.pack(">II", len(title), 28) + title
    tags |= {"desc": text, "cprt": text, "wtpt": b"XYZ \0\0\0\0" + _fixed(_PCS)}
    place, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[0:4] = struct.pack(">I", place + len(body))
    head[8:12] = b"\4\0\0\0"
    head[12:24] = b"mntr" + space + b"XYZ "
    head[36:40] = b"acsp"
    head[68:80] = _fixed(_PCS)
    return bytes(head) + table + body


SRGB = make_profile([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)], D65, None)
P3 = make_profile([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], D65, None)
ADOBE_RGB = make_profile([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], D65, 563 / 256)
PROPHOTO = make_profile([(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], D50, 1.8)
