"""The engine of `lib/engine/`: against PyTorch, and what it does where something is missing."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support import PROJECT
from tests.support.layers import random_config, random_model, read_packed
from vae_explorer.bundling import ROOT, bundle_script
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.config import ModelConfig
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode
from vae_explorer.models import Autoencoder, build_model
from vae_explorer.presets import PRESETS
from vae_explorer.weights import pack_model

LoadModules = Callable[..., Page]

ENGINE = [f"lib/engine/{name}.js" for name in ("packed", "plain", "webgl", "engine")]
SHIPPED = sorted(path.parent.name for path in (PROJECT / "checkpoints").glob("*/card.json"))
BACKENDS = {
    "WebAssembly": "(steps) => createPlain(steps)",
    "JavaScript": "(steps) => createPlain(steps, false)",
    "WebGL": "createWebgl",
}
HELPERS = """
window.toBuffer = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
window.toText = (values) => {
  let text = "";
  for (const byte of new Uint8Array(values.buffer)) text += String.fromCharCode(byte);
  return btoa(text);
};
null;
"""


def to_text(values: np.ndarray | bytes) -> str:
    data = values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes()
    return base64.b64encode(data).decode()


def open_modules(load_modules: LoadModules) -> Page:
    page = load_modules(*ENGINE)
    page.evaluate(HELPERS)
    return page


def give(page: Page, packed: bytes) -> None:
    """Give a page the packed model that `run` computes with."""
    page.evaluate("(text) => { window.packed = readPacked(toBuffer(text)); }", to_text(packed))


def run(
    page: Page, backend: str, network: str, inputs: np.ndarray, form: str = "values"
) -> np.ndarray:
    """Compute a network of the page's model by a backend."""
    text = page.evaluate(
        f"""([network, inputs, n, form]) => {{
          const backend = ({BACKENDS[backend]})(toSteps(packed, network));
          if (backend.name !== "{backend}") throw new Error(backend.name);
          const found = backend.run(new Float32Array(toBuffer(inputs)), n, form);
          backend.lose?.();
          return toText(found);
        }}""",
        [network, to_text(inputs), len(inputs), form],
    )
    data = base64.b64decode(text)
    return np.frombuffer(data, np.uint8 if form == "rgba" else "<f4")


def assert_agrees(page: Page, model: Autoencoder, n: int) -> None:
    """Compare all backends with PyTorch on the packed weights."""
    packed = pack_model(model)
    wanted = read_packed(packed)
    rng = np.random.default_rng(0)
    inputs = {
        "decoder": rng.standard_normal((n, model.config.latent_dim), np.float32),
        "encoder": rng.random((n, *model.config.image_shape), np.float32),
    }
    give(page, packed)
    for backend in BACKENDS:
        for network, given in inputs.items():
            want = wanted.run(network, given).ravel()
            found = run(page, backend, network, given)
            assert found.shape == want.shape
            difference = np.abs(found - want)
            assert difference.max() <= 1 / 255, (backend, network)
            assert difference.mean() <= 1e-3, (backend, network)


# ------------------------------------------------------------------ parity


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_computed_as_pytorch_does(load_modules: LoadModules, name: str) -> None:
    model = load_checkpoint(PROJECT / "checkpoints" / name).model
    assert_agrees(open_modules(load_modules), model, 1)  # WebGL takes a while on a processor


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_any_configuration_is_computed_as_pytorch_does(
    load_modules: LoadModules, first: int
) -> None:
    page = open_modules(load_modules)
    for seed in range(first, first + 10):
        assert_agrees(page, random_model(random_config(seed), seed), 3)


