from __future__ import annotations

import ast
import math
import re
from dataclasses import replace
from operator import add, mul, sub, truediv

import numpy as np
import pytest
import torch

from vae_explorer.anatomy import (
    ForwardTrace,
    add_noise,
    describe_modules,
    draw_epsilon,
    group_layers,
    name_kind,
    trace_forward,
)
from vae_explorer.config import ModelConfig
from vae_explorer.inference import decode, encode
from vae_explorer.losses import kl_divergence
from vae_explorer.models import Autoencoder, build_model, count_parameters
from vae_explorer.presets import PRESETS

ODD = ModelConfig(
    image_size=8,
    image_channels=3,
    latent_dim=3,
    channels=(4, 6),
    kernel_size=4,
    decoder_channels=(5, 4, 3),
    upsampling="nearest",
    normalization="batch",
)
CONFIGS = {**PRESETS, "odd": ODD, "plain faces": replace(ODD, kind="autoencoder")}


@pytest.fixture(params=CONFIGS, scope="module")
def model(request: pytest.FixtureRequest) -> Autoencoder:
    model = build_model(CONFIGS[request.param], seed=3).eval()
    with torch.no_grad():  # as if it were trained: no normalisation is the identity
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.fill_(0.1)
    return model


def make_image(model: Autoencoder) -> np.ndarray:
    return np.random.default_rng(1).random(model.config.image_shape, dtype=np.float32)


@pytest.fixture
def passage(model: Autoencoder) -> ForwardTrace:
    return trace_forward(model, make_image(model), epsilon=draw_epsilon(model.config.latent_dim, 5))


