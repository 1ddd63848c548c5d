"""Attribute classifiers: their shapes, their weights, NumPy in and out."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.support.classifiers import (
    TINY,
    architectures,
    make_images,
    make_network,
)
from vae_explorer.classifiers.network import (
    CHANNELS,
    ClassifierConfig,
    build_classifier,
)
from vae_explorer.classifiers.storage import (
    pooled_features,
    predict_attributes,
)
from vae_explorer.config import JsonValue
from vae_explorer.errors import ConfigError
from vae_explorer.inference import CHUNK
from vae_explorer.models import count_parameters

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
