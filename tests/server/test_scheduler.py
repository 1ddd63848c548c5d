from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable

import pytest
import torch

from vae_explorer.errors import RequestError
from vae_explorer.server import scheduler
from vae_explorer.server.scheduler import PIECE_SECONDS, FairPool

TIMEOUT = 10


class Gate:
    """A piece of work that stays in its thread until it is opened."""

    def __init__(self) -> None:
        self._entered, self._opened = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self._entered.set()
        assert self._opened.wait(TIMEOUT)
        return "gate"

    def open(self) -> None:
        self._opened.set()

    def wait_until_entered(self) -> None:
        assert self._entered.wait(TIMEOUT)


class Diary:
    """Makes pieces that write down in which order they ran."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def pieces(self, name: str, count: int = 1) -> list[Callable[[], str]]:
        def write() -> str:
            self.entries.append(name)
            return name

        return [write] * count


async def ask(
    pool: FairPool, client: str | None, pieces: list[Callable[[], str]]
) -> asyncio.Task[list[str]]:
    """Make a request and return once it waits in the pool."""
    task = asyncio.create_task(pool.run(client, pieces))
    await asyncio.sleep(0)
    return task


async def fill(pool: FairPool, workers: int = 1) -> tuple[Gate, Awaitable[list[list[str]]]]:
    """Keep every worker busy until the gate is opened."""
    gate = Gate()
    busy = [await ask(pool, None, [gate]) for _ in range(workers)]
    gate.wait_until_entered()
    return gate, asyncio.gather(*busy)


def patience_for(pieces: int) -> float:
    """How long a new pool waits until so many pieces are too many for one worker."""
    return (pieces - 0.5) * PIECE_SECONDS


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT))


async def status_of(request: Awaitable[object]) -> int:
    with pytest.raises(RequestError) as refused:
        await request
    assert "\n" not in str(refused.value)
    return refused.value.status


def test_results_come_in_the_order_of_the_pieces_whichever_is_done_first() -> None:
    async def scenario() -> None:
        gate = Gate()

        def open_gate() -> str:
            gate.open()
            return "second"

        assert await FairPool(2).run("a", [gate, open_gate]) == ["gate", "second"]

    run(scenario)


def test_clients_take_turns_piece_by_piece() -> None:
    async def scenario() -> None:
        pool, diary = FairPool(1), Diary()
        gate, busy = await fill(pool)
        requests = [
            await ask(pool, "grid", diary.pieces("grid", 4)),
            await ask(pool, "tile", diary.pieces("tile")),
            await ask(pool, None, diary.pieces("nameless", 2)),
            await ask(pool, None, diary.pieces("another")),
        ]
        gate.open()
        await asyncio.gather(busy, *requests)
        first_round, rest = diary.entries[:4], diary.entries[4:]
        assert first_round == ["grid", "tile", "nameless", "another"]
        assert rest == ["grid", "nameless", "grid", "grid"]

    run(scenario)


def test_the_newest_request_replaces_the_one_that_waits() -> None:
    async def scenario() -> None:
        pool, diary = FairPool(1, patience_for(2)), Diary()
        gate, busy = await fill(pool)
        old = await ask(pool, "a", diary.pieces("old"))
        newer = await ask(pool, "a", diary.pieces("newer"))
        other = await ask(pool, "b", diary.pieces("other"))
        newest = await ask(pool, "a", diary.pieces("newest"))
        assert [await status_of(old), await status_of(newer)] == [409, 409]
        gate.open()
        await asyncio.gather(busy, other, newest)
        # Those who ask often keep their turn: else they would wait for ever.
        assert diary.entries == ["newest", "other"]

    run(scenario)


def test_what_is_begun_is_finished() -> None:
    async def scenario() -> None:
        pool, diary, gate = FairPool(1), Diary(), Gate()
        begun = await ask(pool, "a", [gate, *diary.pieces("begun", 2)])
        gate.wait_until_entered()
        old = await ask(pool, "a", diary.pieces("old"))
        newest = await ask(pool, "a", diary.pieces("newest"))
        assert await status_of(old) == 409
        gate.open()
        assert await begun == ["gate", "begun", "begun"]
        assert await newest == ["newest"]
        assert diary.entries == ["begun", "begun", "newest"]

    run(scenario)


def test_requests_without_a_name_replace_nothing() -> None:
    async def scenario() -> None:
        pool, diary = FairPool(1), Diary()
        gate, busy = await fill(pool)
        requests = [await ask(pool, None, diary.pieces(str(i))) for i in range(5)]
        gate.open()
        await asyncio.gather(busy, *requests)
        assert diary.entries == ["0", "1", "2", "3", "4"]

    run(scenario)


def test_an_overload_is_refused_at_once() -> None:
    async def scenario() -> None:
        pool, diary = FairPool(1, patience_for(3)), Diary()
        gate, busy = await fill(pool)
        first = await ask(pool, "a", diary.pieces("first", 2))
        second = await ask(pool, "b", diary.pieces("second", 2))
        assert await status_of(pool.run("c", diary.pieces("third"))) == 503
        replacing = await ask(pool, "a", diary.pieces("replacing"))  # which makes room
        assert await status_of(first) == 409
        gate.open()
        await asyncio.gather(busy, second, replacing)
        assert await pool.run("c", diary.pieces("later")) == ["later"]
        assert diary.entries == ["replacing", "second", "second", "later"]

    run(scenario)


def test_how_much_may_wait_follows_from_what_pieces_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(scheduler, "perf_counter", lambda: now)

    def take_seconds() -> str:
        nonlocal now
        now += 3
        return "slow"

    async def scenario() -> None:
        pool, diary = FairPool(1, patience=5), Diary()
        gate, busy = await fill(pool)
        many = [await ask(pool, None, diary.pieces("quick", 10)) for _ in range(10)]
        gate.open()
        await asyncio.gather(busy, *many)
        await pool.run(None, [take_seconds] * 50)
        gate, busy = await fill(pool)
        few = await ask(pool, None, diary.pieces("after", 2))
        assert await status_of(pool.run(None, diary.pieces("refused"))) == 503
        gate.open()
        await asyncio.gather(busy, few)

    run(scenario)


def test_no_more_run_at_once_than_there_are_workers() -> None:
    async def scenario() -> None:
        pool, diary = FairPool(2), Diary()
        gate, busy = await fill(pool, workers=2)
        waiting = await ask(pool, "a", diary.pieces("waiting"))
        await asyncio.sleep(0)
        assert diary.entries == []
        gate.open()
        await asyncio.gather(busy, waiting)

    run(scenario)


def test_an_error_reaches_who_asked_and_no_one_else() -> None:
    async def scenario() -> None:
        pool, diary = FairPool(1), Diary()

        def fail() -> str:
            raise ZeroDivisionError("in a thread")

        gate, busy = await fill(pool)
        failing = await ask(pool, "a", [fail, *diary.pieces("never", 9)])
        other = await ask(pool, "b", diary.pieces("other"))
        gate.open()
        with pytest.raises(ZeroDivisionError, match="in a thread"):
            await failing
        assert await other == ["other"]
        await busy
        assert await pool.run("a", diary.pieces("again")) == ["again"]
        assert diary.entries.count("never") <= 1  # one may have begun meanwhile

    run(scenario)


def test_what_nobody_waits_for_is_dropped_whole() -> None:
    async def scenario() -> None:
        pool, diary = FairPool(1, patience_for(2)), Diary()
        gate, busy = await fill(pool)
        pieces = diary.pieces("dropped", 2)
        dropped, piece = await ask(pool, "a", pieces), weakref.ref(pieces[0])
        dropped.cancel()
        await asyncio.wait({dropped})
        del pieces, dropped
        gc.collect()
        assert piece() is None
        waiting = await ask(pool, "b", diary.pieces("kept"))  # there is room again
        gate.open()
        await asyncio.gather(busy, waiting)
        assert diary.entries == ["kept"]

    run(scenario)


def test_a_client_that_leaves_while_its_work_runs_gives_the_worker_back() -> None:
    async def scenario() -> None:
        pool, diary, gate = FairPool(1), Diary(), Gate()
        leaving = await ask(pool, "a", [gate, *diary.pieces("never", 3)])
        gate.wait_until_entered()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        gate.open()
        assert await pool.run("b", diary.pieces("next")) == ["next"]
        assert diary.entries == ["next"]

    run(scenario)


def test_every_worker_computes_with_one_thread() -> None:
    async def scenario() -> None:
        assert await FairPool(2).run(None, [torch.get_num_threads] * 4) == [1] * 4

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(scenario)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
