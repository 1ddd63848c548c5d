"""Attribute vectors: directions in latent space along which faces gain an attribute.

`vae_explorer.latent.interpolation.attribute_vector` is the plain one. Those here hold other
attributes back, each in its way; `steered_vector` asks the decoder as well, the others encodings
and labels alone. Attributes are what CelebA's annotators saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from vae_explorer.classifiers.network import AttributeClassifier
from vae_explorer.latent.interpolation import attribute_vector
from vae_explorer.models import Autoencoder
from vae_explorer.random_streams import RandomStream, stream

Vector = NDArray[np.float32]

OFFERED = {
    "Expression": ("Smiling", "Mouth_Slightly_Open"),
    "Hair": ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bangs"),
    "Beard": ("No_Beard", "Mustache"),
    "Accessories": ("Eyeglasses", "Wearing_Hat"),
    "Age and sex (as labelled in the data)": ("Young", "Male"),
}
"""Attributes to edit, by group. Judgements and slurs of the label set are not among them."""

_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
_BEARDS = ("No_Beard", "5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")

ENTAILED: dict[str, frozenset[str]] = {
    "Smiling": frozenset({"High_Cheekbones", "Mouth_Slightly_Open"}),
    "Young": frozenset({"Gray_Hair"}),
    "Male": frozenset({"Wearing_Lipstick", "Heavy_Makeup", *_BEARDS}),
    "Wearing_Hat": frozenset(
        {"Bald", "Bangs", "Receding_Hairline", "Straight_Hair", "Wavy_Hair", *_HAIR}
    ),
    **{name: frozenset(_HAIR) - {name} for name in _HAIR},
    **{name: frozenset(_BEARDS) - {name} for name in _BEARDS},
}
"""What a change of an attribute changes by its meaning, which no one would call a side effect."""

CORRELATED = 4
"""Attributes that a balanced vector counts equally."""
RARE = 20
"""Faces on a side, below which a combination of them is left out."""
RIDGE = 100.0

STEPS = 120
BATCH = 48
_LEARNING_RATE = 0.03
MARGIN = 1.0
"""Of the logit beyond which a face counts as having the attribute; more is not asked for."""
_OTHERS = 0.2
"""What a change of another attribute's probability by 1 weighs."""


def others_of(name: str, names: Sequence[str]) -> list[int]:
    """Return the columns of all attributes but `name` and what it entails."""
    apart = ENTAILED.get(name, frozenset()) | {name}
    return [column for column, other in enumerate(names) if other not in apart]


def balanced_vector(z: ArrayLike, attributes: ArrayLike, names: Sequence[str], name: str) -> Vector:
    """Average the plain vector over all combinations of the attributes that go along with it.

    With c the combinations of the `CORRELATED` attributes that correlate most with the wanted
    one: mean over c of (mean of z with it, given c) - (mean of z without it, given c). So each
    combination counts the same, however rare, and what goes along cancels out. Combinations with
    fewer than `RARE` faces on a side are left out; where all are, this is the plain vector.

    Parameters
    ----------
    z : (n, d)
        Encodings.
    attributes : (n, k) bool
    names : sequence of k str
        Of the attributes; `name` is the wanted one.

    Returns
    -------
    ndarray of float32 (d,)

    Raises
    ------
    ValueError
        If there is no such attribute.

    References
    ----------
    White 2016, "Sampling Generative Networks" (https://arxiv.org/abs/1609.04468), section 3.3:
    replication.
    """
    latents, has = np.asarray(z, np.float64), np.asarray(attributes, bool)
    column, others = _find(name, names), others_of(name, names)
    wanted = has[:, column]
    strength = np.array([_correlation(has[:, other], wanted) for other in others])
    along = [others[index] for index in np.argsort(-strength, kind="stable")[:CORRELATED]]
    combination = has[:, along] @ (2 ** np.arange(len(along)))
    found = []
    for each in np.unique(combination):
        here = combination == each
        if min((here & wanted).sum(), (here & ~wanted).sum()) >= RARE:
            found.append(attribute_vector(latents[here], wanted[here]))
    return np.mean(found, axis=0) if found else attribute_vector(latents, wanted)


def regression_vector(
    z: ArrayLike, attributes: ArrayLike, names: Sequence[str], name: str
) -> Vector:
    """Take an attribute's coefficient in a ridge regression of z on all that it does not entail.

    W = (XᵀX + λI)⁻¹ XᵀZ, with X and Z centred and λ = `RIDGE`: the row of W that belongs to the
    attribute is its part in z with the others held (Hoerl & Kennard 1970).

    Parameters and what is returned are those of `balanced_vector`.
    """
    latents, has = np.asarray(z, np.float64), np.asarray(attributes, np.float64)
    column = _find(name, names)
    columns = sorted([column, *others_of(name, names)])
    x = has[:, columns] - has[:, columns].mean(axis=0)
    gram = x.T @ x + RIDGE * np.eye(len(columns))
    weights = np.linalg.solve(gram, x.T @ (latents - latents.mean(axis=0)))
    coefficient: Vector = weights[columns.index(column)].astype(np.float32)
    return coefficient


