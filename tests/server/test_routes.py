from __future__ import annotations

import asyncio
import gzip
import http.client
import logging
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import plotly
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from torch import nn

from tests.support.tuned import wait_until_finished
from vae_explorer import workspace
from vae_explorer.checkpoints import Checkpoint, ModelCard, load_checkpoint
from vae_explorer.errors import CheckpointError
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.server import routes
from vae_explorer.server.requests import MAX_IMAGES, latent_bound
from vae_explorer.server.scheduler import FairPool
from vae_explorer.server.trace import TraceRequest, pack_trace
from vae_explorer.server.tuned import TUNED, Scene, TunedDecoder, TunedDecoders
from vae_explorer.weights import NETWORKS, NetworkName, pack_model

TIMEOUT = 10
VAE, AUTOENCODER = "digits-vae-2d", "digits-ae-2d"
ORIGIN = np.zeros((1, 2), "<f4")

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Server:
    """The live routes on a port of their own."""

    port: int
    connections: list[Receive] = field(default_factory=list)
    """What each request was received through."""

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)

    def ask(self, path: str, body: bytes = b"", method: str = "POST", **headers: str) -> Answer:
        connection = self.connect()
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        return read_answer(connection)

    def send(self, text: str) -> Answer:
        """Send a request as it is written, and read the answer."""
        connection = self.connect()
        connection.connect()
        connection.sock.sendall(text.replace("\n", "\r\n").encode())
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        return Answer(response.status, response.msg, response.read())


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    return Answer(response.status, response.msg, response.read())


