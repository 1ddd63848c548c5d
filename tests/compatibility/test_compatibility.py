"""Files that an earlier version wrote are still read: `files/`, which `make_files.py` describes."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from vae_explorer import workspace
from vae_explorer.catalog.archive import pack_checkpoint, read_archive, unpack_checkpoint
from vae_explorer.catalog.library import rename_checkpoint
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.classifiers.storage import load_classifier, predict_attributes
from vae_explorer.cli import build_parser, main
from vae_explorer.data import find_prepared, load_dataset
from vae_explorer.data.user_sets import delete_user_set, list_user_sets
from vae_explorer.editing.recipe import Recipe, editing_vectors, kinds_of, read_recipe, write_recipe
from vae_explorer.editing.user_vectors import read_user_vector, write_user_vector
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.faces import edit_photo, whole_face
from vae_explorer.inference import decode, encode
from vae_explorer.models import count_parameters
from vae_explorer.playback.packed import decode_epoch, load_epochs
from vae_explorer.publishing import publish_classifier
from vae_explorer.runs.run import Run, list_runs
from vae_explorer.runs.status import RunStatus
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.training.classifier import load_best, train_classifier
from vae_explorer.training.classifier import load_config as load_classifier_config
from vae_explorer.training.classifier import load_state as load_classifier_state
from vae_explorer.training.snapshots import list_epochs, load_epoch, read_epochs
from vae_explorer.training.state import load_config, load_state, read_history

FILES = Path(__file__).parent / "files"
EXPECTED = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))
ARRAYS = load_file(FILES / "expected.safetensors")
MODELS = ("digits-ae", "digits-vae", "drawn-faces")
CLASSIFIERS = ("attributes-judge", "attributes-strided")
NAMES = ("Smiling", "Eyeglasses", "Male")
SIDE = 12
EXACT = 1e-5
"""Of pixels and probabilities, whatever the processor."""
ROUNDING = 1e-5
"""Of a loss after some 150 steps on another processor, as a share; on the same one nothing."""

models = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the files to work in, where models and runs are found by name."""
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path / "checkpoints")
    handler, threads = signal.getsignal(signal.SIGINT), torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, handler)  # `train` takes Ctrl-C for itself


@pytest.fixture
def source(folder: Path) -> Path:
    """The zip of drawn faces, whose cache is where this version looks for it."""
    source = (folder / "data" / "own" / "drawn" / "drawn.zip").resolve()
    cache = folder / "data" / "cache"
    place = f"folder-drawn-{hashlib.sha256(str(source).encode()).hexdigest()[:8]}-{SIDE}"
    info = (cache / f"folder-drawn-{SIDE}").rename(cache / place) / "dataset.json"
    text = info.read_text(encoding="utf-8").replace('"SOURCE"', json.dumps(str(source)))
    info.write_text(text, encoding="utf-8")
    return source


def assert_holds(found: object, written: object, where: str = "") -> None:
    """Assert that an object, however it is made, has everything that a JSON value says."""
    if isinstance(written, dict):
        for name, value in written.items():
            inner = found[name] if isinstance(found, Mapping) else getattr(found, name)
            assert_holds(inner, value, f"{where}.{name}")
    elif isinstance(written, list):
        assert isinstance(found, Sequence), where
        assert len(found) == len(written), where
        for index, value in enumerate(written):
            assert_holds(found[index], value, f"{where}.{index}")
    elif isinstance(written, float):
        assert found == written or (math.isnan(found) and math.isnan(written)), where
    else:
        assert found == written, where


def read_json(path: Path) -> dict[str, object]:
    values = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(values, dict)
    return values


def read_run(name: str) -> RunStatus:
    status = Run(Path("runs", name)).read_status()
    assert status is not None
    return status


# Checkpoints


def test_all_checkpoints_are_listed_and_whole(folder: Path) -> None:
    cards, errors = list_checkpoints()
    assert (tuple(cards), errors) == (MODELS, {})
    assert list_checkpoints(folder / "checkpoints")[0].keys() == cards.keys()


