"""A card that somebody sent: read, and refused where it says what only one's own training may."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from vae_explorer.checkpoints import CARD
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.config import ModelConfig
from vae_explorer.errors import CardError, CheckpointError
from vae_explorer.own_checkpoints import MARKUP, check_title

_SUFFIXES = (".safetensors", ".csv")
_MAX_MAP = 2**22  # values of a picture's largest feature map: 16 MB


def read_foreign_card(data: bytes) -> ModelCard:
    """Read a stranger's card.

    Raises
    ------
    CheckpointError
        If it is no card, lists files that are neither safetensors nor CSV, holds markup, or
        describes a model that would take too much memory.
    """
    try:
        card = ModelCard.from_json(data.decode(errors="replace"))
    except CardError as error:
        raise CheckpointError(f"Its card cannot be read. {error}") from error
    if unknown := [file for file in card.sha256 if not file.endswith(_SUFFIXES)]:
        raise CheckpointError(
            f"A checkpoint has safetensors and CSV files only; this one has {unknown[0][:80]!r}."
        )
    check_title(card.title)
    for words in _words(dataclasses.asdict(card)):
        # Pages write them as Markdown: a picture from elsewhere would tell its owner of visits.
        if found := MARKUP.search(words):
            raise CheckpointError(
                f"{CARD} holds plain words only; found {found[0]!r} in {words[:40]!r}."
            )
    if (largest := largest_map(card.model)) > _MAX_MAP:
        raise CheckpointError(
            f"This model has feature maps of {largest:,} values a picture; {_MAX_MAP:,} are taken."
        )
    return card


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _words([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _words(part)


def largest_map(config: ModelConfig) -> int:
    """Return how many values a picture takes at most between two layers."""
    size, channels = config.image_size, config.channels
    maps = [config.image_channels * size**2]
    maps += [count * (size >> k + 1) ** 2 for k, count in enumerate(channels)]
    decoder = config.decoder_channels or (*channels[-1:], *reversed(channels))
    maps += [count * (config.feature_size << k) ** 2 for k, count in enumerate(decoder)]
    return max(maps)
