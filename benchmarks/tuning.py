"""How near and how fast tuning to photos gets: `python -m benchmarks.tuning DIR [DIR ...]`.

Each DIR holds photos that the model was not trained on; their faces are found and aligned as those
of an upload. With `--data ROOT`, where CelebA is prepared at the model's size, samples of the tuned
decoders are compared with its held-out images. With `--sheet FILE.png`, twelve of the faces are
laid out, a row each: the photo, the encoder's reconstruction, z optimised, and tuned.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.classifiers.network import AttributeClassifier
from vae_explorer.classifiers.storage import load_classifier, pooled_features, predict_attributes
from vae_explorer.data import load_dataset
from vae_explorer.editing.selection import Networks, measure_drift
from vae_explorer.editing.vectors import others_of
from vae_explorer.errors import UploadError
from vae_explorer.evaluation.image_quality import frechet_distance
from vae_explorer.faces import TunedFaces, align, find_faces, tune_to_faces
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.preprocessing import read_upload
from vae_explorer.sampling import sample_latents

MODEL, JUDGE, ATTRIBUTE = "faces-vae-64", "attributes-judge", "Smiling"
TOGETHER = (1, 2, 4)
RUNS = 3
SAMPLES, REAL = 1_000, 2_000
COMPARED = 12
"""Tuned decoders whose samples are compared."""
FARTHER = 1.25
ROWS, SCALE = 12, 3


def main() -> None:
    """Measure, print, and draw the sheet that was asked for."""
    args = _parse_arguments()
    torch.set_num_threads(1)
    checkpoint, judge = load_checkpoint(args.model), load_classifier(JUDGE)
    faces = read_faces(args.folders, checkpoint.card.model.image_size)
    print(f"{len(faces)} faces, {args.model}, one thread; load {os.getloadavg()[0]:.1f}")
    _print_times(checkpoint, faces)
    tuned = [tune_to_faces(checkpoint, faces[i : i + 1]) for i in range(len(faces))]
    if args.sheet:
        draw_sheet(checkpoint, faces, tuned).save(args.sheet)
    _print_psnr(tuned)
    groups = [faces[i : i + 4] for i in range(0, len(faces) - 3, 16)]
    worst = [tune_to_faces(checkpoint, group).psnr["decoder"].min() for group in groups]
    print(f"four together, {len(groups)} groups: minimum PSNR {min(worst):.1f} dB")
    _print_accepted(checkpoint, judge, faces, tuned)
    if args.data:
        _print_frechet(checkpoint, judge, tuned[:: max(1, len(tuned) // COMPARED)], args.data)


def read_faces(folders: Sequence[Path], size: int) -> NDArray[np.float32]:
    """Find and align the faces of all photos in some folders: (n, 3, size, size) in [0, 1]."""
    crops = []
    for path in [path for folder in folders for path in sorted(folder.iterdir())]:
        try:
            photo = read_upload(path.read_bytes())
        except UploadError:
            continue  # the manifest beside them
        crops += [np.asarray(align(photo, face, size).image) for face in find_faces(photo)]
    pixels = np.stack(crops).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pixels, np.float32) / np.float32(255)


def draw_sheet(
    checkpoint: Checkpoint, faces: NDArray[np.float32], tuned: Sequence[TunedFaces]
) -> Image.Image:
    """Lay out faces (n, 3, size, size), a row each: photo, encoder, z and tuned."""
    rows = []
    for number in np.linspace(0, len(faces) - 1, ROWS).astype(int):
        photo, result = faces[number : number + 1], tuned[number]
        encoded, _ = encode(checkpoint.model, photo)
        columns = (
            photo,
            decode(checkpoint.model, encoded),
            decode(checkpoint.model, result.z),
            result.decode(result.z),
        )
        rows.append(np.hstack([to_uint8(column)[0] for column in columns]))
    sheet = Image.fromarray(np.vstack(rows))
    return sheet.resize((sheet.width * SCALE, sheet.height * SCALE), Image.Resampling.NEAREST)


def _print_times(checkpoint: Checkpoint, faces: NDArray[np.float32]) -> None:
    print(f"\n{'faces together':16}{'median s':>10}{'longest':>10}{'CPU s':>8}{'load':>7}")
    for count in TOGETHER:
        walls, busy = [], []
        for run in range(RUNS):
            start, computed = time.perf_counter(), time.process_time()
            tune_to_faces(checkpoint, np.roll(faces, -4 * run, axis=0)[:count])
            walls.append(time.perf_counter() - start)
            busy.append(time.process_time() - computed)
        times = f"{np.median(walls):10.2f}{max(walls):10.2f}{np.median(busy):8.2f}"
        print(f"{count:<16}{times}{os.getloadavg()[0]:7.1f}", flush=True)


def _print_psnr(tuned: Sequence[TunedFaces]) -> None:
    print(f"\n{'PSNR, each alone':16}{'mean dB':>10}{'minimum':>10}")
    for stage in ("encoder", "z", "decoder"):
        values = np.concatenate([each.psnr[stage] for each in tuned])
        print(f"{stage:16}{values.mean():10.1f}{values.min():10.1f}")


def _print_accepted(
    checkpoint: Checkpoint,
    judge: AttributeClassifier,
    faces: NDArray[np.float32],
    tuned: Sequence[TunedFaces],
) -> None:
    names = list(judge.config.attributes)
    wanted = names.index(ATTRIBUTE)
    lacking = np.flatnonzero(predict_attributes(judge, faces)[:, wanted] <= 0.5)
    z, _ = encode(checkpoint.model, faces[lacking])
    vector = checkpoint.attribute_vectors[ATTRIBUTE]
    predict = Networks(checkpoint.model, judge, None).predict
    untuned = measure_drift(predict, z, vector, wanted, others_of(ATTRIBUTE, names))
    alpha = FARTHER * untuned.alpha
    results = [tuned[i] for i in lacking]
    edited = np.concatenate([r.decode(r.z + np.float32(alpha) * vector) for r in results])
    accepted = (predict_attributes(judge, edited)[:, wanted] > 0.5).mean()
    print(
        f"\naccepted as {ATTRIBUTE}, of {len(lacking)} that are not: {untuned.accepted:.0%} at "
        f"α = {untuned.alpha:g}, encoded; {accepted:.0%} at α = {alpha:g}, tuned"
    )


def _print_frechet(
    checkpoint: Checkpoint, judge: AttributeClassifier, tuned: Sequence[TunedFaces], root: Path
) -> None:
    size = checkpoint.card.model.image_size
    dataset = load_dataset("celeba", root, size=size)
    rows = dataset.rows(dataset.held_out)[:REAL]
    real = pooled_features(judge, dataset.take(rows, size).astype(np.float32) / np.float32(255))
    z = sample_latents(checkpoint, SAMPLES, seed=1)
    before = frechet_distance(real, pooled_features(judge, decode(checkpoint.model, z)))
    after = [frechet_distance(real, pooled_features(judge, each.decode(z))) for each in tuned]
    changes = np.array(after) / before - 1
    print(
        f"Fréchet distance of {SAMPLES:,} samples of N(0, I) to held-out images: {before:.2f}; by "
        f"{len(tuned)} tuned decoders {changes.mean():+.1%} on average, {changes.min():+.1%} to "
        f"{changes.max():+.1%}"
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of photos")
    parser.add_argument("--model", default=MODEL, help=f"checkpoint ({MODEL})")
    parser.add_argument("--data", type=Path, help="folder in which CelebA is prepared (none)")
    parser.add_argument("--sheet", type=Path, help="image file to write (none)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
