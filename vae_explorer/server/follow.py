"""Lectures that a class follows: the newest state of each, in this process's memory.

The lecturer's page sends the scene and the pointer's z; each follower gets the newest state when
it is ready for it, so that a slow connection skips states and holds up nobody. Nothing is known of
followers but how many there are, and nothing is written to disk.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import NamedTuple

from vae_explorer.errors import RequestError

MAX_LECTURES = 8
MAX_FOLLOWERS = 500
"""Of one lecture."""
LASTS = 300.0
"""Seconds without a word from the lecturer's page, after which a lecture ends."""
HEARTBEAT = 5.0
"""Seconds between two comments in a stream: proxies close a connection that is silent for long, and
a server that stops waits until its streams have noticed that."""
MAX_STATE_BYTES = 32 * 1024
MAX_VALUES = 2048
"""Of one z."""
_LARGEST = 1e6
_DIGITS = 4  # decimals of z
_SCENE = re.compile(r"[a-z_]{0,40}(\?[!-~]{0,2000})?")
_MODEL_LENGTH = 200
_COMMENT = b":\n\n"
_ENDED = b"event: ended\ndata:\n\n"
_UNKNOWN = RequestError(404, "This lecture has ended.")


class Leader(NamedTuple):
    """What the lecturer's session holds."""

    id: str
    """Of the lecture, in the link for followers."""
    token: str
    """Secret: who has it steers."""