def test_faces_with_a_blur_are_computed_as_pytorch_does(load_modules: LoadModules) -> None:
    model = random_model(PRESETS["faces-vae-64-blur-finetune"], 0)
    assert_agrees(open_modules(load_modules), model, 1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_the_bytes_that_the_server_answers(
    load_modules: LoadModules, backend: str, channels: int
) -> None:
    config = ModelConfig(image_size=16, image_channels=channels, latent_dim=4, channels=(8, 16))
    model = random_model(config, 0)
    z = np.random.default_rng(1).standard_normal((3, config.latent_dim), np.float32)
    page = open_modules(load_modules)
    give(page, pack_model(model))
    found = run(page, backend, "decoder", z, "rgba")
    side = config.image_size
    rgba = found.reshape(3, side, side, 4).astype(int)
    want = to_uint8(decode(model, z)).astype(int)
    assert (rgba[..., 3] == 255).all()
    # The server's weights are float32.
    assert np.abs(rgba[..., :3] - want).max() <= 4
    assert np.abs(rgba[..., :3] - want).mean() < 0.5
    assert want.std() > 20


def test_a_batch_larger_than_a_texture_is_computed(load_modules: LoadModules) -> None:
    config = ModelConfig(image_size=8, image_channels=3, latent_dim=2, channels=(9,))
    packed = pack_model(random_model(config, 0))
    z = np.random.default_rng(1).standard_normal((700, 2), np.float32)
    page = open_modules(load_modules)
    want = read_packed(packed).run("decoder", z).ravel()
    give(page, packed)
    for backend in ("WebAssembly", "WebGL"):
        np.testing.assert_allclose(run(page, backend, "decoder", z), want, atol=1e-4)


# ------------------------------------------------------------------ malformed models


def corrupt(header: dict, draw: random.Random) -> None:
    """Replace or take away one value, anywhere below a header."""
    places: list[tuple[Any, str | int]] = []

    def collect(value: Any) -> None:
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], dict | list):
                collect(value[key])

    collect(header)
    holder, key = draw.choice(places)
    junk: list[Any] = [None, -1, 0, 0.5, 7, 10**12, "x", "sigmoid", [], {}, [3], True]
    if draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = draw.choice(junk)


def write_packed(header: dict, values: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + values


def test_a_malformed_model_is_refused_by_its_own_error(load_modules: LoadModules) -> None:
    page = open_modules(load_modules)
    variants: list[bytes] = [b"", b"123", b"\xff\xff\xff\xff", bytes(64)]
    draw = random.Random(0)
    for seed in (1, 2, 3, 8):
        packed = pack_model(random_model(random_config(seed), seed))
        header = read_packed(packed).header
        values = packed[4 + int.from_bytes(packed[:4], "little") :]
        variants += [packed[:-1], packed[:100], packed + b"12"]
        for _ in range(100):
            other = copy.deepcopy(header)
            corrupt(other, draw)
            variants.append(write_packed(other, values))
    outcomes = page.evaluate(
        """(variants) => variants.map((variant) => {
          try {
            const packed = readPacked(toBuffer(variant));
            for (const name of ["decoder", "encoder"]) createPlain(toSteps(packed, name));
            return "computed";
          } catch (error) {
            const isOurs = error instanceof EngineError && error.message.endsWith(".");
            return isOurs ? "refused" : String(error.stack);
          }
        })""",
        [to_text(variant) for variant in variants],
    )
    assert set(outcomes) <= {"computed", "refused"}
    assert outcomes.count("refused") > len(variants) / 3


# ------------------------------------------------------------------ the engine

START = """
async ([packed, kinds]) => {
  window.labels = [];
  window.load = async () => toBuffer(packed);
  window.engine = createEngine(load, { kinds, onChange: (label) => labels.push(label) });
  await engine.settled;
}
"""
SERVER = """
() => {
  window.served = 0;
  window.failure = null;
  window.server = {
    async decode(z) {
      served++;
      if (failure) throw Object.assign(new Error("refused"), { status: failure });
      return { width: 1, height: 1, count: z.length / 2, pixels: new Uint8ClampedArray(4) };
    },
    async encode() {
      served++;
      return { zMean: new Float32Array([1, 2]), zLogVar: new Float32Array() };
    },
  };
}
"""


WATCHED = """() => {
  window.workers = [];
  window.Worker = class extends Worker {
    constructor(address) {
      super(address);
      workers.push(this);
    }
  };
}"""


@pytest.fixture(scope="module")
def packed() -> bytes:
    """A model of 16 x 16 grey pixels and two latent dimensions: 2 M multiply-adds an image."""
    config = ModelConfig(image_size=16, image_channels=1, latent_dim=2, channels=(32, 64))
    return pack_model(random_model(config, 0))


def start(load_modules: LoadModules, packed: bytes, *kinds: str, before: str = "") -> Page:
    page = open_modules(load_modules)
    page.evaluate(SERVER)
    if before:
        page.evaluate(before)
    page.evaluate(START, [to_text(packed), list(kinds)])
    return page


@pytest.mark.parametrize("kind", ["plain", "javascript", "webgl"])
def test_workers_answer_in_the_form_of_a_source(
    load_modules: LoadModules, packed: bytes, kind: str
) -> None:
    page = start(load_modules, packed, kind)
    z = np.random.default_rng(0).standard_normal((70, 2)).astype(np.float32)
    found = page.evaluate(
        """async (z) => {
          const images = await engine.source().decode(new Float32Array(toBuffer(z)));
          const one = await engine.source().decode(new Float32Array(toBuffer(z)).slice(-2));
          return { ...images, pixels: toText(images.pixels), one: toText(one.pixels) };
        }""",
        to_text(z),
    )
    assert (found["width"], found["height"], found["count"]) == (16, 16, 70)
    pixels = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8).reshape(70, 16, 16, 4)
    want = 255 * read_packed(packed).run("decoder", z)[:, 0]
    assert np.abs(pixels[..., 0] - want).max() < 1.5
    assert base64.b64decode(found["one"]) == pixels[-1].tobytes()
    image = np.random.default_rng(1).random((1, 1, 16, 16), np.float32)
    encoded = page.evaluate(
        """async (image) => {
          const source = engine.source();
          const { zMean, zLogVar } = await source.encode(new Float32Array(toBuffer(image)));
          return [...zMean, ...zLogVar];
        }""",
        to_text(image),
    )
    np.testing.assert_allclose(encoded, read_packed(packed).run("encoder", image)[0], atol=1e-3)