@models
def test_a_card_says_all_that_it_said(folder: Path, name: str) -> None:
    written = read_json(folder / "checkpoints" / name / "card.json")
    card = load_checkpoint(name).card
    assert_holds(card, written)
    assert_holds(json.loads(card.to_json()), written)
    assert type(card).from_json(card.to_json()) == card
    assert card.fingerprint == EXPECTED["fingerprints"][name]  # recipes name it


def test_the_cards_are_those_of_what_was_trained(folder: Path) -> None:
    cards, _ = list_checkpoints()
    vae, plain, faces = (cards[name] for name in ("digits-vae", "digits-ae", "drawn-faces"))
    assert (vae.title, vae.format_version, vae.created) == ("Digits, kept", 1, "2026-11-27")
    assert (vae.model.kind, vae.model.latent_dim, tuple(vae.model.channels)) == ("vae", 3, (2, 4))
    assert (vae.train.beta, vae.train.keep_epochs, vae.train.epochs) == (0.1, True, 3)
    assert (vae.dataset.name, vae.dataset.licence) == ("digits", "CC BY 4.0")
    assert tuple(vae.label_names) == tuple("0123456789")
    assert vae.parameters == {"encoder": 198, "decoder": 305}
    assert vae.metrics["negative_elbo"].value == pytest.approx(28.79, abs=0.5)
    assert len(vae.metrics["kl_per_dimension"].value) == 3
    assert (plain.model.kind, plain.title) == ("autoencoder", "Digits, 8×8, autoencoder, 2-D")
    assert "kl" not in plain.metrics
    assert (tuple(faces.attribute_names), tuple(faces.label_names)) == (NAMES, ())
    assert (faces.dataset.title, faces.dataset.image_size) == ("Your own pictures: drawn", SIDE)
    alpha, accepted, others = faces.metrics["drift.Smiling.steered"].value
    assert 0.5 <= alpha <= 3
    assert 0 <= accepted <= 1
    assert others >= 0


@models
def test_a_model_has_its_weights_and_draws_as_it_did(folder: Path, name: str) -> None:
    checkpoint = load_checkpoint(folder / "checkpoints" / name)
    stored = load_file(folder / "checkpoints" / name / "model.safetensors")
    state = checkpoint.model.state_dict()
    assert stored.keys() == state.keys()
    assert all(np.array_equal(stored[key], state[key].numpy()) for key in stored)
    assert checkpoint.card.parameters == {
        "encoder": count_parameters(checkpoint.model.encoder),
        "decoder": count_parameters(checkpoint.model.decoder),
    }
    images = decode(checkpoint.model, ARRAYS[f"{name}/z"])
    np.testing.assert_allclose(images, ARRAYS[f"{name}/images"], atol=EXACT)


@models
def test_encodings_are_those_that_the_model_gives(folder: Path, source: Path, name: str) -> None:
    checkpoint = load_checkpoint(name)
    encodings = checkpoint.encodings
    if name == "drawn-faces":
        data = load_dataset("folder", size=SIDE, source=source)
        assert encodings.attributes is not None
        assert np.array_equal(encodings.attributes, data.attributes[encodings.row_id])
        assert encodings.labels is None
        assert set(encodings.split) == {"train", "test"}
    else:
        data = load_dataset("digits")
        assert encodings.labels is not None
        assert np.array_equal(encodings.labels, data.labels[encodings.row_id])
        assert np.array_equal(encodings.row_id, data.rows("test"))
    images = data.take(encodings.row_id).astype(np.float32) / 255
    z_mean, z_log_var = encode(checkpoint.model, images)
    np.testing.assert_allclose(encodings.z_mean, z_mean, rtol=1e-3, atol=1e-3)  # float16
    assert (z_log_var is None) == (encodings.z_log_var is None) == (name == "digits-ae")
    if z_log_var is not None:
        np.testing.assert_allclose(encodings.z_log_var, z_log_var, rtol=1e-3, atol=1e-3)


@models
def test_the_same_seed_still_draws_the_same_latents(folder: Path, name: str) -> None:
    checkpoint = load_checkpoint(name)
    own = "box" if name == "digits-ae" else "standard"
    assert available_priors(checkpoint) == (own, "fitted")
    for key, prior in (("drawn", own), ("fitted", "fitted")):
        z = sample_latents(checkpoint, 3, prior, 0.8, 1)
        np.testing.assert_allclose(z, ARRAYS[f"{name}/{key}"], atol=EXACT)


