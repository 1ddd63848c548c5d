from __future__ import annotations

import copy
import gzip
import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from tests.support import PROJECT
from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.errors import TransferError, UnsupportedLayerError
from vae_explorer.installation import APP
from vae_explorer.sampling import sample_latents
from vae_explorer.webpage import LETTERS, build_page, describe_model, to_text, write_page
from vae_explorer.weights import pack_model

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
SHIPPED = PROJECT / "checkpoints"


def from_text(text: str) -> bytes:
    """Decode as the browser does."""
    values = [LETTERS.index(letter) for letter in text]
    number = 0
    for place, value in reversed(list(enumerate(values))):
        number += value * (91 if place % 2 else 1) << (13 * (place // 2))
    count = 13 * (len(text) // 2) + (5 if len(text) % 2 else 0)
    return number.to_bytes(-(-count // 8) + 1, "little")[: count // 8]


@pytest.mark.parametrize("count", [*range(30), 1000])
def test_text_holds_the_bytes(count: int) -> None:
    data = np.random.default_rng(count).bytes(count)
    text = to_text(data)
    assert from_text(text) == data
    assert len(text) <= -(-count * 8 // 13) * 2
    assert not set(text) & set("<>&")


def test_text_of_extreme_bytes() -> None:
    for data in (b"\x00" * 13, b"\xff" * 13):
        assert from_text(to_text(data)) == data


def read_blocks(page: bytes) -> dict[str, bytes]:
    """Return what a page of one model carries, by part."""
    found = re.findall(r'data-model="0" data-part="(\w+)">([^<]*)</script>', page.decode())
    return {part: gzip.decompress(from_text(text)) for part, text in found}


@pytest.mark.parametrize("name", [VAE, DEEP, AUTOENCODER])
def test_a_page_carries_the_networks_and_what_the_views_need(
    published_checkpoints: Path, name: str
) -> None:
    checkpoint = load_checkpoint(published_checkpoints / name)
    blocks = read_blocks(build_page([checkpoint]))
    assert blocks["decoder"] == pack_model(checkpoint.model, ["decoder"])
    assert blocks["encoder"] == pack_model(checkpoint.model, ["encoder"])
    assert json.loads(blocks["about"]) == json.loads(json.dumps(describe_model(checkpoint)))


@pytest.mark.parametrize("name", [VAE, DEEP, AUTOENCODER])
def test_points_are_encodings_on_the_plane(published_checkpoints: Path, name: str) -> None:
    checkpoint = load_checkpoint(published_checkpoints / name)
    about = json.loads(json.dumps(describe_model(checkpoint)))
    points = np.array(about["map"]["points"]).reshape(-1, 2)
    plane = about["plane"]
    z_mean = checkpoint.encodings.z_mean.astype(float)
    wanted = (z_mean - plane["origin"]) @ np.array(plane["axes"]).T
    np.testing.assert_allclose(points, wanted, rtol=1e-3, atol=1e-3)
    assert about["map"]["labels"] == checkpoint.encodings.labels.tolist()
    assert [each["dimension"] for each in about["dimensions"]] != []
    assert sorted(each["dimension"] for each in about["dimensions"]) == list(
        range(checkpoint.card.model.latent_dim)
    )
    middle, half = np.array(about["map"]["middle"]), about["map"]["half"]
    assert (np.abs(points - middle) <= half).all(axis=1).mean() > 0.99


def test_many_points_are_thinned_out(published_checkpoints: Path) -> None:
    checkpoint = load_checkpoint(published_checkpoints / VAE)
    rows = np.arange(25_000) % len(checkpoint.encodings.row_id)
    many = replace(checkpoint, encodings=checkpoint.encodings.take(rows))
    found = describe_model(many)["map"]
    assert isinstance(found, dict)
    assert len(found["points"]) == 2 * len(found["labels"]) == 20_000


def test_a_model_of_faces_has_its_directions_and_attributes() -> None:
    checkpoint = load_checkpoint(SHIPPED / "faces-vae-64")
    about = json.loads(json.dumps(describe_model(checkpoint)))
    vectors = about["faces"]["vectors"]
    assert {"edit_Smiling", "edit_Eyeglasses"} <= set(vectors)
    assert {len(vector) for vector in vectors.values()} == {checkpoint.card.model.latent_dim}
    names = {each["name"] for group in about["faces"]["groups"] for each in group["settings"]}
    assert names == set(vectors)
    smiling = checkpoint.encodings.attributes[:, checkpoint.card.attribute_names.index("Smiling")]
    shown = np.array(list(about["map"]["attributes"]["Smiling"])) == "1"
    assert len(shown) == 10_000
    assert shown.mean() == pytest.approx(smiling.mean(), abs=0.01)


def test_the_fitted_prior_is_a_gaussian_of_its_mean_and_covariance() -> None:
    checkpoint = load_checkpoint(SHIPPED / "mnist-mlp-vae-20d")
    fitted, own = json.loads(json.dumps(describe_model(checkpoint)))["priors"]
    assert own == {**own, "kind": "gaussian", "label": "N(0, I)"}
    assert "factor" not in own
    factor = np.zeros((20, 20))
    factor[np.tril_indices(20)] = fitted["factor"]
    drawn = sample_latents(checkpoint, 50_000, "fitted", seed=3)
    np.testing.assert_allclose(fitted["mean"], drawn.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(factor @ factor.T, np.cov(drawn.T), atol=0.06)


def test_an_autoencoder_is_sampled_in_the_box_of_its_encodings(
    published_checkpoints: Path,
) -> None:
    checkpoint = load_checkpoint(published_checkpoints / AUTOENCODER)
    (box,) = json.loads(json.dumps(describe_model(checkpoint)))["priors"]
    np.testing.assert_allclose(box["low"], checkpoint.encodings.z_mean.min(axis=0), rtol=1e-3)
    np.testing.assert_allclose(box["high"], checkpoint.encodings.z_mean.max(axis=0), rtol=1e-3)


@pytest.mark.parametrize("name", ["mnist-vae-2d", "fashion-vae-2d", "fashion-ae-2d"])
def test_a_page_of_two_dimensions_is_small(name: str) -> None:
    assert len(build_page([load_checkpoint(SHIPPED / name)])) <= 1_500_000


def test_a_page_of_faces_is_below_six_megabytes() -> None:
    assert len(build_page([load_checkpoint(SHIPPED / "faces-vae-64")])) <= 6_000_000


def test_markup_in_texts_is_text(published_checkpoints: Path) -> None:
    checkpoint = load_checkpoint(published_checkpoints / VAE)
    evil = '</script><script>alert(1)</script><!--"{{script}}'
    card = replace(
        checkpoint.card,
        title=evil,
        label_names=(evil, *checkpoint.card.label_names[1:]),
        dataset=replace(checkpoint.card.dataset, title=evil, terms=evil, url="javascript:alert(1)"),
    )
    page = build_page([replace(checkpoint, card=card)]).decode()
    plain = build_page([checkpoint]).decode()
    for mark in ("<script", "</script", "<!--", "<a ", "<img"):
        assert page.count(mark) <= plain.count(mark)
    assert "alert(1)</script>" not in page
    assert 'href="javascript' not in page


def test_the_policy_allows_no_request(published_checkpoints: Path) -> None:
    page = build_page([load_checkpoint(published_checkpoints / VAE)]).decode()
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert not {"connect-src", "font-src", "frame-src"} & rules.keys()
    assert rules["img-src"] == "data: blob:"
    for source in re.findall(r'(?:src|href)="([^"]*)"', page):
        # Links are for the reader; nothing is loaded from them.
        assert source.startswith("data:") or f'<a href="{source}"' in page


def test_colours_are_the_apps(published_checkpoints: Path) -> None:
    page = build_page([load_checkpoint(published_checkpoints / VAE)]).decode()
    settings = (APP / ".streamlit" / "config.toml").read_text()
    colours = set(re.findall(r"#[0-9a-f]{6}", settings.split("[theme.light]")[1]))
    missing = [colour for colour in colours if colour not in page]
    assert len(missing) <= 2  # of the sidebar, which a page has not


def test_a_model_that_the_browser_cannot_compute_is_named(
    published_checkpoints: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(published_checkpoints / VAE)
    model = copy.deepcopy(checkpoint.model)
    model.decoder.body.insert(1, nn.Tanh())
    other = replace(checkpoint, model=model)
    with pytest.raises(UnsupportedLayerError, match=rf"{re.escape(other.card.title)}.*HTML.*Tanh"):
        write_page([checkpoint, other], tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def checkpoint(published_checkpoints: Path) -> Checkpoint:
    return load_checkpoint(published_checkpoints / VAE)


def test_a_file_is_replaced_whole_or_not_at_all(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "page.html"
    file.write_text("before")

    def fill_up(path: Path, data: bytes) -> int:
        with path.open("wb") as partial:
            partial.write(data[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(TransferError, match="No space left"):
            write_page([checkpoint], file)
    assert file.read_text() == "before"
    assert write_page([checkpoint], file) == file.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda folder: folder / "model.safetensors", "ends in .html"),
        (lambda folder: folder / "file" / "page.html", "cannot be written"),
        (lambda folder: folder / "folder.html", "is a folder"),
    ],
    ids=["ending", "below a file", "a folder"],
)
def test_where_a_page_cannot_go(
    checkpoint: Checkpoint, tmp_path: Path, make: Callable[[Path], Path], wanted: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(TransferError, match=wanted):
        write_page([checkpoint], make(tmp_path))