def lock(vector: ArrayLike, locked: Sequence[ArrayLike]) -> Vector:
    """Take out of a vector (d,) all that points along others, which are to stay as they are.

    The vector's projection onto the space orthogonal to the locked ones; the same whatever their
    order and length.

    References
    ----------
    Shen, Gu, Tang & Zhou 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing"
    (https://arxiv.org/abs/1907.10786), section 3.3.
    """
    direction = np.asarray(vector, np.float64)
    if not len(locked):
        return direction.astype(np.float32)
    span = np.stack([np.asarray(other, np.float64) for other in locked], axis=1)
    coefficients, *_ = np.linalg.lstsq(span, direction)
    return (direction - span @ coefficients).astype(np.float32)


def steered_vector(
    model: Autoencoder,
    guidance_classifier: AttributeClassifier,
    z: ArrayLike,
    start: ArrayLike,
    *,
    wanted: int,
    others: Sequence[int],
    within: ArrayLike | None = None,
    margin: float = MARGIN,
    steps: int = STEPS,
    seed: int = 0,
) -> Vector:
    """Find a direction along which decoded faces gain one attribute and keep the others.

    Minimises over v, by Adam on minibatches of z,

        E[softplus(m - l_w(D(z + v)))] + λ E[Σ_j |σ(l_j(D(z + v))) - σ(l_j(D(z)))|]

    with D the decoder, l the guidance classifier's logits, w the wanted attribute and j the others.

    Parameters
    ----------
    model, guidance_classifier
        In eval mode, on one device; neither is changed. It must not be the classifier that
        evaluates the result.
    z : (n, d)
        Encodings of faces without the attribute.
    start : (d,)
        Where the search begins, such as `regression_vector`.
    wanted : int
        Column of the attribute in the classifier's output.
    others : sequence of int
        Columns that are to stay.
    within : (k, d), optional
        Directions whose span the search stays in. Among all directions there are some that please
        this classifier and nobody else; among those of attributes, hardly any.
    margin : float
        m, in units of its logits.
    steps : int
        Of the search.
    seed : int
        Of the minibatches.

    Returns
    -------
    ndarray of float32 (d,)

    Raises
    ------
    ValueError
        If there are no encodings.

    References
    ----------
    Zhuang, Koyejo & Schwing 2021, "Enjoy Your Editing: Controllable GANs for Image Editing via
    Latent Space Navigation" (https://arxiv.org/abs/2102.01187); Jahanian, Chai & Isola 2020, "On
    the 'Steerability' of Generative Adversarial Networks" (https://arxiv.org/abs/1907.07171).
    """
    latents = np.asarray(z, np.float32)
    if not len(latents):
        raise ValueError("A direction is steered on encodings of faces; there are none.")
    device = next(model.parameters()).device
    span = np.eye(latents.shape[1]) if within is None else np.linalg.qr(np.transpose(within))[0]
    basis = torch.tensor(span, dtype=torch.float32, device=device)  # orthonormal columns
    begin = torch.tensor(np.asarray(start, np.float32), device=device)
    coordinates = (begin @ basis).requires_grad_(True)
    optimizer = torch.optim.Adam([coordinates], lr=_LEARNING_RATE)
    rng = stream(seed, RandomStream.STEERING_BATCH)
    columns = torch.tensor(list(others), dtype=torch.long, device=device)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = rng.choice(len(latents), min(BATCH, len(latents)), replace=False)
        here = torch.from_numpy(latents[rows]).to(device)
        with torch.no_grad():
            before = torch.sigmoid(guidance_classifier(torch.sigmoid(model.decoder(here))))
        logits = guidance_classifier(torch.sigmoid(model.decoder(here + basis @ coordinates)))
        gained = F.softplus(margin - logits[:, wanted]).mean()
        moved = (torch.sigmoid(logits) - before)[:, columns].abs().sum(dim=1).mean()
        loss = gained + _OTHERS * moved
        (coordinates.grad,) = torch.autograd.grad(loss, [coordinates])
        optimizer.step()
    found: Vector = (basis @ coordinates).detach().cpu().numpy()
    return found


def _find(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ValueError(f"There is no attribute {name!r}; there are {', '.join(names)}.")
    return list(names).index(name)


def _correlation(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return how strongly two attributes go along, in [0, 1]; 0 where one is the same in all."""
    if a.all() or b.all() or not (a.any() and b.any()):
        return 0.0
    return float(abs(np.corrcoef(a, b)[0, 1]))
