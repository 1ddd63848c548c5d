"""The public contracts: import paths, parameters, commands and addresses that others rely on."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import shutil
from collections.abc import Callable, MutableMapping
from inspect import Parameter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette

from vae_explorer import workspace
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.cli import build_parser
from vae_explorer.data import load_dataset, prepare
from vae_explorer.faces import align, edit_photo, find_faces, whole_face
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.sampling import sample_latents
from vae_explorer.server.routes import live_routes

FILES = Path(__file__).parent / "files"
EITHER, NAMED = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
REQUIRED = Parameter.empty

Wanted = list[tuple[str, object, object]]
"""Parameters in their order: name, kind, default."""

FUNCTIONS: list[tuple[Callable[..., object], Wanted]] = [
    (list_checkpoints, [("root", EITHER, None)]),
    (load_checkpoint, [("name_or_path", EITHER, REQUIRED)]),
    (
        load_dataset,
        [
            ("name", EITHER, REQUIRED),
            ("root", EITHER, None),
            ("size", NAMED, None),
            ("source", NAMED, None),
        ],
    ),
    (
        prepare,
        [
            ("name", EITHER, REQUIRED),
            ("root", EITHER, None),
            ("size", NAMED, None),
            ("source", NAMED, None),
            ("progress", NAMED, None),
            ("seed", NAMED, 0),
        ],
    ),
    (encode, [("model", EITHER, REQUIRED), ("images", EITHER, REQUIRED)]),
    (decode, [("model", EITHER, REQUIRED), ("z", EITHER, REQUIRED)]),
    (
        sample_latents,
        [
            ("checkpoint", EITHER, REQUIRED),
            ("n", EITHER, REQUIRED),
            ("prior", EITHER, "standard"),
            ("temperature", EITHER, 1.0),
            ("seed", EITHER, 0),
        ],
    ),
    (find_faces, [("image", EITHER, REQUIRED)]),
    (align, [("image", EITHER, REQUIRED), ("face", EITHER, REQUIRED), ("size", EITHER, 64)]),
    (
        edit_photo,
        [
            ("image", EITHER, REQUIRED),
            ("face", EITHER, REQUIRED),
            ("checkpoint", EITHER, REQUIRED),
            ("amounts", EITHER, REQUIRED),
            ("detail", EITHER, 1.0),
            ("vectors", NAMED, None),
        ],
    ),
]

COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "prepare": (["dataset"], ["--size", "--root", "--source"]),
    "train": (
        [],
        [
            "--dataset",
            "--model",
            "--out!",
            "--config",
            "--image-size",
            "--image-channels",
            "--channels",
            "--latent-dim",
            "--normalization",
            "--likelihood",
            "--variance",
            "--epochs",
            "--batch-size",
            "--beta",
            "--lr",
            "--warmup-steps",
            "--weight-average",
            "--patience",
            "--seed",
            "--start-from",
            "--precision",
            "--keep-epochs",
            "--title",
            "--resume",
            "--restart",
            "--finish",
            "--replace",
            "--root",
            "--source",
        ],
    ),
    "train-classifier": (
        [],
        [
            "--dataset",
            "--architecture",
            "--out!",
            "--epochs",
            "--seed",
            "--resume",
            "--restart",
            "--replace",
            "--root",
            "--source",
        ],
    ),
    "evaluate": (
        ["checkpoint"],
        ["--json", "--write", "--keep-vectors", "--importance-samples", "--root", "--source"],
    ),
    "list": ([], []),
    "encode": (["checkpoint", "folder"], ["--out!", "--as-is"]),
    "decode": (["checkpoint", "file"], ["--out!"]),
    "export": (["checkpoints"], ["--html", "--out"]),
}
"""Of each command what must be given, in its order, and its options, `!` behind what must be."""

SWITCHES = {
    "--keep-epochs",
    "--resume",
    "--restart",
    "--finish",
    "--replace",
    "--json",
    "--write",
    "--keep-vectors",
    "--as-is",
}
"""Options without a value."""

DEFAULTS: dict[tuple[str, str], object] = {
    ("prepare", "root"): Path("data"),
    ("train", "root"): Path("data"),
    ("train-classifier", "root"): Path("data"),
    ("evaluate", "root"): Path("data"),
    ("evaluate", "importance_samples"): 0,
    ("evaluate", "write"): False,
    ("encode", "as_is"): False,
}
"""What an option is where it is not given; one of `train` beside --root and --source is absent."""

functions = pytest.mark.parametrize(
    ("function", "wanted"), FUNCTIONS, ids=[function.__name__ for function, _ in FUNCTIONS]
)
commands = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small checkpoints, where models are found by name."""
    root = shutil.copytree(FILES / "checkpoints", tmp_path / "checkpoints")
    monkeypatch.setattr(workspace, "CHECKPOINTS", root)
    return root