class Lectures:
    """The lectures that can be followed now. Sessions begin and end them from any thread.

    Parameters
    ----------
    lasts, heartbeat : float
        As `LASTS` and `HEARTBEAT`, in seconds.
    clock : callable
        Seconds, as `time.monotonic` counts them.
    """

    def __init__(
        self,
        lasts: float = LASTS,
        heartbeat: float = HEARTBEAT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lasts, self._heartbeat, self._clock = lasts, heartbeat, clock
        self._lectures: dict[str, _Lecture] = {}
        self._lock = threading.Lock()

    def begin(self, scene: str) -> Leader:
        """Begin a lecture at a scene, which is a link from the app's root.

        Raises
        ------
        RequestError
            503 if there are `MAX_LECTURES` already; 422 if the scene is no such link.
        """
        state = read_state(json.dumps({"scene": scene, "model": "", "z": None}).encode())
        with self._lock:
            self._drop_silent()
            if len(self._lectures) >= MAX_LECTURES:
                raise RequestError(
                    503,
                    f"{MAX_LECTURES} lectures are followed on this server already. Try again "
                    "when one of them has ended.",
                )
            leader = Leader(secrets.token_urlsafe(9), secrets.token_urlsafe(24))
            self._lectures[leader.id] = _Lecture(leader.token, state, self._clock())
        return leader

    def scene(self, id: str) -> str | None:
        """Return the scene's link, or None if there is no such lecture (any more)."""
        try:
            return self._find(id).state.scene
        except RequestError:
            return None

    def end(self, id: str) -> None:
        """End a lecture, if it has not ended already; its followers are told."""
        with self._lock:
            lecture = self._lectures.pop(id, None)
        if lecture:
            lecture.end()

    def lead(self, id: str, token: str, body: bytes) -> None:
        """Take a new state from the lecturer's page.

        Parameters
        ----------
        id, token : str
            As `begin` returned them.
        body : bytes
            As `read_state` reads it.

        Raises
        ------
        RequestError
            404 if there is no such lecture, 403 if the token is another one, 422 if the state
            cannot be used.
        """
        lecture = self._find(id)
        if not hmac.compare_digest(token.encode(), lecture.token.encode()):
            raise RequestError(403, "Only the lecturer's page can lead this lecture.")
        lecture.show(read_state(body), self._clock())

    def follow(
        self, id: str, is_stopping: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[bytes]:
        """Return the messages for one follower as server-sent events, the current state first.

        Parameters
        ----------
        id : str
            As `begin` returned it.
        is_stopping : callable
            Whether the server stops: then the messages end, but the lecture does not.

        Raises
        ------
        RequestError
            404 if there is no such lecture, 503 if it has `MAX_FOLLOWERS` already.
        """
        lecture = self._find(id)
        if lecture.followers >= MAX_FOLLOWERS:
            raise RequestError(503, f"This lecture has {MAX_FOLLOWERS} followers already.")
        return lecture.messages(lambda: self._look_at(id), is_stopping)

    def _find(self, id: str) -> _Lecture:
        with self._lock:
            self._drop_silent()
            lecture = self._lectures.get(id)
        if lecture is None:
            raise _UNKNOWN
        return lecture

    def _drop_silent(self) -> None:
        now = self._clock()
        for id, lecture in list(self._lectures.items()):
            if now - lecture.heard > self._lasts:
                del self._lectures[id]
                lecture.end()

    def _look_at(self, id: str) -> float:
        """Drop a lecture whose lecturer is gone; return the seconds until the next look."""
        with suppress(RequestError):
            self._find(id)
        return self._heartbeat


class State(NamedTuple):
    """What a follower sees."""

    scene: str
    message: bytes
    """The scene and the pointer, as a server-sent event."""


def read_state(body: bytes) -> State:
    """Read {"scene": link, "model": checkpoint, "z": [number, ...] or null}.

    Raises
    ------
    RequestError
        422, saying what is wrong with it.
    """
    try:
        state = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(422, "A state is JSON.") from error
    if not isinstance(state, dict) or state.keys() != {"scene", "model", "z"}:
        raise RequestError(422, "A state has scene, model and z.")
    scene, model, z = state["scene"], state["model"], state["z"]
    if not isinstance(scene, str) or not _SCENE.fullmatch(scene):
        raise RequestError(422, "scene is a link to a page of this app, from the app's root.")
    if not isinstance(model, str) or len(model) > _MODEL_LENGTH or not model.isprintable():
        raise RequestError(422, f"model is a name of at most {_MODEL_LENGTH} characters.")
    if z is not None:
        if not isinstance(z, list) or not 0 < len(z) <= MAX_VALUES:
            raise RequestError(422, f"z is null, or has 1 to {MAX_VALUES} numbers.")
        if not all(_is_usable(value) for value in z):
            raise RequestError(422, f"The numbers of z are finite, and at most {_LARGEST:.0e}.")
        z = [round(float(value), _DIGITS) for value in z]
    sent = json.dumps({"scene": scene, "model": model, "z": z}, separators=(",", ":"))
    return State(scene, f"data: {sent}\n\n".encode())


def _is_usable(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST  # NaN is not
    )


class _Lecture:
    """One lecture. But for `end`, what it does is done on the event loop."""

    def __init__(self, token: str, state: State, now: float) -> None:
        self.token, self.state, self.heard = token, state, now
        self.followers = 0
        self._version = 0
        self._ended = False
        self._woken = asyncio.Event()  # for all followers; another one after each use
        self._loop: asyncio.AbstractEventLoop | None = None  # of the followers
        self._timer: asyncio.TimerHandle | None = None

    def show(self, state: State, now: float) -> None:
        """Replace the state. The followers are woken only if it differs."""
        self.heard = now
        if state != self.state:
            self.state = state
            self._version += 1
            self._wake()

    def end(self) -> None:
        """Tell the followers, from any thread."""
        self._ended = True
        if self._loop:
            with suppress(RuntimeError):  # the server stops
                self._loop.call_soon_threadsafe(self._wake)

    async def messages(
        self, look: Callable[[], float], is_stopping: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Yield the newest state whenever there is a newer one, and a comment at each look."""
        self._loop = asyncio.get_running_loop()
        self.followers += 1
        seen = -1
        try:
            if self._timer is None:  # one for all: a timer each would cost more than the messages
                self._look_later(look)
            while not self._ended:
                newer = seen != self._version
                seen = self._version
                yield self.state.message if newer else _COMMENT
                if seen == self._version and not self._ended:
                    await self._woken.wait()
                if is_stopping():
                    return
            yield _ENDED
        finally:
            self.followers -= 1

    def _look_later(self, look: Callable[[], float]) -> None:
        wait = look()
        if self._ended or not self.followers or not self._loop:
            self._timer = None
        else:
            self._wake()
            self._timer = self._loop.call_later(wait, self._look_later, look)

    def _wake(self) -> None:
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()


LECTURES = Lectures()
"""Those of this process."""
