"""The models that the live routes answer with, found anew only where something changed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from vae_explorer.checkpoints import CARD, Checkpoint, find_checkpoint, list_checkpoints
from vae_explorer.errors import CheckpointError, RequestError
from vae_explorer.serving import latent_bound
from vae_explorer.ui.cache import get_checkpoint, key_of


class FoundModel(NamedTuple):
    """A checkpoint, and what belongs to it as it was found."""

    checkpoint: Checkpoint
    bound: float
    """The largest |coordinate| that is decoded; see `latent_bound`."""
    card: Path
    written: int
    """When the card was, in ns."""


class ModelFinder:
    """Finds checkpoints by name, and looks at a card alone as long as it is the one it found.

    Verifying all folders, in another thread, takes a third of what a picture does.
    """

    def __init__(self) -> None:
        self._found: dict[str, FoundModel] = {}

    async def find(self, name: str) -> FoundModel:
        """Return a model by its checkpoint's name, which is only compared.

        Raises
        ------
        RequestError
            404 if there is no sound checkpoint of that name.
        """
        found = self._found.get(name)
        if found is not None:
            with suppress(OSError):
                if found.card.stat().st_mtime_ns == found.written:
                    return found
            del self._found[name]
        found = self._found[name] = await run_in_threadpool(_find, name)
        return found


def _find(name: str) -> FoundModel:
    cards, _ = list_checkpoints()
    if name not in cards:
        raise RequestError(
            404, "No such model. To see which there are: python -m vae_explorer list"
        )
    try:
        card = find_checkpoint(name) / CARD
        written = card.stat().st_mtime_ns
        checkpoint = get_checkpoint(key_of(cards[name]))
    except (CheckpointError, OSError) as error:
        raise RequestError(404, "This model was removed or broken just now.") from error
    return FoundModel(checkpoint, latent_bound(checkpoint.encodings), card, written)