def test_a_vae_has_its_plane_history_and_kept_epochs(folder: Path) -> None:
    checkpoint = load_checkpoint("digits-vae")
    assert checkpoint.tsne is not None
    assert checkpoint.tsne_rows is not None
    assert checkpoint.tsne.shape == (359, 2)
    assert np.array_equal(checkpoint.tsne_rows, np.arange(359))
    history = checkpoint.history
    assert history["epoch"].tolist() == [1, 2, 3]
    assert [each.validation_loss for each in read_history(Path("runs/digits-vae"))] == (
        history["validation_loss"].tolist()
    )
    kept = load_epochs(checkpoint)
    assert kept is not None
    assert kept.numbers.tolist() == [1, 2, 3]
    assert kept.z_mean.shape == (3, 359, 3)
    assert kept.label_names == tuple("0123456789")
    assert 3 in kept.decoders
    drawn = decode_epoch(checkpoint.card.model, kept.decoders[3], ARRAYS["digits-vae/z"])
    # The third epoch was the best; its decoder is kept in 8 bits.
    np.testing.assert_allclose(drawn, ARRAYS["digits-vae/images"], atol=0.05)
    assert load_epochs(load_checkpoint("digits-ae")) is None


def test_a_model_of_faces_has_vectors_of_every_kind(folder: Path) -> None:
    checkpoint = load_checkpoint("drawn-faces")
    kinds = ["plain", "balanced", "regression", "steered", "composed"]
    assert kinds_of(checkpoint) == ["best", *kinds]
    vectors = checkpoint.attribute_vectors
    assert set(vectors) == set(NAMES)
    stored = load_file(folder / "checkpoints" / "drawn-faces" / "latent.safetensors")
    for name in NAMES:
        assert np.array_equal(vectors[name], stored[f"attribute_vector.{name}"])
        assert vectors[name].shape == (2,)
    z = checkpoint.encodings.z_mean
    assert checkpoint.encodings.attributes is not None
    for name, has in zip(NAMES, checkpoint.encodings.attributes.T, strict=True):
        towards = z[has].mean(0) - z[~has].mean(0)
        assert editing_vectors(checkpoint, "plain")[name] @ towards > 0


def test_an_old_model_is_measured_anew_with_the_same_result(folder: Path) -> None:
    checkpoint = load_checkpoint("digits-vae")
    metrics = evaluate(checkpoint.model, load_dataset("digits")).metrics
    for name, metric in metrics.items():
        before = checkpoint.card.metrics[name]
        assert metric.value == pytest.approx(before.value, rel=1e-3, abs=1e-4), name
        assert metric.unit == before.unit
    assert main(["evaluate", "checkpoints/digits-vae", "--write"]) == 0
    again = load_checkpoint("digits-vae")
    assert again.card.metrics.keys() == checkpoint.card.metrics.keys()
    assert load_epochs(again) is not None


def test_an_old_checkpoint_is_renamed(folder: Path) -> None:
    before = load_checkpoint("digits-ae")
    rename_checkpoint("digits-ae", "renamed", "Another title")
    card = load_checkpoint("renamed").card
    assert (card.name, card.title) == ("renamed", "Another title")
    assert card.sha256 == before.card.sha256
    assert list_checkpoints()[1] == {}


# Archives


def test_an_exported_model_is_taken_in(folder: Path) -> None:
    data = (folder / "archives" / "digits-ae.zip").read_bytes()
    card, contents = read_archive(data)
    assert card.name == "digits-ae"
    assert contents.keys() == {"card.json", *card.sha256}
    taken = unpack_checkpoint(data, "came-by-mail")
    assert taken.name == "came-by-mail"
    checkpoint = load_checkpoint("came-by-mail")
    images = decode(checkpoint.model, ARRAYS["digits-ae/z"])
    np.testing.assert_allclose(images, ARRAYS["digits-ae/images"], atol=EXACT)
    assert unpack_checkpoint(data, free=True).name != "digits-ae"  # that name is taken


