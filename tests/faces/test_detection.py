"""Faces found in photos, and brought to where CelebA's are."""

from __future__ import annotations

import importlib.util
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageOps
from skimage.transform import SimilarityTransform

from vae_explorer.errors import WeightsError
from vae_explorer.faces import Face, align, face_from_eyes, find_faces, mtcnn
from vae_explorer.faces.geometry import fit_similarity, invert, mean_landmarks, transform_points
from vae_explorer.faces.mtcnn import Pyramid, find_weights, load_networks, read_weights, suppress

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(skimage.data.astronaut())
MIRRORED = ImageOps.mirror(PHOTO)
EYES = np.array([[203, 105], [246, 103]])  # seen by a person
EYE_DISTANCE = 43.0
OTHER_SIDE = [1, 0, 2, 4, 3]


@pytest.fixture(scope="module")
def face() -> Face:
    (found,) = find_faces(PHOTO)
    return found


def similarity(scale: float, degrees: float, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """The matrix (2, 3) that turns from the x axis towards the y axis."""
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def apart(found: np.ndarray, expected: np.ndarray) -> float:
    """How far the worst point is off, in distances of the eyes."""
    size = np.linalg.norm(expected[1] - expected[0])
    return float(np.linalg.norm(found - expected, axis=1).max() / size)


def face_at(landmarks: np.ndarray) -> Face:
    return Face((0, 0, 1, 1), 1.0, landmarks)


# Similarities


@pytest.mark.parametrize("n", [2, 5])
def test_a_similarity_is_recovered(n: int) -> None:
    for _ in range(20):
        matrix = similarity(RNG.uniform(0.01, 50), RNG.uniform(-180, 180), RNG.normal(size=2) * 99)
        points = RNG.normal(size=(n, 2)) * 10
        found = fit_similarity(points, transform_points(matrix, points))
        np.testing.assert_allclose(found, matrix, rtol=1e-9, atol=1e-9)


def test_a_similarity_is_that_of_scikit_image() -> None:
    for size in (1, 64, 178):
        for _ in range(20):
            turned = similarity(
                RNG.uniform(0.5, 20), RNG.uniform(-180, 180), RNG.uniform(0, 999, 2)
            )
            source = transform_points(turned, mean_landmarks(64)) + RNG.normal(size=(5, 2))
            target = mean_landmarks(size)
            theirs = SimilarityTransform.from_estimate(source, target)
            ours = fit_similarity(source, target)
            np.testing.assert_allclose(
                transform_points(ours, source), theirs(source), rtol=0, atol=1e-11
            )
            np.testing.assert_allclose(
                transform_points(invert(ours), target), theirs.inverse(target), rtol=0, atol=1e-9
            )


def test_a_similarity_never_mirrors_or_shears() -> None:
    for _ in range(20):
        points = RNG.normal(size=(5, 2))
        turn = fit_similarity(points, points * (-1, 1))[:, :2]
        np.testing.assert_allclose(turn.T @ turn, np.linalg.det(turn) * np.eye(2), atol=1e-12)
        assert np.linalg.det(turn) > 0


def test_no_similarity_near_the_one_that_is_found_fits_better() -> None:
    source, target = RNG.normal(size=(2, 5, 2))

    def misfit(matrix: np.ndarray) -> float:
        return float(np.square(transform_points(matrix, source) - target).sum())

    found = fit_similarity(source, target)
    for _ in range(100):
        a, b, x, y = RNG.normal(scale=1e-3, size=4)
        assert misfit(found) < misfit(np.add(found, [[a, -b, x], [b, a, y]]))


def test_the_inverse_leads_back() -> None:
    matrix = similarity(3, 70, (-40, 5))
    points = RNG.normal(size=(9, 2))
    back = transform_points(invert(matrix), transform_points(matrix, points))
    np.testing.assert_allclose(back, points, atol=1e-12)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.zeros((5, 2)), np.zeros((4, 2)), "pair by pair"),
        (np.zeros((5, 3)), np.zeros((5, 3)), "pair by pair"),
        (np.zeros(2), np.zeros(2), "pair by pair"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "finite"),
        (np.zeros((5, 2)), np.full((5, 2), np.inf), "finite"),
        (np.full((5, 2), 1e6 / 3), np.zeros((5, 2)), "two different points"),
    ],
)
def test_what_has_no_similarity_is_an_error(
    source: np.ndarray, target: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_similarity(source, target)


# Boxes and patches


@pytest.mark.parametrize("nested", [False, True])
def test_boxes_that_are_kept_hardly_overlap_and_the_others_do(nested: bool) -> None:
    corners = RNG.uniform(0, 60, (200, 2))
    boxes = np.hstack([corners, corners + RNG.uniform(5, 40, (200, 2))])
    scores = RNG.random(200).astype(np.float32)

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
        areas = [np.prod(box[2:] - box[:2]) for box in (a, b)]
        return float(shared / (min(areas) if nested else sum(areas) - shared))

    kept = suppress(boxes, scores, 0.3, nested)
    assert (np.diff(scores[kept]) <= 0).all()
    assert kept[0] == scores.argmax()
    assert all(overlap(boxes[a], boxes[b]) <= 0.3 for a in kept for b in kept if a != b)
    for gone in set(range(200)) - set(kept.tolist()):
        better = kept[scores[kept] >= scores[gone]]
        assert max(overlap(boxes[gone], boxes[row]) for row in better) > 0.3
    np.testing.assert_array_equal(suppress(boxes, scores, 0.3, nested, most=5), kept[:5])


def test_a_box_inside_another_goes_only_where_that_is_asked_for() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 2, 6, 6], [20, 0, 30, 10]], float)
    scores = np.array([0.8, 0.9, 0.7], np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == [1, 0, 2]
    assert suppress(boxes, scores, 0.5, nested=True).tolist() == [1, 2]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize("side", [12.0, 48.0, 150.0])
def test_a_patch_shows_what_lies_there(side: float) -> None:
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    pyramid = Pyramid(Image.fromarray(np.stack([x, y, x], axis=-1).astype(np.uint8)))
    cut = pyramid.cut(np.array([[120.0, 140]]), np.array([side]), np.array([0.4]), 24)[0].numpy()
    steps = side * ((np.arange(24) + 0.5) / 24 - 0.5)
    inside = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    places = transform_points(similarity(1, math.degrees(0.4), (120, 140)), inside)
    shown = 127.5 + 128 * cut[:2].reshape(2, -1).T + 0.5  # to where a pixel's centre is
    np.testing.assert_allclose(shown, places, atol=1.1)


# Faces found


def test_the_face_is_found_and_its_landmarks_are_in_order(face: Face) -> None:
    assert 0.95 < face.score <= 1
    np.testing.assert_allclose(face.box, (179, 60, 267, 172), atol=10)
    np.testing.assert_allclose(face.landmarks[:2], EYES, atol=0.1 * EYE_DISTANCE)
    left, right, nose, mouth_left, mouth_right = face.landmarks
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
    x0, y0, x1, y1 = face.box
    assert (face.landmarks > (x0, y0)).all() and (face.landmarks < (x1, y1)).all()


@pytest.mark.parametrize("degrees", [-40, 15, 60, 90, 180, 270])
def test_a_turned_photo_gives_the_same_landmarks_turned(face: Face, degrees: int) -> None:
    turned = PHOTO.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    matrix = similarity(1, -degrees)
    matrix[:, 2] = np.array(turned.size) / 2 - matrix[:, :2] @ np.array(PHOTO.size) / 2
    (found,) = find_faces(turned)
    assert apart(found.landmarks, transform_points(matrix, face.landmarks)) < 0.05
    np.testing.assert_array_less(found.box[:2], found.landmarks.min(axis=0))
    np.testing.assert_array_less(found.landmarks.max(axis=0), found.box[2:])


def test_the_box_of_a_face_on_its_side_lies_on_its_side(face: Face) -> None:
    (found,) = find_faces(PHOTO.transpose(Image.Transpose.ROTATE_270))
    x0, y0, x1, y1 = face.box
    expected = (PHOTO.height - y1, x0, PHOTO.height - y0, x1)
    np.testing.assert_allclose(found.box, expected, atol=0.1 * EYE_DISTANCE)


@pytest.mark.parametrize("size", [(205, 205), (1300, 1300), (600, 512)])
def test_a_scaled_photo_gives_the_same_landmarks_in_its_own_pixels(
    face: Face, size: tuple[int, int]
) -> None:
    (found,) = find_faces(PHOTO.resize(size, Image.Resampling.BICUBIC))
    scale = np.array(size) / PHOTO.size
    assert apart(found.landmarks, scale * face.landmarks) < 0.05
    np.testing.assert_allclose(
        found.box, np.tile(scale, 2) * face.box, atol=0.2 * EYE_DISTANCE * scale[0]
    )


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_large_photo_is_searched_smaller_but_answered_in_its_own_pixels(
    face: Face, upside_down: bool
) -> None:
    photo = Image.new("RGB", (4000, 1500))
    photo.paste(PHOTO.resize((1536, 1536), Image.Resampling.BICUBIC), (2000, -30))
    expected = 3 * face.landmarks + (2000, -30)
    if upside_down:
        photo, expected = photo.transpose(Image.Transpose.ROTATE_180), photo.size - expected
    (found,) = find_faces(photo)
    assert apart(found.landmarks, expected) < 0.06


def test_the_mirrored_photo_gives_the_mirrored_landmarks(face: Face) -> None:
    (found,) = find_faces(MIRRORED)
    mirrored = (PHOTO.width, 0) + face.landmarks[OTHER_SIDE] * (-1, 1)
    assert apart(found.landmarks, mirrored) < 0.1


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK"])
def test_every_mode_of_a_photo_gives_the_same_landmarks(face: Face, mode: str) -> None:
    (found,) = find_faces(PHOTO.convert(mode))
    assert apart(found.landmarks, face.landmarks) < 0.06


def test_of_two_faces_the_better_comes_first(face: Face) -> None:
    portrait = PHOTO.crop((120, 0, 330, 230))
    blurred = portrait.resize((28, 31)).resize(portrait.size, Image.Resampling.BICUBIC)
    photo = Image.new("RGB", (640, 300), (90, 120, 90))
    photo.paste(blurred, (10, 20))
    photo.paste(portrait, (400, 50))
    first, second = find_faces(photo)
    assert first.score > second.score
    assert apart(first.landmarks, np.add(face.landmarks, (280, 50))) < 0.05
    assert apart(second.landmarks, np.add(face.landmarks, (-110, 20))) < 0.3


@pytest.mark.parametrize("name", ["coffee", "chelsea", "brick"])
def test_no_face_is_found_where_there_is_none(name: str) -> None:
    assert find_faces(Image.fromarray(getattr(skimage.data, name)())) == []


def test_no_face_is_found_in_noise_or_plain_colours() -> None:
    for cells in (15, 60, 240):
        noise = Image.fromarray(RNG.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        assert find_faces(noise.resize((240, 240), Image.Resampling.BICUBIC)) == []
    for colour in ("black", "white", "peachpuff"):
        assert find_faces(Image.new("RGB", (200, 160), colour)) == []


@pytest.mark.parametrize("size", [(1, 1), (11, 40), (40, 11), (12, 12), (3000, 1), (25, 24)])
def test_in_tiny_pictures_no_face_is_found(size: tuple[int, int]) -> None:
    assert find_faces(PHOTO.resize(size)) == []


def test_two_threads_at_once_find_the_same_as_one_and_every_time(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(mtcnn, "_loaded", loaded)
    with ThreadPoolExecutor(2) as pool:
        a, b = pool.map(lambda _: load_networks(), range(2))
        both = list(pool.map(find_faces, [PHOTO, MIRRORED] * 3))
    assert a is b
    assert len(loaded) == 1
    for found, expected in zip(both, [[face], find_faces(MIRRORED)] * 3, strict=True):
        assert [f.score for f in found] == [f.score for f in expected]
        assert [f.box for f in found] == [f.box for f in expected]
        np.testing.assert_array_equal(found[0].landmarks, expected[0].landmarks)


# Faces aligned


def ramps(matrix: np.ndarray, width: int, height: int, size: int) -> Image.Image:
    """A photo whose red and green tell where in a crop its pixels go by a matrix."""
    x, y = np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5
    rows = (matrix * 255 / size).astype(np.float32)
    values = [row[0] * x + (row[1] * y[:, None] + row[2]) for row in rows]
    red, green = (Image.fromarray(np.rint(v).clip(0, 255).astype(np.uint8)) for v in values)
    return Image.merge("RGB", (red, green, red))


@pytest.mark.parametrize("degrees", [2, 25, -130])
@pytest.mark.parametrize(
    ("scale", "size", "photo_size"),
    [
        (3.0, 64, (60, 40)),
        (1.0, 64, (178, 218)),
        (0.7, 64, (178, 218)),
        (1 / 2.7, 32, (200, 300)),
        (1 / 40, 64, (4000, 3000)),
        (1 / 40, 63, (1500, 3000)),  # reaches beyond the edges
    ],
)
def test_a_pixel_of_the_crop_is_what_the_photo_shows_there(
    scale: float, size: int, photo_size: tuple[int, int], degrees: float
) -> None:
    matrix = similarity(scale, degrees)
    matrix[:, 2] = size * np.array([0.55, 0.45]) - matrix[:, :2] @ np.array(photo_size) / 2
    landmarks = transform_points(invert(matrix), mean_landmarks(size))
    photo = ramps(matrix, *photo_size, size)
    aligned, negative = (
        align(shown, face_at(landmarks), size) for shown in (photo, ImageOps.invert(photo))
    )
    assert (aligned.image.mode, aligned.image.size) == ("RGB", (size, size))
    np.testing.assert_allclose(aligned.matrix, matrix, rtol=1e-6, atol=1e-6)

    centres = np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), axis=-1).reshape(-1, 2)
    places = transform_points(invert(aligned.matrix), centres)
    nearest = places.clip(0.5, np.array(photo_size) - 0.5)  # beyond the edge, the edge is repeated
    expected = transform_points(matrix, nearest).clip(0, size)
    # A photo and its negative, because Pillow rounds down what it warps: half a level too dark.
    positive, negated = (np.asarray(a.image, float).reshape(-1, 3) for a in (aligned, negative))
    off = size * (positive + 255 - negated)[:, :2] / 510 - expected
    inside = (places == nearest).all(axis=1)
    assert np.abs(off).max() < 0.75  # pixels of the crop
    assert np.abs(off[inside].mean(axis=0)).max() < 0.02
    np.testing.assert_allclose(positive + negated, 255, atol=3)  # nothing is black


def test_the_matrix_brings_the_landmarks_nearest_to_the_mean_ones(face: Face) -> None:
    matrix = align(PHOTO, face, 64).matrix
    np.testing.assert_array_equal(matrix, fit_similarity(face.landmarks, mean_landmarks(64)))
    assert apart(transform_points(matrix, face.landmarks), mean_landmarks(64)) < 0.3


@pytest.mark.parametrize("size", [148, 64])
def test_a_frame_of_celeba_comes_out_as_its_central_crop(size: int) -> None:
    frame = PHOTO.resize((178, 218), Image.Resampling.LANCZOS)
    aligned = align(frame, face_at(np.add(mean_landmarks(148), (15, 35))), size)
    crop = frame.crop((15, 35, 163, 183)).resize((size, size), Image.Resampling.LANCZOS)
    off = np.abs(np.asarray(aligned.image, float) - np.asarray(crop, float))
    assert off.mean() < 1
    assert off.max() <= (1 if size == 148 else 15)


def test_a_turned_scaled_photo_is_aligned_to_the_same_picture(face: Face) -> None:
    photo = PHOTO.rotate(30, Image.Resampling.BICUBIC, expand=True)
    photo = photo.resize((2 * photo.width, 2 * photo.height), Image.Resampling.BICUBIC)
    again = np.asarray(align(photo, find_faces(photo)[0]).image, float)
    off = np.abs(again - np.asarray(align(PHOTO, face).image, float))
    assert off.mean() < 4
    shifted = np.abs(np.roll(again, 2, axis=1) - again)
    assert off.mean() < shifted.mean() / 2


def test_a_fine_pattern_becomes_grey_instead_of_a_coarse_one() -> None:
    x, y = np.meshgrid(np.arange(1600), np.arange(1600))
    photo = Image.fromarray(np.where((x + y) % 2, 255, 0).astype(np.uint8))
    for scale in (1 / 3.1, 1 / 7, 1 / 24):
        matrix = similarity(scale, 20, (0, -5))
        landmarks = transform_points(invert(matrix), mean_landmarks(64)).clip(0, 1600)
        shown = np.asarray(align(photo, face_at(landmarks)).image, float)[24:40, 24:40]
        np.testing.assert_allclose(shown, 127.5, atol=6)


def test_beyond_the_photo_its_edge_is_repeated() -> None:
    photo = Image.new("RGB", (30, 20), "blue")
    photo.paste("red", (0, 0, 30, 10))
    for where, colour in ((-97, (255, 0, 0)), (16, (0, 0, 255))):
        aligned = align(photo, face_at(np.add(mean_landmarks(100), (0, where))), 16)
        assert np.unique(np.asarray(aligned.image).reshape(-1, 3), axis=0).tolist() == [[*colour]]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_mode_of_a_photo_is_aligned_in_rgb(face: Face, mode: str) -> None:
    aligned = align(PHOTO.convert(mode), face)
    expected = align(PHOTO.convert(mode).convert("RGB"), face)
    np.testing.assert_array_equal(np.asarray(aligned.image), np.asarray(expected.image))


def test_what_cannot_be_aligned_is_an_error(face: Face) -> None:
    for far in ((0, 2000), (-2000, 0), (1e7, 0)):
        with pytest.raises(ValueError, match="outside the photo"):
            align(PHOTO, face_at(face.landmarks + far))
    with pytest.raises(ValueError, match="1 pixel or more; found 0"):
        align(PHOTO, face, 0)
    with pytest.raises(ValueError, match="finite"):
        align(PHOTO, face_at(np.full((5, 2), np.nan)))
    with pytest.raises(ValueError, match="two different points"):
        align(PHOTO, face_at(np.full((5, 2), 7.0)))


# Faces that a person points at


@pytest.mark.parametrize("right", [(246, 103), (180, 90), (203, 400)])
def test_eyes_pointed_at_land_on_the_mean_eyes(right: tuple[float, float]) -> None:
    eyes = np.array([EYES[0], right], float)
    marked = face_from_eyes(*eyes)
    np.testing.assert_allclose(marked.landmarks[:2], eyes)
    matrix = align(PHOTO, marked, 64).matrix
    np.testing.assert_allclose(transform_points(matrix, eyes), mean_landmarks(64)[:2], atol=1e-9)
    np.testing.assert_array_less(marked.box[:2], marked.landmarks.min(axis=0))
    np.testing.assert_array_less(marked.landmarks.max(axis=0), marked.box[2:])


def test_what_are_no_two_eyes_is_an_error() -> None:
    with pytest.raises(ValueError, match="two different points"):
        face_from_eyes(np.array([5.0, 7]), np.array([5.0, 7]))
    with pytest.raises(ValueError, match="finite"):
        face_from_eyes(np.array([5.0, 7]), np.array([np.nan, 7]))


# Weights


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.mkdir, (self.folder,)


def test_a_changed_weight_file_is_refused_before_it_can_do_anything(tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    joblib.dump(Bomb(harm), tmp_path / "pnet.lz4")
    joblib.load(tmp_path / "pnet.lz4")
    harm.rmdir()  # it does go off
    with pytest.raises(WeightsError, match=r"was not loaded.*--force-reinstall"):
        read_weights(tmp_path, "pnet")
    assert not harm.exists()


@pytest.mark.parametrize("name", mtcnn.SHA256)
def test_one_changed_bit_is_enough_to_refuse_a_weight_file(tmp_path: Path, name: str) -> None:
    data = bytearray((find_weights() / f"{name}.lz4").read_bytes())
    (tmp_path / f"{name}.lz4").write_bytes(data)
    assert {array.dtype for array in read_weights(tmp_path, name)} == {np.dtype(np.float32)}
    data[-1] ^= 1
    (tmp_path / f"{name}.lz4").write_bytes(data)
    with pytest.raises(WeightsError, match="was not loaded"):
        read_weights(tmp_path, name)


def test_missing_weights_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match=r"cannot be read.*pip install"):
        read_weights(tmp_path, "pnet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(mtcnn, "_loaded", [])
    with pytest.raises(WeightsError, match=r"package mtcnn.*pip install"):
        find_faces(PHOTO)
