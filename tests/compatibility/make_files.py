"""Make `files/`: what VAE Explorer wrote before its modules became packages.

This ran once, with the code of commit 34fecaa (OLD below is a checkout of it), and is kept to say
where the files come from; it is no test. All is made by that version's own command line and
functions, in an empty folder:

    PYTHONPATH=OLD VAE_EXPLORER_CHECKPOINTS=SCRATCH/checkpoints OMP_NUM_THREADS=1 \
        python make_files.py SCRATCH FILES

The digits are scikit-learn's (CC BY 4.0: Alpaydin, Kaynak, UCI 1998); the faces are drawn here.

Changed in the copies, so that the files do not depend on where they lie:
- The cache of a folder carries the digest of its source's absolute path in its name, and that path
  in `dataset.json`; here they are `folder-drawn-12` and SOURCE, and tests put them back.
- Nothing else: process numbers and times are as they were written.

Made again, all weights are the same. Times are others, and with them the fingerprints, the step
amid the second epoch at which `paused` stands, and how far `killed` came: 4 epochs, which a test
names.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from vae_explorer.attribute_networks import ClassifierConfig
from vae_explorer.catalog.archive import pack_checkpoint
from vae_explorer.checkpoints import CHECKPOINTS
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.classifier import load_classifier, predict_attributes
from vae_explorer.publishing import publish_classifier
from vae_explorer.training.classifier import load_best, load_config, load_state, save_config
from vae_explorer.training.classifier import train_classifier
from vae_explorer.config import TrainConfig
from vae_explorer.data import load_dataset, prepare
from vae_explorer.data.own_sets import add_own_set
from vae_explorer.faces import edit_photo, whole_face
from vae_explorer.inference import decode
from vae_explorer.runs.launcher import pause_training, start_training
from vae_explorer.editing.user_vectors import make_own_vector, read_own_vector, write_own_vector
from vae_explorer.editing.recipe import Recipe, editing_vectors, read_recipe, write_recipe
from vae_explorer.runs.lock import find_holder
from vae_explorer.runs.status import read_status
from vae_explorer.training.state import RUNS
from vae_explorer.training.state import read_history
from vae_explorer.sampling import sample_latents

SIDE = 12
NAMES = ("Smiling", "Eyeglasses", "Male")
COMMON = [
    "--image-size=8", "--image-channels=1", "--channels=2,4", "--warmup-steps=9", "--lr=0.01",
    "--weight-average=0.9", "--precision=float32", "--dataset=digits",
]  # fmt: skip
FACES = [
    "--dataset=folder", "--source=data/own/drawn/drawn.zip", f"--image-size={SIDE}",
    "--image-channels=3", "--channels=4,8", "--latent-dim=2", "--batch-size=8", "--epochs=40",
    "--lr=0.01", "--beta=0.05", "--warmup-steps=9", "--weight-average=0.9", "--precision=float32",
]  # fmt: skip


def command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "vae_explorer", *arguments], check=True)


def wait_for_end(name: str) -> None:
    while (status := read_status(RUNS / name)) is None or status.is_live:
        time.sleep(0.05)
    time.sleep(1)  # until the process is gone


def draw_face(smiling: bool, glasses: bool, male: bool, rng: np.random.Generator) -> Image.Image:
    """Draw a face of 12x12 pixels: a mouth, perhaps dark glasses, perhaps a short dark head."""
    skin = (230 - int(rng.integers(0, 60)), 180, 140)
    image = Image.new("RGB", (SIDE, SIDE), (90, 120, int(rng.integers(120, 220))))
    draw = ImageDraw.Draw(image)
    draw.ellipse((1, 0, 10, 11), fill=skin)
    if male:
        draw.rectangle((2, 0, 9, 1), fill=(40, 30, 20))
    if glasses:
        draw.rectangle((2, 4, 9, 5), fill=(10, 10, 10))
    else:
        draw.point([(4, 4), (7, 4)], fill=(20, 20, 80))
    mouth = [(3, 8), (4, 9), (5, 9), (6, 9), (7, 9), (8, 8)] if smiling else [(5, 8), (6, 8)]
    draw.point(mouth, fill=(200, 20, 40))
    return image


def make_zip() -> bytes:
    """Return 60 drawn faces with `attributes.csv`, as somebody might zip them."""
    rng = np.random.default_rng(3)
    has = rng.random((60, len(NAMES))) < 0.5
    table = ["file," + ",".join(NAMES)]
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, row in enumerate(has):
            picture = io.BytesIO()
            draw_face(*row.tolist(), rng).save(picture, "PNG", optimize=True)
            archive.writestr(f"{number:02d}.png", picture.getvalue())
            table.append(",".join([f"{number:02d}.png", *(str(int(each)) for each in row)]))
        archive.writestr("attributes.csv", "\n".join(table) + "\n")
        archive.writestr("readme.txt", "Drawn by a program.\n")
    return data.getvalue()


def make_own_set() -> Path:
    add_own_set("drawn", io.BytesIO(make_zip()))
    source = Path("data/own/drawn/drawn.zip")
    prepare("folder", size=SIDE, source=source)
    return source


def make_classifiers(source: Path) -> None:
    """Train two as `train-classifier` does, with fewer channels than it offers."""
    dataset = load_dataset("folder", size=SIDE, source=source)
    config = TrainConfig(
        dataset="folder", epochs=40, batch_size=8, learning_rate=1e-2, warmup_steps=4,
        weight_average=0.9, validation_fraction=0.1, precision="float32",
    )  # fmt: skip
    for name, architecture in (("attributes-judge", "residual"), ("attributes-strided", "strided")):
        network = ClassifierConfig(
            architecture=architecture, attributes=NAMES, channels=(4, 6), image_size=SIDE
        )
        run = RUNS / "classifiers" / name
        save_config(run, network, config)
        list(train_classifier(network, config, dataset, run))
        classifier, history = load_best(run)
        publish_classifier(classifier, config, history, dataset, CHECKPOINTS / "classifiers" / name)
    # One that was stopped after two of three epochs.
    short = dataclasses.replace(config, epochs=3)
    network = dataclasses.replace(network, channels=(2, 3))
    run = RUNS / "classifiers" / "stopped"
    save_config(run, network, short)
    epochs = train_classifier(network, short, dataset, run)
    next(epochs), next(epochs)
    epochs.close()


def make_digits() -> None:
    out = f"--out={CHECKPOINTS.name}"
    start_training(
        [*COMMON, "--latent-dim=3", "--epochs=3", "--batch-size=16", "--beta=0.1",
         "--keep-epochs", "--title=Digits, kept", f"{out}/digits-vae"]
    )  # fmt: skip
    wait_for_end("digits-vae")
    config = {
        "model": {
            "kind": "autoencoder", "image_size": 8, "image_channels": 1, "latent_dim": 2,
            "channels": [2, 4],
        },
        "train": {
            "dataset": "digits", "epochs": 2, "batch_size": 16, "learning_rate": 0.01,
            "warmup_steps": 9,
        },
    }  # fmt: skip
    Path("ae.json").write_text(json.dumps(config))
    command("train", "--config=ae.json", "--precision=float32", f"{out}/digits-ae")


def make_paused() -> None:
    start_training(
        [*COMMON, "--latent-dim=2", "--epochs=3", "--batch-size=16", "--beta=0.1",
         "--keep-epochs", "--seed=5", "--title=Paused once", "--out=checkpoints/paused"]
    )  # fmt: skip
    while not read_history(RUNS / "paused"):
        time.sleep(0.001)
    pause_training("paused")
    wait_for_end("paused")


def make_killed() -> None:
    start_training(
        [*COMMON, "--latent-dim=2", "--epochs=4000", "--batch-size=16", "--out=checkpoints/killed"]
    )
    while not read_history(RUNS / "killed"):
        time.sleep(0.001)
    time.sleep(1.5)  # a status with a point of the curve
    holder = find_holder(RUNS)
    assert holder is not None and holder.run == "killed"
    os.kill(holder.pid, signal.SIGKILL)
    while not (RUNS / "killed" / "exit.json").exists():
        time.sleep(0.05)


def make_failed() -> None:
    start_training(
        [*COMMON, "--latent-dim=2", "--epochs=3", "--lr=1e30", "--warmup-steps=0",
         "--out=checkpoints/failed"]
    )  # fmt: skip
    wait_for_end("failed")


def make_faces(source: Path) -> None:
    command("train", *FACES, "--out=checkpoints/drawn-faces")
    command("encode", "drawn-faces", str(source), "--as-is", "--out=latents.csv")


def make_edits(source: Path) -> dict[str, np.ndarray]:
    """Write a recipe and a direction; return what becomes of a picture by them."""
    checkpoint = load_checkpoint("drawn-faces")
    card, z = checkpoint.card, checkpoint.encodings.z_mean
    kinds = ("plain", "balanced", "regression", "steered", "composed")
    assert {f"{kind}_vector.Smiling" for kind in kinds} <= checkpoint.latent.keys()
    recipe = Recipe({"Smiling": 1.5, "Eyeglasses": -0.75}, "balanced", ("Male",), 0.5)
    Path("recipe.json").write_bytes(write_recipe(recipe, card))
    attributes = checkpoint.encodings.attributes
    assert attributes is not None
    male = attributes[:, NAMES.index("Male")]
    own = make_own_vector("Dark hair", z[male][:6], z[~male][:5])
    Path("direction.json").write_bytes(write_own_vector(own, card))
    recipe = read_recipe(Path("recipe.json").read_bytes(), checkpoint)
    own = read_own_vector(Path("direction.json").read_bytes(), card)
    vectors = editing_vectors(checkpoint, recipe.kind, recipe.locked, {"own.1": own.vector})
    moved = z[:1] + sum(recipe.amounts[name] * vectors[name] for name in recipe.amounts)
    dataset = load_dataset("folder", size=SIDE, source=source)
    photo = dataset.take(np.array([0]))[0].transpose(1, 2, 0)
    edited = edit_photo(
        Image.fromarray(photo), whole_face(SIDE), checkpoint, recipe.amounts, recipe.detail,
        vectors=vectors,
    )  # fmt: skip
    return {
        "edits/moved": decode(checkpoint.model, moved.astype(np.float32)),
        "edits/own": decode(checkpoint.model, (z[:1] + own.vector).astype(np.float32)),
        "edits/photo": photo,
        "edits/edited": np.asarray(edited),
    }


def resume_paused() -> dict[str, object]:
    """Go on with a copy of the paused run; return what this version ends with."""
    before = {path: path.read_bytes() for path in RUNS.joinpath("paused").rglob("*.*")}
    shutil.copytree(RUNS / "paused", "aside")
    assert len(read_history(RUNS / "paused")) == 1
    status = read_status(RUNS / "paused")
    assert status is not None and status.phase == "paused" and status.step % 74
    command("train", "--resume", "--out=checkpoints/paused")
    published = load_checkpoint("paused")
    shutil.rmtree(RUNS / "paused")
    shutil.move("aside", RUNS / "paused")
    assert before == {path: path.read_bytes() for path in RUNS.joinpath("paused").rglob("*.*")}
    shutil.rmtree(CHECKPOINTS / "paused")
    names = ("validation_loss", "validation_reconstruction", "validation_kl", "train_loss")
    return {
        "step": status.step,
        "history": {name: published.history[name].tolist() for name in names},
        "metrics": {
            name: metric.value
            for name, metric in published.card.metrics.items()
            if name in ("negative_elbo", "reconstruction", "kl")
        },
        "model_sha256": published.card.sha256["model.safetensors"],
    }


def resume_classifier(source: Path) -> list[float]:
    """Go on with a copy of the stopped classifier; return its validation losses."""
    run = RUNS / "classifiers" / "stopped"
    shutil.copytree(run, "stopped")
    network, config = load_config(Path("stopped"))
    dataset = load_dataset("folder", size=SIDE, source=source)
    list(train_classifier(network, config, dataset, Path("stopped"), resume=True))
    return [each.validation_loss for each in load_state(Path("stopped"))[1]]


def main(scratch: Path, out: Path) -> None:
    out = out.resolve()
    scratch.mkdir(parents=True)
    os.chdir(scratch)
    assert Path.cwd() / "checkpoints" == CHECKPOINTS
    source = make_own_set()
    make_classifiers(source)
    make_digits()
    make_faces(source)
    make_paused()
    make_killed()
    make_failed()
    arrays = make_edits(source)
    expected: dict[str, object] = {"fingerprints": {}, "digests": {}}
    for name in ("digits-vae", "digits-ae", "drawn-faces"):
        checkpoint = load_checkpoint(name)
        z = checkpoint.encodings.z_mean[:4].astype(np.float32)
        arrays |= {f"{name}/z": z, f"{name}/images": decode(checkpoint.model, z)}
        prior = "box" if name == "digits-ae" else "standard"
        arrays[f"{name}/drawn"] = sample_latents(checkpoint, 3, prior, 0.8, 1)
        arrays[f"{name}/fitted"] = sample_latents(checkpoint, 3, "fitted", 0.8, 1)
        expected["fingerprints"][name] = checkpoint.card.fingerprint
    faces = load_dataset("folder", size=SIDE, source=source)
    expected["digests"] = {"digits": load_dataset("digits").digest, "drawn": faces.digest}
    images = faces.take(np.arange(4)).astype(np.float32) / 255
    for name in ("attributes-judge", "attributes-strided"):
        arrays[f"{name}/attributes"] = predict_attributes(load_classifier(name), images)
    expected["resumed"] = resume_paused()
    expected["resumed_classifier"] = resume_classifier(source)

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copytree("checkpoints", out / "checkpoints")
    runs = ("digits-vae", "paused", "killed", "failed", "classifiers/stopped")
    for name in runs:
        shutil.copytree(RUNS / name, out / "runs" / name)
    (out / "archives").mkdir()
    (out / "archives" / "digits-ae.zip").write_bytes(pack_checkpoint(CHECKPOINTS / "digits-ae"))
    shutil.copytree("data/own", out / "data" / "own")
    (cache,) = Path("data/cache").glob("folder-drawn-*")
    copied = shutil.copytree(cache, out / "data" / "cache" / f"folder-drawn-{SIDE}")
    info = (copied / "dataset.json").read_text(encoding="utf-8")
    info = info.replace(json.dumps(str(source.resolve())), '"SOURCE"')
    (copied / "dataset.json").write_text(info, encoding="utf-8")
    for file in ("recipe.json", "direction.json", "latents.csv"):
        shutil.copy(file, out)
    (out / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")
    save_file(
        {name: np.ascontiguousarray(a) for name, a in arrays.items()}, out / "expected.safetensors"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
