"""Face detection with five landmarks: the MTCNN cascade, then a pass on the upright face.

The cascade of Zhang et al. 2016 (see `vae_explorer.faces.mtcnn`) proposes boxes at every scale,
refines them, and places the landmarks. It looks at faces as they stand in the photo, and its
landmarks lean towards upright ones: so the last network looks again at each face turned upright and
cut at one size by the landmarks that it found, which also drops what looked like a face only by
chance.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vae_explorer.faces.geometry import (
    Face,
    fit_similarity,
    invert,
    mean_landmarks,
    transform_points,
)
from vae_explorer.faces.mtcnn import (
    Boxes,
    Networks,
    OutputNet,
    ProposalNet,
    Pyramid,
    RefineNet,
    load_networks,
    move_edges,
    squares,
    suppress,
)

SEARCHED_SIDE = 1024
"""Larger photos are searched at this length of their longer side, in pixels."""

_PROPOSED, _REFINED, _PLACED, _UPRIGHT = 0.6, 0.7, 0.8, 0.95
_MOST_PROPOSALS = 400
_WINDOW = 12
# The search starts at half of the size, with faces of 24 pixels: smaller ones give no image.
_FIRST_LEVEL = 2
# The patch cut for a look upright, in sides of CelebA's crop: tried from 0.55 to 0.85.
_PATCH_CENTRE, _PATCH_SIDE = (0.5, 0.55), 0.65
_LOOKS = 2
_TURNED_SIDE = 640
_TURNS = (35.0, -35.0, 90.0, -90.0, 180.0)


def find_faces(image: Image.Image) -> list[Face]:
    """Find the faces in a photo.

    Parameters
    ----------
    image : Image
        Upright (see `vae_explorer.preprocessing.read_upload`), of any size; read as RGB.

    Returns
    -------
    list of Face
        Best first; empty where there is none. Where the photo as it stands shows none, it is
        searched turned as well, so that a face on its side is found.

    Raises
    ------
    WeightsError
        If the package that brings the weights is missing or is another.
    """
    networks = load_networks()
    photo = image.convert("RGB")
    with torch.inference_mode():
        found = _search_at(networks, photo, SEARCHED_SIDE)
        for degrees in _TURNS:
            if found:
                break
            found = _search_at(networks, photo, _TURNED_SIDE, degrees)
    return found


def _search_at(networks: Networks, photo: Image.Image, side: int, degrees: float = 0) -> list[Face]:
    """Find faces in a photo, looked at with its longer side no longer than so many pixels."""
    shrink = min(1.0, side / max(photo.size))
    size = (max(1, round(photo.width * shrink)), max(1, round(photo.height * shrink)))
    small = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    found = _search_turned(networks, small, degrees) if degrees else _search(networks, small)
    scale = np.array([photo.width / small.width, photo.height / small.height])
    return [
        Face(_as_box(np.tile(scale, 2) * face.box), face.score, scale * face.landmarks)
        for face in found
    ]


def _search_turned(networks: Networks, image: Image.Image, degrees: float) -> list[Face]:
    """Find faces in the image turned counterclockwise, given in the image as it stands."""
    turned = image.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre, turned_centre = np.array(image.size) / 2, np.array(turned.size) / 2
    back = np.column_stack([turn, centre - turn @ turned_centre])
    faces = []
    for face in _search(networks, turned):
        x0, y0, x1, y1 = face.box
        middle = transform_points(back, np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]))[0]
        # Around the turned ellipse inside the box: around the box itself is too much for a face.
        half = np.sqrt(turn**2 @ np.array([x1 - x0, y1 - y0]) ** 2) / 2
        box = _as_box(np.concatenate([middle - half, middle + half]))
        faces.append(Face(box, face.score, transform_points(back, face.landmarks)))
    return faces


def _search(networks: Networks, image: Image.Image) -> list[Face]:
    pyramid = Pyramid(image)
    boxes = _refine(networks.refine, pyramid, _propose(networks.proposal, pyramid))
    boxes, landmarks = _place(networks.output, pyramid, boxes)
    landmarks, scores = _look_upright(networks.output, pyramid, landmarks)
    return [
        Face(_as_box(boxes[row]), float(scores[row]), landmarks[row])
        for row in np.argsort(-scores, kind="stable")
        if scores[row] > _UPRIGHT
    ]


def _propose(network: ProposalNet, pyramid: Pyramid) -> Boxes:
    """Slide the first network over every level: boxes (n, 4), best first."""
    boxes, scores = [np.empty((0, 4))], [np.empty(0, np.float32)]
    for level in pyramid.levels[_FIRST_LEVEL:]:
        offsets, probabilities = network(level)
        rows, columns = torch.nonzero(probabilities[0] > _PROPOSED, as_tuple=True)
        corner = 2.0 * torch.stack([columns, rows, columns, rows], dim=1).numpy()
        corner[:, 2:] += _WINDOW
        found = corner + _WINDOW * offsets[0, :, rows, columns].T.numpy()
        height, width = level.shape[2:]
        scale = [pyramid.width / width, pyramid.height / height] * 2
        score = probabilities[0, rows, columns].numpy()
        kept = suppress(found, score, 0.5, most=_MOST_PROPOSALS)
        boxes.append(found[kept] * scale)
        scores.append(score[kept])
    every = np.concatenate(boxes)
    return every[suppress(every, np.concatenate(scores), 0.7, most=_MOST_PROPOSALS)]


def _refine(network: RefineNet, pyramid: Pyramid, boxes: Boxes) -> Boxes:
    """Take a second look at boxes: those that stand it, moved, best first."""
    centres, sides = squares(boxes)
    offsets, scores = (
        out.numpy() for out in network(pyramid.cut(centres, sides, np.zeros_like(sides), 24))
    )
    likely = scores > _REFINED
    boxes = move_edges(centres[likely], sides[likely], offsets[likely])
    return boxes[suppress(boxes, scores[likely], 0.7)]


def _place(network: OutputNet, pyramid: Pyramid, boxes: Boxes) -> tuple[Boxes, NDArray[np.float64]]:
    """Take a last look at boxes: those that are faces, and their landmarks (n, 5, 2)."""
    centres, sides = squares(boxes)
    offsets, marks, scores = (
        out.numpy() for out in network(pyramid.cut(centres, sides, np.zeros_like(sides), 48))
    )
    landmarks = centres[:, None] + sides[:, None, None] * (marks - 0.5)
    likely = scores > _PLACED
    boxes = move_edges(centres[likely], sides[likely], offsets[likely])
    kept = suppress(boxes, scores[likely], 0.7, nested=True)
    return boxes[kept], landmarks[likely][kept]


def _look_upright(
    network: OutputNet, pyramid: Pyramid, landmarks: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Place landmarks (n, 5, 2) anew, each face turned upright: landmarks, scores (n,)."""
    scores = torch.empty(0)
    for _ in range(_LOOKS if len(landmarks) else 0):
        # From CelebA's crop, scaled to a side of 1, to the photo.
        frames = np.stack([invert(fit_similarity(face, mean_landmarks(1))) for face in landmarks])
        turns, origins = frames[:, :, :2], frames[:, :, 2]
        sides = _PATCH_SIDE * np.hypot(turns[:, 0, 0], turns[:, 1, 0])
        angles = np.arctan2(turns[:, 1, 0], turns[:, 0, 0])
        centres = turns @ _PATCH_CENTRE + origins
        _, marks, scores = network(pyramid.cut(centres, sides, angles, 48))
        steps = _PATCH_SIDE * (marks.numpy() - 0.5)
        landmarks = centres[:, None] + np.einsum("nij,nkj->nki", turns, steps)
    return landmarks, scores.numpy()


def _as_box(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = values.tolist()
    return x0, y0, x1, y1
