"""A direction that the decoder itself takes part in finding: what it draws has to change one way.

Vectors of encodings and labels (`attribute_vectors.py`) say where faces with an attribute lie. This
one is moved until the faces that it makes have the attribute, and little else is different.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from vae_explorer.classifiers.network import AttributeClassifier
from vae_explorer.models import Autoencoder

STEPS = 120
BATCH = 48
_LEARNING_RATE = 0.03
MARGIN = 1.0
"""Of the logit beyond which a face counts as having the attribute; more is not asked for."""
_OTHERS = 0.2
"""What a change of another attribute's probability by 1 weighs."""


def steered_vector(
    model: Autoencoder,
    guide: AttributeClassifier,
    z: ArrayLike,
    start: ArrayLike,
    *,
    wanted: int,
    others: Sequence[int],
    within: ArrayLike | None = None,
    margin: float = MARGIN,
    steps: int = STEPS,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Find a direction along which decoded faces gain one attribute and keep the others.

    Minimises over v, by Adam on minibatches of z,

        E[softplus(m - l_w(D(z + v)))] + λ E[Σ_j |σ(l_j(D(z + v))) - σ(l_j(D(z)))|]

    with D the decoder, l the guide's logits, w the wanted attribute and j the others.

    Parameters
    ----------
    model, guide
        In eval mode, on one device; neither is changed. The guide must not be the network that
        judges what comes of it.
    z : (n, d)
        Encodings of faces without the attribute.
    start : (d,)
        Where the search begins, such as a vector of `attribute_vectors.py`.
    wanted : int
        Column of the attribute among the guide's.
    others : sequence of int
        Columns that are to stay.
    within : (k, d), optional
        Directions whose span the search stays in. Among all directions there are some that please
        the guide and no other eye; among those of attributes, hardly any.
    margin : float
        m, in units of the guide's logits.
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
    rng = np.random.default_rng([seed, 11])
    columns = torch.tensor(list(others), dtype=torch.long, device=device)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = rng.choice(len(latents), min(BATCH, len(latents)), replace=False)
        here = torch.from_numpy(latents[rows]).to(device)
        with torch.no_grad():
            before = torch.sigmoid(guide(torch.sigmoid(model.decoder(here))))
        logits = guide(torch.sigmoid(model.decoder(here + basis @ coordinates)))
        gained = F.softplus(margin - logits[:, wanted]).mean()
        moved = (torch.sigmoid(logits) - before)[:, columns].abs().sum(dim=1).mean()
        loss = gained + _OTHERS * moved
        (coordinates.grad,) = torch.autograd.grad(loss, [coordinates])
        optimizer.step()
    found: NDArray[np.float32] = (basis @ coordinates).detach().cpu().numpy()
    return found
