from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.layers import random_config, random_model, read_packed
from vae_explorer.errors import UnsupportedLayerError
from vae_explorer.inference import decode, encode
from vae_explorer.models import build_model
from vae_explorer.presets import PRESETS
from vae_explorer.weights import pack_model

CONFIGS = {
    **{name: replace(config, latent_dim=5) for name, config in PRESETS.items()},
    **{f"random {seed}": random_config(seed) for seed in range(40)},
}


def test_the_random_configurations_take_in_all_that_there_is() -> None:
    configs = [random_config(seed) for seed in range(40)]
    for field in ("architecture", "kind", "upsampling", "normalization", "activation"):
        assert len({getattr(config, field) for config in configs}) >= 2
    assert {config.upsampling for config in configs} == {"transposed", "nearest", "bilinear"}
    assert {config.kernel_size for config in configs} == set(range(1, 8))
    z = np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32)
    decoded = [decode(random_model(c, 0), z[:, : c.latent_dim].copy()) for c in configs]
    assert np.median([images.std() for images in decoded]) > 0.15


@pytest.mark.parametrize("name", CONFIGS)
def test_the_layers_compute_what_the_model_does(name: str) -> None:
    config = CONFIGS[name]
    model = random_model(config, 1)
    rng = np.random.default_rng(2)
    z = rng.standard_normal((3, config.latent_dim), np.float32)
    images = rng.random((3, *config.image_shape), np.float32)
    packed = read_packed(pack_model(model))
    means = [values for values in encode(model, images) if values is not None]
    assert len(packed.header["encoded"]) == len(means)
    pairs = (
        (packed.run("decoder", z), decode(model, z)),
        (packed.run("encoder", images), np.concatenate(means, axis=1)),
    )
    for found, wanted in pairs:
        # float16 keeps 11 bits of a weight; what is left of the error grows with the depth.
        np.testing.assert_allclose(found, wanted, atol=0.02 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("seed", range(1, 40, 3))
def test_on_the_weights_as_they_are_packed_they_agree_closely(seed: int) -> None:
    config = replace(random_config(seed), normalization="none")
    model = random_model(config, seed)
    for parameter in model.parameters():
        scale = 2.0 ** np.ceil(np.log2(float(parameter.abs().max())))
        parameter.copy_((parameter / scale).half().float() * scale)
    z = np.random.default_rng(seed).standard_normal((4, config.latent_dim)).astype(np.float32)
    found = read_packed(pack_model(model)).run("decoder", z)
    np.testing.assert_allclose(found, decode(model, z), atol=1e-5)


@pytest.mark.parametrize("networks", [["decoder"], ["encoder"], ["decoder", "encoder"]])
def test_what_is_asked_for_is_packed_and_every_weight_once(networks: list[str]) -> None:
    model = build_model(PRESETS["mnist-vae"]).eval()
    packed = read_packed(pack_model(model, networks))
    assert list(packed.header["networks"]) == networks
    wanted = sum(p.numel() for name in networks for p in getattr(model, name).parameters())
    assert packed.values.size == wanted


@pytest.mark.parametrize("name", PRESETS)
def test_no_name_of_the_library_is_in_the_header(name: str) -> None:
    data = pack_model(build_model(PRESETS[name]).eval())
    length = int.from_bytes(data[:4], "little")
    text = data[4 : 4 + length].decode()
    assert length % 4 == 0
    words = {type(module).__name__ for module in build_model(PRESETS[name]).modules()}
    for word in (*words, "torch", "body", "running", "nn.", "conv2d"):
        assert word not in text
    json.loads(text, parse_constant=pytest.fail)


def test_packing_changes_neither_the_model_nor_the_global_generator() -> None:
    model = random_model(random_config(1), 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    first = pack_model(model)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert pack_model(model) == first


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e6, 1e30])
def test_neither_large_nor_small_weights_are_lost(factor: float) -> None:
    model = random_model(replace(random_config(1), normalization="none"), 3)
    first = next(m for m in model.decoder.body if isinstance(m, nn.Linear))
    last = next(m for m in reversed(model.decoder.body) if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        for module in model.decoder.body:
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
        first.weight.mul_(factor)
        last.weight.div_(factor)
    z = np.random.default_rng(0).standard_normal((4, model.config.latent_dim)).astype(np.float32)
    found = read_packed(pack_model(model)).run("decoder", z)
    np.testing.assert_allclose(found, decode(model, z), atol=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    model = build_model(PRESETS["mnist-vae"]).eval()
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(value)
    with pytest.raises(UnsupportedLayerError, match="finite"):
        pack_model(model)
    pack_model(model, ["decoder"])


@pytest.mark.parametrize(
    "module",
    [
        nn.GELU(),
        nn.Softplus(),
        nn.Conv2d(16, 16, 3, groups=2),
        nn.Conv2d(16, 16, 3, dilation=2),
        nn.Conv2d(16, 16, (3, 5)),
        nn.Conv2d(16, 16, 3, padding=(1, 2)),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"),
        nn.Upsample(scale_factor=3),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.BatchNorm2d(16),
    ],
    ids=repr,
)
def test_what_cannot_be_expressed_is_refused(module: nn.Module) -> None:
    model = build_model(PRESETS["fashion-vae"]).eval()
    model.decoder.body.insert(2, module)
    with pytest.raises(UnsupportedLayerError, match="The server computes this model"):
        pack_model(model)
