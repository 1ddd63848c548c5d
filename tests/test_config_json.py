from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from vae_explorer.config import TrainConfig, read_json


@dataclass(frozen=True)
class Part:
    size: int
    value: float | tuple[float, ...]


@dataclass(frozen=True)
class Whole:
    format_version: int
    name: str
    names: tuple[str, ...]
    parts: dict[str, Part]
    train: TrainConfig
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("names must not be empty.")


GOOD: dict[str, object] = {
    "format_version": 1,
    "name": "a",
    "names": ["b", "c"],
    "parts": {"x": {"size": 1, "value": 2}, "y": {"size": 2, "value": [1, 2.5]}},
    "train": {"dataset": "digits", "beta": 4},
}


def read(text: str) -> Whole:
    return read_json(Whole, text, "whole.json", version=1)


def test_lists_become_tuples_and_whole_numbers_will_do_for_numbers() -> None:
    whole = read(json.dumps(GOOD))
    assert (whole.names, whole.seed) == (("b", "c"), None)
    assert whole.parts == {"x": Part(1, 2.0), "y": Part(2, (1.0, 2.5))}
    assert isinstance(whole.parts["x"].value, float)
    assert isinstance(whole.train.beta, int)  # as it is written: fingerprints depend on it


def part(**changes: object) -> dict[str, object]:
    return {"parts": {"x": {"size": 1, "value": 2, **changes}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "name must be text; found 3."),
        ({"names": "b"}, "names must be a list; found 'b'."),
        ({"names": ["b", 3]}, "names must be text; found 3."),
        ({"names": []}, "names must not be empty."),
        ({"parts": []}, "parts must be an object {...}; found []."),
        ({"parts": {"x": 3}}, "parts.x must be an object {...}; found 3."),
        ({"parts": {"x": {}}}, "parts.x lacks size, value."),
        (part(size=True), "parts.x.size must be a whole number; found True."),
        (part(size=1.0), "parts.x.size must be a whole number; found 1.0."),
        (part(size="1"), "parts.x.size must be a whole number; found '1'."),
        (part(value="low"), "parts.x.value must be a finite number; found 'low'."),
        (part(value=True), "parts.x.value must be a finite number; found True."),
        (part(value=None), "parts.x.value must be a finite number; found None."),
        (part(value=float("nan")), "whole.json is not JSON: NaN is no JSON number."),
        (part(value=[1, "x"]), "parts.x.value must be a finite number; found 'x'."),
        ({"seed": "x"}, "seed must be a whole number; found 'x'."),
        (part(more=1, less=2), "parts.x has unknown fields: less, more."),
        ({"more": 1}, "whole.json has unknown fields: more."),
        ({"train": 3}, "train must be an object {...}; found 3."),
        ({"train": {}}, "train: TrainConfig lacks dataset."),
        (
            {"train": {"dataset": "x", "epochs": 0}},
            "train: epochs must be at least 1; found 0.",
        ),
        ({"format_version": 0}, "format_version must be 1; found 0."),
        ({"format_version": "1"}, "format_version must be 1; found '1'."),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        read(json.dumps(GOOD | changes))
    assert str(caught.value) == message


def test_missing_fields_are_listed() -> None:
    with pytest.raises(ValueError, match=r"^whole.json lacks name, parts, train\.$"):
        read('{"format_version": 1, "names": ["b"]}')


def test_a_newer_version_is_said_before_what_it_adds() -> None:
    with pytest.raises(ValueError, match=r"newer version .*format 2, where this one reads 1"):
        read(json.dumps(GOOD | {"format_version": 2, "more": 1, "name": None}))


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, "{} x", "1e"])
def test_what_is_no_json_is_called_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"^whole.json is not JSON: .*\.$"):
        read(text)


@pytest.mark.parametrize(("text", "found"), [("[]", r"\[\]"), ("3", "3"), ("null", "None")])
def test_json_of_another_kind_is_shown(text: str, found: str) -> None:
    with pytest.raises(ValueError, match=f"^whole.json must hold one JSON object; found {found}"):
        read(text)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400, "1" + "0" * 10_000])
def test_a_number_too_large_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match=r"must be a finite number|is not JSON"):
        read(json.dumps(GOOD | part(value=7_654_321)).replace("7654321", number))
