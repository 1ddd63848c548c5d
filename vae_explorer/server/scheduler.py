"""Fair scheduling: a few threads that serve many clients in turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

import torch

from vae_explorer.errors import RequestError

PATIENCE = 1.0
"""Seconds of waiting work from which on more is refused: by then, a view has moved on."""
PIECE_SECONDS = 0.005
"""What a piece takes, as long as none was timed."""
SMOOTHING = 0.1
"""Weight of the newest piece in the running mean of what they take."""

T = TypeVar("T")


@dataclass(eq=False)
class _Request(Generic[T]):
    count: int
    pieces: deque[tuple[int, Callable[[], T]]]
    """Those not begun yet, each with its place among the results."""
    answer: asyncio.Future[list[T]]
    results: dict[int, T] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        return len(self.pieces) < self.count


class FairPool:
    """A few threads that compute for many clients, a piece of each one's work in turn.

    A client has at most two requests that wait for a thread: one that is begun, and the newest
    of those that came since. All but the pieces runs in one event loop, so nothing is locked.

    Parameters
    ----------
    workers : int
        Threads, each of which computes on one core.
    patience : float
        Seconds; where the waiting pieces would take longer, new requests are refused.
    """

    def __init__(self, workers: int, patience: float = PATIENCE) -> None:
        # One thread a computation: of several, the first waits for the last, and on a busy machine
        # that is long. Torch keeps the number by thread, and hands it to threads that start later.
        single_threaded = partial(torch.set_num_threads, 1)
        self._threads = ThreadPoolExecutor(workers, "live", initializer=single_threaded)
        self._workers = self._idle = workers
        self._patience = patience
        self._piece_seconds = PIECE_SECONDS
        self._queued = 0  # pieces
        # By client, in the order of their turns; a line without a request is removed.
        self._lines: dict[Hashable, deque[_Request]] = {}

    async def run(self, client: str | None, pieces: Sequence[Callable[[], T]]) -> list[T]:
        """Compute the pieces of a request, several at a time where threads are free.

        Parameters
        ----------
        client : str or None
            Whose request it is; it replaces the one of the same client that is not begun. None
            stands for a client that asks just once.
        pieces : sequence of functions
            At least one; each is called in a thread. When one raises, or this coroutine is
            cancelled, those not begun are dropped.

        Returns
        -------
        list
            What the pieces returned, in their order.

        Raises
        ------
        RequestError
            503 at once if too much waits already; 409 if a newer request of the client came
            before this one was begun.
        """
        turn: Hashable = object() if client is None else client
        line = self._lines.get(turn, deque())
        replaced = line[-1] if line and not line[-1].begun else None
        waiting = self._queued - (replaced.count if replaced else 0)
        if waiting * self._piece_seconds / self._workers > self._patience:
            raise RequestError(503, "The server is busy. Ask again in a moment.")
        if replaced:
            line.pop()  # the line keeps its turn: who asks often must not wait for ever
            self._queued -= replaced.count
            _fail(replaced, RequestError(409, "A newer request of the same stage came."))
        answer: asyncio.Future[list[T]] = asyncio.get_running_loop().create_future()
        request = _Request(len(pieces), deque(enumerate(pieces)), answer)
        line.append(request)
        self._lines[turn] = line
        self._queued += request.count
        self._start_pieces()
        try:
            return await answer
        finally:
            self._drop(turn, request)

    def _start_pieces(self) -> None:
        """Give every idle thread a piece: one of each client, then the next of each."""
        loop = asyncio.get_running_loop()
        while self._idle and self._lines:
            turn, line = next(iter(self._lines.items()))
            request = line[0]
            place, piece = request.pieces.popleft()
            if not request.pieces:
                line.popleft()
            del self._lines[turn]
            if line:
                self._lines[turn] = line  # behind all the others
            self._queued -= 1
            self._idle -= 1
            result = loop.run_in_executor(self._threads, piece)
            result.add_done_callback(partial(self._keep_result, request, place, perf_counter()))

    def _keep_result(
        self, request: _Request[T], place: int, start: float, result: asyncio.Future[T]
    ) -> None:
        self._idle += 1
        self._piece_seconds += SMOOTHING * (perf_counter() - start - self._piece_seconds)
        if (error := result.exception()) is not None:
            _fail(request, error)
        else:
            request.results[place] = result.result()
            if len(request.results) == request.count and not request.answer.done():
                request.answer.set_result([request.results[i] for i in range(request.count)])
        self._start_pieces()

    def _drop(self, turn: Hashable, request: _Request) -> None:
        """Forget what is left of a request that has its answer, or that nobody waits for."""
        line = self._lines.get(turn)
        if line and request in line:
            line.remove(request)
            self._queued -= len(request.pieces)
            if not line:
                del self._lines[turn]


def _fail(request: _Request, error: BaseException) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
