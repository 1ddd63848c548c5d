from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.errors import ConfigError
from vae_explorer.presets import PRESETS, find_preset

CONV = ModelConfig(image_size=32, image_channels=1, latent_dim=2, channels=(32, 64, 128))
MLP = ModelConfig(image_size=28, image_channels=1, latent_dim=20, architecture="mlp", hidden_dim=9)
TRAIN = TrainConfig(dataset="digits")


# Round trip


@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        replace(CONV, kernel_size=4, hidden_dim=7, likelihood="gaussian", variance=1 / 3),
        TRAIN,
        replace(TRAIN, beta=2.048, patience=3, precision="bf16", keep_epochs=True, seed=2**32 - 1),
    ],
)
def test_json_and_back_loses_nothing(config: ModelConfig | TrainConfig) -> None:
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_absent_fields_take_their_defaults() -> None:
    assert TrainConfig.from_dict({"dataset": "digits"}) == TRAIN


def test_a_whole_number_will_do_for_a_number() -> None:
    assert TrainConfig.from_dict({"dataset": "digits", "beta": 4}).beta == 4


@pytest.mark.parametrize("config", [CONV, TRAIN])
def test_a_configuration_cannot_be_changed(config: ModelConfig | TrainConfig) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, 3)


# Fields


@pytest.mark.parametrize(
    ("name", "hint"), [("latent_dims", "latent_dim"), ("chanels", "channels"), ("", None)]
)
def test_an_unknown_field_is_named_with_the_one_that_was_meant(name: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as error:
        ModelConfig.from_dict({**CONV.to_dict(), name: 1})
    assert repr(name) in str(error.value)
    assert ("Did you mean" in str(error.value)) == (hint is not None)
    assert hint is None or f"Did you mean {hint!r}?" in str(error.value)
    assert all(field.name in str(error.value) for field in fields(ModelConfig))


def test_missing_fields_are_listed() -> None:
    with pytest.raises(ConfigError, match="lacks image_channels, latent_dim"):
        ModelConfig.from_dict({"image_size": 32})
    with pytest.raises(ConfigError, match="lacks dataset"):
        TrainConfig.from_dict({})


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("image_size", True, "a whole number"),
        ("image_size", 32.0, "a whole number"),
        ("image_size", "32", "a whole number"),
        ("image_size", None, "a whole number"),
        ("image_size", [32], "a whole number"),
        ("latent_dim", False, "a whole number"),
        ("channels", 32, "a list of whole numbers"),
        ("channels", [32, "64"], "a list of whole numbers"),
        ("channels", [32, True], "a list of whole numbers"),
        ("hidden_dim", "wide", "a whole number or nothing"),
        ("hidden_dim", True, "a whole number or nothing"),
        ("activate_projection", 1, "true or false"),
        ("variance", True, "a number"),
        ("variance", "1", "a number"),
        ("kind", "gan", "'vae', 'autoencoder'"),
        ("architecture", "transformer", "'conv', 'mlp'"),
        ("normalization", "layer", "'none', 'batch'"),
        ("activation", "gelu", "'relu', 'leaky_relu'"),
        ("likelihood", "laplace", "'bernoulli', 'gaussian'"),
    ],
)
def test_a_model_field_of_the_wrong_type_says_which_is_right(
    name: str, value: JsonValue, right: str
) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be .*{right}; found"):
        ModelConfig.from_dict({**CONV.to_dict(), name: value})


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("dataset", 3, "text"),
        ("epochs", True, "a whole number"),
        ("epochs", 2.5, "a whole number"),
        ("epochs", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("beta", -0.1, "at least 0"),
        ("beta", math.nan, "at least 0"),
        ("beta", math.inf, "at least 0"),
        ("warmup_steps", -1, "at least 0"),
        ("patience", -1, "at least 0"),
        ("learning_rate", 0.0, "positive"),
        ("learning_rate", -1e-3, "positive"),
        ("learning_rate", math.nan, "positive"),
        ("learning_rate", math.inf, "positive"),
        ("weight_average", 1.0, "at least 0 and below 1"),
        ("weight_average", -0.5, "at least 0 and below 1"),
        ("validation_fraction", 0.0, "between 0 and 1"),
        ("validation_fraction", 1, "between 0 and 1"),
        ("seed", -1, r"0 \.\.\. 4294967295"),
        ("seed", 2**32, r"0 \.\.\. 4294967295"),
        ("precision", "fp16", "'auto', 'float32', 'bf16'"),
        ("keep_epochs", "yes", "true or false"),
    ],
)
def test_a_wrong_training_field_says_what_would_be_right(
    name: str, value: JsonValue, right: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{name} must .*{right}.*; found"):
        TrainConfig.from_dict({**TRAIN.to_dict(), name: value})


# Models that cannot be built


@pytest.mark.parametrize(
    ("size", "nearest"), [(28, "24 or 32"), (33, "32 or 40"), (5, "8"), (255, "248 or 256")]
)
def test_a_size_that_does_not_divide_names_the_nearest(size: int, nearest: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{size}×{size} pixels.*multiple of 8, such as {nearest}"
    ):
        replace(CONV, image_size=size)


@pytest.mark.parametrize("channels", [(), (0,), (32, 0, 64), (-1,)])
def test_convolutions_need_positive_channels(channels: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="one positive number per convolution, for example 32,64"):
        replace(CONV, channels=channels)


@pytest.mark.parametrize("name", ["image_size", "kernel_size", "hidden_dim"])
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_are_at_least_one(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 1; found {value}"):
        ModelConfig.from_dict({**CONV.to_dict(), name: value})


@pytest.mark.parametrize("value", [1, 0, -3])
def test_a_latent_space_has_a_plane(value: int) -> None:
    with pytest.raises(ConfigError, match=f"latent_dim must be at least 2; found {value}"):
        replace(CONV, latent_dim=value)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_images_are_grey_or_colour(channels: int) -> None:
    with pytest.raises(ConfigError, match=rf"1 \(greyscale\) or 3 \(colour\); found {channels}"):
        replace(CONV, image_channels=channels)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf])
