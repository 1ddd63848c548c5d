from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from vae_explorer.errors import RequestError
from vae_explorer.server import follow
from vae_explorer.server.follow import MAX_STATE_BYTES, MAX_VALUES, Leader, Lectures
from vae_explorer.server.routes import live_routes

TIMEOUT = 20
SCENE = "latent_map?model=a"


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Follower:
    """One response to `GET /api/follow/ID`, as an ASGI server receives it."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    messages: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    ready: Callable[[], Awaitable[None]] | None = None
    """Awaited before a message is taken: a connection may be slow."""
    ended: bool = False
    keep_alive: bool = True
    """As uvicorn's object behind `receive` has it: False when the server stops."""
    asked: bool = False

    async def receive(self) -> Message:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    def states(self) -> list[dict[str, object]]:
        return [json.loads(m[6:]) for m in self.messages if m.startswith(b"data: ")]


def pack(scene: str = SCENE, z: object = None, model: object = "a") -> bytes:
    return json.dumps({"scene": scene, "model": model, "z": z}).encode()


def app_of(lectures: Lectures) -> ASGIApp:
    return Starlette(routes=live_routes(lectures=lectures))


async def ask(
    app: ASGIApp, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    """Send one request, and return status and body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(method, path, headers), receive, send)
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


def _scope(method: str, path: str, headers: dict[str, str]) -> dict[str, object]:
    packed = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"here"), *packed],
        "http_version": "1.1",
        "scheme": "http",
    }


@asynccontextmanager
async def following(app: ASGIApp, id: str, *followers: Follower) -> AsyncIterator[None]:
    """Connect followers, and disconnect them at the end."""

    async def connect(follower: Follower) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                follower.status, follower.headers = message["status"], dict(message["headers"])
            elif message.get("body"):
                if follower.ready:
                    await follower.ready()
                follower.messages.append(message["body"])
            follower.ended |= not message.get("more_body", True)

        await app(_scope("GET", f"/api/follow/{id}", {}), follower.receive, send)

    tasks = [asyncio.create_task(connect(follower)) for follower in followers]
    try:
        yield
    finally:
        for follower in followers:
            follower.gone.set()
        await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT)


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), TIMEOUT)


async def lead(app: ASGIApp, leader: Leader, body: bytes, token: str | None = None) -> int:
    headers = {"x_token": leader.token if token is None else token}
    return (await ask(app, "POST", f"/api/lead/{leader.id}", body, **headers))[0]


def test_only_who_has_the_token_leads() -> None:
    async def run() -> None:
        lectures = Lectures()
        app, leader = app_of(lectures), lectures.begin(SCENE)
        for token in ("", "x", leader.id, leader.token + "x", lectures.begin(SCENE).token):
            assert await lead(app, leader, pack("objective"), token) == 403
        assert lectures.scene(leader.id) == SCENE
        assert await lead(app, leader, pack("objective")) == 204
        assert lectures.scene(leader.id) == "objective"

    asyncio.run(run())


def test_another_site_cannot_lead_and_other_methods_are_refused() -> None:
    async def run() -> None:
        lectures = Lectures()
        app, leader = app_of(lectures), lectures.begin(SCENE)
        headers = {"x_token": leader.token, "origin": "http://there"}
        path = f"/api/lead/{leader.id}"
        assert (await ask(app, "POST", path, pack("objective"), **headers))[0] == 403
        assert (await ask(app, "GET", path))[0] == 405
        assert (await ask(app, "POST", f"/api/follow/{leader.id}"))[0] == 405
        assert lectures.scene(leader.id) == SCENE

    asyncio.run(run())


def test_an_unknown_lecture_is_404() -> None:
    async def run() -> None:
        app = app_of(Lectures())
        for method, verb in (("GET", "follow"), ("HEAD", "follow"), ("POST", "lead")):
            status, body = await ask(app, method, f"/api/{verb}/nowhere", pack())
            assert status == 404
            assert b"ended" in body or method == "HEAD"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (413, b" " * (MAX_STATE_BYTES + 1)),
        (422, b""),
        (422, b"[1]"),
        (422, b"\xff"),
        (422, b"[" * 20_000),
        (422, b'{"scene": "x", "model": "a", "z": [NaN]}'),
        (422, b'{"scene": "x", "model": "a", "z": [Infinity]}'),
        (422, b'{"scene": "x", "model": "a", "z": [1e999]}'),
        (422, b'{"scene": "x", "model": "a"}'),
        (422, b'{"scene": "x", "model": "a", "z": null, "image": "b"}'),
        (422, pack(z=[])),
        (422, pack(z=[0] * (MAX_VALUES + 1))),
        (422, pack(z=[True])),
        (422, pack(z=["1"])),
        (422, pack(z=[[1]])),
        (422, pack(z=[1e7])),
        (422, pack(z=[10**400])),
        (422, pack(z={"0": 1})),
        (422, pack(model=3)),
        (422, pack(model="a" * 201)),
        (422, pack("https://elsewhere.example/latent_map")),
        (422, pack("latent_map?x=\n\ndata: y")),
        (422, pack("latent_map?" + "x" * 2001)),
    ],
)
def test_a_state_that_cannot_be_used_changes_nothing(status: int, body: bytes) -> None:
    async def run() -> None:
        lectures = Lectures()
        app, leader = app_of(lectures), lectures.begin(SCENE)
        assert await lead(app, leader, body) == status
        follower = Follower()
        async with following(app, leader.id, follower):
            await until(lambda: len(follower.messages) == 1)
        assert follower.states() == [{"scene": SCENE, "model": "", "z": None}]

    asyncio.run(run())


def test_a_late_joiner_gets_the_current_state_as_a_stream() -> None:
    async def run() -> None:
        lectures = Lectures()
        app, leader = app_of(lectures), lectures.begin(SCENE)
        await lead(app, leader, pack("objective", [0.5, -1.23456]))
        follower = Follower()
        async with following(app, leader.id, follower):
            await until(lambda: bool(follower.messages))
            assert follower.status == 200
            assert follower.headers[b"content-type"].startswith(b"text/event-stream")
            assert follower.headers[b"content-encoding"] == b"identity"
            assert not follower.ended
        assert follower.states() == [{"scene": "objective", "model": "a", "z": [0.5, -1.2346]}]

    asyncio.run(run())


def test_200_followers_get_the_newest_state_and_slow_ones_skip_states() -> None:
    async def run() -> None:
        lectures = Lectures()
        app, leader = app_of(lectures), lectures.begin(SCENE)
        hurry = asyncio.Event()
        followers = [Follower(ready=hurry.wait if k % 10 == 0 else None) for k in range(200)]
        slow, fast = followers[::10], [f for k, f in enumerate(followers) if k % 10]
        async with following(app, leader.id, *followers):
            await until(lambda: all(f.messages for f in fast))
            for k in range(50):
                await lead(app, leader, pack(z=[k]))
                await until(lambda k=k: all(f.states()[-1]["z"] == [k] for f in fast))
            assert not any(f.messages for f in slow)
            hurry.set()
            await until(lambda: all(f.states() and f.states()[-1]["z"] == [49] for f in slow))
        assert all(len(f.states()) == 51 for f in fast)
        assert all(len(f.states()) == 2 for f in slow)  # the one it waited with, and the newest

    asyncio.run(run())


def test_the_same_state_again_is_not_sent_again() -> None:
    async def run() -> None:
        lectures = Lectures()
        app, leader = app_of(lectures), lectures.begin(SCENE)
        follower = Follower()
        async with following(app, leader.id, follower):
            await until(lambda: bool(follower.messages))
            for z in ([1], [1], [1], [2]):
                await lead(app, leader, pack(z=z))
            await until(lambda: follower.states()[-1]["z"] == [2])
        assert [state["z"] for state in follower.states()[-2:]] in ([[1], [2]], [None, [2]])

    asyncio.run(run())


def test_a_lecture_that_is_ended_tells_its_followers_and_vanishes() -> None:
    async def run() -> None:
        lectures = Lectures()
        app, leader = app_of(lectures), lectures.begin(SCENE)
        followers = [Follower(), Follower()]
        async with following(app, leader.id, *followers):
            await until(lambda: all(f.messages for f in followers))
            await asyncio.to_thread(lectures.end, leader.id)  # a session's thread
            await until(lambda: all(f.ended for f in followers))
        assert all(f.messages[-1].startswith(b"event: ended") for f in followers)
        assert await lead(app, leader, pack()) == 404
        assert lectures.scene(leader.id) is None

    asyncio.run(run())


def test_a_lecture_ends_when_its_lecturer_has_been_gone_for_minutes() -> None:
    async def run() -> None:
        clock = Clock()
        lectures = Lectures(lasts=180, heartbeat=0.01, clock=clock)
        app, leader = app_of(lectures), lectures.begin(SCENE)
        follower = Follower()
        async with following(app, leader.id, follower):
            await until(lambda: b":\n\n" in follower.messages)  # a heartbeat
            clock.now = 179
            await lead(app, leader, pack())  # the page is still there
            clock.now = 358
            await asyncio.sleep(0.05)
            assert not follower.ended
            clock.now = 360
            await until(lambda: follower.ended)
        assert (await ask(app, "GET", f"/api/follow/{leader.id}"))[0] == 404

    asyncio.run(run())


def test_a_server_that_stops_closes_the_streams_and_ends_no_lecture() -> None:
    async def run() -> None:
        lectures = Lectures(heartbeat=0.01)
        leader, follower = lectures.begin(SCENE), Follower()
        async with following(app_of(lectures), leader.id, follower):
            await until(lambda: b":\n\n" in follower.messages)
            follower.keep_alive = False
            await until(lambda: follower.ended)
        assert not follower.messages[-1].startswith(b"event: ended")

    asyncio.run(run())


def test_there_are_a_few_lectures_and_followers_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "MAX_LECTURES", 2)
    monkeypatch.setattr(follow, "MAX_FOLLOWERS", 1)

    async def run() -> None:
        clock = Clock()
        lectures = Lectures(lasts=180, clock=clock)
        app, leader = app_of(lectures), lectures.begin(SCENE)
        lectures.begin(SCENE)
        with pytest.raises(RequestError, match="Try again"):
            lectures.begin(SCENE)
        first = Follower()
        async with following(app, leader.id, first):
            await until(lambda: bool(first.messages))
            assert (await ask(app, "GET", f"/api/follow/{leader.id}"))[0] == 503
        another = Follower()
        async with following(app, leader.id, another):  # the first has left
            await until(lambda: bool(another.messages))
        clock.now = 181
        lectures.begin(SCENE)  # the others have ended

    asyncio.run(run())


def test_the_id_in_the_link_does_not_give_the_token_away() -> None:
    leaders = [Lectures().begin(SCENE) for _ in range(20)]
    assert len({leader.id for leader in leaders}) == 20
    assert len({leader.token for leader in leaders}) == 20
    assert all(leader.id not in leader.token and len(leader.token) >= 32 for leader in leaders)
