"""PNG files without what is not needed of them, and the colour space that they declare.

Pillow refuses a PNG whose texts or profile unpack to more than 1 MB, and one with a wrong check
sum anywhere. Viewers show both: none of that is pixels.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from vae_explorer.data.colour import MAX_PROFILE_BYTES, profile_of_codes, profile_of_gamma

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_USED = (b"tRNS", b"eXIf")  # of the optional ones, by Pillow
_COLOUR = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")  # used here, first before last
# Texts in which Pillow finds how a photo was held.
_ORIENTATION = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")
_MAX_TEXT_BYTES = 2**20  # Pillow's limit
_GREY = (0, 4)  # colour types


@dataclass(frozen=True)
class Png:
    """A PNG file as it is given to Pillow."""

    data: bytes
    """The file with the chunks that are needed: no animation, no texts, no profile."""
    profile: bytes | None
    """ICC profile of its colours; None for sRGB."""
    bits: int
    """Of a sample in the file."""


def read_png(data: bytes) -> Png:
    """Read the chunks of a PNG file; a chunk that is optional and damaged is left out.

    Where the chunks end too early, the rest of the file is left as it is.
    """
    parts, kept_from, place = [], 0, len(SIGNATURE)
    colour: dict[bytes, bytes] = {}
    header = b""
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data) or not kind.isalpha() or kind == b"IEND":
            break
        if kind == b"IHDR":
            header = header or data[place + 8 : end - 4]
        elif kind not in _NEEDED:
            is_whole = zlib.crc32(data[place + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])
            content = data[place + 8 : end - 4]
            if is_whole and kind in _COLOUR:
                colour.setdefault(kind, content)
            if not (is_whole and (kind in _USED or _tells_orientation(kind, content))):
                parts.append(data[kept_from:place])
                kept_from = end
        place = end
    cleaned = b"".join([*parts, data[kept_from:]]) if parts else data
    bits, colour_type = (header[8], header[9]) if len(header) == 13 else (0, 2)
    return Png(cleaned, _read_profile(colour, grey=colour_type in _GREY), bits)


def _tells_orientation(kind: bytes, content: bytes) -> bool:
    keyword, _, text = content.partition(b"\0")
    if kind not in (b"tEXt", b"zTXt", b"iTXt") or keyword not in _ORIENTATION:
        return False
    if kind == b"zTXt":
        return _inflate(text[1:], _MAX_TEXT_BYTES) is not None
    return kind == b"tEXt" or text[:1] == b"\0"  # XMP is never compressed


def _read_profile(colour: dict[bytes, bytes], *, grey: bool) -> bytes | None:
    """Return the profile of the chunk that comes first in `_COLOUR`, as browsers have it."""
    cicp = colour.get(b"cICP", b"")
    if len(cicp) == 4 and cicp[2] == 0:
        return profile_of_codes(cicp[0], cicp[1], grey=grey)
    if b"iCCP" in colour:
        _, _, packed = colour[b"iCCP"].partition(b"\0")
        return _inflate(packed[1:], MAX_PROFILE_BYTES)
    gamma, chromaticities = colour.get(b"gAMA", b""), colour.get(b"cHRM", b"")
    if b"sRGB" in colour or len(gamma) != 4:
        return None
    points = None
    if len(chromaticities) == 32:
        numbers = [n / 100_000 for n in struct.unpack(">8I", chromaticities)]
        white, *primaries = zip(numbers[::2], numbers[1::2], strict=True)
        points = (*primaries, white)
    return profile_of_gamma(int.from_bytes(gamma) / 100_000, points, grey=grey)


def _inflate(packed: bytes, limit: int) -> bytes | None:
    """Unpack no more than `limit` bytes; None where there are more, or they are damaged."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, limit)
    except zlib.error:
        return None
    return content if unpacker.eof else None
