"""The uploader of garments, in an app that shows nothing else."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartParser
from streamlit.testing.v1 import AppTest

from tests.support.session import read_escaped
from vae_explorer import workspace
from vae_explorer.checkpoints import load_checkpoint, save_checkpoint
from vae_explorer.checkpoints.card import FORMAT_VERSION, DatasetInfo, Metric, ModelCard
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import DATASETS
from vae_explorer.encodings import Encodings
from vae_explorer.images import for_display, to_uint8
from vae_explorer.inference import encode, encode_image
from vae_explorer.models import build_model
from vae_explorer.preprocessing import MAX_BYTES, fit_garment
from vae_explorer.ui.explore import map_points
from vae_explorer.ui.files import keep_uploads_in_memory

ROWS = 12
VAE = ModelConfig(image_size=32, image_channels=1, latent_dim=2, channels=(4,))
MODELS = {
    "small": ("fashion-mnist", VAE),
    "autoencoder": ("fashion-mnist", replace(VAE, kind="autoencoder")),
    "unpadded": ("fashion-mnist", replace(VAE, image_size=28)),
    "digits": ("mnist", replace(VAE, image_size=28)),
}


def app(name: str) -> None:
    import streamlit as st

    from vae_explorer.checkpoints import load_checkpoint
    from vae_explorer.ui.explore.garments import show_garment_upload

    chosen = st.session_state.get("model", name)
    st.session_state["z_mean"] = show_garment_upload(load_checkpoint(chosen))


def save(root: Path, name: str, dataset: str, config: ModelConfig) -> None:
    spec = DATASETS[dataset]
    rng = np.random.default_rng(0)
    z_mean, z_log_var = rng.normal(size=(2, ROWS, config.latent_dim)).astype(np.float32)
    metrics = {"reconstruction": 321.0} | ({"negative_elbo": 654.0} if config.kind == "vae" else {})
    save_checkpoint(
        root / name,
        model=build_model(config, seed=3).eval(),
        card=ModelCard(
            format_version=FORMAT_VERSION,
            name=name,
            title=name,
            dataset=DatasetInfo(dataset, spec.title, spec.licence, "None.", "", "", 28),
            model=config,
            train=TrainConfig(dataset=dataset),
            seed=0,
            metrics={k: Metric(k, v, "nats per image", "made") for k, v in metrics.items()},
            label_names=spec.label_names,
            attribute_names=(),
            parameters={},
            versions={},
            created="2026-01-31",
            sha256={},
        ),
        encodings=Encodings(
            row_id=np.arange(ROWS),
            split=np.full(ROWS, "test"),
            z_mean=z_mean,
            z_log_var=z_log_var if config.kind == "vae" else None,
            labels=np.arange(ROWS) % len(spec.label_names),
            attributes=None,
        ),
        history={"epoch": np.array([1.0])},
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    for name, (dataset, config) in MODELS.items():
        save(root, name, dataset, config)
    return root


@pytest.fixture(autouse=True)
def checkpoints_by_name(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workspace, "CHECKPOINTS", models)
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, np.ndarray]:
    """The last pictures shown, by caption."""
    shown: dict[str | None, np.ndarray] = {}

    def show(url: str, caption: str | None = None, **_options: object) -> None:
        png = base64.b64decode(url.partition(",")[2])
        shown[caption] = np.asarray(Image.open(io.BytesIO(png)))

    monkeypatch.setattr(st, "image", show)
    return shown


def open_app(name: str = "small") -> AppTest:
    return AppTest.from_function(app, kwargs={"name": name}, default_timeout=30).run()


def garment(width: int = 100) -> Image.Image:
    picture = Image.new("RGB", (200, 200), "white")
    picture.paste("navy", (20, 20, 20 + width, 180))
    return picture


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def upload(session: AppTest, data: bytes) -> AppTest:
    session.file_uploader[0].set_value(("garment.png", data, "image/png"))
    session.run()
    assert not session.exception
    return session


def remove(session: AppTest) -> AppTest:
    session.file_uploader[0].set_value(None)
    session.run()
    assert not session.exception
    return session


def words(session: AppTest) -> str:
    return "\n".join(caption.value for caption in session.caption)


def test_without_an_upload_there_is_nothing_to_mark(pictures: dict) -> None:
    session = open_app()
    assert session.session_state["z_mean"] is None
    assert pictures == {}
    assert "Reloading the page deletes it" in words(session)


def test_a_model_of_other_pictures_takes_no_garment() -> None:
    session = open_app("digits")
    assert session.session_state["z_mean"] is None
    assert not session.file_uploader
    assert not session.expander


@pytest.mark.parametrize("name", ["small", "autoencoder", "unpadded"])
def test_an_upload_is_encoded_and_shown_as_the_model_was_given_it(
    name: str, pictures: dict
) -> None:
    session = upload(open_app(name), png(garment()))
    model = load_checkpoint(name).model
    image = fit_garment(garment(), model.config.image_size)
    placement = encode_image(model, image)
    np.testing.assert_array_equal(session.session_state["z_mean"], encode(model, image[None])[0][0])
    for caption, shown in (
        ("Model input", image),
        ("Reconstruction", placement.reconstruction),
    ):
        scale = len(pictures[caption]) // image.shape[-1]
        expected = to_uint8(for_display(shown))[..., 0].repeat(scale, 0).repeat(scale, 1)
        np.testing.assert_array_equal(pictures[caption], expected)
    assert f"{placement.z_mean[0]:.3g}, {placement.z_mean[1]:.3g}" in words(session)


def test_what_it_costs_stands_beside_what_others_cost() -> None:
    image = fit_garment(garment(), 32)
    vae = encode_image(load_checkpoint("small").model, image)
    text = words(upload(open_app("small"), png(garment())))
    assert f"{vae.cost:.0f} nats (reconstruction {vae.nll:.0f} + KL {vae.kl:.3g})" in text
    assert "Average of the test images: 654 nats" in text
    plain = encode_image(load_checkpoint("autoencoder").model, image)
    text = words(upload(open_app("autoencoder"), png(garment())))
    assert f"error: {plain.nll:.0f} nats. Average of the test images: 321 nats" in text


def test_the_nearest_encodings_are_named() -> None:
    session = upload(open_app(), png(garment()))
    checkpoint = load_checkpoint("small")
    z = session.session_state["z_mean"]
    distances = np.linalg.norm(checkpoint.encodings.z_mean - z, axis=1)
    closest = DATASETS["fashion-mnist"].label_names[distances.argmin() % 10]
    (line,) = (text for text in words(session).splitlines() if text.startswith("Nearest"))
    assert closest in read_escaped(line)
    assert f"{distances.min():.3g}–" in line


def test_another_garment_lands_elsewhere() -> None:
    session = upload(open_app(), png(garment(100)))
    first = session.session_state["z_mean"]
    upload(session, png(garment(30)))
    assert np.linalg.norm(session.session_state["z_mean"] - first) > 1e-3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"%PDF-1.7", "is a PDF"),
        (png(garment())[:-30], "damaged or incomplete"),
        (png(Image.new("RGB", (60, 60))), "No garment was found"),
    ],
)
def test_an_upload_that_fails_costs_nothing_that_was_there(
    data: bytes, message: str, pictures: dict
) -> None:
    session = upload(open_app(), png(garment()))
    before, given = session.session_state["z_mean"], pictures["Model input"]
    pictures.clear()
    remove(session)  # as a browser does before it sends the next one
    upload(session, data)
    (error,) = session.error
    assert re.search(message, error.value)
    np.testing.assert_array_equal(session.session_state["z_mean"], before)
    np.testing.assert_array_equal(pictures["Model input"], given)
    assert "The previous upload" in words(session)


def test_a_first_upload_that_fails_leaves_nothing_to_mark(pictures: dict) -> None:
    session = upload(open_app(), b"%PDF-1.7")
    assert len(session.error) == 1
    assert session.session_state["z_mean"] is None
    assert pictures == {}


def test_a_garment_is_made_anew_for_a_model_of_another_size(pictures: dict) -> None:
    session = upload(open_app("small"), png(garment()))
    session.session_state["model"] = "unpadded"
    session.run()
    assert not session.exception
    assert not session.error
    scale = len(pictures["Model input"]) // 28
    assert pictures["Model input"].shape == (28 * scale, 28 * scale)


def test_an_upload_that_is_removed_is_no_longer_shown(pictures: dict) -> None:
    session = upload(open_app(), png(garment()))
    pictures.clear()
    remove(session)
    assert session.session_state["z_mean"] is None
    assert pictures == {}


def test_nothing_of_an_upload_goes_into_the_link_or_a_shared_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []
    decode = map_points.get_decoded

    def spy(key: object, z: np.ndarray) -> np.ndarray:
        seen.append(z)
        return decode(key, z)

    monkeypatch.setattr(map_points, "get_decoded", spy)
    session = upload(open_app(), png(garment()))
    assert not session.query_params
    assert len(seen) == 1
    rows = load_checkpoint("small").encodings.z_mean
    assert all((rows == z).all(axis=1).any() for z in seen[0])  # only what was there before


@pytest.mark.parametrize("megabytes", [2, 20])
def test_the_server_never_writes_an_upload_to_disk(
    megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MultiPartParser, "spool_max_size", MultiPartParser.spool_max_size)
    keep_uploads_in_memory()
    assert MAX_BYTES == 20 * 2**20
    body = b"".join(
        [
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n',
            bytes(megabytes * 2**20),
            b"\r\n--x--\r\n",
        ]
    )

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 2**20):
            yield body[start : start + 2**20]

    async def parse() -> bool:
        headers = Headers({"content-type": "multipart/form-data; boundary=x"})
        form = await MultiPartParser(headers, stream()).parse()
        file = form["f"]
        assert isinstance(file, UploadFile)
        assert file.size == megabytes * 2**20
        on_disk = file.file._rolled  # there is no public way to ask
        await form.close()
        return on_disk

    assert not asyncio.run(parse())
