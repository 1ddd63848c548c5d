"""HTTP routes of the live views: decode, encode, anatomy, weights, lectures, Plotly's script.

Whatever they carry of a person, a face's latents or a drawing, is in bodies; nothing of a body
goes into an address, a log or a file. The address of a tuned decoder is a random id, which means
nothing once its session has ended.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import plotly
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from vae_explorer.checkpoints import (
    CARD,
    Checkpoint,
    ModelCard,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from vae_explorer.device import keep_freed_memory
from vae_explorer.errors import CheckpointError, RequestError, UnsupportedLayerError
from vae_explorer.installation import shell_command
from vae_explorer.models import Autoencoder
from vae_explorer.server.follow import LECTURES, MAX_STATE_BYTES, Lectures
from vae_explorer.server.requests import (
    decoding,
    encoding,
    latent_bound,
    max_image_bytes,
    max_latents_bytes,
    read_image,
    read_latents,
)
from vae_explorer.server.scheduler import FairPool
from vae_explorer.server.trace import max_trace_request_bytes, read_trace_request, tracing
from vae_explorer.server.tuned import TUNED, TunedDecoders
from vae_explorer.weights import NETWORKS, NetworkName, pack_model

MAX_WORKERS = 8
"""Threads that compute; fewer where there are fewer cores."""
STAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
PLOTLY_VERSION = plotly.__version__
"""As `?v=` of the script's address, it lets a browser keep the script for good."""

T = TypeVar("T")
GetCheckpoint = Callable[[ModelCard], Checkpoint]


def live_routes(
    get_checkpoint: GetCheckpoint | None = None,
    lectures: Lectures = LECTURES,
    tuned: TunedDecoders = TUNED,
) -> list[Route]:
    """Return the routes for `st.App`, with one pool behind them.

    | address | body | answer |
    |---|---|---|
    | `POST /api/decode/NAME` | float32 (n, latent_dim) | RGBA bytes (n, height, width, 4) |
    | `POST /api/encode/NAME` | float32 (channels, height, width) | `z_mean`, `z_log_var` |
    | `POST /api/anatomy/NAME` | as `server.trace` says | every layer's activations |
    | `GET /api/weights/NAME/FINGERPRINT` | | layers and weights, as `vae_explorer.weights` says |
    | `GET /api/tuned/ID` | | a tuned decoder, as `vae_explorer.weights` says |
    | `POST /api/tuned/ID` | as of decode | as of decode, by the tuned decoder |
    | `GET /api/follow/ID` | | a lecture's states, as server-sent events |
    | `POST /api/lead/ID` | a state, as `server.follow` says | |
    | `GET /api/plotly.min.js` | | the script of the installed plotly |

    Numbers are little-endian. A decoded answer has the headers X-Count, X-Height and X-Width, an
    encoded one X-Latent-Dim, an anatomy X-Values, the
    input's. The request's header X-Stage is a random id of who asks: of what it
    has waiting, only the newest is answered. A refusal is one line of text.

    Who leads a lecture has its secret in the header X-Token.

    Of the weights, `?network=decoder` or `?network=encoder` asks for these alone. A browser keeps
    them for good: a model that was trained again has another fingerprint.

    Each address also answers below any base path, which Streamlit does not add to these.

    Parameters
    ----------
    get_checkpoint : callable (ModelCard) -> Checkpoint, optional
        Loads a listed checkpoint, from a cache if it has one; by default it is read from disk.
    lectures : Lectures
        Those that can be followed.
    tuned : TunedDecoders
        Those of the sessions.

    Returns
    -------
    list of Route
    """
    models = ModelFinder(get_checkpoint or _load)
    keep_freed_memory(block=2**25, total=2**28)
    pool = FairPool(min(os.cpu_count() or 1, MAX_WORKERS))
    endpoints: dict[str, Callable[..., object]] = {
        "/api/decode/{name:path}": LiveEndpoint(partial(_decode, pool, models)),
        "/api/encode/{name:path}": LiveEndpoint(partial(_encode, pool, models)),
        "/api/anatomy/{name:path}": LiveEndpoint(partial(_trace, pool, models)),
        "/api/weights/{name:path}/{fingerprint}": partial(_send_weights, models),
        "/api/tuned/{id}": LiveEndpoint(partial(_answer_tuned, pool, tuned), ("GET", "POST")),
        "/api/follow/{id}": LiveEndpoint(partial(_follow, lectures), ("GET", "HEAD")),
        "/api/lead/{id}": LiveEndpoint(partial(_lead, lectures)),
        "/api/plotly.min.js": _send_plotly,
    }
    return [
        Route(base + path, endpoint)
        for base in ("", "/{base:path}")
        for path, endpoint in endpoints.items()
    ]


