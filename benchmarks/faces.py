"""How well and how fast faces are found: `python -m benchmarks.faces [--photos DIR] [--seeds 3]`.

What needs no data is always measured: time, and false finds on images of scikit-image. A folder
of photos holds `wild/`, with a `manifest.csv` of columns `file` and `faces`, and `aligned/`, with
frames of CelebA (178x218, JPEG). Frames are pasted into larger images, scaled and turned, to
see how near to CelebA's mean eyes the eyes of the found face are brought.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image

from vae_explorer.faces import find_faces
from vae_explorer.faces.geometry import (
    CROP_SIDE,
    Matrix,
    Points,
    fit_similarity,
    invert,
    mean_landmarks,
    transform_points,
)
from vae_explorer.preprocessing import read_upload

RUNS = 20
NEAR = 0.15
"""Eyes off by no more than this part of their distance are where they should be."""
BACKGROUNDS = ("chelsea.png", "coffee.png")
FACELESS = (
    *BACKGROUNDS,
    "brick.png",
    "cell.png",
    "chessboard_RGB.png",
    "clock_motion.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "logo.png",
    "microaneurysms.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "phantom.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
# CelebA's mean eyes in its frame; it counts from the centre of a pixel, hence the half.
FRAME_EYES = np.array([[69.4, 111.2], [107.6, 111.1]]) + 0.5
CROP_START = np.array([15.0, 35.0])


def main() -> None:
    """Measure, and print the tables."""
    args = _parse_arguments()
    torch.set_num_threads(1)
    _print_times(time_search(RUNS))
    names = [name for name in FACELESS if _sample_path(name).exists()]
    finds = {name: len(find_faces(_sample(name))) for name in names}
    print(f"\n{'false finds on faceless pictures':38}{sum(finds.values())} on {len(names)}", end="")
    print("".join(f"  {name}: {count}" for name, count in finds.items() if count))
    if args.photos:
        wrong = miscounted(args.photos / "wild")
        right = sum(not line for line in wrong.values())
        print(f"{'photos with the right count of faces':38}{right} of {len(wrong)}", end="")
        print("".join(f"  {name}: {line}" for name, line in wrong.items() if line))
        _print_placements(args.photos / "aligned", args.seeds)


def time_search(runs: int) -> dict[str, NDArray[np.float64]]:
    """Time the search of images of 1000x750, with a face and without, beside decoding a JPEG.

    Parameters
    ----------
    runs : int
        Of each, in turns, so that both feel the same load; after one that does not count.

    Returns
    -------
    dict of ndarray (runs,)
        Milliseconds of each run, by what was run.
    """
    faceless = _sample("coffee.png").resize((1000, 750))
    picture = faceless.copy()
    picture.paste(_sample("astronaut.png"), (400, 150))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    jobs: Mapping[str, Callable[[], object]] = {
        "find_faces": lambda: find_faces(picture),
        "find_faces, where there is none": lambda: find_faces(faceless),
        "decoding a JPEG": lambda: Image.open(io.BytesIO(file.getvalue())).load(),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(runs + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values[1:]) for name, values in times.items()}


def miscounted(folder: Path) -> dict[str, str]:
    """Search the photos of a manifest, and compare counts of faces.

    Parameters
    ----------
    folder : Path
        Of the photos and their `manifest.csv`.

    Returns
    -------
    dict of str
        By file: empty where the count is right, else what was found.
    """
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        counts = {row["file"]: int(row["faces"]) for row in csv.DictReader(file)}
    wrong = {}
    for name, count in counts.items():
        found = len(find_faces(read_upload((folder / name).read_bytes())))
        wrong[name] = "" if found == count else f"{found} instead of {count}"
    return wrong


def paste_frames(folder: Path, seed: int) -> Iterator[tuple[Image.Image, Matrix]]:
    """Paste CelebA's frames into larger images.

    Parameters
    ----------
    folder : Path
        Of the frames.
    seed : int
        Of scales (1 to 2.5), turns (40 degrees to either side), sizes and places.

    Yields
    ------
    tuple of Image and ndarray (2, 3)
        The image, and what maps a point of the frame to it.
    """
    rng = np.random.default_rng(seed)
    backgrounds = [_sample(name) for name in BACKGROUNDS]
    for index, path in enumerate(sorted(folder.glob("*.jpg"))):
        frame = Image.open(path).convert("RGB")
        scale, angle = rng.uniform(1, 2.5), np.deg2rad(rng.uniform(-40, 40))
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * frame.size @ turn.T
        extent = np.ptp(corners, axis=0)
        width, height = (extent * rng.uniform(1.1, 2, 2)).astype(int).tolist()
        place = rng.uniform(0, 1, 2) * ((width, height) - extent) - corners.min(axis=0)
        matrix = np.column_stack([turn, place])
        back = invert(matrix).ravel().tolist()
        picture = backgrounds[index % 2].resize((width, height))
        warped, mask = (
            image.transform((width, height), Image.Transform.AFFINE, back, resample)
            for image, resample in (
                (frame, Image.Resampling.BICUBIC),
                (Image.new("L", frame.size, 255), Image.Resampling.BILINEAR),
            )
        )
        picture.paste(warped, (0, 0), mask)
        yield picture, matrix


def eyes_off(picture: Image.Image, matrix: Matrix) -> float:
    """Tell how far from the mean eyes alignment brings the eyes of a pasted frame.

    Parameters
    ----------
    image : Image
        With one face.
    matrix : ndarray (2, 3)
        Maps a point of the frame to the image.

    Returns
    -------
    float
        For the worse eye, in distances of the eyes; infinite if no face is found.
    """
    faces = find_faces(picture)
    if not faces:
        return np.inf
    align = fit_similarity(faces[0].landmarks, mean_landmarks(CROP_SIDE))
    eyes: Points = transform_points(align, transform_points(matrix, FRAME_EYES))
    off = np.linalg.norm(eyes - (FRAME_EYES - CROP_START), axis=1).max()
    return float(off / np.linalg.norm(FRAME_EYES[1] - FRAME_EYES[0]))


def _print_times(times: Mapping[str, NDArray[np.float64]]) -> None:
    base = np.median(times["decoding a JPEG"])
    print(f"{'1000×750, ' + str(RUNS) + ' runs, one thread':38}   p50 ms   p95 ms   × decoding")
    for name, values in times.items():
        columns = "".join(f"{p:9.1f}" for p in np.percentile(values, (50, 95)))
        print(f"{name:38}{columns}{np.median(values) / base:13.1f}")


def _print_placements(folder: Path, seeds: int) -> None:
    print(
        f"\n{'frames pasted, scaled and turned':38}  within {NEAR:.0%}   median      p90   no face"
    )
    for seed in range(seeds):
        off = np.array([eyes_off(*pasted) for pasted in paste_frames(folder, seed)])
        share = f"{(off <= NEAR).sum()} of {len(off)}"
        quantiles = "".join(f"{np.quantile(off, q):9.3f}" for q in (0.5, 0.9))
        print(f"seed {seed:<33}{share:>12}{quantiles}{np.isinf(off).sum():10}")


def _sample_path(name: str) -> Path:
    # As a file: scikit-image's own functions download what does not come with it.
    return Path(skimage.data.__file__).parent / name


def _sample(name: str) -> Image.Image:
    return Image.open(_sample_path(name)).convert("RGB")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faces", description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder of wild/ and aligned/ (none)")
    parser.add_argument("--seeds", type=int, default=3, help="for pasting frames (3)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