def test_the_fastest_backend_computes_and_the_label_names_it(
    load_modules: LoadModules, packed: bytes
) -> None:
    page = start(load_modules, packed, "javascript", "plain", "webgl")
    page.evaluate("engine.source().decode(new Float32Array(2))")
    measured = page.evaluate("engine.measured")
    fastest = min(measured, key=lambda each: each["first"])
    assert page.evaluate("engine.label") == f"Computed in this browser ({fastest['name']})"
    assert page.evaluate("labels") == [page.evaluate("engine.label")]
    assert page.evaluate("engine.troubles") == []


def test_a_worker_that_ends_is_replaced_without_a_fault(
    load_modules: LoadModules, packed: bytes
) -> None:
    page = start(load_modules, packed, "plain", before=WATCHED)
    count = page.evaluate(
        """async () => {
          const images = engine.source(server).decode(new Float32Array(4));
          const end = new ErrorEvent("error", { message: "lost" });
          for (const worker of workers) worker.dispatchEvent(end);
          return (await images).count;
        }"""
    )
    assert count == 2
    assert page.evaluate("[served, engine.label]") == [1, "Computed on the server"]
    assert page.evaluate("engine.troubles.length") == 1
    page.evaluate("engine.source(server).encode(new Float32Array(256))")
    assert page.evaluate("served") == 2
    wrong = page.evaluate("engine.source().decode(new Float32Array(2)).catch((e) => e.message)")
    assert wrong.startswith("This browser cannot compute this model.")


def test_one_that_was_slower_computes_where_the_faster_one_ends(
    load_modules: LoadModules, packed: bytes
) -> None:
    page = start(load_modules, packed, "javascript", "plain", before=WATCHED)
    [fastest] = page.evaluate("engine.measured.map(({ name }) => name)")
    other = {"WebAssembly": "JavaScript", "JavaScript": "WebAssembly"}[fastest]
    count = page.evaluate(
        """async () => {
          const end = new ErrorEvent("error", { message: "lost" });
          for (const worker of workers) worker.dispatchEvent(end);
          return (await engine.source().decode(new Float32Array(4))).count;
        }"""
    )
    assert count == 2
    assert page.evaluate("engine.label") == f"Computed in this browser ({other})"


def test_a_lost_context_is_reported(load_modules: LoadModules, packed: bytes) -> None:
    page = open_modules(load_modules)
    wrong = page.evaluate(
        """(packed) => {
          const backend = createWebgl(toSteps(readPacked(toBuffer(packed)), "decoder"));
          backend.run(new Float32Array(2), 1, "rgba");
          backend.lose();
          try {
            backend.run(new Float32Array(2), 1, "rgba");
          } catch (error) {
            return [error instanceof EngineError, error.message];
          }
        }""",
        to_text(packed),
    )
    assert wrong == [True, "The graphics context was lost."]


