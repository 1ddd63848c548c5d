from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.support.session import Files, Open, Picture, Session, read_floats, read_mosaic
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.images import for_display, tile, to_uint8
from vae_explorer.inference import decode
from vae_explorer.latent.statistics import nearest
from vae_explorer.sampling import sample_latents

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
MODELS = pytest.mark.parametrize("model", [VAE, DEEP, AUTOENCODER])
OWN = {VAE: "standard", DEEP: "standard", AUTOENCODER: "box"}
PAGE = "generate"


def read_latents(session: Session, model: str) -> np.ndarray:
    """Return the latents that the live grid decodes, (n, latent_dim)."""
    view = session.view(f"samples-{model}")
    tiles, temperature = view["tiles"], view["values"]["temperature"]
    d = load_checkpoint(model).card.model.latent_dim
    centre, z = (read_floats(tiles[name]).reshape(-1, d) for name in ("centre", "z"))
    moved = centre + temperature * (z - centre)
    return np.where(np.array(tiles["fixed"])[:, None], z, moved)


def click_tile(session: Session, model: str, index: int) -> Session:
    z = read_latents(session, model)[index]
    return session.send(f"samples-{model}", "clicked", {"tile": index, "z": z.tolist()})


@MODELS
def test_samples_come_from_the_models_prior(open_app: Open, model):
    session = open_app(PAGE, model=model, seed="7", side="4", prior=OWN[model])
    prior = "box" if model == AUTOENCODER else "standard"
    wanted = sample_latents(load_checkpoint(model), 16, prior, seed=7)
    np.testing.assert_allclose(read_latents(session, model), wanted, atol=1e-6)
    assert ("sampled from the prior, N(0, I)" in session.words) == (model != AUTOENCODER)


def test_a_plain_autoencoder_says_why_its_samples_fail(open_app: Open):
    session = open_app(PAGE, model=AUTOENCODER, side="10")
    z_mean = load_checkpoint(AUTOENCODER).encodings.z_mean
    z = read_latents(session, AUTOENCODER)
    assert np.all((z_mean.min(axis=0) <= z) & (z <= z_mean.max(axis=0)))
    assert "has no prior" in session.words
    assert "many samples do not resemble the data" in session.words


def test_a_still_grid_shows_what_its_samples_decode_to_and_how_new_they_are(open_app: Open):
    session = open_app(PAGE, live=False, model=VAE, side="4", temperature="0.5")
    checkpoint = load_checkpoint(VAE)
    z = sample_latents(checkpoint, 16, temperature=0.5)
    figure = session.chart(f"samples-{VAE}-still")
    mosaic = read_mosaic(figure)
    wanted = tile(for_display(decode(checkpoint.model, z)), 4)[0]
    scale = len(mosaic) // len(wanted)
    np.testing.assert_allclose(mosaic[::scale, ::scale], wanted, atol=1 / 255)
    rows, distances = nearest(z, checkpoint.encodings.z_mean, 1)
    label = checkpoint.encodings.labels[rows[3, 0]]
    assert figure["data"][0]["text"][3] == f"nearest: {label}, distance {distances[3, 0]:.2f}"


def test_re_rolling_moves_on_to_the_next_seed(open_app: Open):
    session = open_app(PAGE, model=VAE, seed="41")
    before = read_latents(session, VAE)
    session.click("New samples")
    assert session.link["seed"] == "42"
    wanted = sample_latents(load_checkpoint(VAE), 36, seed=42)
    np.testing.assert_allclose(read_latents(session, VAE), wanted, atol=1e-6)
    assert not np.any(read_latents(session, VAE) == before)


def test_the_last_seed_is_followed_by_the_first(open_app: Open):
    session = open_app(PAGE, model=VAE, seed="99999").click("New samples")
    assert "seed" not in session.link


def test_what_is_kept_stays_while_the_rest_is_rolled_anew(open_app: Open):
    session = open_app(PAGE, model=VAE, seed="5", side="4")
    before = read_latents(session, VAE)
    click_tile(session, VAE, 2)
    click_tile(session, VAE, 9)
    assert session.link["keep"] == "2:5:1,9:5:1"
    assert session.view(f"samples-{VAE}")["framed"] == [2, 9]
    session.click("New samples")
    after = read_latents(session, VAE)
    same = np.all(np.isclose(before, after, atol=1e-6), axis=1)
    assert np.flatnonzero(same).tolist() == [2, 9]
    assert session.link["keep"] == "2:5:1,9:5:1"


