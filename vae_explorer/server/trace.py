"""Trace protocol: the request of a forward trace, and the bytes of its answer.

A question is an image and four numbers. The answer is the length of a header (uint32), the
header (JSON), and the activations: a signed byte each, which times its step's `unit` is the value.
All numbers are little-endian.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vae_explorer.anatomy import ForwardTrace, LayerTrace, add_noise, draw_epsilon, trace_forward
from vae_explorer.config import ModelConfig
from vae_explorer.errors import RequestError
from vae_explorer.images import to_uint8
from vae_explorer.models import Autoencoder
from vae_explorer.server.requests import LITTLE_ENDIAN, max_image_bytes, read_image

MAX_NOISE = 0.5
"""Standard deviation, of pixels in [0, 1]."""
MAX_SEED = 9999
_SETTINGS = ("noise", "noise_seed", "epsilon_seed", "sampled")
_STEPS_OF_A_BYTE = 127


@dataclass(frozen=True, eq=False)
class TraceRequest:
    """An image to trace through the network, with its noise and its sampling of z."""

    image: NDArray[np.float32]
    """(channels, height, width) in [0, 1]."""
    noise: float = 0.0
    """Standard deviation of what is added to it, up to `MAX_NOISE`."""
    noise_seed: int = 0
    epsilon_seed: int = 0
    sampled: bool = True
    """Whether z is a sample; else it is the mean."""

    def trace_forward(self, model: Autoencoder) -> ForwardTrace:
        """Follow it through a network."""
        given = add_noise(self.image, self.noise, self.noise_seed) if self.noise else self.image
        latent_dim = model.config.latent_dim
        epsilon = draw_epsilon(latent_dim, self.epsilon_seed) if self.sampled else None
        return trace_forward(model, self.image, given, epsilon)


def tracing(model: Autoencoder, subject: TraceRequest) -> list[Callable[[], bytes]]:
    """Return the way of an image through a network as the one piece that it is."""
    return [lambda: pack_trace(subject.trace_forward(model))]


def max_trace_request_bytes(config: ModelConfig) -> int:
    """Return the length of the only body that `read_trace_request` accepts."""
    return max_image_bytes(config) + len(_SETTINGS) * LITTLE_ENDIAN.itemsize


def read_trace_request(body: bytes, config: ModelConfig) -> TraceRequest:
    """Read what a request wants followed.

    Parameters
    ----------
    body : bytes
        float32, little-endian: one image (channels, height, width) in [0, 1], then the amount of
        noise, its seed, the seed of ε, and 1 for a sample of z or 0 for its mean.
    config : ModelConfig
        Of the model that it would go through.

    Raises
    ------
    RequestError
        As `read_image`; 422 for noise or seeds out of range, and for seeds that are not whole.
    """
    wanted = max_trace_request_bytes(config)
    if len(body) != wanted:
        shape = " x ".join(str(side) for side in config.image_shape)
        raise RequestError(
            413 if len(body) > wanted else 422,
            f"An image for this model, {shape}, and {len(_SETTINGS)} settings are {wanted} bytes "
            f"of float32; found {len(body)}.",
        )
    split = max_image_bytes(config)
    image = read_image(body[:split], config)[0]
    values = dict(zip(_SETTINGS, np.frombuffer(body[split:], LITTLE_ENDIAN).tolist(), strict=True))
    limits = {"noise": MAX_NOISE, "sampled": 1}
    for name, value in values.items():
        most = limits.get(name, MAX_SEED)
        # Said so, not a number is out of range too.
        if not 0 <= value <= most or (name != "noise" and value % 1):
            kind = "a number" if name == "noise" else "a whole number"
            raise RequestError(422, f"{name} is {kind} in 0 … {most:g}; found {value:.6g}.")
    return TraceRequest(
        image,
        values["noise"],
        int(values["noise_seed"]),
        int(values["epsilon_seed"]),
        bool(values["sampled"]),
    )


def pack_trace(passage: ForwardTrace) -> bytes:
    """Write an image's way through a network as one answer; see the module.

    The header's `steps` hold what a `LayerTrace` does, each with the `start` of its bytes behind
    the header, and those of the bottleneck with their `values` as numbers; `pictures` the starts of
    the clean image, the input and the output (height, width, channels) as unsigned bytes, and
    of their `difference`, output less clean, the mean over the channels.
    """
    parts: list[bytes] = []
    length = 0

    def put(data: NDArray[np.uint8] | NDArray[np.int8]) -> int:
        nonlocal length
        parts.append(data.tobytes())
        length += data.nbytes
        return length - data.nbytes

    steps = []
    for step in passage.steps:
        unit, quantised = _quantise(step.activations)
        steps.append({**_describe(step), "unit": unit, "start": put(quantised)})
    unit, difference = _quantise((passage.output - passage.clean).mean(axis=0))
    pictures: dict[str, object] = {
        name: put(to_uint8(image))
        for name, image in (
            ("clean", passage.clean),
            ("input", passage.given),
            ("output", passage.output),
        )
    }
    pictures |= {"difference": put(difference), "difference_unit": unit}
    header = {
        "steps": steps,
        "pictures": pictures,
        "shape": passage.clean.shape,
        "kept": passage.kept,
        "kl": passage.kl,
        "error_of_input": passage.error_of_input,
        "error_of_output": passage.error_of_output,
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    return len(text).to_bytes(4, "little") + text + b"".join(parts)


def _describe(step: LayerTrace) -> dict[str, object]:
    described: dict[str, object] = {
        "name": step.name,
        "part": step.part,
        "kind": step.kind,
        "lines": step.lines,
        "arithmetic": step.arithmetic,
        "parameters": step.parameters,
        "shape": step.shape,
    }
    if step.part == "bottleneck":
        described["values"] = [round(value, 4) for value in step.activations.tolist()]
    return described


def _quantise(values: NDArray[np.float32]) -> tuple[float, NDArray[np.int8]]:
    """Return signed bytes, and what one of their steps is worth."""
    unit = float(np.abs(values).max(initial=0)) / _STEPS_OF_A_BYTE or 1.0
    return unit, np.rint(values / unit).astype(np.int8)
