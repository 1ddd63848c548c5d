"""Selection of attribute vectors: of all kinds, scaled, the one with the least drift.

The vectors are made from the train split; how they do is measured on the held-out one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import Metric
from vae_explorer.checkpoints.format import ATTRIBUTE_VECTOR
from vae_explorer.classifiers.network import AttributeClassifier
from vae_explorer.classifiers.storage import predict_attributes
from vae_explorer.editing.vectors import (
    OFFERED,
    balanced_vector,
    others_of,
    regression_vector,
    steered_vector,
)
from vae_explorer.encodings import Encodings
from vae_explorer.inference import decode
from vae_explorer.latent.interpolation import attribute_vector
from vae_explorer.models import Autoencoder
from vae_explorer.random_streams import RandomStream, stream

KINDS = ("plain", "balanced", "regression", "steered", "composed")
SCALED_ON, MEASURED_ON = 200, 300
"""Faces without the attribute, of the train and of the held-out split."""
_COMPOSED_MARGIN = 3.0
_COMPOSED_START = 2.0  # times the plain vector: from nearer, an attribute may not be found

ALPHAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""How far along a vector, in its own lengths; the sliders end at 3."""
ACCEPTED = 0.9
"""Share of faces that have to be accepted as having the attribute."""
_AIM, _AT = 0.93, 2.0
"""A vector is scaled so that this share is accepted there: on other faces it may be less."""
_TRIES = 8
_FEWEST = 20
"""Faces without the attribute, as predicted, that a vector can be scaled by."""
_LONGEST = 64.0  # times a vector's own length, beyond which it leads nowhere

Predictor = Callable[[NDArray[np.float32]], NDArray[np.bool_]]
"""Maps latents (n, d) to predicted attributes of the decoded faces: bool (n, attributes)."""


@dataclass(frozen=True)
class Networks:
    """What takes part in choosing vectors."""

    model: Autoencoder
    evaluation_classifier: AttributeClassifier
    """Says which attributes a face has."""
    guidance_classifier: AttributeClassifier | None
    """Another one, by which directions are steered; without it there are none of that kind."""

    def predict(self, z: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Predict the attributes of decoded latents (n, d): bool (n, attributes)."""
        probabilities = predict_attributes(self.evaluation_classifier, decode(self.model, z))
        predicted: NDArray[np.bool_] = probabilities > 0.5
        return predicted


def stored_vectors(checkpoint: Checkpoint, kind: str | None = None) -> dict[str, np.ndarray]:
    """Return the vectors of one kind that a checkpoint carries, by attribute; the default ones."""
    if kind is None:
        return checkpoint.attribute_vectors
    prefix = f"{kind}_vector."
    return {
        name.removeprefix(prefix): vector
        for name, vector in checkpoint.latent.items()
        if name.startswith(prefix)
    }


def plain_vectors(train: Encodings, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return the plain vector of each attribute that some faces have and some lack, as it is.

    For a checkpoint, by `attribute_vector.NAME`; where there is no evaluation classifier.
    """
    if train.attributes is None:
        return {}
    return {
        ATTRIBUTE_VECTOR + name: attribute_vector(train.z_mean, has)
        for name, has in zip(names, train.attributes.T, strict=True)
        if has.any() and not has.all()
    }


def is_vector(name: str) -> bool:
    """Say whether that array of a checkpoint is one that `choose_vectors` made."""
    return name.partition(".")[0].removesuffix("_vector") in ("attribute", *KINDS)


def is_drift(name: str) -> bool:
    """Say whether that number of a card is one that `choose_vectors` measured."""
    return name.partition(".")[0] in ("drift", "drift_of")


def choose_vectors(
    networks: Networks, train: Encodings, held_out: Encodings, names: Sequence[str], seed: int
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Metric]]:
    """Make, scale and compare the vectors of every attribute.

    Parameters
    ----------
    networks : Networks
    train, held_out : Encodings
        With attributes; the vectors are made of the first and measured on the second.
    names : sequence of str
        Of the attributes.
    seed : int
        Of the faces that are drawn, and of the steering.

    Returns
    -------
    arrays : dict of str to ndarray (latent_dim,)
        For a checkpoint: `attribute_vector.NAME`, the default kind; and for attributes that are
        offered for editing, `KIND_vector.NAME`. An attribute that all train faces share, or
        none has, has no vector. Those that are not offered have the regression's.
    metrics : dict of str to Metric
        `drift.NAME.KIND`, and `drift_of.NAME` for the default, by attribute; none for an
        attribute that all held-out faces have.
    """
    offered = {name for group in OFFERED.values() for name in group}
    arrays: dict[str, NDArray[np.float32]] = {}
    metrics: dict[str, Metric] = {}
    span = _span(train, names)
    for name in names:
        made = _make(networks, train, names, name, seed, span=span if name in offered else None)
        if not made:
            continue
        best = min(made, key=lambda kind: (not made[kind][1].reached, made[kind][1].total))
        arrays[ATTRIBUTE_VECTOR + name] = made[best][0]
        if name not in offered:
            continue
        arrays |= {f"{kind}_vector.{name}": vector for kind, (vector, _) in made.items()}
        without = _faces_without(held_out, names, name, MEASURED_ON, seed)
        if not len(without):  # then nothing can be measured
            continue
        for kind, (vector, _) in made.items():
            wanted, others = names.index(name), others_of(name, names)
            found = measure_drift(networks.predict, without, vector, wanted, others)
            metrics |= _describe(name, kind, found, held_out, default=kind == best)
    return arrays, metrics


