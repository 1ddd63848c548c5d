"""What a training is asked to be: a file of --config, a published model, and single options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.data import DATASETS
from vae_explorer.errors import ConfigError, unknown_name
from vae_explorer.presets import RECIPES, find_preset

Options = Mapping[str, JsonValue | Path]
"""The options that were given, by name; absent ones are not in it."""


def read_configs(given: Options) -> tuple[ModelConfig, TrainConfig]:
    """Build the configurations that a new run is asked to have.

    Raises
    ------
    ConfigError
        If no model or no data set is named, or a value cannot be.
    """
    model_values, train_values = _asked(given)
    if not model_values:
        raise ConfigError('Which model? Name one with --model, or give "model" in --config.')
    model = ModelConfig.from_dict(model_values)
    if "dataset" not in train_values:
        raise ConfigError("Which data? Name a set with --dataset: " + ", ".join(DATASETS))
    return model, TrainConfig.from_dict(train_values)


def refuse_changes(given: Options, model: ModelConfig, train: TrainConfig) -> None:
    """Refuse options that differ from a run that is to be resumed: it goes on as it began.

    Raises
    ------
    ConfigError
        If one differs; the message names each, and what the run has.
    """
    began = {**model.to_dict(), **train.to_dict()}
    model_values, train_values = _asked(given)
    changes = [
        f"{name} {value!r} (the run has {began.get(name)!r})"
        for name, value in {**model_values, **train_values}.items()
        if value != began.get(name)
    ]
    if changes:
        raise ConfigError(
            f"A run is resumed as it began, without {', '.join(changes)}. Leave that out, or "
            "start another run with it."
        )


def _asked(given: Options) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """Merge the preset of --model with its recipe, the file of --config, and single options.

    The latter win.
    """
    path = given.get("config")
    file = _read_config(path) if isinstance(path, Path) else {}
    model_values: JsonValue = file.get("model", {})
    if "model" in given:
        model_values = str(given["model"])
    recipe: Mapping[str, JsonValue] = {}
    if isinstance(model_values, str):
        recipe = RECIPES.get(model_values, {})
        model_values = find_preset(model_values).to_dict()
    options = {name: v for name, v in given.items() if not isinstance(v, Path) and v is not None}
    if "lr" in options:
        options["learning_rate"] = options["lr"]

    def single(config: type[ModelConfig] | type[TrainConfig]) -> dict[str, JsonValue]:
        names = {field.name for field in fields(config)}
        return {name: value for name, value in options.items() if name in names}

    return (
        {**_table(model_values), **single(ModelConfig)},
        {**recipe, **_table(file.get("train", {})), **single(TrainConfig)},
    )


def _read_config(path: Path) -> dict[str, JsonValue]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"--config {path} is not JSON: {error}.") from error
    parts = _table(values)
    for name in parts:
        if name not in ("model", "train"):
            raise ConfigError(unknown_name("part of --config", name, ["model", "train"]))
    return parts


def _table(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ConfigError(f"A configuration is a JSON object {{...}}; found {value!r}.")
    return value
