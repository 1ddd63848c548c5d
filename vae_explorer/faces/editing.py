"""Face editing at full resolution: only the model's change is added to the photo's pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.faces.alignment import align
from vae_explorer.faces.geometry import Face, Matrix, invert, transform_points
from vae_explorer.faces.tuning import TunedFaces
from vae_explorer.inference import decode, encode

Pixels = NDArray[np.float32]

_FINE = 512
"""Side to which the model's images are enlarged smoothly, before they are laid onto a photo."""
_FEATHER = 0.16
"""Share of the crop's side over which what is laid onto the photo fades out at its border."""
_UNSEEN, _SEEN = 0.01, 0.05
"""Changes between which, in [0, 1], the photo's own pixels give way to them."""
_SPREAD = 0.03
"""How far a change reaches beyond its own place, as a share of the crop's side."""
_FACE = (0.4, 0.8, 0.32, 0.68)
"""Top, bottom, left and right, as shares of the crop, of where there is face and no hair."""
_COLOUR = 2 / 64
"""Standard deviation, as a share of the crop's side, by which a change of colour is softened: the
model's own goes up and down from pixel to pixel, as tints in fine hair."""
_FORM, _BLUR = 3 / 64, 1.2 / 64
"""Standard deviations, as shares of the crop's side: what is smoother is light or colour, no form;
and by which the place of a change of form is softened."""
_KEPT, _LOST = 0.06, 0.2
"""Changes of form between which the photo's own detail gives way to the model's image."""
_REPLACED = 0.85
"""How much of it gives way at most."""
BLENDING: Mapping[str, object] = {
    "feather": _FEATHER,
    "unseen": _UNSEEN,
    "seen": _SEEN,
    "spread": _SPREAD,
    "face": _FACE,
    "colour": _COLOUR,
    "form": _FORM,
    "blur": _BLUR,
    "kept": _KEPT,
    "lost": _LOST,
    "replaced": _REPLACED,
}
"""The constants above, for `browser/faces/blend.js`, which blends the same way."""


def edit_photo(
    image: Image.Image,
    face: Face,
    checkpoint: Checkpoint,
    amounts: Mapping[str, float],
    detail: float = 1.0,
    *,
    vectors: Mapping[str, NDArray[np.floating]] | None = None,
    tuned: TunedFaces | None = None,
) -> Image.Image:
    """Change a face's attributes in a photo.

    With the face aligned and encoded to z, the model's own change is
    decode(z + Σ amount · vector) - decode(z). It is enlarged, carried back through the alignment,
    and added to the photo where it is one, fading out towards the border of the crop: without a
    shift of light that most of the face shares, its colour softened, and with the photo's own
    detail giving way where forms change.

    Parameters
    ----------
    image : Image
        The photo, read as RGB.
    face : Face
        As `find_faces` finds it there.
    checkpoint : Checkpoint
        A model of faces.
    amounts : mapping of str to float
        How far to go along each vector, by name; they add up.
    detail : float
        In [0, 1]. At 1 the photo's own pixels plus the change; at 0 the model's image of the
        changed face, laid into the photo.
    vectors : mapping of str to ndarray (latent_dim,), optional
        Others than `checkpoint.attribute_vectors`.
    tuned : TunedFaces, optional
        As `tune_to_faces` gives for this face alone: its z and decoder take the place of the
        encoder's guess and the checkpoint's decoder.

    Returns
    -------
    Image
        RGB, of the photo's size. Bit for bit the photo outside of the aligned crop; inside too, at
        detail 1 where nothing is to change.

    Raises
    ------
    ValueError
        If a name has no vector, a number is not finite or `detail` not in [0, 1], `tuned` is of
        several faces, or the face lies outside of the photo.
    """
    known = checkpoint.attribute_vectors if vectors is None else vectors
    _check(amounts, detail, known)
    if tuned is not None and len(tuned.z) != 1:
        raise ValueError(f"tuned must be of one face; found {len(tuned.z)}.")
    photo = image.convert("RGB")
    size = checkpoint.card.model.image_size
    crop = align(photo, face, size)
    model = checkpoint.model if tuned is None else tuned.model
    if tuned is None:
        pixels = np.asarray(crop.image, np.float32).transpose(2, 0, 1) / np.float32(255)
        z = encode(model, pixels[None])[0]
    else:
        z = tuned.z
    moved = z + sum((amounts[name] * known[name] for name in amounts), np.zeros_like(z))
    before, after = decode(model, np.concatenate([z, moved]).astype(np.float32))
    window = _window(size)
    change = after - before
    # What most of the face shares is other light: the photo keeps its own. What changed less than
    # that did not change at all, rather than the other way.
    top, bottom, left, right = (int(share * size) for share in _FACE)
    shared = np.median(change[:, top:bottom, left:right], axis=(1, 2), keepdims=True)
    change -= detail * np.clip(change, np.minimum(shared, 0), np.maximum(shared, 0))
    change += detail * _even_out_colour(change)
    # Where forms change, the photo's own would shine through: teeth behind closed lips.
    replaced = 1 - detail * (1 - _REPLACED * _shape_change(change))
    # Where the model changes something the change counts whole, elsewhere not at all; without the
    # photo's detail everything counts.
    weight = window * np.maximum(detail * _change_weight(change) + (1 - detail), replaced)
    layers = np.concatenate([weight * change, window * replaced * before])
    if not layers.any():
        return photo
    return _blend_onto(photo, crop.matrix, layers, window * replaced, size)