@contextmanager
def serve(
    get_checkpoint: routes.GetCheckpoint | None = None, tuned: TunedDecoders = TUNED
) -> Iterator[Server]:
    """Start the routes behind a socket made as `streamlit run` makes it."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(listening.getsockname()[1])
    app = Starlette(routes=routes.live_routes(get_checkpoint, tuned=tuned))

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        server.connections.append(receive)
        await app(scope, receive, send)

    config = uvicorn.Config(watched, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    uvicorn_server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=loop.run_until_complete, args=(uvicorn_server.serve(sockets=[listening]),)
    )
    thread.start()
    try:
        yield server
    finally:
        uvicorn_server.should_exit = True
        thread.join(TIMEOUT)
        loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture(autouse=True)
def _checkpoints(checkpoint_root: Path) -> None:
    """Have the routes look among the small checkpoints."""


def latents(n: int) -> np.ndarray:
    return np.random.default_rng(4).standard_normal((n, 2)).astype(np.float32)


def assert_refused(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.body.endswith(b"\n")
    assert answer.body.count(b"\n") == 1


@pytest.mark.parametrize("n", [1, 300])
@pytest.mark.parametrize("name", [VAE, AUTOENCODER])
def test_what_decode_gives_is_answered_to_one_grey_level(server: Server, name: str, n: int) -> None:
    z = latents(n)
    answer = server.ask(f"/api/decode/{name}", z.astype("<f4").tobytes(), X_Stage="a-stage_1")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    shape = tuple(int(answer.headers[f"X-{side}"]) for side in ("Count", "Height", "Width"))
    assert shape == (n, 8, 8)
    rgba = np.frombuffer(answer.body, np.uint8).reshape(*shape, 4)
    want = to_uint8(decode(load_checkpoint(name).model, z))
    assert np.abs(rgba[..., :3].astype(int) - want).max() <= 1
    assert (rgba[..., 3] == 255).all()
    assert want.std() > 5


@pytest.mark.parametrize(("name", "heads"), [(VAE, 2), (AUTOENCODER, 1)])
def test_what_encode_gives_is_answered(server: Server, name: str, heads: int) -> None:
    image = np.random.default_rng(5).random((1, 1, 8, 8), dtype=np.float32)
    answer = server.ask(f"/api/encode/{name}", image.astype("<f4").tobytes())
    assert answer.status == 200
    assert answer.headers["X-Latent-Dim"] == "2"
    want = [
        values[0] for values in encode(load_checkpoint(name).model, image) if values is not None
    ]
    np.testing.assert_allclose(np.frombuffer(answer.body, "<f4").reshape(heads, 2), want, atol=1e-5)


@pytest.mark.parametrize("name", [VAE, AUTOENCODER])
def test_a_pictures_way_through_the_network_is_answered(server: Server, name: str) -> None:
    image = np.random.default_rng(5).random((1, 8, 8), dtype=np.float32)
    settings = np.array([0.2, 1, 2, 1], "<f4")
    answer = server.ask(f"/api/anatomy/{name}", image.astype("<f4").tobytes() + settings.tobytes())
    assert answer.status == 200
    assert answer.headers["X-Values"] == "64"
    assert answer.headers["Content-Encoding"] == "identity"
    assert answer.body == pack_trace(
        TraceRequest(image, settings[0], 1, 2).trace_forward(load_checkpoint(name).model)
    )


def test_malformed_questions_of_anatomy_are_refused(server: Server) -> None:
    image = bytes(256)
    for body, status in (
        (image, 422),
        (image + np.array([0.6, 0, 0, 1], "<f4").tobytes(), 422),
        (image + bytes(17), 413),
    ):
        assert_refused(server.ask(f"/api/anatomy/{VAE}", body), status)


def weights_path(name: str = VAE, fingerprint: str | None = None) -> str:
    return f"/api/weights/{name}/{fingerprint or load_checkpoint(name).card.fingerprint}"


@pytest.mark.parametrize("networks", [NETWORKS, ("decoder",), ("encoder",)])
def test_weights_are_answered_and_kept_for_good(
    server: Server, networks: tuple[NetworkName, ...]
) -> None:
    path = weights_path() + (f"?network={networks[0]}" if len(networks) == 1 else "")
    plain = server.ask(path, method="GET")
    assert plain.status == 200
    assert plain.headers["Content-Encoding"] == "identity"
    assert {"public", "immutable"} <= set(plain.headers["Cache-Control"].split(", "))
    assert plain.body == pack_model(load_checkpoint(VAE).model, networks)
    compressed = server.ask(path, method="GET", Accept_Encoding="gzip, br")
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(compressed.body) == plain.body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/weights/nothing/0123456789abcdef", 404),
        (f"/api/weights/{VAE}/0123456789abcdef", 404),
        (f"/api/weights/{VAE}", 404),
        ("/api/weights/%2fetc/passwd", 404),
    ],
)
def test_weights_of_no_model_and_of_an_earlier_one_are_unknown(
    server: Server, path: str, status: int
) -> None:
    answer = server.ask(path, method="GET")
    assert answer.status == status
    assert "immutable" not in answer.headers.get("Cache-Control", "")


@pytest.mark.parametrize("network", ["", "head", "decoder,encoder"])
def test_a_network_that_there_is_not_is_refused(server: Server, network: str) -> None:
    answer = server.ask(f"{weights_path()}?network={network}", method="GET")
    assert_refused(answer, 422)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_model_that_the_browser_cannot_compute_is_refused() -> None:
    def load(card: ModelCard) -> Checkpoint:
        checkpoint = load_checkpoint(card.name)
        checkpoint.model.decoder.body.append(nn.Softplus())
        return checkpoint

    with serve(load) as server:
        answer = server.ask(weights_path(), method="GET")
        assert_refused(answer, 422)
        assert server.ask(f"{weights_path()}?network=encoder", method="GET").status == 200
        assert server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes()).status == 200


def test_answers_are_neither_compressed_nor_kept(server: Server) -> None:
    answer = server.ask(f"/api/decode/{VAE}", latents(300).tobytes(), Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "identity"
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.body) == 300 * 8 * 8 * 4


def test_small_answers_are_not_held_back_by_the_kernel(server: Server) -> None:
    connection = server.connect()
    connection.request("POST", f"/api/decode/{VAE}", ORIGIN.tobytes())
    answer = read_answer(connection)
    assert "Connection" not in answer.headers  # it is kept for the next request
    transport = server.connections[-1].__self__.transport
    accepted = transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()


def test_where_the_socket_is_out_of_reach_the_connection_is_closed() -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    path = f"/api/decode/{VAE}"
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    asyncio.run(Starlette(routes=routes.live_routes())(scope, receive, send))
    assert (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("base", ["", "/explorer", "/two/levels"])
def test_routes_answer_below_any_base_path(server: Server, base: str) -> None:
    assert server.ask(f"{base}/api/decode/{VAE}", ORIGIN.tobytes()).status == 200
    assert server.ask(f"{base}/api/plotly.min.js", method="GET").status == 200


@pytest.mark.parametrize("verb", ["decode", "encode", "anatomy"])
@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "nothing",
        VAE.upper(),
        f"{VAE}/",
        f"{VAE}%00",
        f"../{VAE}",
        f"%2e%2e%2f{VAE}",
        f"..%5c{VAE}",
        f"{VAE}/../{VAE}",
        "%2fetc%2fpasswd",
        "%F0%9F%99%82",
        "%ff",
        "n" * 5000,
    ],
)
def test_only_names_of_the_list_are_known(server: Server, verb: str, name: str) -> None:
    assert_refused(server.ask(f"/api/{verb}/{name}", ORIGIN.tobytes()), 404)


def test_a_checkpoint_elsewhere_is_out_of_reach(server: Server, checkpoint_root: Path) -> None:
    beside = checkpoint_root.parent / "beside"
    beside.symlink_to(checkpoint_root / VAE)
    for name in ("../beside", "%2e%2e%2fbeside", str(beside), str(beside).replace("/", "%2f")):
        assert_refused(server.ask(f"/api/decode/{name}", ORIGIN.tobytes()), 404)
    beside.unlink()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"1234567", 422),
        (ORIGIN.tobytes() + b"1234", 422),
        ((ORIGIN * np.nan).tobytes(), 422),
        ((ORIGIN + np.inf).tobytes(), 422),
        (latents(MAX_IMAGES + 1).tobytes(), 413),
    ],
)
def test_malformed_latents_are_refused(server: Server, body: bytes, status: int) -> None:
    assert_refused(server.ask(f"/api/decode/{VAE}", body), status)


def test_the_bound_on_coordinates_is_that_of_the_model(server: Server) -> None:
    bound = latent_bound(load_checkpoint(VAE).encodings)
    near, far = (np.full((1, 2), x * bound, "<f4").tobytes() for x in (0.99, 1.01))
    assert server.ask(f"/api/decode/{VAE}", near).status == 200
    assert_refused(server.ask(f"/api/decode/{VAE}", far), 422)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 422), (b"1" * 255, 422), (b"1" * 257, 413), (np.full(64, 2, "<f4").tobytes(), 422)],
)
def test_malformed_images_are_refused(server: Server, body: bytes, status: int) -> None:
    assert_refused(server.ask(f"/api/encode/{VAE}", body), status)


@pytest.mark.parametrize("verb", ["decode", "encode", "anatomy"])
def test_a_body_declared_too_long_is_refused_before_it_comes(server: Server, verb: str) -> None:
    head = f"POST /api/{verb}/{VAE} HTTP/1.1\nHost: a\nContent-Length: 1000000000\n\n"
    assert_refused(server.send(head), 413)


def test_a_body_of_undeclared_length_is_cut_off_at_the_limit(server: Server) -> None:
    chunk = f"{0x2000:x}\n{'a' * 0x2000}\n"
    head = f"POST /api/decode/{VAE} HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"
    assert_refused(server.send(head + 3 * chunk), 413)  # which does not wait for the end


def test_a_body_that_breaks_off_leaves_no_trace(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST /api/decode/{VAE} HTTP/1.1\r\nHost: a\r\nContent-Length: 80\r\n\r\n12345678"
    with caplog.at_level(logging.INFO), socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(head.encode())
    assert server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes()).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("verb", ["decode", "encode", "anatomy"])
def test_other_methods_are_refused(server: Server, verb: str, method: str) -> None:
    answer = server.ask(f"/api/{verb}/{VAE}", method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    if method != "HEAD":
        assert_refused(answer, 405)


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://app.example", "app.example", 200),
        ("https://app.example", "app.example", 200),
        ("http://App.Example:8501", "app.example:8501", 200),
        ("http://[::1]:8501", "[::1]:8501", 200),
        ("http://app.example", "app.example:8501", 403),
        ("http://app.example:8502", "app.example:8501", 403),
        ("http://evil.example", "app.example", 403),
        ("http://app.example.evil.example", "app.example", 403),
        ("http://evil.example/app.example", "app.example", 403),
        ("null", "app.example", 403),
        ("http://[", "app.example", 403),
        ("", "app.example", 403),
    ],
)
def test_another_sites_pages_are_refused(
    server: Server, origin: str, host: str, status: int
) -> None:
    answer = server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes(), Origin=origin, Host=host)
    assert answer.status == status
    if status != 200:
        assert_refused(answer, status)


@pytest.mark.parametrize("stage", ["", "a b", "ä", "a" * 65, "a/b", "a\tb"])
def test_a_strange_stage_id_is_refused(server: Server, stage: str) -> None:
    answer = server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes(), X_Stage=stage)
    assert_refused(answer, 422)


def test_a_removed_checkpoint_is_unknown_at_once(
    checkpoint_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(checkpoint_root / VAE, tmp_path / VAE)
    monkeypatch.setattr(workspace, "CHECKPOINTS", tmp_path)
    with serve() as server:
        assert server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes()).status == 200
        shutil.rmtree(tmp_path / VAE)
        assert_refused(server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes()), 404)


def test_a_checkpoint_that_breaks_while_it_is_loaded_is_refused() -> None:
    def fail(card: ModelCard) -> Checkpoint:
        raise CheckpointError(f"{card.name} is broken.")

    with serve(fail) as server:
        assert_refused(server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes()), 404)


def test_an_overload_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "FairPool", lambda workers: FairPool(workers, patience=-1))
    with serve() as server:
        assert_refused(server.ask(f"/api/decode/{VAE}", ORIGIN.tobytes()), 503)


class SlowServer:
    """Decodes one request at a time, and none before it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: list[float] = []
        self._received, self._left = threading.Semaphore(0), threading.Semaphore(0)
        self._go_on = threading.Event()
        outer = self

        class WatchedPool(FairPool):
            async def run(self, client: str | None, pieces: Sequence[Callable[[], T]]) -> list[T]:
                outer._received.release()
                try:
                    return await super().run(client, pieces)
                except asyncio.CancelledError:
                    outer._left.release()
                    raise

        monkeypatch.setattr(routes, "decoding", lambda model, z: [partial(self._decode, z)])
        monkeypatch.setattr(routes, "FairPool", lambda workers: WatchedPool(1))

    def _decode(self, z: np.ndarray) -> bytes:
        self.decoded.append(float(z[0, 0]))
        assert self._go_on.wait(TIMEOUT)
        return bytes(256)

    def receive(self, server: Server, value: float, stage: str) -> http.client.HTTPConnection:
        """Send a request, and return once it is in the pool."""
        connection = server.connect()
        z = np.full((1, 2), value, "<f4")
        connection.request("POST", f"/api/decode/{VAE}", z.tobytes(), {"X-Stage": stage})
        assert self._received.acquire(timeout=TIMEOUT)
        return connection

    def wait_until_one_left(self) -> None:
        assert self._left.acquire(timeout=TIMEOUT)

    def go_on(self) -> None:
        self._go_on.set()


