"""Packed models: an interpreter in PyTorch, and models of random configurations."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_explorer.config import ModelConfig
from vae_explorer.models import Autoencoder, build_model


@dataclass(frozen=True)
class PackedModel:
    """What `pack_model` wrote, read again."""

    header: dict
    values: np.ndarray
    """float32 (values,): the float16 weights."""

    def run(self, network: str, inputs: np.ndarray) -> np.ndarray:
        """Compute a network's output for inputs (n, ...)."""
        given = self.header["networks"][network]
        assert list(inputs.shape[1:]) == given["input"]
        x = torch.from_numpy(inputs)
        with torch.inference_mode():
            for layer in given["layers"]:
                x = self._apply(layer, x)
                assert list(x.shape[1:]) == layer["shape"]
        return x.numpy()

    def _apply(self, layer: dict, x: Tensor) -> Tensor:  # noqa: PLR0911
        match layer["type"]:
            case "dense":
                weights, bias = self._weights(layer, layer["outputs"], layer["inputs"])
                return F.linear(x, weights, bias)
            case "convolution":
                weights, bias = self._kernel(layer)
                before, after = layer["padding"]
                return F.conv2d(F.pad(x, [before, after] * 2), weights, bias, layer["stride"])
            case "transposed_convolution":
                weights, bias = self._kernel(layer)
                whole = F.conv_transpose2d(x, weights.transpose(0, 1), None, layer["stride"])
                before, after = layer["padding"]
                return F.pad(whole, [-before, -after] * 2) + bias[:, None, None]
            case "upsampling":
                enlarged = F.interpolate(x, scale_factor=layer["factor"], mode="nearest")
                if not layer["blur"]:
                    return enlarged
                side = torch.tensor([1.0, 2.0, 1.0]) / 4
                kernel = torch.outer(side, side).expand(x.shape[1], 1, 3, 3)
                return F.conv2d(F.pad(enlarged, [1] * 4, "replicate"), kernel, groups=x.shape[1])
            case "relu":
                return F.relu(x)
            case "leaky_relu":
                return F.leaky_relu(x, layer["slope"])
            case "sigmoid":
                return torch.sigmoid(x)
            case "reshape":
                return x.reshape(len(x), *layer["shape"])
        raise AssertionError(layer["type"])

    def _kernel(self, layer: dict) -> tuple[Tensor, Tensor]:
        side = layer["kernel"]
        return self._weights(layer, layer["outputs"], layer["inputs"], side, side)

    def _weights(self, layer: dict, *shape: int) -> tuple[Tensor, Tensor]:
        found = []
        for name, wanted in (("weights", shape), ("bias", shape[:1])):
            start, scale = layer[name]["start"], layer[name]["scale"]
            values = self.values[start : start + int(np.prod(wanted))] * np.float32(scale)
            found.append(torch.from_numpy(values.reshape(wanted)))
        return found[0], found[1]


def read_packed(data: bytes) -> PackedModel:
    """Read what `pack_model` wrote."""
    start = 4 + int.from_bytes(data[:4], "little")
    header = json.loads(data[4:start])
    low, high = np.frombuffer(data[start:], np.uint8).reshape(2, header["values"])
    halves = np.stack([low, high], axis=1).copy().view("<f2").ravel()
    return PackedModel(header, halves.astype(np.float32))


def random_config(seed: int) -> ModelConfig:
    """Draw a small configuration; a few dozen seeds take in every value of every field."""
    draw = random.Random(seed)
    shared = {
        "image_channels": draw.choice((1, 3)),
        "latent_dim": draw.randint(2, 9),
        "kind": draw.choice(("vae", "vae", "autoencoder")),
        "activation": draw.choice(("relu", "leaky_relu")),
    }
    if seed % 8 == 0:
        return ModelConfig(
            image_size=draw.randint(1, 20),
            architecture="mlp",
            hidden_dim=draw.randint(1, 40),
            kernel_size=draw.randint(1, 4),
            **shared,
        )
    stages = draw.randint(1, 3)
    widths = [draw.randint(1, 21) for _ in range(2 * stages + 1)]
    return ModelConfig(
        image_size=2**stages * draw.randint(1, 4),
        channels=tuple(widths[:stages]),
        decoder_channels=draw.choice(((), tuple(widths[stages:]))),
        upsampling=("transposed", "nearest", "bilinear")[seed % 3],
        kernel_size=draw.choice((1, 2, 3, 3, 4, 4, 5, 6, 7)),
        hidden_dim=draw.choice((None, draw.randint(1, 30))),
        normalization=draw.choice(("none", "batch")),
        activate_projection=draw.choice((False, True)),
        **shared,
    )


def random_model(config: ModelConfig, seed: int) -> Autoencoder:
    """Build a model whose outputs vary as a trained one's do, in eval mode."""
    model = build_model(config, seed).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.uniform_(low, high, generator=generator)

    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            uniform(module.running_mean, -0.3, 0.3)
            uniform(module.running_var, 0.02, 2)
            uniform(module.weight, -2, 2)
            uniform(module.bias, -0.5, 0.5)
    z = torch.randn(16, config.latent_dim, generator=generator)
    images = torch.rand(16, *config.image_shape, generator=generator)
    last = next(m for m in reversed(model.decoder.body) if hasattr(m, "weight"))
    heads = [head for head in (model.encoder.z_mean, model.encoder.z_log_var) if head is not None]
    for layers, output in (([last], model.decoder(z)), (heads, model.encoder(images)[0])):
        for layer in layers:
            gain = 2 / float(output.std().clamp(min=1e-3))
            layer.weight.mul_(gain)
            layer.bias.sub_(float(output.mean())).mul_(gain)
    return model