def _check(
    amounts: Mapping[str, float], detail: float, vectors: Mapping[str, NDArray[np.floating]]
) -> None:
    for name, amount in amounts.items():
        if name not in vectors:
            raise ValueError(f"There is no vector {name!r}; there are {', '.join(vectors)}.")
        if not np.isfinite(amount):
            raise ValueError(f"How far to go along {name} must be a finite number; found {amount}.")
    if not 0 <= detail <= 1:
        raise ValueError(f"detail is a number from 0 to 1; found {detail}.")


def _window(size: int) -> Pixels:
    """Return 1 in the middle of a crop (size, size) and 0 at its border, without a corner."""
    places = (np.arange(size) + 0.5) / size
    edge = _smooth(np.minimum(places, 1 - places) / _FEATHER)
    return (edge[:, None] * edge).astype(np.float32)


def _even_out_colour(change: Pixels) -> Pixels:
    """Return what softening its colour, and not its brightness, adds to a change (3, s, s)."""
    from scipy.ndimage import gaussian_filter

    deviation = _COLOUR * change.shape[-1]
    colour = change - change.mean(axis=0)
    return gaussian_filter(colour, (0, deviation, deviation)) - colour


def _change_weight(change: Pixels) -> Pixels:
    """Return how much of a change (3, s, s) is one, in [0, 1], with room around it: (s, s)."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    size = change.shape[-1]
    strength = np.abs(change).max(axis=0)
    reach = max(1, round(_SPREAD * size))
    spread = gaussian_filter(maximum_filter(strength, 2 * reach + 1), reach)
    return _smooth((spread - _UNSEEN) / (_SEEN - _UNSEEN)).astype(np.float32)


def _shape_change(change: Pixels) -> Pixels:
    """Return how much a change (3, s, s) is one of forms, not of light or colour, in [0, 1]."""
    from scipy.ndimage import gaussian_filter

    size = change.shape[-1]
    rough = change - gaussian_filter(change, (0, _FORM * size, _FORM * size))
    strength = gaussian_filter(np.abs(rough).max(axis=0), _BLUR * size)
    return _smooth((strength - _KEPT) / (_LOST - _KEPT)).astype(np.float32)


def _smooth(t: NDArray[np.floating]) -> NDArray[np.floating]:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _blend_onto(
    photo: Image.Image, matrix: Matrix, layers: Pixels, covered: Pixels, size: int
) -> Image.Image:
    """Add the layers (6, s, s) to a photo, of which `covered` (s, s) is taken away.

    The first three channels are added to it, the last three stand in for what is taken away.
    """
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], float)
    places = transform_points(invert(matrix), corners)
    low = np.clip(np.floor(places.min(axis=0)), 0, photo.size).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)), 0, photo.size).astype(int)
    box = (*low.tolist(), *high.tolist())
    part = np.asarray(photo.crop(box), np.float32)
    warp = matrix.copy()
    warp[:, 2] += warp[:, :2] @ low
    fine = max(size, _FINE)
    warp *= fine / size
    for channel in range(3):
        added = layers[channel] + layers[channel + 3]
        part[..., channel] += 255 * _warp(added, warp, fine, part.shape[:2])
    if covered.any():
        original = np.asarray(photo.crop(box), np.float32)
        part -= original * _warp(covered, warp, fine, part.shape[:2])[..., None]
    result = photo.copy()
    result.paste(Image.fromarray(np.rint(np.clip(part, 0, 255)).astype(np.uint8)), box[:2])
    return result


def _warp(layer: Pixels, warp: Matrix, fine: int, shape: tuple[int, ...]) -> Pixels:
    """Enlarge a layer (s, s) to `fine`, and sample it for a part of the photo; 0 outside of it."""
    large = Image.fromarray(layer).resize((fine, fine), Image.Resampling.BICUBIC)
    there = large.transform(
        (shape[1], shape[0]),
        Image.Transform.AFFINE,
        warp.ravel().tolist(),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(there)