class LiveEndpoint:
    """An ASGI app that answers the same origin, and turns a `RequestError` into text."""

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Response]],
        methods: tuple[str, ...] = ("POST",),
    ) -> None:
        self._answer = answer
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, unless the client hangs up."""
        request = Request(scope, receive)
        try:
            if request.method not in self._methods:
                accepted = " and ".join(self._methods)
                raise RequestError(405, f"This address answers {accepted}; found {request.method}.")
            _check_origin(request)
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except RequestError as refusal:
            response = PlainTextResponse(f"{refusal}\n", refusal.status)
            if refusal.status == 405:
                response.headers["Allow"] = ", ".join(self._methods)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Content-Encoding"] = "identity"  # else Streamlit compresses: 20 ms a grid
        if not _send_at_once(receive):
            response.headers["Connection"] = "close"
        await response(scope, receive, send)


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

    Verifying all folders, in another thread, takes a third of what an image does.
    """

    def __init__(self, get_checkpoint: GetCheckpoint) -> None:
        self._found: dict[str, FoundModel] = {}
        self._get_checkpoint = get_checkpoint

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
        found = self._found[name] = await run_in_threadpool(_find, name, self._get_checkpoint)
        return found


async def _decode(pool: FairPool, models: ModelFinder, request: Request) -> Response:
    found = await models.find(request.path_params["name"])
    return await _decode_by(found.checkpoint.model, found.bound, pool, request)


async def _answer_tuned(pool: FairPool, tuned: TunedDecoders, request: Request) -> Response:
    decoder = tuned.find(request.path_params["id"])
    if request.method == "POST":
        return await _decode_by(decoder.faces.model, decoder.bound, pool, request)
    if not decoder.packed:
        raise RequestError(422, "The browser cannot compute this decoder. The server can.")
    headers = {"Cache-Control": "private, no-store"}
    return Response(decoder.packed, 200, headers, "application/octet-stream")


async def _decode_by(
    model: Autoencoder, bound: float, pool: FairPool, request: Request
) -> Response:
    stage = _stage_of(request)
    config = model.config
    body = await _read_body(request, max_latents_bytes(config))
    z = read_latents(body, config, bound)
    pieces = await _unless_gone(request, pool.run(stage, decoding(model, z)))
    size = str(config.image_size)
    headers = {"X-Count": str(len(z)), "X-Height": size, "X-Width": size}
    return _bytes_response(pieces, headers)


async def _encode(pool: FairPool, models: ModelFinder, request: Request) -> Response:
    stage = _stage_of(request)
    model = await models.find(request.path_params["name"])
    config = model.checkpoint.card.model
    image = read_image(await _read_body(request, max_image_bytes(config)), config)
    pieces = await _unless_gone(request, pool.run(stage, encoding(model.checkpoint.model, image)))
    return _bytes_response(pieces, {"X-Latent-Dim": str(config.latent_dim)})


async def _trace(pool: FairPool, models: ModelFinder, request: Request) -> Response:
    stage = _stage_of(request)
    model = await models.find(request.path_params["name"])
    config = model.checkpoint.card.model
    subject = read_trace_request(await _read_body(request, max_trace_request_bytes(config)), config)
    pieces = await _unless_gone(request, pool.run(stage, tracing(model.checkpoint.model, subject)))
    return _bytes_response(pieces, {"X-Values": str(subject.image.size)})


def _bytes_response(pieces: list[bytes], headers: dict[str, str]) -> Response:
    return Response(b"".join(pieces), 200, headers, "application/octet-stream")


def _check_origin(request: Request) -> None:
    """Refuse what another site's page sends; who is no browser sends no Origin."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise RequestError(403, "Only pages of this very server may ask.")


def _stage_of(request: Request) -> str | None:
    stage = request.headers.get("x-stage")
    if stage is not None and not STAGE_ID.fullmatch(stage):
        raise RequestError(422, f"X-Stage is an id of the form {STAGE_ID.pattern}.")
    return stage


async def _read_body(request: Request, limit: int, what: str = "for this model") -> bytes:
    """Read no more than `limit` bytes, whatever the request says of its length."""
    refusal = RequestError(413, f"The body may have {limit} bytes {what}.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise refusal
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise refusal
    return bytes(body)


async def _unless_gone(request: Request, work: Coroutine[None, None, T]) -> T:
    """Await work for a request whose body is read; cancel it if the client hangs up."""
    working = asyncio.create_task(work)
    hanging_up = asyncio.ensure_future(request.receive())  # nothing else is left to come
    try:
        await asyncio.wait({working, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        hanging_up.cancel()


def _send_at_once(receive: Receive) -> bool:
    """Turn off Nagle's algorithm for this connection, where the server lets us.

    `streamlit run` leaves it on, so that the kernel holds an answer back until its header is
    acknowledged: 45 ms. ASGI has no word for it; in uvicorn, `receive` belongs to an object that
    holds the transport. Where it does not, closing the connection sends the rest as well.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    connection = transport and transport.get_extra_info("socket")
    if connection is None:
        return False
    with suppress(OSError):  # it was closed meanwhile, or is no TCP
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return True


