from __future__ import annotations

import json

import numpy as np
import pytest

from vae_explorer.anatomy import ForwardTrace
from vae_explorer.config import ModelConfig
from vae_explorer.errors import RequestError
from vae_explorer.images import to_uint8
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.server.trace import (
    MAX_NOISE,
    TraceRequest,
    max_trace_request_bytes,
    pack_trace,
    read_trace_request,
    tracing,
)

CONFIG = ModelConfig(
    image_size=8, image_channels=3, latent_dim=5, channels=(4,), activation="leaky_relu"
)


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    return build_model(CONFIG, seed=1).eval()


def make_image() -> np.ndarray:
    return np.random.default_rng(3).random(CONFIG.image_shape, dtype=np.float32)


def ask(*settings: float, image: np.ndarray | None = None) -> bytes:
    pixels = (make_image() if image is None else image).astype("<f4")
    return pixels.tobytes() + np.array(settings, "<f4").tobytes()


def unpack(answer: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(answer[:4], "little")
    return json.loads(answer[4 : 4 + length]), answer[4 + length :]


def test_a_question_is_read_as_it_was_sent() -> None:
    body = ask(0.25, 12, 9999, 1)
    assert len(body) == max_trace_request_bytes(CONFIG)
    subject = read_trace_request(body, CONFIG)
    np.testing.assert_array_equal(subject.image, make_image())
    settings = subject.noise, subject.noise_seed, subject.epsilon_seed, subject.sampled
    assert settings == (0.25, 12, 9999, True)
    assert not read_trace_request(ask(0, 0, 0, 0), CONFIG).sampled


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 422, "found 0"),
        (ask(0, 0, 0), 422, "784 bytes of float32; found 780"),
        (ask(0, 0, 0, 0, 0), 413, "found 788"),
        (ask(0, 0, 0, 1, image=np.full(192, 1.01)), 422, r"0 … 1; found 1\.01"),
        (ask(0, 0, 0, 1, image=np.full(192, np.nan)), 422, "192 that are NaN"),
        (ask(MAX_NOISE + 0.01, 0, 0, 1), 422, r"noise is a number in 0 … 0\.5; found 0\.51"),
        (ask(-0.1, 0, 0, 1), 422, r"found -0\.1"),
        (ask(np.nan, 0, 0, 1), 422, "noise .* found nan"),
        (ask(0, 1.5, 0, 1), 422, r"noise_seed is a whole number in 0 … 9999; found 1\.5"),
        (ask(0, 0, 10_000, 1), 422, "epsilon_seed is a whole number"),
        (ask(0, 0, np.inf, 1), 422, "found inf"),
        (ask(0, 0, 0, 2), 422, "sampled is a whole number in 0 … 1"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(body: bytes, status: int, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as refused:
        read_trace_request(body, CONFIG)
    assert refused.value.status == status
    assert "\n" not in str(refused.value)


def test_chance_is_what_the_seeds_say(model: Autoencoder) -> None:
    def trace_forward(*settings: float) -> ForwardTrace:
        return read_trace_request(ask(*settings), CONFIG).trace_forward(model)

    first, again = trace_forward(0.2, 1, 2, 1), trace_forward(0.2, 1, 2, 1)
    np.testing.assert_array_equal(first.output, again.output)
    other_noise, other_epsilon, mean = (
        trace_forward(0.2, 3, 2, 1),
        trace_forward(0.2, 1, 3, 1),
        trace_forward(0.2, 1, 2, 0),
    )
    assert np.abs(other_noise.given - first.given).max() > 0.1
    np.testing.assert_array_equal(other_epsilon.given, first.given)
    assert np.abs(other_epsilon.find("z").activations - first.find("z").activations).max() > 0.1
    np.testing.assert_array_equal(mean.find("z").activations, mean.find("μ").activations)
    np.testing.assert_array_equal(trace_forward(0, 1, 2, 1).given, make_image())


def test_an_answer_holds_every_activation_to_half_a_unit(model: Autoencoder) -> None:
    passage = TraceRequest(make_image(), 0.3, 1, 2).trace_forward(model)
    header, data = unpack(pack_trace(passage))
    assert [step["name"] for step in header["steps"]] == [step.name for step in passage.steps]
    for packed, step in zip(header["steps"], passage.steps, strict=True):
        found = np.frombuffer(data, np.int8, step.activations.size, packed["start"])
        assert packed["shape"] == list(step.shape)
        worst = np.abs(found.reshape(step.shape) * packed["unit"] - step.activations).max()
        assert worst <= 0.5001 * packed["unit"]
        assert packed["parameters"] == step.parameters
        if step.part == "bottleneck":
            np.testing.assert_allclose(packed["values"], step.activations, atol=6e-5)
    signed = [np.frombuffer(data, np.int8, 64, s["start"]).min() for s in header["steps"][1:2]]
    assert min(signed) < 0  # of a leaky ReLU


def test_an_answer_holds_the_pictures_their_difference_and_what_was_lost(
    model: Autoencoder,
) -> None:
    passage = TraceRequest(make_image(), 0.3, 1, 2).trace_forward(model)
    header, data = unpack(pack_trace(passage))
    places, size = header["pictures"], make_image().size
    for name, image in (
        ("clean", passage.clean),
        ("input", passage.given),
        ("output", passage.output),
    ):
        found = np.frombuffer(data, np.uint8, size, places[name]).reshape(8, 8, 3)
        np.testing.assert_array_equal(found, to_uint8(image))
    difference = np.frombuffer(data, np.int8, 64, places["difference"]).reshape(8, 8)
    wanted = (passage.output - passage.clean).mean(axis=0)
    np.testing.assert_allclose(
        difference * places["difference_unit"], wanted, atol=0.51 * places["difference_unit"]
    )
    assert len(data) == places["difference"] + 64
    assert (header["shape"], header["kept"]) == ([3, 8, 8], 5)
    assert header["kl"] == pytest.approx(passage.kl)
    assert header["error_of_input"] == pytest.approx(passage.error_of_input)
    assert header["error_of_output"] == pytest.approx(passage.error_of_output)


def test_a_layer_that_is_silent_is_packed_too(model: Autoencoder) -> None:
    header, data = unpack(
        pack_trace(TraceRequest(make_image() * 0, sampled=False).trace_forward(model))
    )
    silent = next(step for step in header["steps"] if step["name"] == "Input")
    assert not np.frombuffer(data, np.int8, 192, silent["start"]).any()


def test_following_is_one_piece(model: Autoencoder) -> None:
    subject = TraceRequest(make_image())
    (piece,) = tracing(model, subject)
    assert piece() == pack_trace(subject.trace_forward(model))
