from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from vae_explorer import workspace
from vae_explorer.checkpoints import (
    checkpoint,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from vae_explorer.checkpoints.card import FORMAT_VERSION, DatasetInfo, Metric, ModelCard
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.encodings import Encodings
from vae_explorer.errors import CardError, CheckpointError
from vae_explorer.inference import decode
from vae_explorer.models import Autoencoder, build_model

ROWS = 20
CONFIG = ModelConfig(image_size=8, image_channels=1, latent_dim=3, channels=(4,))
HISTORY = {"epoch": np.array([1.0, 2.0]), "train_loss": np.array([0.1 + 0.2, 1e-9])}
LATENT = {
    "tsne": np.linspace(0, 1, 10, dtype=np.float32).reshape(5, 2),
    "tsne_rows": np.array([0, 3, 5, 7, 19]),
    "attribute_vector.Smiling": np.array([1, 2, 3], np.float32),
    "of_another_version": np.ones(4, np.float32),
}


def make_model(config: ModelConfig = CONFIG, seed: int = 0) -> Autoencoder:
    return build_model(config, seed).eval()


def make_encodings(kind: str = "vae") -> Encodings:
    rng = np.random.default_rng(0)
    z_mean, z_log_var = rng.normal(size=(2, ROWS, 3)).astype(np.float32)
    return Encodings(
        row_id=np.arange(ROWS),
        split=np.full(ROWS, "test"),
        z_mean=z_mean,
        z_log_var=z_log_var if kind == "vae" else None,
        labels=np.arange(ROWS) % 2,
        attributes=rng.random((ROWS, 1)) < 0.5,
    )


def make_card(config: ModelConfig = CONFIG) -> ModelCard:
    return ModelCard(
        format_version=FORMAT_VERSION,
        name="unnamed",
        title="Made, VAE, 3-D",
        dataset=DatasetInfo("made", "Made", "MIT", "None.", "Nobody 2026", "https://x.org", 8),
        model=config,
        train=TrainConfig(dataset="made", epochs=2),
        seed=0,
        metrics={
            "kl": Metric("kl", 1.5, "nats per image", "test split"),
            "kl_per_dimension": Metric("kl_per_dimension", (1.0, 0.5, 0.0), "nats", "test split"),
        },
        label_names=("ink", "paper"),
        attribute_names=("Smiling",),
        parameters={"encoder": 1, "decoder": 2},
        versions={"torch": "2"},
        created="2026-01-31",
        sha256={},
    )


def save(path: Path, *, config: ModelConfig = CONFIG, seed: int = 0) -> ModelCard:
    return save_checkpoint(
        path,
        model=make_model(config, seed),
        card=make_card(config),
        encodings=make_encodings(config.kind),
        history=HISTORY,
        latent=LATENT,
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of checkpoint, which names refer to."""
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def good(root: Path) -> Path:
    save(root / "good")
    return root / "good"


# What is saved is what is loaded


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, kind="autoencoder"),
        replace(CONFIG, normalization="batch", activation="leaky_relu", image_channels=3),
        replace(CONFIG, architecture="mlp", channels=(), hidden_dim=6),
    ],
)
def test_a_loaded_model_decodes_as_the_saved_one(root: Path, config: ModelConfig) -> None:
    save(root / "model", config=config, seed=4)
    loaded = load_checkpoint("model").model
    z = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_allclose(decode(loaded, z), decode(make_model(config, 4), z), atol=1e-6)
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    kernels = [weight for weight in loaded.parameters() if weight.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)


def test_everything_beside_the_model_comes_back(good: Path) -> None:
    checkpoint, encodings = load_checkpoint("good"), make_encodings()
    np.testing.assert_allclose(checkpoint.encodings.z_mean, encodings.z_mean, rtol=2**-11)
    np.testing.assert_array_equal(checkpoint.encodings.labels, encodings.labels)
    np.testing.assert_array_equal(checkpoint.encodings.attributes, encodings.attributes)
    assert checkpoint.attribute_vectors.keys() == {"Smiling"}
    np.testing.assert_array_equal(checkpoint.attribute_vectors["Smiling"], [1, 2, 3])
    np.testing.assert_array_equal(checkpoint.tsne, LATENT["tsne"])
    np.testing.assert_array_equal(checkpoint.tsne_rows, LATENT["tsne_rows"])
    assert checkpoint.latent.keys() == LATENT.keys()
    assert checkpoint.history.keys() == HISTORY.keys()
    for name, column in HISTORY.items():
        np.testing.assert_array_equal(checkpoint.history[name], column)
    assert checkpoint.path == good


def test_a_loaded_checkpoint_saved_again_is_the_same(good: Path, root: Path) -> None:
    first = load_checkpoint("good")
    parts = ("model", "card", "encodings", "history", "latent")
    save_checkpoint(root / "again", **{part: getattr(first, part) for part in parts})
    assert load_checkpoint("again").card.sha256 == first.card.sha256


def test_latent_arrays_and_epochs_may_be_none(root: Path) -> None:
    parts = {"model": make_model(), "card": make_card(), "encodings": make_encodings()}
    save_checkpoint(root / "bare", history={"epoch": np.array([])}, **parts)
    checkpoint = load_checkpoint("bare")
    assert checkpoint.tsne is None
    assert checkpoint.tsne_rows is None
    assert checkpoint.attribute_vectors == {}
    assert checkpoint.history["epoch"].shape == (0,)


def test_a_card_survives_json(good: Path) -> None:
    card = load_checkpoint("good").card
    assert ModelCard.from_json(card.to_json()) == card
    assert card.name == "good"
    assert card == list_checkpoints()[0]["good"]


def test_the_fingerprint_changes_with_the_content(root: Path) -> None:
    card = save(root / "a")
    assert save(root / "a").fingerprint == card.fingerprint
    assert save(root / "a", seed=1).fingerprint != card.fingerprint
    assert replace(card, title="Another").fingerprint != card.fingerprint
    assert len(card.fingerprint) == 16
    assert load_checkpoint("a").card.fingerprint == list_checkpoints()[0]["a"].fingerprint


def test_a_field_of_a_later_version_leaves_the_fingerprint_until_it_is_used() -> None:
    @dataclass(frozen=True)
    class LaterConfig(TrainConfig):
        momentum: float = 0.9

    @dataclass(frozen=True)
    class LaterModel(ModelConfig):
        groups: tuple[int, ...] = ()

    card = make_card()
    train = LaterConfig(**card.train.to_dict())
    later = replace(card, train=train, model=LaterModel(**vars(card.model)))
    assert "momentum" in later.to_json()
    assert later.fingerprint == card.fingerprint
    used = replace(later, train=replace(train, momentum=0.5))
    assert used.fingerprint != card.fingerprint
    assert used.fingerprint != replace(later, train=replace(train, momentum=0.6)).fingerprint
    assert replace(card, train=replace(card.train, patience=1)).fingerprint != card.fingerprint


def test_a_renamed_folder_is_a_renamed_model(good: Path) -> None:
    good.rename(good.with_name("other"))
    assert load_checkpoint("other").card.name == "other"


# Saving is all or nothing


@pytest.mark.parametrize("file", ["encodings.safetensors", "card.json"])
@pytest.mark.parametrize("crash", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_between_files_leaves_the_old_checkpoint(
    good: Path, monkeypatch: pytest.MonkeyPatch, file: str, crash: BaseException
) -> None:
    before = load_checkpoint("good").card.fingerprint
    write = workspace.write_files

    def write_until(folder: Path, contents: Mapping[str, bytes]) -> None:
        names = list(contents)
        write(folder, {name: contents[name] for name in names[: names.index(file)]})
        raise crash

    monkeypatch.setattr(checkpoint, "write_files", write_until)
    with pytest.raises((CheckpointError, KeyboardInterrupt)):
        save(good, seed=1)
    assert load_checkpoint("good").card.fingerprint == before
    assert [path.name for path in good.parent.iterdir()] == ["good"]


def test_a_swap_that_fails_puts_the_old_checkpoint_back(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = load_checkpoint("good").card.fingerprint, Path.rename

    def refuse_new(path: Path, target: Path) -> Path:
        if ".partial-" in path.name:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(CheckpointError, match=r"'good' was not saved: Permission denied\."):
        save(good, seed=1)
    assert load_checkpoint("good").card.fingerprint == before
    assert [path.name for path in good.parent.iterdir()] == ["good"]


def test_the_card_is_written_last(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(workspace.os, "fsync", lambda _: written.append(names()))

    def names() -> set[str]:
        return {path.name for path in root.glob(".a.partial-*/*")}

    save(root / "a")
    assert "card.json" not in set.union(*written[:-1])
    assert written[-1] == {path.name for path in (root / "a").iterdir()}


def test_leftovers_of_a_killed_save_are_never_listed_and_go_with_the_next(good: Path) -> None:
    for leftover in ("partial-1", f"partial-{os.getpid()}", f"replaced-{os.getpid()}"):
        shutil.copytree(good, good.with_name(f".good.{leftover}"))
    assert list(list_checkpoints()[0]) == ["good"]
    save(good, seed=1)
    assert [path.name for path in good.parent.iterdir()] == ["good"]


def test_a_save_killed_between_its_two_renames_is_undone_by_the_next(good: Path) -> None:
    good.rename(good.with_name(".good.replaced-1"))
    parts = {"model": make_model(), "card": make_card(), "encodings": make_encodings()}
    with pytest.raises(CheckpointError, match="both tsne and tsne_rows"):
        save_checkpoint(good, **parts, history=HISTORY, latent={"tsne": np.zeros((3, 2))})
    assert load_checkpoint("good").card.name == "good"


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("model", make_model(replace(CONFIG, latent_dim=2)), r"must be torch.float32 of shape"),
        (
            "encodings",
            replace(make_encodings(), z_mean=np.full((ROWS, 3), 1e6, np.float32)),
            "must lie in -65504 ... 65504",
        ),
        (
            "card",
            replace(make_card(), metrics={"kl": Metric("kl", float("nan"), "", "")}),
            "must be finite",
        ),
        ("latent", {"tsne": np.zeros((3, 2), np.float32)}, "both tsne and tsne_rows"),
        ("history", {"epoch": np.zeros(2), "loss": np.zeros(1)}, "shorter"),
    ],
)
def test_what_could_not_be_loaded_replaces_nothing(
    good: Path, part: str, value: object, message: str
) -> None:
    before = load_checkpoint("good").card.fingerprint
    parts: dict[str, object] = {
        "model": make_model(seed=1),
        "card": make_card(),
        "encodings": make_encodings(),
        "history": HISTORY,
    }
    with pytest.raises(CheckpointError, match=f"'good' was not saved: .*{message}"):
        save_checkpoint(good, **{**parts, part: value})
    assert load_checkpoint("good").card.fingerprint == before


def test_a_folder_that_is_no_checkpoint_is_not_replaced(root: Path) -> None:
    (root / "notes").mkdir()
    (root / "notes" / "diary.txt").write_text("precious")
    with pytest.raises(
        CheckpointError, match="'notes' was not saved: a file or folder that is not a check"
    ):
        save(root / "notes")
    assert (root / "notes" / "diary.txt").read_text() == "precious"


# Every way of being broken


def edit_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def rewrite(folder: Path, file: str, data: bytes) -> None:
    """Replace a file and make the card agree, as somebody with a script would."""
    (folder / file).write_bytes(data)
    card = json.loads((folder / "card.json").read_text())
    edit_card(folder, sha256={**card["sha256"], file: hashlib.sha256(data).hexdigest()})


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    edit(weights)
    rewrite(folder, "model.safetensors", safetensors.torch.save(weights))


def edit_encodings(folder: Path, **changes: np.ndarray) -> None:
    tensors = safetensors.numpy.load_file(folder / "encodings.safetensors")
    data = safetensors.numpy.save({**tensors, **changes}, {"split_names": '["test"]'})
    rewrite(folder, "encodings.safetensors", data)


def edit_latent(folder: Path, **changes: np.ndarray) -> None:
    rewrite(folder, "latent.safetensors", safetensors.numpy.save({**LATENT, **changes}))


def drop_from_card(folder: Path, field: str) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card[field]
    (folder / "card.json").write_text(json.dumps(card))


def set_nan(weights: dict[str, torch.Tensor]) -> None:
    weights["encoder.z_mean.bias"][1] = float("nan")


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def model_with(**changes: object) -> dict[str, object]:
    return {**CONFIG.to_dict(), **changes}


DATASET = dict.fromkeys(("name", "title", "licence", "terms", "citation", "url", "image_size"), "x")
KL = {"name": "kl", "value": 1, "unit": "nats", "protocol": "test"}

BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    # files
    "weights missing": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is miss"),
    "encodings missing": (
        lambda f: (f / "encodings.safetensors").unlink(),
        "encodings.safetensors is missing",
    ),
    "history missing": (lambda f: (f / "history.csv").unlink(), "history.csv is missing"),
    "latent missing": (lambda f: (f / "latent.safetensors").unlink(), "latent.safetensors is mi"),
    "one bit flipped": (flip_a_bit, "model.safetensors is damaged or was changed: its sha256"),
    "cut short": (lambda f: os.truncate(f / "encodings.safetensors", 40), "encodings.safetensors"),
    "history edited": (lambda f: (f / "history.csv").write_text("epoch\n1\n"), "history.csv is d"),
    # card
    "no JSON": (lambda f: (f / "card.json").write_text("{"), "card.json is not JSON"),
    "no text": (lambda f: (f / "card.json").write_bytes(b"\xff\xfe\x00"), "card.json is not JSON"),
    "empty": (lambda f: (f / "card.json").write_text(""), "card.json is not JSON"),
    "deep": (lambda f: (f / "card.json").write_text("[" * 200_000), "card.json is not JSON"),
    "a list": (lambda f: (f / "card.json").write_text("[]"), "must hold one JSON object"),
    "newer": (lambda f: edit_card(f, format_version=2), "made by a newer version"),
    "older": (lambda f: edit_card(f, format_version=0), "format_version must be 1; found 0"),
    "version as text": (lambda f: edit_card(f, format_version="1"), "must be 1; found '1'"),
    "field missing": (lambda f: drop_from_card(f, "metrics"), "card.json lacks metrics"),
    "field unknown": (lambda f: edit_card(f, mood="good"), "unknown fields: mood"),
    "title of another type": (lambda f: edit_card(f, title=3), "title must be text; found 3"),
    "seed of another type": (lambda f: edit_card(f, seed=True), "seed must be a whole number"),
    "labels of another type": (lambda f: edit_card(f, label_names="ink"), "must be a list; found"),
    "a label that is none": (lambda f: edit_card(f, label_names=[1]), "label_names must be text"),
    "metrics of another type": (lambda f: edit_card(f, metrics=[]), "metrics must be an object"),
    "a metric without unit": (lambda f: edit_card(f, metrics={"kl": {}}), "metrics.kl lacks name"),
    "a metric that is text": (
        lambda f: edit_card(f, metrics={"kl": {**KL, "value": "low"}}),
        "value must be a finite number; found 'low'",
    ),
    "a metric that is NaN": (
        lambda f: edit_card(f, metrics={"kl": {**KL, "value": float("nan")}}),
        "NaN is no JSON number",
    ),
    "data set's size as text": (
        lambda f: edit_card(f, dataset=DATASET),
        "image_size must be a whole number; found 'x'",
    ),
    "data set without terms": (lambda f: edit_card(f, dataset={}), "dataset lacks citation"),
    "no date": (lambda f: edit_card(f, created="today"), "created must be a date"),
    "model not valid": (
        lambda f: edit_card(f, model=model_with(image_size=7)),
        "model: channels must be at most 0 numbers for images of 7×7 pixels",
    ),
    "model no object": (lambda f: edit_card(f, model=5), "model must be an object"),
    "model unknown field": (lambda f: edit_card(f, model=model_with(depth=2)), "depth"),
    "train not valid": (lambda f: edit_card(f, train={"dataset": "x", "epochs": 0}), "train: epo"),
    "hash that is none": (
        lambda f: edit_card(f, sha256={"model.safetensors": "abc"}),
        "must be 64 hexadecimal digits",
    ),
    "file elsewhere": (
        lambda f: edit_card(f, sha256={"../secret": "0" * 64}),
        "must name files of this folder; found '../secret'",
    ),
    "file not listed": (lambda f: edit_card(f, sha256={}), "lacks encodings.safetensors"),
    # weights
    "no safetensors": (
        lambda f: rewrite(f, "model.safetensors", b"pickle"),
        "model.safetensors is not a safetensors file",
    ),
    "a weight missing": (
        lambda f: edit_weights(f, lambda w: w.pop("encoder.z_mean.bias")),
        "lacks 1 weights, such as encoder.z_mean.bias",
    ),
    "a weight too many": (
        lambda f: edit_weights(f, lambda w: w.update(extra=torch.ones(1))),
        "has 1 weights too many, such as extra",
    ),
    "a weight of another shape": (
        lambda f: edit_weights(f, lambda w: w.update({"encoder.z_mean.bias": torch.ones(4)})),
        r"encoder.z_mean.bias must be torch.float32 of shape \(3,\); found .* \(4,\)",
    ),
    "a weight of another type": (
        lambda f: edit_weights(
            f, lambda w: w.update({"encoder.z_mean.bias": torch.ones(3).half()})
        ),
        "found torch.float16",
    ),
    "a weight NaN": (lambda f: edit_weights(f, set_nan), "encoder.z_mean.bias must hold finite"),
    "another model": (lambda f: edit_card(f, model=model_with(channels=[8])), "must be torch.fl"),
    "an impossible model": (
        lambda f: edit_card(f, model=model_with(channels=[10**30])),
        "cannot be built",
    ),
    # encodings
    "no encodings": (
        lambda f: rewrite(f, "encodings.safetensors", b"12345678{}"),
        "encodings.safetensors is not a safetensors file",
    ),
    "latent_dim of another model": (
        lambda f: edit_encodings(
            f, z_mean=np.zeros((ROWS, 2), np.float16), z_log_var=np.zeros((ROWS, 2), np.float16)
        ),
        "must have latent_dim 3; found 2",
    ),
    "a latent NaN": (
        lambda f: edit_encodings(f, z_mean=np.full((ROWS, 3), np.nan, np.float16)),
        "z_mean must be finite",
    ),
    "rows missing": (lambda f: edit_encodings(f, labels=np.zeros(3, np.int16)), "must have 20 row"),
    "a label without name": (
        lambda f: edit_encodings(f, labels=np.full(ROWS, 2, np.int16)),
        "Labels must lie in 0 ... 1, as the card names 2; found 2 ... 2",
    ),
    "names without labels": (
        lambda f: edit_card(f, attribute_names=["Smiling", "Bald"]),
        "must have 2 attributes, as the card names; found 1",
    ),
    "labels without names": (lambda f: edit_card(f, label_names=[]), "must have labels if, and"),
    "variance of an autoencoder": (
        lambda f: edit_card(f, model=model_with(kind="autoencoder")),
        "must have z_log_var for a VAE, and for nothing else",
    ),
    # latent
    "t-SNE of another shape": (
        lambda f: edit_latent(f, tsne=np.zeros((5, 3), np.float32)),
        r"tsne must be \(m, 2\)",
    ),
    "t-SNE of rows not there": (
        lambda f: edit_latent(f, tsne_rows=np.array([0, 1, 2, 3, 20])),
        "tsne_rows must be whole numbers in 0 ... 19",
    ),
    "a vector of another shape": (
        lambda f: edit_latent(f, **{"attribute_vector.Bald": np.ones(2, np.float32)}),
        r"attribute_vector.Bald must have the shape \(3,\)",
    ),
    "a vector NaN": (
        lambda f: edit_latent(f, **{"attribute_vector.Bald": np.full(3, np.nan, np.float32)}),
        "attribute_vector.Bald must be finite",
    ),
    # history
    "history empty": (lambda f: rewrite(f, "history.csv", b""), "line of distinct column names"),
    "columns twice": (lambda f: rewrite(f, "history.csv", b"a,a\n1,2\n"), "distinct column names"),
    "a line too short": (lambda f: rewrite(f, "history.csv", b"a,b\n1,2\n3\n"), "must hold 2 num"),
    "all lines too long": (lambda f: rewrite(f, "history.csv", b"a\n1,2\n3,4\n"), "must hold 1 n"),
    "words": (lambda f: rewrite(f, "history.csv", b"a\nlow\n"), "must hold 1 numbers in every"),
    "history no text": (lambda f: rewrite(f, "history.csv", b"a\n\xff\n"), "must hold 1 numbers"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_checkpoint_says_what_is_wrong(good: Path, way: str) -> None:
    damage, message = BROKEN[way]
    damage(good)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint("good")
    assert "'good' is broken" in str(caught.value)
    assert "git checkout -- checkpoints/good" in str(caught.value)
    assert "vae_explorer train" in str(caught.value)
    assert str(good.parent) not in str(caught.value)


# Names and paths


@pytest.mark.parametrize(
    "name", ["..", ".", "", "nothing", "classifiers", "good\0", "x" * 100_000, "../good", "good/.."]
)
def test_a_name_that_is_none_is_refused(good: Path, name: str) -> None:
    for folder in (good.parent, good.parent.parent, good.with_name("classifiers")):
        shutil.copytree(good, folder, dirs_exist_ok=True)  # something to find, were it looked for
    with pytest.raises(CheckpointError):
        load_checkpoint(name)


@pytest.mark.parametrize("name", ["..", "../checkpoints/good", "/", "sub/../good", "C:good"])
def test_a_name_from_a_url_never_leaves_the_folder(good: Path, name: str) -> None:
    (good.parent / "sub").mkdir()
    for escape in (name, str(good), str(good.relative_to(good.anchor))):
        with pytest.raises(CheckpointError, match="There is no checkpoint"):
            find_checkpoint(escape)
    assert find_checkpoint("good") == good


def test_a_wrong_name_suggests_the_right_one(good: Path) -> None:
    with pytest.raises(CheckpointError, match="Did you mean 'good'"):
        load_checkpoint("godo")


def test_without_checkpoints_the_error_says_how_to_get_one(root: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoints yet.*vae_explorer train"):
        load_checkpoint("good")


def test_a_path_may_lie_anywhere(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(good, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    paths = (tmp_path / "elsewhere", str(tmp_path / "elsewhere"), Path(), Path("../elsewhere"))
    for path in paths:
        assert load_checkpoint(path).card.name == "elsewhere"


def test_a_path_without_card_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint in 'empty': it has no card\.json"):
        load_checkpoint(tmp_path / "empty")


# Listing


def test_a_broken_folder_does_not_hide_the_good_ones(good: Path) -> None:
    flip_a_bit(save_and_return(good.with_name("bad")))
    cards, errors = list_checkpoints()
    assert list(cards) == ["good"]
    assert list(errors) == ["bad"]
    assert "model.safetensors is damaged" in errors["bad"]


def save_and_return(path: Path) -> Path:
    save(path)
    return path


def test_only_checkpoints_are_listed(good: Path) -> None:
    for name in ("_draft", ".hidden", "classifiers"):
        shutil.copytree(good, good.with_name(name))
    good.with_name("notes").mkdir()
    good.with_name("file.txt").write_text("")
    assert list_checkpoints() == ({"good": load_checkpoint("good").card}, {})


def test_no_folder_has_no_checkpoints(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path / "nowhere") == ({}, {})


def test_a_change_is_noticed_at_the_next_look(good: Path) -> None:
    first = list_checkpoints()[0]["good"]
    save(good, seed=1)
    save(good.with_name("new"))
    cards, _ = list_checkpoints()
    assert list(cards) == ["good", "new"]
    assert cards["good"].fingerprint != first.fingerprint
    flip_a_bit(good)
    assert list(list_checkpoints()[1]) == ["good"]
    (good / "card.json").unlink()
    assert "good" not in list_checkpoints()[0]


def test_a_second_look_reads_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        save(root / f"model-{number}")
    first = list_checkpoints()

    def refuse(path: Path) -> bytes:
        raise AssertionError(f"{path.name} was read again")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert list_checkpoints() == first
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02  # 0.6 ms on an idle machine


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_a_card_with_a_number_that_json_lacks_is_not_written(number: float) -> None:
    card = replace(make_card(), metrics={"kl": Metric("kl", (1.0, number), "nats", "test")})
    with pytest.raises(CardError, match="must be finite"):
        card.to_json()
