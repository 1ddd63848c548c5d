"""What `POST /api/decode` adds to decoding, one call after the other and many at once.

The app runs as `streamlit run app.py`. Calls over HTTP and the same decoding in this process
take turns, so that both feel the same load of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import time
from collections.abc import Callable, Mapping
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.app_server import run_app
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.server.requests import decoding

ROUNDS = 10
GRID = 20
HOST = "127.0.0.1"


class Route:
    """The route of one checkpoint, asked with the headers that a browser's page sends."""

    def __init__(self, port: int, checkpoint: str, stage: str = "benchmark") -> None:
        self.port = port
        self._stage = stage
        self._path = f"/api/decode/{checkpoint}"
        self._kept = http.client.HTTPConnection(HOST, port)

    def call(self, z: NDArray[np.float32]) -> None:
        """Decode over a connection that is kept, as a browser keeps it."""
        self._ask(self._kept, z)

    def call_anew(self, z: NDArray[np.float32]) -> None:
        """Decode over a connection of its own."""
        with closing(http.client.HTTPConnection(HOST, self.port)) as connection:
            self._ask(connection, z)

    def _ask(self, connection: http.client.HTTPConnection, z: NDArray[np.float32]) -> None:
        connection.request("POST", self._path, z.tobytes(), self._headers(self._stage))
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"{self._path} answered {response.status}: {answer.decode()}")

    async def call_together(
        self, z: NDArray[np.float32], stages: list[str]
    ) -> list[tuple[int, float]]:
        """Make a call for each stage at the same moment; return status and seconds of each."""
        connections = [await asyncio.open_connection(HOST, self.port) for _ in stages]
        head = {**self._headers(""), "Host": f"{HOST}:{self.port}", "Content-Length": z.nbytes}

        async def ask(
            stage: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> tuple[int, float]:
            lines = [f"{name}: {value}" for name, value in {**head, "X-Stage": stage}.items()]
            request = "\r\n".join([f"POST {self._path} HTTP/1.1", *lines, "", ""])
            start = time.perf_counter()
            writer.write(request.encode() + z.tobytes())
            answered = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = answered.partition("content-length:")[2].partition("\r\n")[0]
            await reader.readexactly(int(length))
            seconds = time.perf_counter() - start
            writer.close()
            return int(answered.split()[1]), seconds

        return await asyncio.gather(
            *(ask(stage, *streams) for stage, streams in zip(stages, connections, strict=True))
        )

    def _headers(self, stage: str) -> dict[str, str]:
        return {
            "X-Stage": stage,
            "Origin": f"http://{HOST}:{self.port}",
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate, br, zstd",
            "Accept-Language": "en-US,en;q=0.9",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0",
        }


def main() -> None:
    """Measure, and print the tables."""
    args = _parse_arguments()
    checkpoint = load_checkpoint(args.checkpoint)
    latent_dim = checkpoint.card.model.latent_dim
    rng = np.random.default_rng(0)
    one, grid = (rng.standard_normal((n, latent_dim)).astype("<f4") for n in (1, GRID**2))
    torch.set_num_threads(1)  # as the route computes

    def decode_here(z: NDArray[np.float32]) -> None:
        for piece in decoding(checkpoint.model, z):
            piece()

    with run_app() as app:
        route = Route(app.port, args.checkpoint)
        ways = {
            "in this process": decode_here,
            "the route": route.call,
            "the route, connecting anew": route.call_anew,
        }
        for title, z, calls in (
            (f"{args.calls:,} calls of one z", one, args.calls),
            (f"{args.grids} grids of {GRID}×{GRID}", grid, args.grids),
        ):
            _print_times(f"{title}, one after the other", _time_in_turns(ways, z, calls))

        print(f"\n{args.parallel} calls at once\n{'':24}   200   409   503", end="")
        print("   p50 ms of 200   p95 ms of 200   p95 ms of 503")
        stages = [f"benchmark-{i}" for i in range(args.parallel)]
        for title, z, who in (
            ("one z, each a stage", one, stages),
            ("one z, all one stage", one, stages[:1] * args.parallel),
            (f"{GRID}×{GRID}, each a stage", grid, stages),
        ):
            _print_answers(title, asyncio.run(route.call_together(z, who)))


def _time_in_turns(
    ways: Mapping[str, Callable[[NDArray[np.float32]], None]], z: NDArray[np.float32], calls: int
) -> dict[str, NDArray[np.float64]]:
    """Time every way some calls at a time; return the milliseconds of each call."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for decode_once in ways.values():
        decode_once(z)  # loads, connects
    for _ in range(ROUNDS):
        for name, decode_once in ways.items():
            for _ in range(-(-calls // ROUNDS)):
                start = time.perf_counter()
                decode_once(z)
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in times.items()}


def _print_times(title: str, times: dict[str, NDArray[np.float64]]) -> None:
    print(f"\n{title}\n{'':28}   p50 ms   p95 ms   p99 ms   p50, × in this process")
    base = np.median(times["in this process"])
    for name, values in times.items():
        columns = "".join(f"{p:9.2f}" for p in np.percentile(values, (50, 95, 99)))
        print(f"{name:28}{columns}{np.median(values) / base:12.1f}")


def _print_answers(title: str, answers: list[tuple[int, float]]) -> None:
    times: dict[int, list[float]] = {200: [], 409: [], 503: []}
    for status, seconds in answers:
        times[status].append(1e3 * seconds)
    counts = "".join(f"{len(values):6}" for values in times.values())
    percentiles = [np.percentile(times[200], p) for p in (50, 95)]
    if times[503]:
        percentiles.append(np.percentile(times[503], 95))
    print(f"{title:24}{counts}{''.join(f'{value:16.1f}' for value in percentiles)}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.route", description=__doc__)
    parser.add_argument("--checkpoint", default="fashion-vae-2d", help="(fashion-vae-2d)")
    parser.add_argument("--calls", type=int, default=1000, help="of one z (1000)")
    parser.add_argument("--grids", type=int, default=20, help=f"of {GRID}×{GRID} (20)")
    parser.add_argument("--parallel", type=int, default=200, help="calls at once (200)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
