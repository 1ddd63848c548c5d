"""Decoders tuned to photos: tuned one a core, and held in memory for the session that asked.

A tuned decoder holds traces of a person's face. So it has a random id, which only that session is
told; it is never written to disk, and is dropped with the photo, with the session, or to make room.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.errors import RequestError, UnsupportedLayerError, VaeExplorerError
from vae_explorer.faces.tuning import TunedFaces, tune_to_faces
from vae_explorer.server.requests import latent_bound
from vae_explorer.weights import pack_model

MAX_TUNED = 3
"""Tuned decoders of one session."""
MAX_BYTES = 256 * 2**20
"""Of all tuned decoders on this server; one of 64x64 takes 5.6 MB."""
EVERYONE = ""
"""The owner of what is tuned to the example photo, which all sessions share."""

Images = NDArray[np.float32]


class Scene(NamedTuple):
    """The faces that a decoder is tuned to together."""

    checkpoint: str
    fingerprint: str
    faces: tuple[str, ...]
    """Ids of the faces, in the order of the images."""


@dataclass(frozen=True, eq=False, repr=False)
class TunedDecoder:
    """A decoder that is ready."""

    id: str
    """Secret: who knows it can read the decoder."""
    scene: Scene
    faces: TunedFaces
    packed: bytes
    """As `pack_model` writes the decoder for the browser; empty if it cannot compute it."""
    bound: float
    """The largest |coordinate| that is decoded; see `latent_bound`."""

    @property
    def size(self) -> int:
        """Bytes in memory that only this decoder takes."""
        return len(self.packed) + _count_bytes(self.faces.model.decoder)

    def z(self, face: str) -> NDArray[np.float32] | None:
        """Return the latent (latent_dim,) of a face, or None if it is not one of the scene."""
        rows = [row for row, id in enumerate(self.scene.faces) if id == face]
        return self.faces.z[rows[0]] if rows else None


@dataclass(eq=False, repr=False)
class Tuning:
    """A tuning that waits, is under way, is ready, or failed."""

    owner: str
    scene: Scene
    progress: float = 0.0
    """From 0 to 1."""
    is_begun: bool = False
    is_dropped: bool = False
    decoder: TunedDecoder | None = None
    failure: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is to be expected."""
        return self.is_dropped or self.decoder is not None or bool(self.failure)

    def report(self, share: float) -> None:
        """Take the share of the steps that is done."""
        self.progress = share


