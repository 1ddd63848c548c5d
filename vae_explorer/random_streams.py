"""Random streams: one named sequence of random numbers per purpose, derived from the seed.

A generator is seeded with `[seed, stream, *index]`, so what is drawn for one purpose depends
neither on what was drawn for another nor on how often a run was stopped and resumed.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class RandomStream(IntEnum):
    """What random numbers are drawn for; the number is part of the seed.

    The numbers must never change: published models, cards and resumed runs depend on them. Where
    two names have one number, the second is an alias of the first. They were given twice before
    the streams had names, and never meet in one computation.
    """

    VALIDATION_SPLIT = 1
    EPOCH_ORDER = 2
    TRAINING_NOISE = 3
    VALIDATION_NOISE = 4
    HORIZONTAL_FLIP = 5
    BATCH_NORM_NOISE = 5
    TSNE_ROWS = 5
    DEGRADATION = 6
    PRIOR_VALIDATION = 7
    IMAGE_QUALITY_ROWS = 8
    STORED_TRAIN_ENCODINGS = 9
    STEERING_BATCH = 11
    VECTOR_CANDIDATES = 12
    PRIOR_COVERAGE = 14
    IMAGE_PAIR = 15
    GAUSSIANIZATION_ROTATIONS = 16
    COMPARED_IMAGES = 16
    PRIOR_SUBSAMPLE = 17
    BANDWIDTH_SAMPLES = 18
    PRIOR_SUPPORT = 19
    PRIOR_ROWS = 27
    TUNING_LOCALITY = 28


def stream(seed: int, name: RandomStream, *index: int) -> np.random.Generator:
    """Return the generator of a stream, at its beginning.

    Parameters
    ----------
    seed : int
        Of the training or the evaluation.
    name : RandomStream
    *index : int
        Which part of the stream, such as the epoch or the step.
    """
    return np.random.default_rng([seed, name, *index])