def test_a_variance_is_positive(variance: float) -> None:
    with pytest.raises(ConfigError, match=f"positive number; found {variance}"):
        replace(CONV, likelihood="gaussian", variance=variance)


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"hidden_dim": None}, r"needs hidden_dim.*\(say 400\)"),
        ({"channels": (32,)}, r"leave channels empty, not \(32,\)"),
        ({"normalization": "batch"}, "normalization must be 'none'"),
    ],
)
def test_an_mlp_says_what_it_has_and_needs(changes: dict[str, JsonValue], right: str) -> None:
    with pytest.raises(ConfigError, match=right):
        replace(MLP, **changes)


def test_the_size_of_the_last_feature_map_follows_from_the_strides() -> None:
    assert CONV.feature_size == 4
    assert CONV.image_shape == (1, 32, 32)


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_found_by_name(name: str) -> None:
    assert find_preset(name) is PRESETS[name]


@pytest.mark.parametrize(("name", "hint"), [("fashion_vae", "fashion-vae"), ("resnet", None)])
def test_an_unknown_preset_lists_those_there_are(name: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as error:
        find_preset(name)
    assert all(preset in str(error.value) for preset in PRESETS)
    assert (f"Did you mean {hint!r}?" in str(error.value)) == (hint is not None)


@pytest.mark.parametrize("channels", [(8, 4), (8, 4, 2, 1), (8, 0, 2)])
def test_decoder_channels_are_one_more_than_channels(channels: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="3 positive numbers"):
        ModelConfig(32, 1, 2, channels=(4, 8), decoder_channels=channels)


def test_features_are_those_of_a_named_classifier() -> None:
    with pytest.raises(ConfigError, match=r"feature_network.*train-classifier"):
        TrainConfig("celeba", feature_weight=1.0)


@pytest.mark.parametrize("start", [-0.1, 1.0])
def test_a_discriminator_is_listened_to_within_the_run(start: float) -> None:
    with pytest.raises(ConfigError, match=r"below 1 \(say 0.15\)"):
        TrainConfig("celeba", adversarial_start=start)