@models
def test_an_old_checkpoint_is_packed_and_comes_back(folder: Path, name: str) -> None:
    taken = unpack_checkpoint(pack_checkpoint(folder / "checkpoints" / name), "again")
    assert taken.sha256 == load_checkpoint(name).card.sha256


# Runs


def test_runs_are_in_the_states_that_they_were_left_in(folder: Path) -> None:
    runs = {status.name: status for status in list_runs()}
    found = {name: (s.phase, s.failure, Run.named(name).can_resume) for name, s in runs.items()}
    assert found == {
        "digits-vae": ("finished", "", True),
        "paused": ("paused", "", True),
        "killed": ("interrupted", "memory", True),
        "failed": ("failed", "not_a_number", False),
    }
    assert [status.name for status in list_runs()] == ["failed", "killed", "paused", "digits-vae"]
    assert "probably because the machine ran out of memory" in runs["killed"].message
    assert "Progress up to epoch 4 is saved" in runs["killed"].message
    assert "became not a number in epoch 1, by step 9" in runs["failed"].message
    assert runs["digits-vae"].message == "Epoch 3 was the best, and was published."


@pytest.mark.parametrize("name", ["digits-vae", "paused", "killed", "failed"])
def test_a_status_says_all_that_it_said(folder: Path, name: str) -> None:
    written = read_json(folder / "runs" / name / "status.json")
    del written["system_kills"]  # no longer counted
    written["failure"] = written.pop("fault")
    written["requested_action"] = written.pop("asked")
    if written["seconds_left"] == -1:
        written["seconds_left"] = None
    if name == "killed":
        assert written["phase"] == "training"
        written |= {"phase": "interrupted", "failure": "memory", "message": read_run(name).message}
    status = read_run(name)
    assert_holds(status, written)
    assert not status.is_alive
    args = build_parser().parse_args(["train", *status.arguments])  # to start it anew
    assert args.out == Path("checkpoints", name)
    assert status.command.startswith("python -m vae_explorer train \\\n  --image-size 8")


@pytest.mark.parametrize("name", ["digits-vae", "paused", "killed", "failed"])
def test_the_configuration_of_a_run_is_read(folder: Path, name: str) -> None:
    model, train = load_config(folder / "runs" / name)
    written = read_json(folder / "runs" / name / "config.json")
    assert_holds(model, written["model"])
    assert_holds(train, written["train"])
    assert (model.image_shape, tuple(model.channels)) == ((1, 8, 8), (2, 4))
    assert train.dataset == "digits"


def test_the_epochs_that_a_run_kept_are_read(folder: Path) -> None:
    run = folder / "runs" / "digits-vae"
    assert list_epochs(run) == [1, 2, 3]
    kept = read_epochs(run)
    assert kept.z_mean.shape == (3, 359, 3)
    assert kept.originals.shape == (12, 1, 8, 8)
    digits = load_dataset("digits")
    assert np.array_equal(kept.originals, digits.take(kept.picture_id))
    stored = load_checkpoint("digits-vae").encodings
    np.testing.assert_allclose(kept.z_mean[2], stored.z_mean, atol=1e-2)
    last = load_epoch(run, 3)
    assert np.array_equal(last.reconstructions, kept.reconstructions[2])
    assert list_epochs(folder / "runs" / "paused") == [1]


def test_data_are_still_taken_for_those_that_it_began_with(folder: Path, source: Path) -> None:
    digits = load_dataset("digits")
    assert digits.digest == EXPECTED["digests"]["digits"] == load_state(Path("runs/paused")).data
    drawn = load_dataset("folder", size=SIDE, source=source)
    assert drawn.digest == EXPECTED["digests"]["drawn"]


