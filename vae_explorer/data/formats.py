"""Image file formats that are read: one list for every entry point."""

from __future__ import annotations

import re

# Not every format that Pillow knows: EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "HEIF", "AVIF")
"""What Pillow calls them. MPO, of many phones, is opened as a JPEG."""

_SUFFIXES = (
    "jpg jpeg jpe jfif mpo png apng webp bmp dib gif tif tiff ppm pgm pbm pnm pfm "
    "heic heif hif heics heifs avif avifs"
)
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Endings of their files, in lower case."""

FORMAT_NAMES = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, HEIC and AVIF"
"""What people call them, for messages."""

HEAD_BYTES = 256
"""Bytes of a file that `is_image_head` looks at."""

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # lengths that the second header can have
_HEIF_BRANDS = frozenset(
    b"heic heix heim heis hevc hevx hevm hevs mif1 mif2 msf1 avif avis".split()
)
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# The digits after the letters keep texts that begin with "P1 " apart.
_PPM = re.compile(rb"P[1-6f]\s(?:\s|#[^\r\n]*[\r\n])*\d")


def is_image_head(head: bytes) -> bool:
    """Decide by a file's first `HEAD_BYTES` whether it is in one of `FORMATS`."""
    if head.startswith(_STARTS + _TIFF_STARTS):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if head[:2] == b"BM":
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    if head[4:8] == b"ftyp":
        # The major brand, its version, then the compatible brands.
        length = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[at : at + 4] for at in (8, *range(16, length, 4))}
        return not brands.isdisjoint(_HEIF_BRANDS)
    return _PPM.match(head) is not None
