from __future__ import annotations

import shlex

import pytest

from vae_explorer.cli import build_parser
from vae_explorer.runs.arguments import command_line, keep_arguments, list_arguments

OUT = ["--out", "checkpoints/one"]


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--model", "mnist-vae", "--dataset", "mnist", "--keep-epochs", "--replace"],
        ["--title", "Two words, 'quoted'"],
        ["--title=-1 = a title"],
        ["--channels", "8,16", "--beta", "0.5", "--source", "my pictures.zip"],
        ["--resume"],
    ],
)
def test_what_is_listed_and_shown_is_what_was_given(given: list[str]) -> None:
    args = build_parser().parse_args(["train", *given, *OUT])
    listed = list_arguments(args)
    wanted = {**vars(args)}
    wanted.pop("resume", None)
    assert vars(build_parser().parse_args(["train", *listed])) == wanted
    typed = shlex.split(command_line(listed).replace("\\\n", " "))
    assert vars(build_parser().parse_args(typed[3:])) == wanted


def test_a_run_is_resumed_with_what_its_folder_does_not_remember() -> None:
    given = [
        "--dataset",
        "mnist",
        "--title=-x",
        "--epochs",
        "3",
        "--replace",
        "--source",
        "a b",
        *OUT,
    ]
    kept = keep_arguments(list_arguments(build_parser().parse_args(["train", *given])))
    again = vars(build_parser().parse_args(["train", *kept]))
    assert (again["title"], str(again["source"]), str(again["out"])) == (
        "-x",
        "a b",
        "checkpoints/one",
    )
    assert again["replace"]
    assert "epochs" not in again
    assert "dataset" not in again