@pytest.mark.parametrize(
    "missing",
    [
        "() => { window.Worker = undefined; }",
        "() => { window.Worker = class { constructor() { throw new DOMException('no'); } }; }",
        "() => { window.URL.createObjectURL = () => 'data:text/javascript,throw 1'; }",
    ],
)
def test_without_workers_the_server_answers(
    load_modules: LoadModules, packed: bytes, missing: str
) -> None:
    page = start(load_modules, packed, "plain", "webgl", before=missing)
    page.evaluate("engine.source(server).decode(new Float32Array(2))")
    assert page.evaluate("[served, engine.label]") == [1, "Computed on the server"]
    assert page.evaluate("engine.troubles.length") == 2


def test_without_weights_the_server_answers(load_modules: LoadModules) -> None:
    page = start(load_modules, b"no model", "plain")
    page.evaluate("engine.source(server).decode(new Float32Array(2))")
    assert page.evaluate("served") == 1


def test_until_it_is_ready_the_server_answers_and_else_it_waits(
    load_modules: LoadModules, packed: bytes
) -> None:
    page = open_modules(load_modules)
    page.evaluate(SERVER)
    early, late, count = page.evaluate(
        """async (packed) => {
          let arrive = null;
          const weights = new Promise((resolve) => (arrive = () => resolve(toBuffer(packed))));
          const engine = createEngine(() => weights, { kinds: ["plain"] });
          await engine.source(server).decode(new Float32Array(2));
          const waiting = engine.source().decode(new Float32Array(2));
          const early = served;
          arrive();
          const { count } = await waiting;
          await engine.source(server).decode(new Float32Array(2));
          return [early, served, count];
        }""",
        to_text(packed),
    )
    assert (early, late, count) == (1, 1, 1)


def test_the_server_is_tried_for_what_takes_long_and_left_when_it_is_busy(
    load_modules: LoadModules, packed: bytes
) -> None:
    # 400 images by JavaScript take some tenths of a second; this server takes no time.
    page = start(load_modules, packed, "javascript")
    many = "engine.source(server).decode(new Float32Array(800)).then(({ pixels }) => pixels.length)"
    assert [page.evaluate(many) for _ in range(4)] == [4] * 4
    assert page.evaluate("served") == 4
    page.evaluate("engine.source(server).decode(new Float32Array(2))")
    assert page.evaluate("served") == 4
    page.evaluate("failure = 409")  # by a newer request: not to be computed here instead
    assert page.evaluate(f"{many}.catch((error) => error.status)") == 409
    page.evaluate("failure = 503")
    assert page.evaluate(many) == 400 * 4 * 16 * 16
    page.evaluate("failure = null")
    assert page.evaluate(many) == 400 * 4 * 16 * 16
    assert page.evaluate("served") == 6


def test_one_image_does_not_wait_for_the_batches_before_it(
    load_modules: LoadModules, packed: bytes
) -> None:
    page = start(load_modules, packed, "javascript")
    order = page.evaluate(
        """async () => {
          const order = [];
          const source = engine.source();
          const many = source.decode(new Float32Array(800)).then(() => order.push("many"));
          const one = source.decode(new Float32Array(2)).then(() => order.push("one"));
          await Promise.all([many, one]);
          return order;
        }"""
    )
    assert order == ["one", "many"]


def test_latents_of_another_model_are_refused(load_modules: LoadModules, packed: bytes) -> None:
    page = start(load_modules, packed, "plain")
    for count in (0, 3):
        script = f"engine.source().decode(new Float32Array({count})).catch((e) => e.message)"
        assert "takes 2 values" in page.evaluate(script)


# ------------------------------------------------------------------ in one file