def test_what_was_kept_is_let_go_by_a_second_click_or_all_at_once(open_app: Open):
    session = open_app(PAGE, model=VAE, keep="2:5:1,9:5:1,11:3:0.5")
    assert "Unpin all (3)" in session.labels()
    click_tile(session, VAE, 9)
    assert session.link["keep"] == "2:5:1,11:3:0.5"
    session.click("Unpin all (2)")
    assert "keep" not in session.link
    assert session.view(f"samples-{VAE}")["framed"] == []


def test_a_link_reopens_kept_samples_as_they_were_rolled(open_app: Open):
    first = open_app(PAGE, model=DEEP, seed="5", temperature="0.7")
    kept = read_latents(click_tile(first, DEEP, 4), DEEP)[4]
    first.send(f"samples-{DEEP}-temperature", "values", {"temperature": 1.3}).click("New samples")
    again = open_app(PAGE, **first.link)
    np.testing.assert_allclose(read_latents(again, DEEP)[4], kept, atol=1e-6)
    np.testing.assert_array_equal(read_latents(again, DEEP), read_latents(first, DEEP))
    assert not again.notices


def test_keeps_beyond_a_smaller_grid_come_back_with_a_larger_one(open_app: Open):
    session = open_app(PAGE, model=VAE, keep="30:5:1", side="4")
    assert session.view(f"samples-{VAE}")["framed"] == []
    assert session.set(side="6").view(f"samples-{VAE}")["framed"] == [30]


@MODELS
def test_at_temperature_zero_all_but_the_kept_are_the_middle(open_app: Open, model):
    session = open_app(PAGE, model=model, side="4", keep="3:8:1", temperature="0", prior=OWN[model])
    z_mean = load_checkpoint(model).encodings.z_mean
    middle = (z_mean.min(axis=0) + z_mean.max(axis=0)) / 2 if model == AUTOENCODER else 0
    z = read_latents(session, model)
    np.testing.assert_allclose(np.delete(z, 3, axis=0) - middle, 0, atol=1e-6)
    assert np.linalg.norm(z[3] - middle) > 0.1


def test_temperature_scales_the_distance_from_the_middle(open_app: Open):
    session = open_app(PAGE, model=VAE)
    at_one = read_latents(session, VAE)
    session.send(f"samples-{VAE}-temperature", "values", {"temperature": 0.25})
    np.testing.assert_allclose(read_latents(session, VAE), 0.25 * at_one, rtol=1e-5)
    assert session.link["temperature"] == "0.25"


def test_temperature_is_streamlits_slider_where_the_route_cannot_be_reached(open_app: Open):
    session = open_app(PAGE, live=False, model=VAE)
    before = read_mosaic(session.chart(f"samples-{VAE}-still"))
    session.set(temperature=0.25)
    assert session.link["temperature"] == "0.25"
    assert np.any(read_mosaic(session.chart(f"samples-{VAE}-still")) != before)


def test_nearest_encodings_stand_in_the_places_of_their_samples(open_app: Open, files: Files):
    session = open_app(PAGE, model=DEEP, side="4")
    z_mean = load_checkpoint(DEEP).encodings.z_mean
    rows, _ = nearest(read_latents(session, DEEP), z_mean, 1)
    session.set(look="nearest")
    np.testing.assert_array_equal(read_latents(session, DEEP), z_mean[rows[:, 0]])
    assert session.link["look"] == "nearest"
    saved = np.asarray(Image.open(io.BytesIO(files[f"{DEEP}-samples.png"]())))
    shown = tile(for_display(decode(load_checkpoint(DEEP).model, z_mean[rows[:, 0]])), 4)
    np.testing.assert_array_equal(saved, to_uint8(shown)[..., 0])  # what is seen is saved


def test_two_kept_are_joined_by_a_walk(open_app: Open):
    session = open_app(PAGE, model=VAE, seed="5")
    click_tile(session, VAE, 2)
    assert "walk" not in session.views()
    click_tile(session, VAE, 9)
    path = read_floats(session.view("walk")["path"]).reshape(-1, 2)
    z = read_latents(session, VAE)
    np.testing.assert_allclose(path[[0, -1]], z[[2, 9]], atol=1e-5)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert steps.max() < 0.6 * np.linalg.norm(z[9] - z[2]) + 0.5  # no jump


