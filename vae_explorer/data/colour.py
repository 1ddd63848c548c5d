"""Colour management: ICC profiles, and what some files say in their place, to sRGB and back."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 2**20
"""Larger ones are ignored: those of real devices have up to 2 MB."""

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # of a profile, by Pillow's mode
_DEVICES = ("scnr", "mntr", "prtr", "spac")  # links, names and effects describe no image
# As viewers convert photos: black stays black, and what both spaces hold comes back as it was.
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_SAME = 1  # levels by which rounding alone makes a profile of sRGB differ from sRGB

_D65 = (0.3127, 0.3290)
_SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_PRIMARIES = {  # red, green, blue and white by their code in ITU-T H.273
    1: _SRGB,
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
# BT.709's and its kin are camera curves: screens show such images by the curve of sRGB.
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = (16, 18)  # need tone mapping, which no profile does
_PNG_GAMMA = 0.45455  # what PNG's writers say for sRGB
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

Chromaticities = tuple[tuple[float, float], ...]
"""(x, y) of red, green, blue and white."""


@dataclass(frozen=True)
class _Transforms:
    """Ways between a profile and sRGB; None where nothing is to be done, or can be."""

    to_srgb: ImageCms.ImageCmsTransform | None
    from_srgb: ImageCms.ImageCmsTransform | None


_NONE = _Transforms(None, None)


def is_other_than_srgb(profile: bytes | None, mode: str) -> bool:
    """Decide whether the colours of an image differ from sRGB.

    Parameters
    ----------
    profile : bytes or None
        An ICC profile. One that is broken, or of another colour space than the image, is ignored.
    mode : str
        Pillow's mode of the image: "L", "RGB" or "CMYK".
    """
    return profile is not None and _transforms(profile, mode).to_srgb is not None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image of mode "L", "RGB" or "CMYK" to RGB in sRGB.

    Parameters
    ----------
    profile : bytes or None
        As for `is_other_than_srgb`. Without one, RGB is sRGB, and grey has sRGB's curve.
    """
    transform = _transforms(profile, image.mode).to_srgb if profile is not None else None
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only where it changes the image in place
    return converted


def is_invertible(profile: bytes, mode: str) -> bool:
    """Decide whether sRGB can be converted back into the colours of a profile."""
    return _transforms(profile, mode).from_srgb is not None


def from_srgb(image: Image.Image, profile: bytes | None, mode: str) -> Image.Image:
    """Convert an RGB image in sRGB to mode "L" or "RGB" in the colours of a profile."""
    transform = _transforms(profile, mode).from_srgb if profile is not None else None
    if transform is None:
        return image.convert(mode)
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_of_codes(primaries: int, transfer: int, *, grey: bool = False) -> bytes | None:
    """Return the ICC profile of code points of ITU-T H.273, which PNG, HEIF and AVIF may hold.

    None for sRGB, codes that are unknown or say that nothing is known, and HDR.
    """
    if transfer in _HDR:
        return None
    return _make_profile(_PRIMARIES.get(primaries, _SRGB), _GAMMAS.get(transfer), grey=grey)


def profile_of_gamma(
    gamma: float, chromaticities: Chromaticities | None, *, grey: bool = False
) -> bytes | None:
    """Return the ICC profile of a PNG's gAMA and cHRM chunks; None for sRGB and nonsense.

    Parameters
    ----------
    gamma : float
        As the file has it: the exponent from light to samples.
    """
    if not 0.1 <= gamma <= 10:
        return None
    is_srgb = abs(gamma / _PNG_GAMMA - 1) < 0.01
    return _make_profile(chromaticities or _SRGB, None if is_srgb else 1 / gamma, grey=grey)


# The transforms are shared: they depend on the profile alone, and LittleCMS only reads them.
@lru_cache(maxsize=8)
def _transforms(profile: bytes, mode: str) -> _Transforms:
    if len(profile) > MAX_PROFILE_BYTES or mode not in _SPACES:
        return _NONE
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        header = opened.profile
        if header.xcolor_space.strip() != _SPACES[mode] or header.device_class not in _DEVICES:
            return _NONE
        srgb = ImageCms.createProfile("sRGB")
        there = ImageCms.buildTransform(opened, srgb, mode, "RGB", _INTENT, _FLAGS)
        if mode != "CMYK" and _is_identity(there, mode):
            return _NONE
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a broken profile is ignored, whatever it makes LittleCMS raise
        return _NONE
    try:
        back = ImageCms.buildTransform(srgb, opened, "RGB", mode, _INTENT, _FLAGS)
    except Exception:  # noqa: BLE001 - a scanner's profile, for one, only leads away from it
        back = None
    return _Transforms(there, back)


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.arange(0, 256, 5 if mode == "L" else 15, dtype=np.uint8)
    grid = np.meshgrid(*[steps] * len(mode), indexing="ij")
    colours = np.stack([part.ravel() for part in grid], axis=1)[None]
    image = Image.fromarray(colours[..., 0] if mode == "L" else colours)
    found = np.asarray(ImageCms.applyTransform(image, transform), int)
    return bool(np.abs(found - np.asarray(image.convert("RGB"), int)).max() <= _SAME)


def _make_profile(
    chromaticities: Chromaticities, gamma: float | None, *, grey: bool
) -> bytes | None:
    """Write an ICC profile; the curve is sRGB's where `gamma` is None."""
    if gamma is None and (grey or np.abs(np.subtract(chromaticities, _SRGB)).max() < 0.001):
        return None
    curve = _curve(gamma)
    tags = {b"desc": _text("RGB"), b"cprt": _text("CC0"), b"wtpt": _xyz(_D50)}
    if grey:
        tags |= {b"kTRC": curve}
    else:
        matrix = _to_d50(chromaticities)
        if matrix is None:
            return None
        for letter, column in zip((b"r", b"g", b"b"), matrix.T, strict=True):
            tags |= {letter + b"XYZ": _xyz(column), letter + b"TRC": curve}
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x12s48x",
        place + len(body),
        0x04000000,
        b"mntr",
        b"GRAY" if grey else b"RGB ",
        b"XYZ ",
        b"acsp",
        _fixed(_D50),
    )
    return header + table + body


def _to_d50(chromaticities: Chromaticities) -> np.ndarray | None:
    """Return the matrix (3, 3) from linear RGB to XYZ, adapted to D50; None where there is none."""
    x, y = np.array(chromaticities, float).T
    if not (y > 0).all():
        return None
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    try:
        matrix = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    except np.linalg.LinAlgError:
        return None
    white = _BRADFORD @ xyz[:, 3]
    if not (white > 0).all() or np.abs(matrix).max() > 10:
        return None
    return np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / white) @ _BRADFORD @ matrix


def _fixed(values: np.ndarray) -> bytes:
    """Write s15Fixed16 numbers."""
    return np.rint(np.asarray(values) * 65536).astype(">i4").tobytes()


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _curve(gamma: float | None) -> bytes:
    if gamma is None:
        sections = np.array([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])
        return b"para\0\0\0\0\0\3\0\0" + _fixed(sections)
    return b"para\0\0\0\0\0\0\0\0" + _fixed(np.array([gamma]))


def _text(text: str) -> bytes:
    utf16 = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(utf16), 28) + utf16
