"""Random streams: their numbers are part of every published result."""

from __future__ import annotations

import numpy as np
import torch

from vae_explorer.random_streams import RandomStream, stream
from vae_explorer.training.batches import Noise

NUMBERS = {
    "VALIDATION_SPLIT": 1,
    "EPOCH_ORDER": 2,
    "TRAINING_NOISE": 3,
    "VALIDATION_NOISE": 4,
    "HORIZONTAL_FLIP": 5,
    "BATCH_NORM_NOISE": 5,
    "TSNE_ROWS": 5,
    "DEGRADATION": 6,
    "PRIOR_VALIDATION": 7,
    "IMAGE_QUALITY_ROWS": 8,
    "STORED_TRAIN_ENCODINGS": 9,
    "STEERING_BATCH": 11,
    "VECTOR_CANDIDATES": 12,
    "PRIOR_COVERAGE": 14,
    "IMAGE_PAIR": 15,
    "GAUSSIANIZATION_ROTATIONS": 16,
    "COMPARED_IMAGES": 16,
    "PRIOR_SUBSAMPLE": 17,
    "BANDWIDTH_SAMPLES": 18,
    "PRIOR_SUPPORT": 19,
    "PRIOR_ROWS": 27,
    "TUNING_LOCALITY": 28,
}


def test_the_numbers_of_the_streams_never_change() -> None:
    assert {name: int(each) for name, each in RandomStream.__members__.items()} == NUMBERS


def test_a_stream_is_seeded_by_seed_number_and_index() -> None:
    found = stream(7, RandomStream.EPOCH_ORDER, 3).permutation(20)
    assert np.array_equal(found, np.random.default_rng([7, 2, 3]).permutation(20))


def test_a_torch_stream_restarts_at_its_beginning() -> None:
    noise = Noise(7, 4, torch.device("cpu"))
    (state,) = np.random.SeedSequence([7, 3, 5, 0]).generate_state(1, np.uint64)
    expected = torch.randn(6, 4, generator=torch.Generator().manual_seed(int(state) >> 1))
    for _ in range(2):
        found = noise.draw(6, noise.stream(RandomStream.TRAINING_NOISE, 5, 0))
        assert torch.equal(found, expected)