@dataclass(frozen=True)
class Drift:
    """What came of an edit, on faces that lacked the attribute."""

    alpha: float
    """How far along the vector."""
    accepted: float
    """Share of the faces that are accepted there as having the attribute."""
    flips: NDArray[np.float64]
    """Share of the faces for which the word on each attribute changed (attributes,); 0 for the
    wanted one and for what it entails."""

    @property
    def total(self) -> float:
        """How many other attributes changed in a face, on average."""
        return float(self.flips.sum())

    @property
    def reached(self) -> bool:
        """Whether enough of them are accepted."""
        return self.accepted >= ACCEPTED


def measure_drift(
    predict: Predictor, z: ArrayLike, vector: ArrayLike, wanted: int, others: Sequence[int]
) -> Drift:
    """Go along a vector until enough faces are accepted, and count what else changed.

    Parameters
    ----------
    predict : callable
        Of the evaluation classifier.
    z : (n, d)
        Encodings of faces that lack the attribute.
    vector : (d,)
    wanted : int
        Column of the attribute.
    others : sequence of int
        Columns that count as drift.

    Returns
    -------
    Drift
        At the smallest of `ALPHAS` at which `ACCEPTED` of the faces are; at the largest, where
        none is enough.
    """
    latents, direction = np.asarray(z, np.float32), np.asarray(vector, np.float32)
    before = predict(latents)
    for alpha in ALPHAS:
        after = predict(latents + np.float32(alpha) * direction)
        found = _compare(before, after, wanted, others)
        if found.reached:
            break
    return Drift(alpha, found.accepted, found.flips)


def scale_vector(
    predict: Predictor, z: ArrayLike, vector: ArrayLike, wanted: int, others: Sequence[int]
) -> tuple[NDArray[np.float32], Drift]:
    """Scale a vector so that `_AIM` of some faces have the attribute at two of its lengths.

    Only faces that the evaluation classifier does not accept already are counted: a model may
    decode most with an attribute that they lack, and then hardly any length would be needed.

    Parameters are those of `measure_drift`.

    Returns
    -------
    vector : ndarray of float32 (d,)
        As it came, where no length is enough, or too few faces are without the attribute.
    drift : Drift
        On these faces, where they are accepted.
    """
    latents, direction = np.asarray(z, np.float32), np.asarray(vector, np.float32)
    before = predict(latents)
    lacking = ~before[:, wanted]
    if lacking.sum() < _FEWEST:
        return direction, _compare(before, predict(latents + direction), wanted, others)
    latents, before = latents[lacking], before[lacking]
    low, high = 0.0, None
    length = 1.0
    best = Drift(0.0, 0.0, np.zeros(before.shape[1]))
    for _ in range(_TRIES):
        after = predict(latents + np.float32(length) * direction)
        found = _compare(before, after, wanted, others)
        if found.accepted >= _AIM:
            high, best = length, found
        else:
            low = length
        length = 2 * low if high is None else (low + high) / 2
        if length > _LONGEST:
            break
    if high is None:
        return direction, best
    return np.float32(high / _AT) * direction, best