class TunedDecoders:
    """The tuned decoders of all sessions. Sessions call it from any thread.

    Parameters
    ----------
    workers : int, optional
        How many are tuned at a time, on one core each; by default as many as there are cores.
    max_bytes : int
        Where all decoders take more, those used least recently are dropped.
    tune : callable
        As `tune_to_faces`.
    """

    def __init__(
        self,
        workers: int | None = None,
        max_bytes: int = MAX_BYTES,
        tune: Callable[..., TunedFaces] = tune_to_faces,
    ) -> None:
        single_threaded = partial(torch.set_num_threads, 1)
        self._threads = ThreadPoolExecutor(
            workers or os.cpu_count() or 1, "tuning", initializer=single_threaded
        )
        self._max_bytes = max_bytes
        self._tune = tune
        self._lock = threading.RLock()
        self._tunings: dict[tuple[str, Scene], Tuning] = {}  # the one used last is last
        self._line: list[Tuning] = []  # unfinished, in the order of their turns
        self._by_id: dict[str, TunedDecoder] = {}

    def request(self, owner: str, checkpoint: Checkpoint, scene: Scene, images: Images) -> Tuning:
        """Return the tuning of a scene; it is begun unless there is one.

        Another unfinished one of the same owner is cancelled: a session looks at one scene.

        Parameters
        ----------
        owner : str
            Names the session; `EVERYONE` for what is nobody's.
        checkpoint : Checkpoint
        scene : Scene
        images : ndarray of float32 (n, channels, height, width)
            One for each face of the scene, in [0, 1].
        """
        with self._lock:
            found = self._tunings.pop((owner, scene), None)
            if found is None:
                found = Tuning(owner, scene)
                if owner != EVERYONE:
                    self._drop(lambda other: other.owner == owner and not other.is_finished)
                self._line.append(found)
                self._threads.submit(self._work, found, checkpoint, images)
            self._tunings[owner, scene] = found
            return found

    def count_before(self, tuning: Tuning) -> int:
        """Return how many unfinished tunings came before one that waits."""
        with self._lock:
            return self._line.index(tuning) if tuning in self._line else 0

    def find(self, id: str) -> TunedDecoder:
        """Return a tuned decoder by its id.

        Raises
        ------
        RequestError
            404 if there is none of that id (any more).
        """
        with self._lock:
            decoder = self._by_id.get(id)
            if decoder is None:
                raise RequestError(404, "There is no such tuned decoder, or it was dropped.")
            for place, tuning in list(self._tunings.items()):
                if tuning.decoder is decoder:
                    self._tunings[place] = self._tunings.pop(place)
            return decoder

    def keep_only(self, owner: str, faces: Collection[str]) -> None:
        """Cancel and drop what an owner has of other faces than these."""
        with self._lock:
            self._drop(
                lambda tuning: tuning.owner == owner and not set(faces) >= {*tuning.scene.faces}
            )

    def end(self, owner: str) -> None:
        """Cancel and drop all that an owner has: the session has ended."""
        with self._lock:
            self._drop(lambda tuning: tuning.owner == owner)

    def _drop(self, is_meant: Callable[[Tuning], bool]) -> None:
        for place, tuning in list(self._tunings.items()):
            if is_meant(tuning):
                del self._tunings[place]
                tuning.is_dropped = True
                if tuning in self._line:
                    self._line.remove(tuning)
                if tuning.decoder is not None:
                    del self._by_id[tuning.decoder.id]
                    tuning.decoder = None

    def _work(self, tuning: Tuning, checkpoint: Checkpoint, images: Images) -> None:
        if tuning.is_dropped:
            return
        tuning.is_begun = True
        decoder, failure = None, ""
        try:
            faces = self._tune(
                checkpoint,
                images,
                progress=tuning.report,
                is_cancelled=lambda: tuning.is_dropped,
            )
            bound = latent_bound(checkpoint.encodings)
            id = secrets.token_urlsafe(24)
            decoder = TunedDecoder(id, tuning.scene, faces, _pack(faces), bound)
        except (VaeExplorerError, ValueError, RuntimeError) as error:
            failure = str(error)
        with self._lock:
            if tuning.is_dropped:
                return
            self._line.remove(tuning)
            tuning.failure, tuning.decoder = failure, decoder
            if decoder is not None:
                self._by_id[decoder.id] = decoder
                self._make_room(tuning)

    def _make_room(self, newest: Tuning) -> None:
        ready = [tuning for tuning in self._tunings.values() if tuning.decoder is not None]
        mine = [tuning for tuning in ready if tuning.owner == newest.owner]
        dropped = mine[:-MAX_TUNED]
        for tuning in ready:
            if tuning is not newest and self._count_bytes(but=dropped) > self._max_bytes:
                dropped.append(tuning)
        self._drop(lambda tuning: tuning in dropped)

    def _count_bytes(self, but: Collection[Tuning]) -> int:
        kept = (tuning for tuning in self._tunings.values() if tuning not in but)
        return sum(tuning.decoder.size for tuning in kept if tuning.decoder is not None)


def _pack(faces: TunedFaces) -> bytes:
    try:
        return pack_model(faces.model, ("decoder",))
    except UnsupportedLayerError:
        return b""  # the server decodes


def _count_bytes(network: nn.Module) -> int:
    return sum(values.nbytes for values in network.state_dict().values())


TUNED = TunedDecoders()
"""Those of this process."""
