"""Networks of attributes: their shapes, their training, their files, and the command."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_explorer import workspace
from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.classifiers.network import (
    CHANNELS,
    AttributeClassifier,
    ClassifierConfig,
    build_classifier,
)
from vae_explorer.classifiers.storage import (
    load_classifier,
    pooled_features,
    predict_attributes,
    save_classifier,
)
from vae_explorer.cli import classifier as classifier_command
from vae_explorer.cli import main
from vae_explorer.config import JsonValue, TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.errors import CheckpointError, ConfigError, RunError, TrainingError
from vae_explorer.inference import CHUNK
from vae_explorer.models import count_parameters
from vae_explorer.publishing import measure_accuracy, publish_classifier
from vae_explorer.training.batches import split_rows
from vae_explorer.training.classifier import (
    best_of,
    degraded,
    load_best,
    load_config,
    load_state,
    save_config,
    train_classifier,
)

NAMES = ("Bright", "Red", "Blue")
TINY = {
    name: ClassifierConfig(architecture=name, attributes=NAMES, channels=(8, 12), image_size=16)
    for name in CHANNELS
}
EPOCHS = 8
TRAIN = TrainConfig(
    dataset="celeba",
    epochs=EPOCHS,
    batch_size=32,
    learning_rate=1e-2,
    warmup_steps=4,
    weight_average=0.9,
    validation_fraction=0.1,
    precision="float32",
)
architectures = pytest.mark.parametrize("architecture", TINY)


def make_faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 3, 16, 16) that are bright or not, red or not, blue below or not."""
    rng = np.random.default_rng(7)
    attributes = rng.random((count, len(NAMES))) < 0.5
    images = rng.integers(0, 40, (count, 3, 16, 16)) + 20
    images[attributes[:, 0]] += 80
    images[attributes[:, 1], 0] += 80
    images[attributes[:, 2], 2, 8:] += 80  # the lower half: a flip changes nothing
    return images.astype(np.uint8), attributes


@pytest.fixture(scope="module")
def faces() -> ImageDataset:
    images, attributes = make_faces(480)
    split = np.array(["train"] * 400 + ["val"] * 80)
    return ImageDataset("celeba", images, None, (), attributes, NAMES, split, ())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, faces: ImageDataset) -> dict[str, Path]:
    """A finished run of each architecture; only to be read."""
    root = tmp_path_factory.mktemp("runs")
    for name, network in TINY.items():
        save_config(root / name, network, TRAIN)
        list(train_classifier(network, TRAIN, faces, root / name))
    return {name: root / name for name in TINY}


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, faces: ImageDataset, runs: dict[str, Path]
) -> Path:
    """The folder of the strided network; only to be read."""
    out = tmp_path_factory.mktemp("checkpoints") / "classifiers" / "tiny"
    classifier, history = load_best(runs["strided"])
    publish_classifier(classifier, TRAIN, history, faces, out)
    return out