def test_of_what_a_stage_has_waiting_only_the_newest_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = SlowServer(monkeypatch)
    with serve() as server:
        begun, waiting, newest = (slow.receive(server, value, "a") for value in (1, 2, 3))
        assert_refused(read_answer(waiting), 409)
        slow.go_on()
        assert [read_answer(begun).status, read_answer(newest).status] == [200, 200]
    assert slow.decoded == [1, 3]


def test_nothing_is_computed_for_a_client_that_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = SlowServer(monkeypatch)
    with serve() as server, caplog.at_level(logging.INFO):
        begun, leaving, other = (
            slow.receive(server, value, stage) for value, stage in ((1, "a"), (2, "b"), (3, "c"))
        )
        leaving.close()
        slow.wait_until_one_left()
        slow.go_on()
        assert [read_answer(begun).status, read_answer(other).status] == [200, 200]
    assert slow.decoded == [1, 3]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_latents_are_in_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    far = np.full((1, 2), 4321.5, "<f4")
    with caplog.at_level(logging.DEBUG):
        assert b"4321.5" in server.ask(f"/api/decode/{VAE}", far.tobytes()).body
    assert "4321" not in caplog.text


@pytest.mark.parametrize("compressed", [True, False])
def test_the_script_of_the_installed_plotly_is_served(server: Server, compressed: bool) -> None:
    accepted = "br, gzip" if compressed else "identity"
    answer = server.ask("/api/plotly.min.js", method="GET", Accept_Encoding=accepted)
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Content-Encoding"] == ("gzip" if compressed else "identity")
    script = gzip.decompress(answer.body) if compressed else answer.body
    assert script == (Path(plotly.__file__).parent / "package_data/plotly.min.js").read_bytes()


