"""A model as plain layers and float16 weights, which the browser computes with.

A packed model is the length of a header (uint32), the header (JSON, padded with spaces to a
multiple of four bytes), and the weights, float16: all their low bytes, then all their high ones,
which gzip compresses by 14 %, and interleaved by 7. Numbers are little-endian. The header has
`format_version`, `image_shape`, `latent_dim`, `encoded` (what the encoder's output consists of,
`latent_dim` values each), `values` (how many weights there are), and the `networks`: each has
the shape of its `input` and a list of `layers`. A layer has a `type`, the `shape` of its output,
(values) or (channels, height, width), and:

| type | fields |
|---|---|
| `dense` | `inputs`, `outputs`, `weights` (outputs, inputs), `bias` (outputs) |
| `convolution` | `inputs`, `outputs`, `kernel`, `stride`, `padding`, `weights` (outputs, inputs, kernel, kernel), `bias` (outputs); the padding is of zeros, before and after |
| `transposed_convolution` | the same; `padding` is what is cut off before and after, or if negative appended |
| `upsampling` | `factor`; `blur`: whether [1 2 1] / 4 along both sides, edges repeated, follows the nearest neighbours |
| `leaky_relu` | `slope` below zero |
| `relu`, `sigmoid`, `reshape` | |

`weights` and `bias` have the `start` of their values and the `scale` to multiply them by, a
power of two: so no weight overflows float16, however large batch normalisation makes it.
"""  # noqa: E501

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vae_explorer.config import JsonValue
from vae_explorer.errors import UnsupportedLayerError
from vae_explorer.models import Autoencoder

FORMAT_VERSION = 1
NetworkName = Literal["decoder", "encoder"]
NETWORKS: tuple[NetworkName, ...] = ("decoder", "encoder")
Layer = dict[str, JsonValue]

_ALIGNMENT = 4  # bytes