@pytest.fixture
def copied(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be broken, below the folder where names are looked for."""
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path)
    return shutil.copytree(published, tmp_path / "classifiers" / "tiny")


def make_images(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(2).random((count, 3, side, side), dtype=np.float32)


def make_network(architecture: str = "strided") -> AttributeClassifier:
    return build_classifier(TINY[architecture], seed=1).eval()


# Networks


@architectures
def test_images_become_logits_and_features(architecture: str) -> None:
    network, images = make_network(architecture), torch.from_numpy(make_images(5))
    assert network(images).shape == (5, 3)
    assert network.pooled(images).shape == (5, 12)
    first = 16 if architecture == "strided" else 8  # the other one halves the picture before
    found = network.features(images)
    assert [tuple(each.shape) for each in found] == [
        (5, 8, first, first),
        (5, 12, first // 2, first // 2),
    ]


@architectures
def test_features_are_the_activations_after_each_first_convolution(architecture: str) -> None:
    network, images = make_network(architecture), torch.from_numpy(make_images(5))
    seen: list[torch.Tensor] = []
    for block in network.blocks:
        block.first.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    network(images)
    through, seen[:] = list(seen), []
    assert all(torch.equal(a, b) for a, b in zip(network.features(images), through, strict=True))
    seen.clear()
    (only,) = network.features(images, blocks=1)
    assert torch.equal(only, through[0])
    assert len(seen) == 1  # nothing beyond was computed
    floor = 0 if architecture == "strided" else -0.279  # the least of ReLU, and of SiLU
    assert all(each.min() >= floor for each in through)


@architectures
@pytest.mark.parametrize("side", [8, 24, 17])
def test_images_of_another_size_are_resized(architecture: str, side: int) -> None:
    network = make_network(architecture)
    colour = torch.tensor([0.8, 0.5, 0.1])[None, :, None, None]
    want, got = colour.expand(2, 3, 16, 16), colour.expand(2, 3, side, side)
    torch.testing.assert_close(network(got), network(want))
    torch.testing.assert_close(network.pooled(got), network.pooled(want))
    torch.testing.assert_close(network.features(got), network.features(want))


@architectures
def test_a_frozen_network_passes_the_gradient_to_the_images(architecture: str) -> None:
    network = make_network(architecture).requires_grad_(False)
    images = torch.from_numpy(make_images(2, 24)).requires_grad_()
    torch.stack([each.square().mean() for each in network.features(images, 2)]).sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().amax((1, 2, 3)).min() > 0
    assert all(weight.grad is None for weight in network.parameters())


@architectures
def test_the_seed_gives_the_weights_and_leaves_the_global_state_alone(architecture: str) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build_classifier(TINY[architecture], seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, weight in one.state_dict().items():
        assert torch.equal(same.state_dict()[name], weight)
    assert not torch.equal(one.head[-1].weight, other.head[-1].weight)


@architectures
def test_the_shipped_size_stays_below_six_megabytes(architecture: str) -> None:
    names = tuple(f"attribute {index}" for index in range(40))
    config = ClassifierConfig(
        architecture=architecture, attributes=names, channels=CHANNELS[architecture]
    )
    assert 0.5e6 < count_parameters(build_classifier(config)) < 1.5e6


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"architecture": "mlp"}, "architecture must be one of 'strided', 'residual'"),
        ({"attributes": []}, "attributes must be distinct names"),
        ({"attributes": ["Young", "Young"]}, "attributes must be distinct names"),
        ({"channels": []}, "one positive number per block"),
        ({"channels": [8, 0]}, "one positive number per block"),
        ({"image_size": 18}, "a multiple of 4; found 18"),
        ({"depth": 3}, "no ClassifierConfig field 'depth'"),
    ],
)
def test_a_configuration_that_cannot_be_built(changes: dict[str, JsonValue], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        ClassifierConfig.from_dict({**TINY["strided"].to_dict(), **changes})


def test_the_configuration_goes_to_json_and_back() -> None:
    text = json.dumps(TINY["residual"].to_dict())
    assert ClassifierConfig.from_dict(json.loads(text)) == TINY["residual"]


# Degraded pictures


def test_degrading_blurs_and_keeps_what_is_even() -> None:
    rng = np.random.default_rng(3)
    flat = torch.full((2, 3, 16, 16), 0.3)
    noise = torch.from_numpy(make_images(4))
    for _ in range(20):
        torch.testing.assert_close(degraded(flat, rng), flat)
        blurred = degraded(noise, rng)
        assert blurred.shape == noise.shape
        assert 0 <= blurred.min() <= blurred.max() <= 1 + 1e-6
        assert blurred.diff(dim=3).square().mean() < noise.diff(dim=3).square().mean()
        assert blurred.diff(dim=2).square().mean() < noise.diff(dim=2).square().mean()


def test_degrading_is_the_same_both_ways_and_follows_the_generator() -> None:
    images = torch.from_numpy(make_images(4))
    one = degraded(images, np.random.default_rng(5))
    assert torch.equal(degraded(images, np.random.default_rng(5)), one)
    turned = degraded(images.transpose(2, 3), np.random.default_rng(5)).transpose(2, 3)
    torch.testing.assert_close(turned, one)
    assert not torch.allclose(degraded(images, np.random.default_rng(6)), one)


# Training


@architectures
def test_planted_attributes_are_learnt(
    architecture: str, runs: dict[str, Path], faces: ImageDataset
) -> None:
    classifier, history = load_best(runs[architecture])
    assert [each.epoch for each in history] == list(range(1, EPOCHS + 1))
    assert history[-1].train_loss < history[0].train_loss
    assert measure_accuracy(classifier, faces, faces.rows("val")).min() > 0.95
    untrained = measure_accuracy(build_classifier(TINY[architecture]).eval(), faces, np.arange(80))
    assert untrained.mean() < 0.8


def test_the_best_epoch_is_kept_and_measured_on_rows_not_learnt_from(
    runs: dict[str, Path], faces: ImageDataset
) -> None:
    classifier, history = load_best(runs["strided"])
    rows = split_rows(faces, TRAIN)[1]
    found = measure_accuracy(classifier, faces, rows).mean()
    assert best_of(history).validation_accuracy == pytest.approx(found)
    assert found == pytest.approx(max(each.validation_accuracy for each in history))


@architectures
def test_stopped_and_resumed_equals_uninterrupted(
    architecture: str, tmp_path: Path, runs: dict[str, Path], faces: ImageDataset
) -> None:
    network, run = TINY[architecture], tmp_path / "run"
    next(iter(train_classifier(network, TRAIN, faces, run)))
    assert len(load_state(run)[1]) == 1
    list(train_classifier(network, TRAIN, faces, run, resume=True))
    (ours, history), (theirs, through) = load_state(run), load_state(runs[architecture])
    assert ours.keys() == theirs.keys() == {"weights", "average", "best", "optimizer"}
    for group, tensors in theirs.items():
        assert ours[group].keys() == tensors.keys()
        assert all(torch.equal(ours[group][name], tensor) for name, tensor in tensors.items())
    assert [replace(e, seconds=0) for e in history] == [replace(e, seconds=0) for e in through]
    assert list(train_classifier(network, TRAIN, faces, run, resume=True)) == []


def test_it_says_nothing_and_tells_every_step(
    tmp_path: Path, faces: ImageDataset, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []
    config = replace(TRAIN, epochs=1, precision="bf16")
    (epoch,) = train_classifier(
        TINY["strided"],
        config,
        faces,
        tmp_path / "run",
        on_step=lambda step, total: told.append((step, total)),
    )
    assert told == [(step, 11) for step in range(1, 12)]  # 360 rows in batches of 32
    assert np.isfinite([epoch.train_loss, epoch.validation_loss]).all()
    assert capfd.readouterr() == ("", "")


def test_a_loss_that_is_not_a_number_stops_it_and_keeps_the_last_state(
    tmp_path: Path, faces: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    epochs = train_classifier(TINY["strided"], TRAIN, faces, run)
    next(epochs)
    before = (run / "state.safetensors").read_bytes()
    monkeypatch.setattr("vae_explorer.training.classifier.learning_rate", lambda *_: np.inf)
    with pytest.raises(TrainingError, match=r"not a number in epoch 2.*after epoch 1 is kept"):
        next(epochs)
    assert (run / "state.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"attributes": None, "attribute_names": ()}, "found none where the network tells Bright"),
        (
            {"attribute_names": ("Red", "Bright", "Blue")},
            r"found Red, Bright, Blue ... \(3\)",
        ),
        ({"images": np.zeros((480, 3, 8, 8), np.uint8)}, "of 3x16x16; those .* are 3x8x8"),
        ({"images": np.zeros((480, 1, 16, 16), np.uint8)}, "of 3x16x16; those .* are 1x16x16"),
        ({"split": np.array(["val"] * 480)}, "leaves one side empty"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    tmp_path: Path, faces: ImageDataset, changes: dict[str, object], advice: str
) -> None:
    with pytest.raises(TrainingError, match=advice):
        next(train_classifier(TINY["strided"], TRAIN, replace(faces, **changes), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_gone_on_with_says_so(tmp_path: Path, faces: ImageDataset) -> None:
    run = tmp_path / "run"
    with pytest.raises(RunError, match="nothing to resume"):
        next(train_classifier(TINY["strided"], TRAIN, faces, run, resume=True))
    with pytest.raises(RunError, match="no run in"):
        load_config(run)
    run.mkdir()
    for file, load in (("state.safetensors", load_state), ("config.json", load_config)):
        (run / file).write_bytes(b"{}")
        with pytest.raises(RunError, match=r"cannot be read .*--restart"):
            load(run)


# NumPy in, NumPy out


@architectures
@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1])
def test_chunks_give_what_one_batch_gives(architecture: str, count: int) -> None:
    network, images = make_network(architecture), make_images(count, 24)
    with torch.no_grad():
        probabilities = torch.sigmoid(network(torch.from_numpy(images)))
        pooled = network.pooled(torch.from_numpy(images))
    found = predict_attributes(network, images), pooled_features(network, images)
    np.testing.assert_allclose(found[0], probabilities, atol=1e-5)
    np.testing.assert_allclose(found[1], pooled, atol=1e-5)
    assert {each.dtype for each in found} == {np.dtype(np.float32)}


def test_no_images_give_no_rows() -> None:
    assert predict_attributes(make_network(), make_images(0)).shape == (0, 3)
    assert pooled_features(make_network(), make_images(0)).shape == (0, 12)


@pytest.mark.parametrize("function", [predict_attributes, pooled_features])
@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 3, 16, 16)), "float64"),
        (np.zeros((2, 1, 16, 16), np.float32), r"\(2, 1, 16, 16\)"),
        (np.zeros((3, 16, 16), np.float32), r"\(3, 16, 16\)"),
        (np.full((1, 3, 2, 2), np.nan, np.float32), "12 values that are NaN"),
    ],
)
def test_images_are_checked(
    function: Callable[..., np.ndarray], images: np.ndarray, found: str
) -> None:
    with pytest.raises(ValueError, match=f"images must be .*{found}"):
        function(make_network(), images)


# Files


def test_a_saved_network_is_loaded_frozen_and_tells_the_same(
    copied: Path, runs: dict[str, Path]
) -> None:
    images = make_images(4)
    want = predict_attributes(load_best(runs["strided"])[0], images)
    for name_or_path in ("tiny", copied, str(copied)):
        network = load_classifier(name_or_path)
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())
        np.testing.assert_allclose(predict_attributes(network, images), want, atol=1e-6)


def test_the_card_says_what_is_known(published: Path, faces: ImageDataset) -> None:
    card = json.loads((published / "card.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in published.iterdir()) == ["card.json", "model.safetensors"]
    assert ClassifierConfig.from_dict(card["network"]) == TINY["strided"]
    rows = faces.rows("val")
    right = measure_accuracy(load_classifier(published), faces, rows)
    assert card["accuracy"] == dict(zip(NAMES, right.tolist(), strict=True))
    assert card["mean_accuracy"] == right.mean()
    assert 0.5 <= card["majority_accuracy"] < 0.7
    assert "all 80 pictures of the val split" in card["protocol"]
    assert "non-commercial research" in card["dataset"]["terms"]
    assert card["training"]["epochs"] == EPOCHS
    assert set(card["versions"]) >= {"python", "torch"}


def test_networks_of_attributes_are_not_listed_as_models(copied: Path) -> None:
    assert list_checkpoints(copied.parents[1]) == ({}, {})


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tinny", "no classifier 'tinny'. Did you mean 'tiny'"),
        ("..", "no classifier '..'"),
        (Path("nowhere"), "no classifier in nowhere: it has no card.json"),
        ("some/where", "train-classifier --out some/where"),
    ],
)
def test_one_that_is_not_there(copied: Path, name: str | Path, advice: str) -> None:
    assert copied.is_dir()
    with pytest.raises(CheckpointError, match=advice):
        load_classifier(name)


def test_where_there_is_none_the_command_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path)
    with pytest.raises(CheckpointError, match=r"no classifiers in .* train-classifier --out"):
        load_classifier("tiny")


def change_card(folder: Path, **changes: JsonValue) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps(card | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "advice"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"no"), "is damaged or was changed"),
        (lambda f: (f / "card.json").write_text("{"), "card.json is not JSON"),
        (lambda f: change_card(f, format_version=99), "newer version"),
        (lambda f: change_card(f, sha256={}), "must name model.safetensors alone"),
        (lambda f: change_card(f, parameters="many"), "parameters must be a whole number"),
        (
            lambda f: change_card(f, network=replace(TINY["strided"], channels=(8, 16)).to_dict()),
            r"must be torch.float32 of shape \(",
        ),
        (lambda f: change_card(f, network=TINY["residual"].to_dict()), "lacks .* weights"),
        (lambda f: change_card(f, network={"channels": []}), "ClassifierConfig lacks architecture"),
    ],
)
def test_a_broken_one_says_what_is_wrong(
    copied: Path, damage: Callable[[Path], object], advice: str
) -> None:
    damage(copied)
    with pytest.raises(CheckpointError, match=rf"'tiny' is broken.*{advice}.*git checkout --"):
        load_classifier("tiny")


def test_what_cannot_be_loaded_replaces_nothing(
    copied: Path, faces: ImageDataset, runs: dict[str, Path]
) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    classifier, history = load_best(runs["strided"])
    with torch.no_grad():
        next(classifier.parameters()).fill_(torch.nan)
    with pytest.raises(CheckpointError, match=r"'tiny' was not saved: .*must hold finite weights"):
        publish_classifier(classifier, TRAIN, history, faces, copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    assert [path.name for path in copied.parent.iterdir()] == ["tiny"]


def test_something_else_is_not_replaced(tmp_path: Path, published: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("one")
    classifier = load_classifier(published)
    with pytest.raises(CheckpointError, match="something that is no classifier"):
        save_classifier(tmp_path / "thesis", classifier, None)  # type: ignore[arg-type]
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "one"


# The command

OUT = Path("checkpoints/classifiers/small")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `train-classifier` in a folder of its own, on 40 pictures with a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(classifier_command, "IMAGE_SIZE", 16)
    monkeypatch.setattr(classifier_command, "CHANNELS", {"strided": (8,), "residual": (8,)})
    images, attributes = make_faces(40)
    Path("faces").mkdir()
    with Path("faces/attributes.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["picture", *NAMES])
        for index, (image, row) in enumerate(zip(images, attributes.astype(int), strict=True)):
            Image.fromarray(image.transpose(1, 2, 0)).save(f"faces/{index:02d}.png")
            writer.writerow([f"{index:02d}.png", *row])

    def run(*options: str) -> int:
        return main(["train-classifier", "--source", "faces", "--out", str(OUT), *options])

    return run


NEW = ("--dataset", "folder", "--architecture", "residual", "--epochs", "2", "--seed", "3")


def test_the_command_trains_and_publishes(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*NEW) == 0
    told = capsys.readouterr().out
    assert "epoch   2/2  train" in told
    assert f"Published {OUT}" in told
    network = load_classifier("small")
    assert network.config.attributes == NAMES
    assert network.config.architecture == "residual"
    card = json.loads((OUT / "card.json").read_text(encoding="utf-8"))
    assert (card["training"]["seed"], card["training"]["epochs"]) == (3, 2)
    assert f"Mean accuracy {card['mean_accuracy']:.4f}" in told
    assert list_checkpoints() == ({}, {})

    assert command(*NEW) == 2
    assert "is there already" in capsys.readouterr().err
    assert command(*NEW, "--replace") == 0


def test_a_stopped_command_goes_on_and_keeps_its_configuration(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(classifier_command.tqdm, "write", interrupt)  # after the first epoch
        assert command(*NEW) == 130
    told = capsys.readouterr().out
    assert "train-classifier --resume --out checkpoints/classifiers/small" in told
    assert "--source faces" in told
    assert not OUT.exists()

    assert command(*NEW) == 2
    assert "under way" in capsys.readouterr().err
    assert command("--resume", "--seed", "4") == 2
    assert "began with seed 3, not 4" in capsys.readouterr().err
    assert command("--resume") == 0
    assert [each.epoch for each in load_state(Path("runs/classifiers/small"))[1]] == [1, 2]
    assert load_classifier("small").config.architecture == "residual"


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--dataset", "folder"], "Which network? Name one with --architecture: strided, resid"),
        (["--architecture", "striding", "--dataset", "folder"], "Did you mean 'strided'?"),
        (["--architecture", "strided"], "Which data?"),
        (["--architecture", "strided", "--dataset", "face"], "no data set 'face'"),
        (["--architecture", "strided", "--dataset", "folder", "--epochs", "0"], "epochs must be"),
        (["--resume"], "no run in"),
    ],
)
def test_the_command_refuses_with_a_word_of_advice(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    advice: str,
) -> None:
    assert command(*options) == 2
    assert advice in capsys.readouterr().err
    assert not Path("runs").exists()


def test_data_without_attributes_is_refused_by_the_command(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("faces/attributes.csv").unlink()
    assert command(*NEW) == 2
    assert "folder has no attributes to learn" in capsys.readouterr().err
