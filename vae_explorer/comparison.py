"""Latent spaces beside each other: which models can be, and how well the prior fits each.

A VAE is trained so that N(0, I) and the encodings cover one another; a plain autoencoder is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from vae_explorer.checkpoints.card import ModelCard


def comparable(cards: Iterable[ModelCard], card: ModelCard) -> list[ModelCard]:
    """Return the models of a plane that learnt from the same pictures as `card`, and it.

    A plain autoencoder comes first, then VAEs by their β.
    """
    found = [
        other
        for other in cards
        if other.model.latent_dim == 2
        and other.dataset.name == card.dataset.name
        and other.model.image_shape == card.model.image_shape
    ]
    return sorted(found, key=lambda other: (*_place(other), other.name))


def _place(card: ModelCard) -> tuple[bool, float]:
    return card.model.kind != "autoencoder", card.train.beta