def test_the_way_ends_where_encode_and_decode_end(
    model: Autoencoder, passage: ForwardTrace
) -> None:
    z_mean, z_log_var = encode(model, make_image(model)[None])
    z = passage.find("z").activations
    if z_log_var is None:
        np.testing.assert_allclose(z, z_mean[0], rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(passage.find("μ").activations, z_mean[0], rtol=1e-5, atol=1e-6)
        sigma = np.exp(z_log_var[0] / 2)
        np.testing.assert_allclose(passage.find("σ").activations, sigma, rtol=1e-5)
        epsilon = draw_epsilon(model.config.latent_dim, 5)
        np.testing.assert_allclose(z, z_mean[0] + sigma * epsilon, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(passage.find("ε").activations, epsilon)
    np.testing.assert_allclose(passage.output, decode(model, z[None])[0], rtol=1e-5, atol=1e-6)
    assert passage.kept == model.config.latent_dim


def test_the_kl_is_that_of_the_objective(model: Autoencoder, passage: ForwardTrace) -> None:
    mean, log_var = encode(model, make_image(model)[None])
    if log_var is None:
        assert passage.kl is None
    else:
        kl = kl_divergence(torch.from_numpy(mean), torch.from_numpy(log_var)).sum()
        assert passage.kl == pytest.approx(float(kl), rel=1e-4)


def test_a_plain_autoencoder_has_neither_spread_nor_chance(
    model: Autoencoder, passage: ForwardTrace
) -> None:
    bottleneck = [step.name for step in passage.steps if step.part == "bottleneck"]
    assert bottleneck == (["z"] if model.config.kind == "autoencoder" else ["μ", "σ", "ε", "z"])


OPERATIONS = {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: truediv}


def work_out(words: str) -> float:
    """Return what a sum of whole numbers comes to."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return OPERATIONS[type(node.op)](value(node.left), value(node.right))
        assert isinstance(node, ast.Constant)
        return node.value

    return value(ast.parse(words.replace("×", "*").replace("−", "-"), mode="eval").body)


def test_every_parameter_is_counted_once(model: Autoencoder, passage: ForwardTrace) -> None:
    assert sum(step.parameters for step in passage.steps) == count_parameters(model)


def test_the_arithmetic_is_right(passage: ForwardTrace) -> None:
    for step in passage.steps:
        total = 0
        for line in step.arithmetic:
            left, right = line.partition(": ")[2].replace(",", "").split(" = ")
            assert work_out(left) == int(right)
            total += int(right)
        assert total == step.parameters


def test_shapes_are_what_the_layers_words_say(passage: ForwardTrace) -> None:
    checked = 0
    for step in passage.steps:
        for line in step.lines:
            if found := re.fullmatch(r"Height and width: (.+) = (\d+)", line):
                whole = re.fullmatch(r"⌊(.+)⌋(.*)", found[1])
                value = (
                    work_out(found[1])
                    if whole is None
                    else (work_out(f"{math.floor(work_out(whole[1]))}{whole[2]}"))
                )
                assert value == int(found[2]) == step.shape[1] == step.shape[2]
                checked += 1
            if found := re.fullmatch(r"Reshaped to (.+)", line):
                assert tuple(int(side) for side in found[1].split(" × ")) == step.shape
    convolutions = [s for s in passage.steps if "convolution" in s.kind and s.part != "output"]
    assert checked == len(convolutions)


def test_layers_hold_all_modules_in_their_order(model: Autoencoder) -> None:
    body = list(model.decoder.body.children())
    layers, rest = group_layers(body)
    assert [module for layer in layers for module in layer.modules] == body
    assert rest == ()


def test_layers_with_other_kernels_are_described_by_their_own() -> None:
    layers, _ = group_layers(build_model(ODD).decoder.body.children())
    assert [name_kind(layer) for layer in layers[:2]] == [
        "fully connected",
        "upsampling, convolution",
    ]
    lines = describe_modules(layers[1], (5, 2, 2))
    assert lines[:3] == (
        "Upsampling: each pixel becomes 2 × 2 equal pixels",
        "Kernel 3 × 3, stride 1, padding 1",
        "Height and width: 4 + 2 × 1 − 3 + 1 = 4",
    )


def test_a_blur_is_told() -> None:
    blurred = replace(ODD, upsampling="bilinear")
    layers, _ = group_layers(build_model(blurred).decoder.body.children())
    assert describe_modules(layers[1], (5, 2, 2))[:2] == (
        "Upsampling: each pixel becomes 2 × 2 equal pixels",
        "Smoothing: weighted mean with the neighbours, 1 : 2 : 1",
    )


def test_without_epsilon_z_is_the_mean(model: Autoencoder) -> None:
    passage = trace_forward(model, make_image(model))
    mean = "z" if model.config.kind == "autoencoder" else "μ"
    np.testing.assert_array_equal(passage.find("z").activations, passage.find(mean).activations)


def test_the_model_is_left_as_it_was(model: Autoencoder) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trace_forward(model, make_image(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_errors_are_measured_against_the_clean_picture() -> None:
    model = build_model(ODD).eval()
    clean = make_image(model)
    given = add_noise(clean, 0.3, seed=4)
    passage = trace_forward(model, clean, given)
    np.testing.assert_array_equal(passage.given, given)
    assert passage.error_of_input == pytest.approx(float(((given - clean) ** 2).sum()), rel=1e-5)
    output = decode(model, encode(model, given[None])[0])[0]
    assert passage.error_of_output == pytest.approx(float(((output - clean) ** 2).sum()), rel=1e-4)


def test_noise_is_the_same_for_a_seed_grows_with_its_amount_and_stays_within_pixels() -> None:
    image = np.full((1, 64, 64), 0.5, np.float32)
    small, again, other = (add_noise(image, 0.05, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(small, again)
    assert np.abs(small - other).max() > 0.01
    assert (small - image).std() == pytest.approx(0.05, rel=0.05)
    np.testing.assert_allclose(add_noise(image, 0.1, 1) - image, 2 * (small - image), atol=1e-6)
    loud = add_noise(image, 0.5, 1)
    assert (loud.min(), loud.max()) == (0, 1)
    np.testing.assert_array_equal(add_noise(image, 0, 1), image)


def test_epsilon_is_standard_normal_and_the_same_for_a_seed() -> None:
    drawn = draw_epsilon(20_000, 7)
    np.testing.assert_array_equal(drawn, draw_epsilon(20_000, 7))
    assert np.abs(draw_epsilon(20_000, 8) - drawn).max() > 1
    assert (drawn.mean(), drawn.std()) == pytest.approx((0, 1), abs=0.03)


@pytest.mark.parametrize(
    "image",
    [np.zeros((3, 8, 9), np.float32), np.zeros((1, 3, 8, 8), np.float32), np.zeros((3, 8, 8))],
)
def test_a_picture_of_another_shape_or_dtype_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"float32 \(3, 8, 8\)"):
        trace_forward(build_model(ODD).eval(), image)
