"""Server CPU while a class follows a lecture, against decoding the same pointer moves for it.

A server runs the live routes under `streamlit run`, as the app does, with one lecture begun.
Followers are plain HTTP clients without a browser. The decode route is asked by fewer clients,
since all of them would need more than there is; its CPU time is scaled by the number of clients,
which the table states.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.app_server import ROOT, Server, run_app
from vae_explorer.server.follow import MAX_FOLLOWERS

HOST = "127.0.0.1"
SCENE = "latent_map?model=fashion-vae-2d"
_SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
import streamlit as st
import torch
from vae_explorer.server.follow import LECTURES
from vae_explorer.server.routes import live_routes
leader = LECTURES.begin({scene!r})
Path({note!r}).write_text(leader.id + " " + leader.token)
sys.setswitchinterval(0.0005)  # as app.py sets it
torch.set_num_threads(1)
app = st.App(Path(__file__), routes=live_routes())
"""


class Outcome(NamedTuple):
    """What a number of clients cost, and what they received."""

    clients: int
    seconds: float
    cpu: float
    """Seconds of the server process, user and system."""
    answers: int
    """Images or states received by all clients."""
    p95: float
    """Milliseconds from a pointer move to its arrival."""


def main() -> None:
    """Measure, and print the table."""
    args = _parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        note, script = Path(folder, "leader"), Path(folder, "app.py")
        script.write_text(_SCRIPT.format(root=str(ROOT), scene=SCENE, note=str(note)))
        with run_app(str(script)) as app:
            leader, token = note.read_text().split()
            follow = asyncio.run(_follow(app, leader, token, args))
            decode = asyncio.run(_decode(app, args))
    print(f"{args.rate} pointer moves per second, {args.seconds} s, {args.checkpoint}\n")
    print(f"{'':20} clients   received/s   p95 ms   server CPU   CPU per client and s")
    for name, outcome in (("follow", follow), ("decode route", decode)):
        print(
            f"{name:20}{outcome.clients:8}{outcome.answers / outcome.seconds:13.0f}"
            f"{outcome.p95:9.1f}{100 * outcome.cpu / outcome.seconds:11.1f} %"
            f"{1e3 * outcome.cpu / outcome.seconds / outcome.clients:17.2f} ms"
        )
    scaled = decode.cpu / decode.seconds * follow.clients / decode.clients
    share = follow.cpu / follow.seconds / scaled
    print(
        f"\nThe decode route for {follow.clients} clients, scaled: {100 * scaled:.0f} % of a core."
    )
    print(f"Following needs {100 * share:.1f} % of that.")


def _moves(rate: int, seconds: int) -> list[list[float]]:
    """Return z of each pointer move, along a curve that covers the map."""
    times = np.arange(rate * seconds) / rate
    curve = np.stack([np.sin(math.tau * times / 4), np.sin(math.tau * times / 3)], axis=1)
    return [[round(float(v), 4) for v in z] for z in 2 * curve]


async def _follow(app: Server, leader: str, token: str, args: argparse.Namespace) -> Outcome:
    """Have followers receive a lecturer's pointer."""
    delays: list[float] = []
    sent: dict[str, float] = {}  # when each z was sent
    ready = asyncio.Semaphore(0)

    async def receive() -> None:
        reader, writer = await asyncio.open_connection(HOST, app.port)
        writer.write(_request("GET", f"/api/follow/{leader}", app.port))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(head.decode())
        ready.release()
        try:
            while line := await reader.readline():
                if line.startswith(b"data: ") and (start := sent.get(line.decode().strip())):
                    delays.append(1e3 * (time.perf_counter() - start))
        finally:
            writer.close()

    tasks = [asyncio.create_task(receive()) for _ in range(args.followers)]
    for _ in tasks:
        await ready.acquire()
    await asyncio.sleep(1)
    process = psutil.Process(app.pid)
    reader, writer = await asyncio.open_connection(HOST, app.port)
    before, start = _cpu(process), time.perf_counter()
    for k, z in enumerate(_moves(args.rate, args.seconds)):
        await asyncio.sleep(max(0.0, start + k / args.rate - time.perf_counter()))
        state = {"scene": SCENE, "model": args.checkpoint, "z": z}
        sent["data: " + json.dumps(state, separators=(",", ":"))] = time.perf_counter()
        body = json.dumps(state).encode()
        if writer.is_closing() or reader.at_eof():
            reader, writer = await asyncio.open_connection(HOST, app.port)
        writer.write(_request("POST", f"/api/lead/{leader}", app.port, body, X_Token=token))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 204 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(head.decode())
    await asyncio.sleep(max(0.0, start + args.seconds - time.perf_counter()))
    outcome = Outcome(
        args.followers,
        time.perf_counter() - start,
        _cpu(process) - before,
        len(delays),
        float(np.percentile(delays, 95)),
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return outcome


async def _decode(app: Server, args: argparse.Namespace) -> Outcome:
    """Have clients ask for the image of each pointer move."""
    delays: list[float] = []
    moves = [np.array(z, "<f4").tobytes() for z in _moves(args.rate, args.seconds)]
    process = psutil.Process(app.pid)

    async def ask(stage: int, bodies: list[bytes], start: float) -> None:
        reader, writer = await asyncio.open_connection(HOST, app.port)
        path = f"/api/decode/{args.checkpoint}"
        for k, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, start + k / args.rate - time.perf_counter()))
            began = time.perf_counter()
            writer.write(_request("POST", path, app.port, body, X_Stage=f"follower-{stage}"))
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length:")[2].partition("\r\n")[0]
            await reader.readexactly(int(length))
            if " 200 " in head.partition("\r\n")[0]:
                delays.append(1e3 * (time.perf_counter() - began))
        writer.close()

    async def ask_all(bodies: list[bytes]) -> None:
        start = time.perf_counter()
        await asyncio.gather(*(ask(k, bodies, start) for k in range(args.decoders)))

    await ask_all(moves[: args.rate])  # loads the model
    delays.clear()
    before, start = _cpu(process), time.perf_counter()
    await ask_all(moves)
    return Outcome(
        args.decoders,
        time.perf_counter() - start,
        _cpu(process) - before,
        len(delays),
        float(np.percentile(delays, 95)),
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _request(method: str, path: str, port: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}:{port}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.follow", description=__doc__)
    parser.add_argument("--checkpoint", default="fashion-vae-2d", help="(fashion-vae-2d)")
    parser.add_argument("--followers", type=int, default=200, help=f"at most {MAX_FOLLOWERS} (200)")
    parser.add_argument("--decoders", type=int, default=12, help="clients of the decode route (12)")
    parser.add_argument("--rate", type=int, default=20, help="pointer moves per second (20)")
    parser.add_argument("--seconds", type=int, default=20, help="(20)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
