from __future__ import annotations

import random
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from vae_explorer.cli import build_parser
from vae_explorer.cli.train import TrainRequest
from vae_explorer.config import JsonValue
from vae_explorer.errors import ConfigError
from vae_explorer.runs.status import command_line, resume_arguments

OUT = ["--out", "checkpoints/one"]
TEXTS = ["mnist", "-x", "--title=-1 = a title", "Two words, 'quoted'", "a=b", "ä β", "", "$HOME"]
VALUES: dict[str, list[JsonValue]] = {
    "image_size": [8, 64],
    "channels": [[8], [8, 16, 32]],
    "latent_dim": [2],
    "variance": [0.05, 1e-9],
    "likelihood": ["gaussian"],
    "dataset": list(TEXTS),
    "epochs": [1, 1000],
    "beta": [0.1 + 0.2, 4.0],
    "learning_rate": [1e-5, 0.002],
    "start_from": list(TEXTS),
    "keep_epochs": [True],
}
MODEL_FIELDS = {"image_size", "channels", "latent_dim", "variance", "likelihood"}


def draw_request(seed: int) -> TrainRequest:
    """Draw a request: each option is given or not, with one of several awkward values."""
    chance = random.Random(seed)
    options = {
        name: chance.choice(values) for name, values in VALUES.items() if chance.random() < 0.5
    }

    def maybe(values: list[str]) -> str | None:
        return chance.choice(values) if chance.random() < 0.5 else None

    paths = [maybe(["a b/c", "-x/y.zip", "ü/'q'"]) for _ in range(4)]
    out, root, source, config = (None if each is None else Path(each) for each in paths)
    request = TrainRequest(
        out=out or Path("checkpoints/one"),
        preset=maybe(TEXTS),
        config_file=config,
        model_options={k: v for k, v in options.items() if k in MODEL_FIELDS},
        train_options={k: v for k, v in options.items() if k not in MODEL_FIELDS},
        title=maybe(TEXTS),
        source=source,
        replace=chance.random() < 0.5,
    )
    return request if root is None else replace(request, root=root)


@pytest.mark.parametrize("seed", range(100))
def test_a_request_is_parsed_again_from_its_arguments(seed: int) -> None:
    request = draw_request(seed)
    assert TrainRequest.parse(request.arguments) == request
    args = build_parser().parse_args(["train", *request.arguments])
    assert TrainRequest.from_namespace(args) == request
    typed = shlex.split(command_line(request.arguments).replace("\\\n", " "))
    assert typed[:4] == ["python", "-m", "vae_explorer", "train"]
    assert TrainRequest.parse(typed[4:]) == request


def test_resume_and_restart_are_not_repeated() -> None:
    for option in ("--resume", "--restart"):
        request = TrainRequest.parse([option, *OUT])
        assert request != TrainRequest.parse(OUT)
        assert request.arguments == ("--out=checkpoints/one",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume", "--restart"], "not allowed with"),
        (
            ["--channels", "many"],
            "--channels: must be whole numbers separated by commas, for example 32,64",
        ),
        (["--epochs", "x"], "--epochs: invalid int value"),
        (["--finish"], "add --resume"),
        (["--help"], "unrecognized"),
    ],
)
def test_what_the_command_line_refuses_is_a_typed_error(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainRequest.parse([*options, *OUT])


def test_a_run_is_resumed_with_what_its_folder_does_not_store() -> None:
    given = ["--dataset=mnist", "--title=-x", "--epochs=3", "--replace", "--source=a b", *OUT]
    again = TrainRequest.parse(resume_arguments(TrainRequest.parse(given).arguments))
    assert again == TrainRequest(
        out=Path("checkpoints/one"), title="-x", source=Path("a b"), replace=True
    )
