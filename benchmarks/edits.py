"""What an edit costs a photo, and what it leaves alone: `python -m benchmarks.edits`.

A portrait that comes with scikit-image is enlarged to 12 megapixels and changed. With
`--photos DIR --sheet FILE.png`, the faces of DIR/wild and DIR/aligned are changed too, and laid
out to be looked at: each as it was, then with each edit at detail 0, 0.5 and 1.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.errors import UploadError
from vae_explorer.faces import Face, align, edit_photo, find_faces
from vae_explorer.faces.geometry import invert, transform_points
from vae_explorer.preprocessing import read_upload

MODEL = "faces-vae-64"
SIDE = 3464  # a square of 12 megapixels
RUNS = 5
EDITS: tuple[dict[str, float], ...] = ({"Eyeglasses": 2.0}, {"Smiling": 1.5}, {"Blond_Hair": 2.0})
DETAILS = (0.0, 0.5, 1.0)
FACES = 12
TILE = 200


def main() -> None:
    """Measure, print, and draw the sheet that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__)
    parser.add_argument("--model", default=MODEL, help=f"checkpoint ({MODEL})")
    parser.add_argument("--photos", type=Path, help="folder of wild/ and aligned/ (none)")
    parser.add_argument("--sheet", type=Path, help="picture to write, of edited photos")
    args = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(args.model)
    photo = Image.fromarray(astronaut()).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    _measure(checkpoint, photo, find_faces(photo)[0])
    if args.sheet and args.photos:
        draw_sheet(checkpoint, args.photos).save(args.sheet)


def outside_of(face: Face, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels (height, width) of a photo lie outside of a face's crop."""
    matrix = align(Image.new("RGB", size), face, 64).matrix
    corners = transform_points(
        invert(matrix), np.array([[0, 0], [64, 0], [0, 64], [64, 64]], float)
    )
    (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    rows, columns = np.ogrid[: size[1], : size[0]]
    outside: NDArray[np.bool_] = ~((columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1))
    return outside


def draw_sheet(checkpoint: Checkpoint, folder: Path) -> Image.Image:
    """Lay out faces of a folder, a row each: as it was, and each edit at each detail."""
    rows = []
    for path in sorted((folder / "wild").iterdir()) + sorted((folder / "aligned").iterdir()):
        try:
            photo = read_upload(path.read_bytes())
        except UploadError:
            continue  # the manifest beside them
        faces = find_faces(photo)[:1]
        for face in faces:
            tiles = [align(photo, face, TILE).image]
            for edit in EDITS:
                edited = (edit_photo(photo, face, checkpoint, edit, d) for d in DETAILS)
                tiles += [align(each, face, TILE).image for each in edited]
            rows.append(np.hstack([np.asarray(tile) for tile in tiles]))
        if len(rows) == FACES:
            break
    return Image.fromarray(np.vstack(rows))


def _measure(checkpoint: Checkpoint, photo: Image.Image, face: Face) -> None:
    before = np.asarray(photo)
    untouched = np.array_equal(edit_photo(photo, face, checkpoint, {"Smiling": 0.0}), before)
    times, copies = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        after = np.asarray(edit_photo(photo, face, checkpoint, {"Smiling": 2.0}))
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
        photo.copy()
        copies.append(time.perf_counter() - start)
    outside = outside_of(face, photo.size)
    changed = (before != after).any(axis=2)
    print(f"edit_photo on {photo.width}×{photo.height}, {RUNS} runs, one thread:")
    print(f"  {np.median(times):.2f} s, {np.median(times) / np.median(copies):.0f} × a copy of it")
    print(f"  with nothing to change, bit for bit the photo: {untouched}")
    print(f"  pixels changed outside of the face's crop: {int((changed & outside).sum())}")
    print(f"  pixels changed within it: {changed[~outside].mean():.1%}")


if __name__ == "__main__":
    main()