# Functions


@functions
def test_a_function_takes_what_it_took(function: Callable[..., object], wanted: Wanted) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    count = sum(each.kind == EITHER for each in parameters)
    found = {each.name: (each.name, each.kind, each.default) for each in parameters}
    assert [found[name] for name, _, _ in wanted] == wanted
    in_order = [name for name, kind, _ in wanted if kind == EITHER]
    assert [each.name for each in parameters[:count]][: len(in_order)] == in_order
    for added in found.keys() - {name for name, _, _ in wanted}:
        assert found[added][2] is not REQUIRED  # older calls stay right


def test_checkpoints_are_listed_by_name_with_what_is_broken(models: Path) -> None:
    (models / "digits-ae" / "model.safetensors").unlink()
    cards, errors = list_checkpoints()
    assert list(cards) == ["digits-vae", "drawn-faces"]
    assert list(errors) == ["digits-ae"]
    assert "model.safetensors is missing" in errors["digits-ae"]


def test_a_checkpoint_is_loaded_by_name_or_path_with_all_it_has(models: Path) -> None:
    by_name, by_path = load_checkpoint("drawn-faces"), load_checkpoint(models / "drawn-faces")
    assert by_name.card == by_path.card
    assert load_checkpoint(str(models / "drawn-faces")).card == by_path.card
    for name in ("card", "model", "encodings", "latent", "history", "path"):
        assert getattr(by_name, name) is not None
    assert not by_name.model.training
    assert not any(weight.requires_grad for weight in by_name.model.parameters())
    vectors = by_name.attribute_vectors
    assert set(vectors) == {"Eyeglasses", "Male", "Smiling"}
    assert {(vector.shape, vector.dtype.name) for vector in vectors.values()} == {((2,), "float32")}
    assert (by_name.tsne, by_name.tsne_rows) == (None, None)


def test_a_card_has_all_that_is_known_of_a_model(models: Path) -> None:
    card = load_checkpoint("digits-vae").card
    fields = (
        "format_version",
        "name",
        "title",
        "dataset",
        "model",
        "train",
        "seed",
        "metrics",
        "label_names",
        "attribute_names",
        "parameters",
        "versions",
        "created",
        "sha256",
        "fingerprint",
    )
    for name in fields:
        assert hasattr(card, name)
    for name in ("name", "title", "licence", "terms", "citation", "url", "image_size"):
        assert hasattr(card.dataset, name)
    for metric in card.metrics.values():
        assert metric.unit
        assert metric.protocol
    files = {path.name for path in (models / "digits-vae").iterdir()}
    assert files == {"card.json", *card.sha256}


def test_a_data_set_has_splits_labels_and_rows_to_take(tmp_path: Path) -> None:
    digits = load_dataset("digits", tmp_path)
    assert prepare("digits", tmp_path).digest == digits.digest
    assert set(digits.split) == {"train", "val", "test"}
    assert tuple(digits.label_names) == tuple("0123456789")
    parameters = list(inspect.signature(digits.take).parameters.values())
    assert [(each.name, each.default) for each in parameters] == [
        ("rows", REQUIRED),
        ("image_size", None),
    ]
    taken = digits.take(np.array([3, 3]), 12)
    assert (taken.shape, taken.dtype) == ((2, 1, 12, 12), np.uint8)


@pytest.mark.parametrize(("name", "varies"), [("digits-vae", True), ("digits-ae", False)])
def test_images_become_latents_and_latents_images(models: Path, name: str, varies: bool) -> None:
    checkpoint = load_checkpoint(name)
    size = checkpoint.card.model.latent_dim
    images = np.random.default_rng(1).random((5, 1, 8, 8), dtype=np.float32)
    z_mean, z_log_var = encode(checkpoint.model, images)
    assert (z_mean.shape, z_mean.dtype) == ((5, size), np.float32)
    assert (z_log_var is not None) == varies
    drawn = decode(checkpoint.model, z_mean)
    assert (drawn.shape, drawn.dtype) == ((5, 1, 8, 8), np.float32)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


@pytest.mark.parametrize(
    ("name", "prior"),
    [
        ("digits-vae", "standard"),
        ("digits-vae", "fitted"),
        ("digits-ae", "box"),
        ("digits-ae", "fitted"),
    ],
)
def test_latents_are_drawn_from_what_is_offered(models: Path, name: str, prior: str) -> None:
    checkpoint = load_checkpoint(name)
    z = sample_latents(checkpoint, 7, prior=prior, temperature=0.5, seed=3)
    assert (z.shape, z.dtype) == ((7, checkpoint.card.model.latent_dim), np.float32)
    assert np.array_equal(z[:4], sample_latents(checkpoint, 4, prior, 0.5, 3))


