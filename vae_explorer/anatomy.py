"""Forward trace of one image: every layer's activations, shape, parameters and operations.

The model's own modules are called one after the other, so nothing is computed in another way than
`encode` and `decode` do; no hook is set, since sessions share the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vae_explorer.losses import kl_divergence
from vae_explorer.models import Autoencoder, count_parameters

Part = Literal["input", "encoder", "bottleneck", "decoder", "output"]

Shape = tuple[int, ...]

_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_BEFORE = (nn.Flatten, nn.Upsample)


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What an image has become at one place of the network, and how."""

    name: str
    part: Part
    kind: str
    """Of layer, in two or three words; empty where there is none."""
    lines: tuple[str, ...]
    """What is done there, a sentence or formula each."""
    arithmetic: tuple[str, ...]
    """Sums that end in "= n"; all n together are `parameters`."""
    parameters: int
    """Numbers that the layer holds."""
    activations: NDArray[np.float32]
    """(channels, height, width), or (units,)."""

    @property
    def shape(self) -> Shape:
        """Of the activations."""
        return self.activations.shape


@dataclass(frozen=True, eq=False)
class ForwardTrace:
    """One image's way through a network."""

    clean: NDArray[np.float32]
    """The image (channels, height, width) in [0, 1], before any noise."""
    steps: tuple[LayerTrace, ...]
    """From the input, with its noise, to the output."""
    kl: float | None
    """KL(q(z|x) || p(z)) in nats, of the input; None for a plain autoencoder."""

    @property
    def given(self) -> NDArray[np.float32]:
        """What went in: the image and its noise, (channels, height, width)."""
        return self.steps[0].activations

    @property
    def output(self) -> NDArray[np.float32]:
        """What came out, (channels, height, width) in [0, 1]."""
        return self.steps[-1].activations

    @property
    def kept(self) -> int:
        """How many numbers the bottleneck keeps."""
        return self.find("z").activations.size

    @property
    def error_of_input(self) -> float:
        """Squared error of what went in against the clean image, summed over its values."""
        return float(np.square(self.given - self.clean).sum())

    @property
    def error_of_output(self) -> float:
        """Squared error of what came out against the clean image, summed over its values."""
        return float(np.square(self.output - self.clean).sum())

    def find(self, name: str) -> LayerTrace:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)


def add_noise(image: NDArray[np.float32], amount: float, seed: int) -> NDArray[np.float32]:
    """Add Gaussian noise of a standard deviation to an image, and clip it to [0, 1].

    The same seed gives the same noise, larger or smaller with `amount`.
    """
    noise = np.random.default_rng(seed).standard_normal(image.shape, np.float32)
    return np.clip(image + np.float32(amount) * noise, 0, 1)


def draw_epsilon(latent_dim: int, seed: int) -> NDArray[np.float32]:
    """Draw ε ~ N(0, I), (latent_dim,); the same seed gives the same."""
    return np.random.default_rng(seed).standard_normal(latent_dim, np.float32)


def trace_forward(
    model: Autoencoder,
    clean: NDArray[np.float32],
    given: NDArray[np.float32] | None = None,
    epsilon: NDArray[np.float32] | None = None,
) -> ForwardTrace:
    """Follow one image through every layer of a network, to z and back.

    Parameters
    ----------
    model : Autoencoder
        In eval mode, on any device; it is not changed.
    clean : ndarray of float32 (channels, height, width)
        The image, in [0, 1].
    given : ndarray of float32 (channels, height, width), optional
        What the network is given instead, such as the image with noise.
    epsilon : ndarray of float32 (latent_dim,), optional
        ε of z = μ + σ ε (Kingma & Welling 2014, section 2.4); zeros, and so z = μ, if not given.
        A plain autoencoder has no use for it.

    Returns
    -------
    ForwardTrace

    Raises
    ------
    ValueError
        If an image has another dtype or shape than the model's.
    """
    given = clean if given is None else given
    for image in (clean, given):
        if image.dtype != np.float32 or image.shape != model.config.image_shape:
            raise ValueError(
                f"An image for this model is float32 {model.config.image_shape}; found "
                f"{image.dtype} {image.shape}."
            )
    with torch.inference_mode():
        device = next(model.parameters()).device
        x = torch.from_numpy(given[None].copy()).to(device)
        steps = [_plain("Input", "input", ("The input of the network",), x)]
        layers, rest = group_layers(model.encoder.body.children())
        for number, layer in enumerate(layers, start=1):
            x, step = _trace_part(layer, x, f"Encoder {number}", "encoder")
            steps.append(step)
        z, kl, bottleneck = _trace_bottleneck(model, rest, x, epsilon)
        steps += bottleneck
        layers, _ = group_layers(model.decoder.body.children())
        for number, layer in enumerate(layers[:-1], start=1):
            z, step = _trace_part(layer, z, f"Decoder {number}", "decoder")
            steps.append(step)
        last = Layer((*layers[-1].modules, nn.Sigmoid()))
        steps.append(_trace_part(last, z, "Output", "output")[1])
    return ForwardTrace(clean, tuple(steps), kl)