@pytest.mark.parametrize(
    ("source", "name"), [("'wasm-unsafe-eval'", "WebAssembly"), ("", "JavaScript")]
)
def test_it_computes_in_a_file_that_may_ask_for_nothing(
    new_context: Callable[..., BrowserContext],
    tmp_path: Path,
    packed: bytes,
    source: str,
    name: str,
) -> None:
    script = bundle_script(ROOT / "lib" / "engine" / "shared.js")  # which takes in all the others
    page_text = f"""<!doctype html><meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy"
        content="default-src 'none'; script-src 'unsafe-inline' {source}; worker-src blob:">
      <script type="module">{script}{HELPERS}window.createEngine = {engine_of(script)};</script>"""
    (tmp_path / "model.html").write_text(page_text, encoding="utf-8")
    context = new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "model.html").as_uri())
    page.evaluate(SERVER)
    page.evaluate(START, [to_text(packed), ["plain"]])
    assert (
        page.evaluate("engine.source().decode(new Float32Array(2)).then(({ count }) => count)") == 1
    )
    assert page.evaluate("engine.label") == f"Computed in this browser ({name})"
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []


def engine_of(script: str) -> str:
    """Return where a bundle has `createEngine`."""
    before = script[: script.index("function createEngine")]
    return before[before.rindex("const __module_") :].split(" ", 2)[1] + ".createEngine"


# ------------------------------------------------------------------ shared by views


def test_views_share_an_engine_and_each_asks_the_server_for_itself(
    load_modules: LoadModules,
) -> None:
    packed = pack_model(build_model(PRESETS["mnist-vae"]).eval(), ["decoder"])
    page = load_modules(*ENGINE, "lib/engine/shared.js")
    page.evaluate(HELPERS)
    asked: list[str] = []

    def answer(route, request) -> None:
        asked.append(request.url.split("/api/")[1])
        route.fulfill(body=packed, content_type="application/octet-stream")

    page.route("**/api/weights/**", answer)
    found = page.evaluate(
        """async () => {
          const servers = [];
          const server = (name) => (servers.push(name), { decode: async () => servers.length });
          const open = (name) => openModel(name, "0123", { createServer: server });
          const [a, b, c] = [open("one"), open("one"), open("two")];
          await Promise.all([a.engine.settled, c.engine.settled]);
          const labels = [];
          b.onLabel((label) => labels.push(label));
          await a.decode(new Float32Array(2));
          const same = a.engine === b.engine && a.engine !== c.engine;
          a.close();
          a.close();
          const { count } = await b.decode(new Float32Array(4));
          b.close();
          const again = open("one");
          const kept = again.engine === b.engine;
          for (const view of [again, c, open("three"), open("four")]) view.close();
          return { servers: servers.length, labels, same, count, kept, left: __vaeEngines.size };
        }"""
    )
    assert found["labels"] == ["Computed in this browser (WebAssembly)"]
    assert (found["same"], found["count"], found["kept"]) == (True, 2, True)
    assert found["servers"] == 6
    assert found["left"] == 2
    assert asked[:2] == ["weights/one/0123?network=decoder", "weights/two/0123?network=decoder"]


def test_a_tuned_decoder_is_asked_for_by_its_id_and_its_encoder_by_the_models_name(
    load_modules: LoadModules,
) -> None:
    packed = pack_model(build_model(PRESETS["mnist-vae"]).eval(), ["decoder"])
    page = load_modules(*ENGINE, "lib/engine/shared.js", "lib/source.js")
    asked: list[str] = []

    def answer(route, request) -> None:
        asked.append(f"{request.method} {request.url.split('/api/')[1]}")
        if request.method == "GET":
            route.fulfill(body=packed, content_type="application/octet-stream")
        elif request.url.endswith("gone"):
            route.fulfill(status=404, body="dropped\n", content_type="text/plain; charset=utf-8")
        else:
            route.fulfill(status=404, body="<html>", content_type="text/html")

    page.route("**/api/**", answer)
    found = page.evaluate(
        """async () => {
          await fetchWeights("one", "0123", "decoder", "secret");
          await fetchWeights("one", "0123", "encoder", "secret");
          const ask = (id, verb) =>
            createSource("one", id)[verb](new Float32Array(2)).catch((error) => error.status);
          const asked = [["gone", "decode"], ["elsewhere", "decode"], ["gone", "encode"]];
          const found = [];
          for (const [id, verb] of asked) found.push(await ask(id, verb));
          return found;
        }"""
    )
    assert found == [410, 404, 404]
    assert asked == [
        "GET tuned/secret",
        "GET weights/one/0123?network=encoder",
        "POST tuned/gone",
        "POST tuned/elsewhere",
        "POST encode/one",
    ]