def test_faces_are_aligned_and_edited(models: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 255, (48, 48, 3), np.uint8)
    photo, face = Image.fromarray(noise), whole_face(48)
    for name in ("box", "score", "landmarks"):
        assert hasattr(face, name)
    assert face.landmarks.shape == (5, 2)
    crop = align(photo, face, size=12)
    assert crop.image.size == (12, 12)
    assert crop.matrix.shape == (2, 3)
    checkpoint = load_checkpoint("drawn-faces")
    edited = edit_photo(photo, face, checkpoint, {"Smiling": 2.0}, detail=1.0, vectors=None)
    assert (edited.size, edited.mode) == (photo.size, "RGB")
    assert find_faces(Image.new("RGB", (64, 64))) == []


# The command line


def find_commands() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(commands.choices)


@commands
def test_a_command_has_its_arguments_and_options(name: str) -> None:
    arguments, options = COMMANDS[name]
    actions = find_commands()[name]._actions
    placed = [each.dest for each in actions if not each.option_strings and each.required]
    assert placed == arguments
    found = {option: each for each in actions for option in each.option_strings}
    wanted = {option.rstrip("!") for option in options}
    assert wanted <= found.keys()
    needed = {option for option, each in found.items() if each.required}
    assert needed <= {option.rstrip("!") for option in options if option.endswith("!")}
    for option in wanted:
        assert (found[option].nargs == 0) == (option in SWITCHES), option
        assert found[option].dest == option.removeprefix("--").replace("-", "_")


@commands
def test_what_is_not_given_is_as_it_was(name: str) -> None:
    arguments, options = COMMANDS[name]
    out = ["--out=y"] if {"--out", "--out!"} & set(options) else []
    args = vars(build_parser().parse_args([name, *arguments, *out]))
    for (command, option), value in DEFAULTS.items():
        if command == name:
            assert args[option] == value
    if name == "train":
        of_the_app = {"home", "port", "read_only"}
        assert args.keys() - of_the_app == {"name", "command", "out", "root", "source"}


def test_values_of_options_are_read() -> None:
    options = ["--out=checkpoints/x", "--channels=8,16", "--beta=4", "--latent-dim=2", "--resume"]
    args = build_parser().parse_args(["train", *options])
    assert (args.out, args.channels, args.beta) == (Path("checkpoints/x"), [8, 16], 4.0)
    assert (args.latent_dim, args.resume) == (2, True)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "--out", "x", "--resume", "--restart"])


# Addresses


def post(path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Ask one of the live routes as a server would."""
    sent: list[MutableMapping[str, object]] = []
    asked: list[MutableMapping[str, object]] = [
        {"type": "http.request", "body": body, "more_body": False}
    ]

    async def receive() -> MutableMapping[str, object]:
        if not asked:
            await asyncio.Event().wait()  # the client waits
        return asked.pop()

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    asyncio.run(Starlette(routes=live_routes())(scope, receive, send))
    status, headers = sent[0]["status"], sent[0]["headers"]
    assert isinstance(status, int)
    assert isinstance(headers, list)
    answer = b"".join(bytes(message.get("body", b"")) for message in sent[1:])  # type: ignore[arg-type]
    return status, {name.decode(): value.decode() for name, value in headers}, answer


def test_the_live_routes_have_their_addresses() -> None:
    paths = {route.path for route in live_routes()}
    assert {"/api/decode/{name:path}", "/api/encode/{name:path}"} <= paths
    assert {"/{base:path}/api/decode/{name:path}", "/{base:path}/api/encode/{name:path}"} <= paths


def test_decode_is_answered_with_pixels(models: Path) -> None:
    z = np.array([[0.5, -1, 0.25], [0, 0, 0]], "<f4")
    status, headers, body = post("/api/decode/digits-vae", z.tobytes())
    assert (status, headers["x-count"], headers["x-height"], headers["x-width"]) == (
        200,
        "2",
        "8",
        "8",
    )
    pixels = np.frombuffer(body, np.uint8).reshape(2, 8, 8, 4)
    wanted = to_uint8(decode(load_checkpoint("digits-vae").model, z))
    assert np.abs(pixels[..., :3].astype(int) - wanted).max() <= 1
    assert (pixels[..., 3] == 255).all()


@pytest.mark.parametrize(("name", "size"), [("digits-vae", 3), ("digits-ae", 2)])
def test_encode_is_answered_with_latents(models: Path, name: str, size: int) -> None:
    image = np.random.default_rng(5).random((1, 1, 8, 8), dtype=np.float32)
    status, headers, body = post(f"/api/encode/{name}", image.astype("<f4").tobytes())
    assert (status, headers["x-latent-dim"]) == (200, str(size))
    wanted = [each[0] for each in encode(load_checkpoint(name).model, image) if each is not None]
    np.testing.assert_allclose(np.frombuffer(body, "<f4"), np.concatenate(wanted), atol=1e-5)