@dataclass(frozen=True)
class Layer:
    """One layer: its modules, in the order in which they are called."""

    modules: tuple[nn.Module, ...]

    @property
    def weighted(self) -> nn.Module:
        """The module that mixes its inputs: a convolution, a transposed one, or a matrix."""
        return next(module for module in self.modules if isinstance(module, _WEIGHTED))

    @property
    def parameters(self) -> int:
        """How many numbers the layer holds, the statistics of a normalisation among them."""
        return sum(count_parameters(module) for module in self.modules)


def group_layers(modules: Iterable[nn.Module]) -> tuple[list[Layer], tuple[nn.Module, ...]]:
    """Sort modules that are called one after the other into layers.

    Returns
    -------
    layers : list of Layer
    rest : tuple of Module
        What reshapes the last layer's output for whatever comes next.
    """
    layers: list[Layer] = []
    ahead: tuple[nn.Module, ...] = ()
    for module in modules:
        if isinstance(module, _BEFORE):
            ahead = (*ahead, module)
        elif isinstance(module, _WEIGHTED):
            layers.append(Layer((*ahead, module)))
            ahead = ()
        else:
            layers[-1] = Layer((*layers[-1].modules, module))
    return layers, ahead


def name_kind(layer: Layer) -> str:
    """Return what kind of layer it is, in two or three words."""
    if isinstance(layer.weighted, nn.Linear):
        return "fully connected"
    if isinstance(layer.weighted, nn.ConvTranspose2d):
        return "transposed convolution"
    enlarges = any(isinstance(module, nn.Upsample) for module in layer.modules)
    return "upsampling, convolution" if enlarges else "convolution"


def count_in_words(layer: Layer) -> tuple[str, ...]:
    """Write how many numbers each module of a layer holds: what they are, ": ", a sum, " = n"."""
    lines = []
    for module in layer.modules:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            height, width = module.kernel_size
            outputs, inputs = module.out_channels, module.in_channels
            weights = f"{_many(outputs)} × ({_many(inputs)} × {height} × {width})"
            lines.append(_sum("Kernels + biases", weights, outputs, count_parameters(module)))
        elif isinstance(module, nn.Linear):
            weights = f"{_many(module.out_features)} × {_many(module.in_features)}"
            biases = module.out_features
            lines.append(_sum("Weights + biases", weights, biases, count_parameters(module)))
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            sum_of_four = f"4 × {_many(module.num_features)} = {_many(count_parameters(module))}"
            lines.append(f"Batch normalisation: {sum_of_four}")
    return tuple(lines)


def describe_modules(layer: Layer, shape: Shape) -> tuple[str, ...]:
    """Say what each module of a layer does to an input of a shape, a line each.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width), or (units,), of what goes in.
    """
    lines: list[str] = []
    for module in layer.modules:
        lines += _describe(module, shape)
        shape = _shape_after(module, shape)
    return tuple(lines)


def write_shape(shape: Sequence[int]) -> str:
    """Write a shape as people read it: "32 × 16 × 16"."""
    return " × ".join(_many(side) for side in shape)


def _trace_bottleneck(
    model: Autoencoder,
    rest: Iterable[nn.Module],
    x: Tensor,
    epsilon: NDArray[np.float32] | None,
) -> tuple[Tensor, float | None, list[LayerTrace]]:
    """Return z (1, latent_dim), the KL term, and the steps from the last features to z."""
    encoder = model.encoder
    rest = tuple(rest)
    if encoder.z_log_var is None:
        z, step = _trace_part(Layer((*rest, encoder.z_mean)), x, "z", "bottleneck")
        return z, None, [step]
    mean, mean_step = _trace_part(Layer((*rest, encoder.z_mean)), x, "μ", "bottleneck")
    log_var, head = _trace_part(Layer((*rest, encoder.z_log_var)), x, "σ", "bottleneck")
    deviation = torch.exp(0.5 * log_var)
    noise = np.zeros(mean.shape[1], np.float32) if epsilon is None else epsilon
    drawn = torch.from_numpy(noise[None].copy()).to(mean.device)
    z = mean + deviation * drawn
    lines = (*head.lines, "The layer outputs log σ²; σ = exp(½ log σ²) is always positive")
    sampled = "Sampled from N(0, I), not learned" if noise.any() else "Not used: z is the mean"
    steps = [
        mean_step,
        LayerTrace(
            head.name,
            "bottleneck",
            head.kind,
            lines,
            head.arithmetic,
            head.parameters,
            _to_numpy(deviation),
        ),
        _plain("ε", "bottleneck", (sampled,), drawn),
        _plain("z", "bottleneck", ("z = μ + σ × ε, elementwise",), z),
    ]
    return z, float(kl_divergence(mean, log_var).sum()), steps