async def _follow(lectures: Lectures, request: Request) -> Response:
    messages = lectures.follow(request.path_params["id"], _watch_stop(request.receive))
    if request.method == "HEAD":  # whether there is such a lecture: EventSource does not say
        return Response(media_type="text/event-stream")
    headers = {"X-Accel-Buffering": "no"}  # for proxies that collect an answer before they send it
    return StreamingResponse(messages, 200, headers, "text/event-stream")


def _watch_stop(receive: Receive) -> Callable[[], bool]:
    """Return what says whether the server stops, where it lets us know.

    It waits for all answers, and a stream has no end. ASGI has no word for it; uvicorn's object
    behind `receive` then gives up keeping the connection.
    """
    cycle = getattr(receive, "__self__", None)
    kept: bool = getattr(cycle, "keep_alive", False)
    return lambda: kept and not getattr(cycle, "keep_alive", True)


async def _lead(lectures: Lectures, request: Request) -> Response:
    body = await _read_body(request, MAX_STATE_BYTES, "of a state")
    lectures.lead(request.path_params["id"], request.headers.get("x-token", ""), body)
    return Response(status_code=204)


async def _send_weights(models: ModelFinder, request: Request) -> Response:
    compressed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Vary": "Accept-Encoding"}
    try:
        model = (await models.find(request.path_params["name"])).checkpoint
        if request.path_params["fingerprint"] != model.card.fingerprint:
            raise RequestError(404, "This model has been trained again. Reload the page.")
        networks = _networks_of(request)
        packed = await run_in_threadpool(_pack, model.model, networks, compressed)
    except RequestError as refusal:
        headers |= {"Cache-Control": "no-store"}
        return PlainTextResponse(f"{refusal}\n", refusal.status, headers)
    headers["Cache-Control"] = "public, max-age=31536000, immutable"
    headers["Content-Encoding"] = "gzip" if compressed else "identity"
    return Response(packed, 200, headers, "application/octet-stream")


def _networks_of(request: Request) -> tuple[NetworkName, ...]:
    wanted = request.query_params.get("network")
    if wanted is None:
        return NETWORKS
    for name in NETWORKS:
        if name == wanted:
            return (name,)
    raise RequestError(422, f"network is {' or '.join(NETWORKS)}; found {wanted[:40]!r}.")


@lru_cache(maxsize=8)
def _pack(model: Autoencoder, networks: tuple[NetworkName, ...], compressed: bool) -> bytes:
    """Pack a model once for all visitors; compressing it takes up to 0.3 s."""
    try:
        packed = pack_model(model, networks)
    except UnsupportedLayerError as error:
        raise RequestError(422, str(error)) from error
    return gzip.compress(packed, 6, mtime=0) if compressed else packed


async def _send_plotly(request: Request) -> Response:
    """Answer with Plotly's script, compressed once for all.

    Starlette's `FileResponse` would leave the compression to Streamlit, which does it anew for
    every visitor and on the event loop, where it holds up all live images for 0.3 s; and it does
    not answer `If-None-Match`.
    """
    headers = {
        "ETag": f'W/"{PLOTLY_VERSION}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": "no-cache",
    }
    if request.query_params.get("v") == PLOTLY_VERSION:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    compressed = "gzip" in request.headers.get("accept-encoding", "")
    headers["Content-Encoding"] = "gzip" if compressed else "identity"
    script = await run_in_threadpool(_read_plotly, compressed)
    return Response(script, 200, headers, "text/javascript")


@cache
def _read_plotly(compressed: bool) -> bytes:
    script = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    return gzip.compress(script, mtime=0) if compressed else script


def _load(card: ModelCard) -> Checkpoint:
    return load_checkpoint(card.name)


def _find(name: str, get_checkpoint: GetCheckpoint) -> FoundModel:
    cards, _ = list_checkpoints()
    if name not in cards:
        raise RequestError(404, f"No such model. To see which there are: {shell_command('list')}")
    try:
        card = find_checkpoint(name) / CARD
        written = card.stat().st_mtime_ns
        checkpoint = get_checkpoint(cards[name])
    except (CheckpointError, OSError) as error:
        raise RequestError(404, "This model was removed or broken just now.") from error
    return FoundModel(checkpoint, latent_bound(checkpoint.encodings), card, written)