def test_a_browser_keeps_the_script_of_this_version(server: Server) -> None:
    versioned = server.ask(f"/api/plotly.min.js?v={routes.PLOTLY_VERSION}", method="GET")
    assert "immutable" in versioned.headers["Cache-Control"]
    for query in ("", "?v=0"):
        answer = server.ask(f"/api/plotly.min.js{query}", method="GET")
        assert answer.headers["Cache-Control"] == "no-cache"
    tag = versioned.headers["ETag"]
    again = server.ask("/api/plotly.min.js", method="GET", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    assert server.ask("/api/plotly.min.js", method="GET", If_None_Match='W/"0"').status == 200


@pytest.fixture
def tuned_server() -> Iterator[tuple[Server, TunedDecoder]]:
    """The routes, and a decoder that a session had tuned to a drawing."""
    checkpoint, decoders = load_checkpoint(VAE), TunedDecoders(workers=1)
    scene = Scene(VAE, checkpoint.card.fingerprint, ("1",))
    decoders.request("a", checkpoint, scene, np.full((1, 1, 8, 8), 0.5, np.float32))
    (tuning,) = wait_until_finished(decoders)
    assert tuning.decoder
    with serve(tuned=decoders) as server:
        yield server, tuning.decoder


def test_a_tuned_decoder_is_read_and_decoded_with_by_its_id(
    tuned_server: tuple[Server, TunedDecoder],
) -> None:
    server, decoder = tuned_server
    path = f"/api/tuned/{decoder.id}"
    answer = server.ask(path, method="GET")
    assert answer.body == pack_model(decoder.faces.model, ["decoder"])
    assert answer.headers["Cache-Control"] == "private, no-store"
    z = latents(3)
    answer = server.ask(f"/below/it{path}", z.tobytes())
    assert answer.headers["X-Count"] == "3"
    wanted = to_uint8(decoder.faces.decode(z))
    rgba = np.frombuffer(answer.body, np.uint8).reshape(3, 8, 8, 4)
    np.testing.assert_array_equal(rgba[..., :1], wanted)
    assert (wanted != to_uint8(decode(load_checkpoint(VAE).model, z))).any()
    assert_refused(server.ask(path, b"123"), 422)
    assert_refused(server.ask(path, method="GET", Origin="http://elsewhere.example"), 403)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_id_leads_to_a_tuned_decoder(
    tuned_server: tuple[Server, TunedDecoder], method: str
) -> None:
    server, decoder = tuned_server
    for id in ("x", VAE, decoder.id[:-1], f"{decoder.id}A", decoder.id.swapcase(), "%2e%2e"):
        answer = server.ask(f"/api/tuned/{id}", ORIGIN.tobytes(), method)
        assert_refused(answer, 404)
        assert answer.headers["Cache-Control"] == "no-store"