def test_a_walk_passes_every_stop_also_as_a_still_row(open_app: Open, pictures: list[Picture]):
    session = open_app(PAGE, live=False, model=VAE, keep="1:5:1,2:5:1,3:5:1")
    assert "Interpolation between the pinned samples" in session.words
    row = pictures[-1].pixels
    assert row.shape == (8, 13 * 8 + 12 * 4)  # 6 steps a leg and the end, 4 pixels between
    z = sample_latents(load_checkpoint(VAE), 4, seed=5)
    for place, slot in ((0, 1), (6, 2), (12, 3)):
        wanted = to_uint8(for_display(decode(load_checkpoint(VAE).model, z[[slot]])))[0, ..., 0]
        np.testing.assert_allclose(row[:, place * 12 :][:, :8].astype(int), wanted, atol=2)


@pytest.mark.parametrize("live", [True, False], ids=["live", "still"])
def test_what_was_clicked_is_shown_larger(open_app: Open, pictures: list[Picture], live):
    session = open_app(PAGE, model=VAE, live=live, side="4", seed="5")
    z = sample_latents(load_checkpoint(VAE), 16, seed=5)
    if live:
        click_tile(session, VAE, 2)
    else:
        session.select(f"samples-{VAE}-still", [{"customdata": 2}])
    assert f"z = ({z[2, 0]:.3g}, {z[2, 1]:.3g})" in session.words
    assert session.link["keep"] == "2:5:1"
    assert any(picture.caption == "Decoded" for picture in pictures)


def test_samples_are_saved_as_one_picture_and_as_many(open_app: Open, files: Files):
    open_app(PAGE, model=VAE, side="4", keep="2:9:0.5", save_size="4")
    checkpoint = load_checkpoint(VAE)
    z = sample_latents(checkpoint, 16)
    z[2] = sample_latents(checkpoint, 3, temperature=0.5, seed=9)[2]
    wanted = to_uint8(for_display(decode(checkpoint.model, z)))[..., 0].astype(int)
    mosaic = np.asarray(Image.open(io.BytesIO(files[f"{VAE}-samples.png"]())))
    assert mosaic.shape == (4 * 8 * 4, 4 * 8 * 4)
    with zipfile.ZipFile(io.BytesIO(files[f"{VAE}-samples.zip"]())) as archive:
        assert archive.namelist() == [f"{VAE}-samples-{k + 1:03d}.png" for k in range(16)]
        for k, name in enumerate(archive.namelist()):
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(name))))
            np.testing.assert_allclose(pixels[::4, ::4].astype(int), wanted[k], atol=1)


def test_a_still_tile_can_be_clicked_again_to_let_it_go(open_app: Open):
    session = open_app(PAGE, model=VAE, live=False)
    session.select(f"samples-{VAE}-still", [{"customdata": 2}])
    assert session.link["keep"].startswith("2:")
    session.select(f"samples-{VAE}-still-1", [{"customdata": 2}])
    assert "keep" not in session.link


def test_the_fitted_prior_is_offered_beside_the_models_own(open_app: Open):
    session = open_app(PAGE, model=VAE, seed="7", side="4", prior="fitted")
    wanted = sample_latents(load_checkpoint(VAE), 16, "fitted", seed=7)
    np.testing.assert_allclose(read_latents(session, VAE), wanted, atol=1e-6)
    assert "Gaussian mixture" in session.words
    click_tile(session, VAE, 2)
    assert session.link["keep"] == "2:7:1:fitted"
    session.set(prior="standard")
    np.testing.assert_allclose(read_latents(session, VAE)[2], wanted[2], atol=1e-6)


def test_at_temperature_zero_the_fitted_prior_gives_its_means(open_app: Open):
    session = open_app(PAGE, model=DEEP, side="4", prior="fitted", temperature="0")
    means = load_checkpoint(DEEP).latent["prior_means"]
    gaps = np.linalg.norm(read_latents(session, DEEP)[:, None] - means, axis=2)
    assert gaps.min(axis=1).max() < 1e-5


def test_both_priors_stand_side_by_side(open_app: Open):
    session = open_app(PAGE, model=VAE, seed="7", side="4", prior="both")
    checkpoint = load_checkpoint(VAE)
    for prior in ("standard", "fitted"):
        tiles = session.view(f"samples-{VAE}-{prior}")["tiles"]
        wanted = sample_latents(checkpoint, 16, prior, seed=7)
        np.testing.assert_allclose(read_floats(tiles["z"]).reshape(16, 2), wanted, atol=1e-6)
    session.send(f"samples-{VAE}-fitted", "clicked", {"tile": 1, "z": wanted[1].tolist()})
    assert "Nearest images" in session.words
    assert "keep" not in session.link


def test_a_keep_of_no_known_prior_is_said_to_be_none(open_app: Open):
    session = open_app(PAGE, model=VAE, keep="2:7:1:nonsense")
    assert "unknown prior" in session.notices