def _make(
    networks: Networks,
    train: Encodings,
    names: Sequence[str],
    name: str,
    seed: int,
    *,
    span: NDArray[np.float32] | None,
) -> dict[str, tuple[NDArray[np.float32], Drift]]:
    """Return each kind of vector, scaled, and how it does on train faces.

    Without `span`, the directions (k, d) to compose of, the regression's alone.
    """
    assert train.attributes is not None
    has = train.attributes[:, names.index(name)]
    if has.all() or not has.any():
        return {}
    z, wanted, others = train.z_mean, names.index(name), others_of(name, names)
    raw = {"regression": regression_vector(z, train.attributes, names, name)}
    if span is not None:
        raw["plain"] = attribute_vector(z, has)
        raw["balanced"] = balanced_vector(z, train.attributes, names, name)
    if span is not None and networks.guidance_classifier is not None:
        raw["steered"] = steered_vector(
            networks.model,
            networks.guidance_classifier,
            z[~has],
            raw["regression"],
            wanted=wanted,
            others=others,
            seed=seed,
        )
        raw["composed"] = steered_vector(
            networks.model,
            networks.guidance_classifier,
            z[~has],
            _COMPOSED_START * raw["plain"],
            wanted=wanted,
            others=others,
            within=span,
            margin=_COMPOSED_MARGIN,
            seed=seed,
        )
    without = _faces_without(train, names, name, SCALED_ON, seed)
    predict: Predictor = networks.predict
    return {kind: scale_vector(predict, without, v, wanted, others) for kind, v in raw.items()}


def _span(train: Encodings, names: Sequence[str]) -> NDArray[np.float32]:
    """Return the regression's vector of each attribute (k, d) that some faces have, not all."""
    assert train.attributes is not None
    z, attributes = train.z_mean, train.attributes
    known = [name for name, has in zip(names, attributes.T, strict=True) if 0 < has.mean() < 1]
    vectors = [regression_vector(z, attributes, names, name) for name in known]
    return np.stack(vectors) if vectors else np.zeros((0, z.shape[1]), np.float32)


def _faces_without(
    encodings: Encodings, names: Sequence[str], name: str, most: int, seed: int
) -> NDArray[np.float32]:
    assert encodings.attributes is not None
    rows = np.flatnonzero(~encodings.attributes[:, names.index(name)])
    chosen = stream(seed, RandomStream.VECTOR_CANDIDATES).permutation(rows)[:most]
    z: NDArray[np.float32] = encodings.z_mean[np.sort(chosen)]
    return z


def _describe(
    name: str, kind: str, found: Drift, held_out: Encodings, *, default: bool
) -> dict[str, Metric]:
    split = held_out.split[0]
    protocol = (
        f"{split} split, {MEASURED_ON} faces without {name}: smallest α of {ALPHAS[0]:g} to "
        f"{ALPHAS[-1]:g} at which {ACCEPTED:.0%} are accepted as having it, share accepted "
        "there, and how many other attributes flipped in a face as classified from decode(z); "
        f"{kind} vector{', the default' if default else ''}"
    )
    metric = Metric(
        f"drift.{name}.{kind}",
        (found.alpha, found.accepted, found.total),
        "lengths of the vector, share of faces, attributes",
        protocol,
    )
    metrics = {metric.name: metric}
    if default:
        each = Metric(
            f"drift_of.{name}",
            tuple(found.flips.tolist()),
            "share of faces, by attribute of the card",
            protocol,
        )
        metrics[each.name] = each
    return metrics


def _compare(
    before: NDArray[np.bool_], after: NDArray[np.bool_], wanted: int, others: Sequence[int]
) -> Drift:
    flips = np.zeros(before.shape[1])
    flips[list(others)] = (after != before)[:, list(others)].mean(axis=0)
    return Drift(1.0, float(after[:, wanted].mean()), flips)