def test_a_paused_run_is_resumed_to_the_same_end(folder: Path) -> None:
    run, expected = Path("runs/paused"), EXPECTED["resumed"]
    state = load_state(run)
    assert (state.step, len(state.history)) == (expected["step"], 1)
    assert state.step % 74  # amid an epoch
    status = read_run("paused")
    arguments = status.resume_arguments
    assert arguments == ["--title=Paused once", "--out=checkpoints/paused"]
    assert main(["train", *arguments, "--resume"]) == 0
    history = read_history(run)
    for name, losses in expected["history"].items():
        found = [getattr(each, name) for each in history]
        assert found == pytest.approx(losses, rel=ROUNDING), name
    card = load_checkpoint("paused").card
    assert card.title == "Paused once"
    for name, value in expected["metrics"].items():
        assert card.metrics[name].value == pytest.approx(value, rel=ROUNDING)
    assert list_epochs(run) == [1, 2, 3]
    assert (read_run("paused").phase, read_run("paused").step) == ("finished", 222)


def test_of_a_killed_run_the_best_epoch_is_published(folder: Path) -> None:
    losses = [each.validation_loss for each in read_history(Path("runs/killed"))]
    assert len(losses) == 4
    assert main(["train", "--resume", "--finish", "--out=checkpoints/killed"]) == 0
    checkpoint = load_checkpoint("killed")
    assert checkpoint.history["validation_loss"].tolist() == losses
    best = load_state(Path("runs/killed")).best
    state = checkpoint.model.state_dict()
    assert all(torch.equal(best[name], state[name]) for name in best)
    assert read_run("killed").phase == "finished"


def test_another_training_starts_from_an_old_run_or_checkpoint(folder: Path) -> None:
    options = [
        "--dataset=digits",
        "--image-size=8",
        "--image-channels=1",
        "--channels=2,4",
        "--epochs=1",
        "--precision=float32",
    ]
    for number, (place, size) in enumerate(
        [("checkpoints/digits-vae", 3), ("runs/paused", 2)], start=1
    ):
        out = f"checkpoints/further-{number}"
        more = [f"--latent-dim={size}", "--start-from", place, "--out", out]
        assert main(["train", *options, *more]) == 0
        (epoch,) = read_history(Path("runs", f"further-{number}"))
        assert epoch.validation_loss < 35  # it goes on: from the beginning, one gives over 40


# Data


def test_an_own_set_is_listed_and_deleted(folder: Path, source: Path) -> None:
    (found,) = list_user_sets()
    assert (found.name, found.pictures, tuple(found.label_names)) == ("drawn", 60, ())
    assert (found.damaged, found.others, tuple(found.other_names)) == (0, 1, ("readme.txt",))
    assert found.source.resolve() == source
    assert found.counts == {"train": 48, "val": 6, "test": 6}
    delete_user_set("drawn")
    assert list_user_sets() == []
    assert not any(Path("data/cache").glob("folder-drawn-*"))


def test_a_cache_is_opened_as_it_is(source: Path) -> None:
    info = find_prepared("folder", source=source)
    assert list(info) == [SIDE]
    assert_holds(info[SIDE].counts, {"train": 48, "val": 6, "test": 6})
    before = sorted(Path("data/cache").rglob("*.npy"))
    data = load_dataset("folder", size=SIDE, source=source)  # raises where there is none
    assert sorted(Path("data/cache").rglob("*.npy")) == before
    assert data.images.shape == (60, 3, SIDE, SIDE)
    assert tuple(data.attribute_names) == NAMES
    assert (data.source_name, data.labels, tuple(data.damaged)) == ("drawn", None, ())
    photo = data.take(np.array([0]))[0].transpose(1, 2, 0)
    assert np.array_equal(photo, ARRAYS["edits/photo"])


# Files of the pages on faces


def test_a_recipe_is_read_and_does_what_it_did(folder: Path, source: Path) -> None:
    checkpoint = load_checkpoint("drawn-faces")
    data = (folder / "recipe.json").read_bytes()
    recipe = read_recipe(data, checkpoint)
    assert recipe == Recipe({"Smiling": 1.5, "Eyeglasses": -0.75}, "balanced", ("Male",), 0.5)
    assert read_recipe(write_recipe(recipe, checkpoint.card), checkpoint) == recipe
    own = read_user_vector((folder / "direction.json").read_bytes(), checkpoint.card)
    vectors = editing_vectors(checkpoint, recipe.kind, recipe.locked, {"own.1": own.vector})
    z = checkpoint.encodings.z_mean[:1]
    moved = z + sum(recipe.amounts[name] * vectors[name] for name in recipe.amounts)
    images = decode(checkpoint.model, moved.astype(np.float32))
    np.testing.assert_allclose(images, ARRAYS["edits/moved"], atol=EXACT)
    photo = Image.fromarray(ARRAYS["edits/photo"])
    edited = edit_photo(
        photo, whole_face(SIDE), checkpoint, recipe.amounts, recipe.detail, vectors=vectors
    )
    difference = np.asarray(edited).astype(int) - ARRAYS["edits/edited"]
    assert np.abs(difference).max() <= 1
    assert np.abs(np.asarray(edited).astype(int) - ARRAYS["edits/photo"]).max() > 10


