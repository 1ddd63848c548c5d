from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoints import put_colour_mlp
from tests.support.session import Open, Picture, read_array, read_escaped
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.data import DATASETS, DatasetError, ImageDataset
from vae_explorer.images import for_display, tile, to_uint8
from vae_explorer.inference import decode

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
MODELS = pytest.mark.parametrize("model", [VAE, DEEP, AUTOENCODER])
PAGE = "overview"


@pytest.fixture
def not_prepared(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take the prepared digits away, and have them wait to be asked for, as large sets do."""
    data_folder.unlink()
    monkeypatch.setitem(
        DATASETS, "digits", replace(DATASETS["digits"], bundled=False, download_bytes=10**6)
    )
    return data_folder


@MODELS
def test_the_numbers_are_the_cards(open_app: Open, model):
    session = open_app(PAGE, model=model)
    metrics = load_checkpoint(model).card.metrics
    shown = {metric.label: metric.value for metric in session.app.metric}
    titles = {"reconstruction": "Reconstruction", "psnr": "PSNR"}
    if model != AUTOENCODER:
        titles |= {
            "negative_elbo": "−ELBO",
            "kl": "KL divergence",
            "active_units": "Active dimensions",
        }
    assert set(shown) == set(titles.values())
    for name, title in titles.items():
        assert float(shown[title].split()[0]) == pytest.approx(metrics[name].value, rel=1e-3)
        assert metrics[name].protocol in next(
            metric.help for metric in session.app.metric if metric.label == title
        )


@MODELS
def test_the_facts_are_the_cards(open_app: Open, model):
    session = open_app(PAGE, model=model)
    card = load_checkpoint(model).card
    assert read_escaped(session.app.title[0].value) == card.title
    assert f"| Latent dimensions | {card.model.latent_dim} |" in session.words
    assert f"| Parameters | {sum(card.parameters.values()):,} |" in session.words
    assert ("| β | 0.1 |" in session.words) == (model != AUTOENCODER)
    assert card.dataset.licence in session.words
    assert card.dataset.citation in session.words


@MODELS
def test_held_out_pictures_stand_over_their_reconstructions(
    open_app: Open, pictures: list[Picture], digits: ImageDataset, model
):
    open_app(PAGE, model=model)
    checkpoint = load_checkpoint(model)
    rows = np.arange(10) * (len(checkpoint.encodings.row_id) // 10)
    originals = digits.take(checkpoint.encodings.row_id[rows]) / 255
    reconstructions = decode(checkpoint.model, checkpoint.encodings.z_mean[rows])
    for picture, images in zip(pictures, (originals, reconstructions), strict=True):
        wanted = to_uint8(tile(for_display(images), 10, gap=4))[..., 0]
        step = len(picture.pixels) // len(wanted)
        np.testing.assert_allclose(picture.pixels[::step, ::step].astype(int), wanted, atol=1)


def test_the_curves_are_the_history(open_app: Open):
    history = load_checkpoint(VAE).history
    drawn = open_app(PAGE, model=VAE).chart(f"losses-{VAE}")["data"]
    for name in ("train_loss", "validation_loss", "validation_kl"):
        assert any(np.array_equal(read_array(trace["y"]), history[name]) for trace in drawn)


def test_where_the_data_is_not_at_hand_it_can_be_fetched(
    open_app: Open, not_prepared: Path, pictures: list[Picture]
):
    session = open_app(PAGE, model=VAE)
    assert "The original images are not included" in session.words
    assert len(pictures) == 1  # the reconstructions need no data
    session.click("Download Digits, 8×8 (1 MB)")
    assert "Test images" in session.words
    assert "The original images are not included" not in session.words
    assert (not_prepared / "cache" / "digits-8" / "images.npy").is_file()


def test_a_fetch_that_fails_says_why_and_loses_nothing(
    open_app: Open, not_prepared: Path, monkeypatch: pytest.MonkeyPatch
):
    reason = "No network. Put digits.zip into data/."

    def fail(*_arguments: object) -> None:
        raise DatasetError(reason)

    monkeypatch.setitem(DATASETS, "digits", replace(DATASETS["digits"], read=fail))
    session = open_app(model=VAE, pin="7")
    before = session.words
    session.click("Download Digits, 8×8 (1 MB)")
    assert [read_escaped(error.value) for error in session.app.error] == [reason]
    assert set(before.split("\n")) <= set(session.words.split("\n"))
    assert session.link["pin"] == "7"
    assert "Download Digits, 8×8 (1 MB)" in session.labels()


def test_a_set_that_is_somebodys_own_cannot_be_fetched(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    put_colour_mlp(checkpoint_root / VAE, shelf / "mine")
    session = open_app(PAGE)
    (command,) = session.app.code
    assert command.value.startswith("python -m vae_explorer prepare folder --size ")
    assert not any(label.startswith("Download") for label in session.labels())
    assert "MLP variational autoencoder" in session.words