def _trace_part(layer: Layer, x: Tensor, name: str, part: Part) -> tuple[Tensor, LayerTrace]:
    lines = describe_modules(layer, tuple(x.shape[1:]))
    for module in layer.modules:
        x = module(x)
    step = LayerTrace(
        name, part, name_kind(layer), lines, count_in_words(layer), layer.parameters, _to_numpy(x)
    )
    return x, step


def _plain(name: str, part: Part, lines: tuple[str, ...], x: Tensor) -> LayerTrace:
    """Return a step that no layer makes."""
    return LayerTrace(name, part, "", lines, (), 0, _to_numpy(x))


def _to_numpy(x: Tensor) -> NDArray[np.float32]:
    return x[0].float().cpu().numpy()


def _describe(module: nn.Module, shape: Shape) -> list[str]:
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            lines = [_describe_kernel(module), _describe_size(module, shape[-1])]
        case nn.Linear():
            outputs, inputs = _many(module.out_features), _many(shape[0])
            lines = [
                f"Each of {outputs} outputs is a weighted sum of all {inputs} inputs, plus a bias"
            ]
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            each = "channel" if isinstance(module, nn.BatchNorm2d) else "unit"
            lines = [
                f"Batch normalisation: subtracts the mean of each {each}, divides by its standard "
                "deviation (both from training), then applies a learned scale and shift"
            ]
        case nn.ReLU():
            lines = ["ReLU: negative values become 0"]
        case nn.LeakyReLU():
            lines = [f"Leaky ReLU: negative values are multiplied by {module.negative_slope:g}"]
        case nn.Sigmoid():
            lines = ["Sigmoid: maps every value to the range from 0 to 1"]
        case nn.Upsample():
            factor = _factor(module)
            lines = [f"Upsampling: each pixel becomes {factor} × {factor} equal pixels"]
            if module.mode == "bilinear":
                lines.append("Smoothing: weighted mean with the neighbours, 1 : 2 : 1")
        case nn.Flatten():
            lines = [f"{write_shape(shape)} flattened to a vector"] if len(shape) > 1 else []
        case nn.Unflatten():
            lines = [f"Reshaped to {write_shape(_shape_after(module, shape))}"]
        case _:
            raise ValueError(f"There is no description of a layer of type {type(module).__name__}.")
    return lines


def _describe_kernel(module: nn.Conv2d | nn.ConvTranspose2d) -> str:
    height, width = module.kernel_size
    padding = module.padding if isinstance(module.padding, str) else module.padding[0]
    text = f"Kernel {height} × {width}, stride {module.stride[0]}, padding {padding}"
    more = module.output_padding[0]
    return f"{text}, output padding {more}" if more else text


def _describe_size(module: nn.Conv2d | nn.ConvTranspose2d, size: int) -> str:
    kernel, stride, after = module.kernel_size[0], module.stride[0], _size_after(module, size)
    if isinstance(module.padding, str):
        return f"Height and width stay {size}"
    padding = module.padding[0]
    if isinstance(module, nn.ConvTranspose2d):
        more = f" + {module.output_padding[0]}" if module.output_padding[0] else ""
        sides = f"({size} − 1) × {stride} − 2 × {padding} + {kernel}{more}"
    elif stride == 1:
        sides = f"{size} + 2 × {padding} − {kernel} + 1"
    else:
        sides = f"⌊({size} + 2 × {padding} − {kernel}) / {stride}⌋ + 1"
    return f"Height and width: {sides} = {after}"


def _size_after(module: nn.Conv2d | nn.ConvTranspose2d, size: int) -> int:
    if isinstance(module.padding, str):  # "same"
        return size
    kernel, stride, padding = module.kernel_size[0], module.stride[0], module.padding[0]
    if isinstance(module, nn.ConvTranspose2d):
        return (size - 1) * stride - 2 * padding + kernel + module.output_padding[0]
    return (size + 2 * padding - kernel) // stride + 1


def _shape_after(module: nn.Module, shape: Shape) -> Shape:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return (module.out_channels, *(_size_after(module, side) for side in shape[1:]))
    if isinstance(module, nn.Linear):
        return (module.out_features,)
    if isinstance(module, nn.Upsample):
        return (shape[0], *(side * _factor(module) for side in shape[1:]))
    if isinstance(module, nn.Flatten):
        count = 1
        for side in shape:
            count *= side
        return (count,)
    if isinstance(module, nn.Unflatten):
        return tuple(int(side) for side in module.unflattened_size)
    return shape


def _factor(module: nn.Upsample) -> int:
    factor = module.scale_factor
    assert isinstance(factor, float | int)  # models.py gives one for both sides
    return int(factor)


def _sum(name: str, weights: str, biases: int, total: int) -> str:
    return f"{name}: {weights} + {_many(biases)} = {_many(total)}"


def _many(count: int) -> str:
    return f"{count:,}"
