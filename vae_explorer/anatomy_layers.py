"""A network as people count its layers, and the arithmetic of each in words.

A layer is one module with weights, together with what reshapes or enlarges its input and what
normalises, bends or reshapes its output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from vae_explorer.models import count_parameters

Shape = tuple[int, ...]

_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_BEFORE = (nn.Flatten, nn.Upsample)


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
    return "enlarged, convolution" if enlarges else "convolution"


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


def _describe(module: nn.Module, shape: Shape) -> list[str]:
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            lines = [_describe_kernel(module), _describe_size(module, shape[-1])]
        case nn.Linear():
            outputs, inputs = _many(module.out_features), _many(shape[0])
            lines = [f"Each of {outputs} outputs weighs all {inputs} inputs"]
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            each = "channel" if isinstance(module, nn.BatchNorm2d) else "unit"
            lines = [
                f"Batch normalisation: each {each} less a mean and over a deviation, both measured "
                "in training, then a scale and a shift that were learnt"
            ]
        case nn.ReLU():
            lines = ["ReLU: what is below 0 becomes 0"]
        case nn.LeakyReLU():
            lines = [f"Leaky ReLU: what is below 0 is multiplied by {module.negative_slope:g}"]
        case nn.Sigmoid():
            lines = ["Sigmoid: every number comes to lie between 0 and 1"]
        case nn.Upsample():
            factor = _factor(module)
            lines = [f"Enlarged: each pixel becomes {factor} × {factor} equal ones"]
        case nn.Flatten():
            lines = [f"{write_shape(shape)} laid out in one row"] if len(shape) > 1 else []
        case nn.Unflatten():
            lines = [f"Arranged as {write_shape(_shape_after(module, shape))}"]
        case _:
            raise ValueError(f"No words for a layer of the kind {type(module).__name__}.")
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