def test_a_direction_is_read_and_does_what_it_did(folder: Path) -> None:
    checkpoint = load_checkpoint("drawn-faces")
    own = read_user_vector((folder / "direction.json").read_bytes(), checkpoint.card)
    assert (own.name, tuple(own.counts), own.vector.shape) == ("Dark hair", (6, 5), (2,))
    moved = checkpoint.encodings.z_mean[:1] + own.vector
    images = decode(checkpoint.model, moved.astype(np.float32))
    np.testing.assert_allclose(images, ARRAYS["edits/own"], atol=EXACT)
    again = read_user_vector(write_user_vector(own, checkpoint.card), checkpoint.card)
    assert np.array_equal(again.vector, own.vector)


# Networks of attributes


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_says_what_it_said(folder: Path, source: Path, name: str) -> None:
    classifier = load_classifier(name)
    written = read_json(folder / "checkpoints" / "classifiers" / name / "card.json")
    assert_holds(classifier.config, written["network"])
    assert count_parameters(classifier) == written["parameters"]
    data = load_dataset("folder", size=SIDE, source=source)
    images = data.take(np.arange(4)).astype(np.float32) / 255
    found = predict_attributes(classifier, images)
    np.testing.assert_allclose(found, ARRAYS[f"{name}/attributes"], atol=EXACT)


def test_the_training_of_a_classifier_is_resumed_and_published(folder: Path, source: Path) -> None:
    run, data = Path("runs/classifiers/stopped"), load_dataset("folder", size=SIDE, source=source)
    network, config = load_classifier_config(run)
    written = read_json(run / "config.json")
    assert_holds(network, written["network"])
    assert_holds(config, written["train"])
    assert len(load_classifier_state(run).history) == 2
    assert len(list(train_classifier(network, config, data, run, resume=True))) == 1
    classifier, history = load_best(run)
    found = [each.validation_loss for each in history]
    assert found == pytest.approx(EXPECTED["resumed_classifier"], rel=ROUNDING)
    out = Path("checkpoints/classifiers/stopped")
    assert publish_classifier(classifier, config, history, data, out).training.epochs == 3
    assert load_classifier("stopped").config == network


# Tables


def test_a_table_of_latents_is_decoded_and_written_as_it_was(folder: Path, source: Path) -> None:
    checkpoint = load_checkpoint("drawn-faces")
    assert main(["decode", "drawn-faces", "latents.csv", "--out", "decoded"]) == 0
    drawn = sorted(Path("decoded").iterdir())
    assert [path.name for path in (drawn[0], drawn[-1])] == ["000001-00.png", "000060-59.png"]
    table = np.genfromtxt("latents.csv", np.float32, delimiter=",", skip_header=1, usecols=(1, 2))
    images = np.rint(255 * decode(checkpoint.model, table)).astype(int).transpose(0, 2, 3, 1)
    pictures = np.stack([np.asarray(Image.open(path)) for path in drawn]).astype(int)
    assert np.abs(pictures - images).max() <= 1
    assert main(["encode", "drawn-faces", str(source), "--as-is", "--out", "again.csv"]) == 0
    before, after = (Path(file).read_text().splitlines() for file in ("latents.csv", "again.csv"))
    assert before[0] == after[0] == "file,z1,z2,log_var1,log_var2"
    for line, same in zip(before[1:], after[1:], strict=True):
        (file, *values), (same_file, *same_values) = line.split(","), same.split(",")
        assert file == same_file
        assert [*map(float, values)] == pytest.approx([*map(float, same_values)], abs=1e-4)