def pack_model(model: Autoencoder, networks: Sequence[NetworkName] = NETWORKS) -> bytes:
    """Write a model's networks as plain layers with float16 weights; see the module.

    Parameters
    ----------
    model : Autoencoder
        On any device; it is not changed. Batch normalisation is folded in as it is in eval mode.
    networks : sequence of str
        "decoder", "encoder" or both.

    Returns
    -------
    bytes

    Raises
    ------
    UnsupportedLayerError
        If a layer cannot be expressed, or a weight is not finite.
    """
    config = model.config
    weights = _Weights()
    described: dict[str, JsonValue] = {}
    for name in networks:
        inputs: tuple[int, ...]
        if name == "decoder":
            modules, inputs = [model.decoder.body, nn.Sigmoid()], (config.latent_dim,)
        else:
            modules, inputs = [model.encoder.body, _join_heads(model)], config.image_shape
        layers = _describe_layers(modules, inputs, weights)
        described[name] = {"input": list(inputs), "layers": list(layers)}
    header: dict[str, JsonValue] = {
        "format_version": FORMAT_VERSION,
        "image_shape": list(config.image_shape),
        "latent_dim": config.latent_dim,
        "encoded": ["z_mean"] if config.kind == "autoencoder" else ["z_mean", "z_log_var"],
        "values": weights.count,
        "networks": described,
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(4, "little") + text + weights.to_bytes()


def _describe_layers(
    modules: Iterable[nn.Module], inputs: tuple[int, ...], weights: _Weights
) -> list[Layer]:
    """List the layers of modules that follow each other, and append their weights."""
    layers: list[Layer] = []
    shape = inputs
    flat = list(_flatten(modules))
    for place, module in enumerate(flat):
        after = flat[place + 1] if place + 1 < len(flat) else None
        normalization = after if isinstance(after, nn.modules.batchnorm._BatchNorm) else None
        layer: Layer
        match module:
            case nn.Linear():
                shape = (module.out_features,)
                layer = {"type": "dense", "inputs": module.in_features, "outputs": shape[0]}
                layer |= weights.append(_fold(module.weight, module.bias, normalization))
            case nn.ConvTranspose2d() | nn.Conv2d():
                layer, shape = _describe_convolution(module, shape)
                transposed = isinstance(module, nn.ConvTranspose2d)
                kernel = module.weight.transpose(0, 1) if transposed else module.weight
                layer |= weights.append(_fold(kernel, module.bias, normalization))
            case nn.modules.batchnorm._BatchNorm():
                if place == 0 or not isinstance(
                    flat[place - 1], nn.Linear | nn.modules.conv._ConvNd
                ):
                    raise _unsupported(module, "with weights directly before it")
                continue  # it is part of them
            case nn.Upsample():
                layer, shape = _describe_upsampling(module, shape)
            case nn.ReLU():
                layer = {"type": "relu"}
            case nn.LeakyReLU():
                layer = {"type": "leaky_relu", "slope": module.negative_slope}
            case nn.Sigmoid():
                layer = {"type": "sigmoid"}
            case nn.Flatten():
                shape = (math.prod(shape),)
                layer = {"type": "reshape"}
            case nn.Unflatten():
                shape = tuple(module.unflattened_size)
                layer = {"type": "reshape"}
            case _:
                raise _unsupported(module, "of a known kind")
        layers.append({**layer, "shape": list(shape)})
    return layers


class _Weights:
    """The float16 values of a packed model."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[NDArray[np.float16]] = []

    def append(self, folded: tuple[Tensor, Tensor]) -> Layer:
        """Append weights and bias; return the fields that say where they are."""
        return {
            name: self._put(values)
            for name, values in zip(("weights", "bias"), folded, strict=True)
        }

    def to_bytes(self) -> bytes:
        values = np.concatenate([np.zeros(0, "<f2"), *self._parts])
        return values.view(np.uint8).reshape(-1, 2).T.tobytes()

    def _put(self, values: Tensor) -> Layer:
        array = values.numpy().ravel()
        if not np.isfinite(array).all():
            raise UnsupportedLayerError(
                "This model's weights are not finite, so that the browser cannot compute with "
                "them. Train it again with a lower learning rate."
            )
        largest = float(np.abs(array).max(initial=0))
        # Values within ±1 are far from float16's largest, and tiny layers keep their precision.
        scale = 2.0 ** math.ceil(math.log2(largest)) if largest else 1.0
        scale = max(scale, 2.0**-100)
        self._parts.append((array / scale).astype("<f2"))
        start, self.count = self.count, self.count + array.size
        return {"start": start, "scale": scale}


def _flatten(modules: Iterable[nn.Module]) -> Iterable[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _flatten(module)
        else:
            yield module


def _fold(
    weight: Tensor, bias: Tensor | None, normalization: nn.modules.batchnorm._BatchNorm | None
) -> tuple[Tensor, Tensor]:
    """Return weights (outputs, ...) and bias (outputs) as float64 with the normalisation in them.

    (W x + b - mean) γ / sqrt(var + ε) + β = (s W) x + s (b - mean) + β, where
    s = γ / sqrt(var + ε) (Ioffe & Szegedy 2015, section 3.1).
    """
    weight = weight.detach().cpu().double()
    bias = weight.new_zeros(len(weight)) if bias is None else bias.detach().cpu().double()
    if normalization is None:
        return weight.contiguous(), bias
    mean, var = normalization.running_mean, normalization.running_var
    if mean is None or var is None or not normalization.affine:
        raise _unsupported(normalization, "with running statistics and weights of its own")
    gamma, beta = normalization.weight.detach().cpu(), normalization.bias.detach().cpu()
    scale = gamma.double() / (var.cpu().double() + normalization.eps).sqrt()
    weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight.contiguous(), scale * (bias - mean.cpu().double()) + beta.double()


def _check_folded(module: nn.Module, before: nn.Module | None) -> None:
    if not isinstance(before, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        raise _unsupported(module, "directly after a layer with weights")


def _describe_upsampling(
    module: nn.Upsample, shape: tuple[int, ...]
) -> tuple[Layer, tuple[int, ...]]:
    blur = module.mode == "bilinear"  # the same as nearest neighbours, so blurred
    known = module.mode == "nearest" or (blur and not module.align_corners)
    if module.scale_factor != 2 or not known:
        raise _unsupported(module, "of factor 2, nearest or bilinear")
    channels, height, width = shape
    return {"type": "upsampling", "factor": 2, "blur": blur}, (channels, 2 * height, 2 * width)


def _describe_convolution(
    module: nn.Conv2d | nn.ConvTranspose2d, shape: Sequence[int]
) -> tuple[Layer, tuple[int, ...]]:
    kernel, stride = module.kernel_size[0], module.stride[0]
    square = all(len(set(sides)) == 1 for sides in (module.kernel_size, module.stride))
    plain = module.groups == 1 and set(module.dilation) == {1} and module.padding_mode == "zeros"
    if not (square and plain):
        raise _unsupported(module, "square, in one group, undilated and padded with zeros")
    if isinstance(module.padding, str):
        total = kernel - 1 if module.padding == "same" else 0
        before, after = total // 2, total - total // 2
    else:
        before, after = module.padding[0], module.padding[0]
        if len(set(module.padding)) != 1:
            raise _unsupported(module, "padded alike along both sides")
    if isinstance(module, nn.ConvTranspose2d):
        after -= int(module.output_padding[0])
        kind = "transposed_convolution"
        height, width = ((side - 1) * stride + kernel - before - after for side in shape[1:])
    else:
        kind = "convolution"
        height, width = ((side + before + after - kernel) // stride + 1 for side in shape[1:])
    layer: Layer = {
        "type": kind,
        "inputs": module.in_channels,
        "outputs": module.out_channels,
        "kernel": kernel,
        "stride": stride,
        "padding": [before, after],
    }
    return layer, (module.out_channels, height, width)


def _join_heads(model: Autoencoder) -> nn.Linear:
    """Return the encoder's heads as one dense layer: `z_mean`, then `z_log_var` if there is one."""
    heads = [head for head in (model.encoder.z_mean, model.encoder.z_log_var) if head is not None]
    # Without initial weights, which would move the global generator.
    joined = nn.utils.skip_init(
        nn.Linear, heads[0].in_features, sum(head.out_features for head in heads)
    )
    with torch.no_grad():
        joined.weight.copy_(torch.cat([head.weight for head in heads]))
        joined.bias.copy_(torch.cat([head.bias for head in heads]))
    return joined


def _unsupported(module: nn.Module, wanted: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"The browser cannot compute {module}: such a layer must be {wanted}. The server computes "
        "this model."
    )
