from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import ndtr

from tests.support.checkpoints import put
from tests.support.session import Files, Open, Picture, Session, read_mosaic
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.images import for_display, tile
from vae_explorer.inference import decode
from vae_explorer.latent.planes import coordinate_plane, grid_points, principal_components

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
PAGE = "decoded_grid"
KEYS = {
    VAE: f"grid-{VAE}-z-0-1",
    AUTOENCODER: f"grid-{AUTOENCODER}-z-0-1",
    DEEP: f"grid-{DEEP}-pca-0-1",
}


def draw(model: str, z: np.ndarray, n: int) -> np.ndarray:
    """Decode latents to the mosaic (height, width) that a page should show."""
    return tile(for_display(decode(load_checkpoint(model).model, z)), n)[0]


def shown(session: Session, key: str) -> np.ndarray:
    """Return the mosaic of a still grid as it decodes: at the size of its pictures."""
    figure = session.chart(f"{key}-still")
    n = int(figure["layout"]["xaxis"]["range"][1])
    mosaic = read_mosaic(figure)
    scale = len(mosaic) // (8 * n)
    return mosaic[::scale, ::scale]


def reach_of(model: str) -> float:
    z_mean = load_checkpoint(model).encodings.z_mean
    return float(np.ceil(np.abs(z_mean).max()))


@pytest.mark.parametrize("spacing", ["linear", "quantile"])
def test_a_still_grid_shows_what_decodes_in_its_window(open_app: Open, spacing):
    session = open_app(PAGE, live=False, model=VAE).set(n=5, spacing=spacing)
    session.set(extent=1.5).set(x=0.5)
    z = grid_points((0.5, 0), 1.5, 5, spacing)
    np.testing.assert_allclose(shown(session, KEYS[VAE]), draw(VAE, z, 5), atol=1 / 255)
    wanted = {"model": VAE, "n": "5", "spacing": "quantile", "extent": "1.5", "x": "0.5"}
    if spacing == "linear":
        del wanted["spacing"]
    assert session.link == wanted


def test_a_window_that_moves_shows_other_pictures(open_app: Open):
    session = open_app(PAGE, live=False, model=VAE, n="4")
    seen = [shown(session, KEYS[VAE])]
    for change in ({"extent": 1.0}, {"x": 1.0}, {"y": -1.0}, {"spacing": "quantile"}):
        seen.append(shown(session.set(**change), KEYS[VAE]))
    assert len({mosaic.tobytes() for mosaic in seen}) == len(seen)


def test_quantiles_hold_equal_shares_of_the_prior(open_app: Open):
    session = open_app(PAGE, live=False, model=VAE, n="4", spacing="quantile", extent="2")
    axis = session.chart(f"{KEYS[VAE]}-still")["layout"]["xaxis"]
    shares = np.diff(ndtr(np.array(axis["ticktext"], float)))
    np.testing.assert_allclose(shares, shares.mean(), rtol=0.05)  # two digits are written


def test_the_axes_of_a_still_grid_are_those_of_the_plane(open_app: Open):
    session = open_app(PAGE, live=False, model=DEEP, axes="z", z_x="4", z_y="2", n="3", y="1")
    layout = session.chart(f"grid-{DEEP}-z-3-1-still")["layout"]
    assert layout["xaxis"]["title"]["text"] == "z₄"
    assert layout["yaxis"]["title"]["text"] == "z₂"
    assert layout["yaxis"]["ticktext"] == ["4", "1", "-2"]  # top to bottom


def test_another_component_can_be_moved(open_app: Open):
    session = open_app(PAGE, live=False, model=DEEP, n="3").set(pca4=1.5)
    found = principal_components(load_checkpoint(DEEP).encodings.z_mean)
    z = found.plane().to_latent(grid_points((0, 0), 3, 3)) + 1.5 * found.components[3]
    wanted = draw(DEEP, z.astype(np.float32), 3)
    np.testing.assert_allclose(shown(session, KEYS[DEEP]), wanted, atol=1 / 255)
    assert session.link["pca4"] == "1.5"


def test_another_dimension_can_be_moved(open_app: Open):
    session = open_app(PAGE, live=False, model=DEEP, n="3", axes="z", z_x="1", z_y="2")
    assert {key for key in session.link if key.startswith("pca")} == set()
    session.set(z5=-0.8)
    z = coordinate_plane(5, 0, 1, [0, 0, 0, 0, -0.8]).to_latent(grid_points((0, 0), 3, 3))
    found = shown(session, f"grid-{DEEP}-z-0-1")
    np.testing.assert_allclose(found, draw(DEEP, z, 3), atol=1 / 255)


@pytest.mark.parametrize("model", KEYS)
def test_the_live_grid_is_given_the_plane_and_the_values(open_app: Open, model):
    view = open_app(PAGE, model=model).view(KEYS[model])
    z_mean = load_checkpoint(model).encodings.z_mean
    plane = principal_components(z_mean).plane() if model == DEEP else coordinate_plane(2)
    np.testing.assert_allclose(view["tiles"]["plane"]["origin"], plane.origin)
    np.testing.assert_allclose(view["tiles"]["plane"]["axes"], plane.axes)
    others = {"pca3", "pca4", "pca5"} if model == DEEP else set()
    assert set(view["tiles"]["others"]) == others
    # A VAE's prior tells how far to look; a plain autoencoder has none, but its encodings.
    extent = reach_of(model) if model == AUTOENCODER else 3
    assert view["values"] == {"extent": extent, "x": 0, "y": 0} | dict.fromkeys(others, 0)
    assert view["columns"] == 15


def test_a_drag_of_the_live_grid_goes_to_the_link_and_to_the_sliders(open_app: Open):
    session = open_app(PAGE, model=VAE)
    session.send(KEYS[VAE], "values", {"x": 0.75, "y": -1, "extent": 2.0004})
    assert session.link == {"model": VAE, "x": "0.75", "y": "-1", "extent": "2"}
    assert session.view(f"{KEYS[VAE]}-window")["values"] == {"x": 0.75, "y": -1, "extent": 2}
    session.send(f"{KEYS[VAE]}-window", "values", {"x": 0, "y": 0, "extent": 3})
    assert session.link == {"model": VAE}


def test_a_drag_beyond_the_limits_ends_at_them(open_app: Open):
    session = open_app(PAGE, model=VAE).send(KEYS[VAE], "values", {"x": 1e9, "extent": 0})
    values = session.view(KEYS[VAE])["values"]
    assert values == {"x": values["x"], "y": 0, "extent": 0.1}
    assert 0 < values["x"] <= reach_of(VAE)


@pytest.mark.parametrize(("source", "extent"), [(VAE, 3), (AUTOENCODER, 40)])
def test_only_a_plain_autoencoders_grid_opens_as_wide_as_its_encodings(
    open_app: Open, shelf: Path, checkpoint_root: Path, source, extent
):
    z_mean = load_checkpoint(checkpoint_root / source).encodings.z_mean
    put(checkpoint_root / source, shelf / "wide", scale=39.5 / np.abs(z_mean).max())
    assert open_app(PAGE).view("grid-wide-z-0-1")["values"]["extent"] == extent


@pytest.mark.parametrize("live", [True, False], ids=["live", "still"])
def test_a_window_out_of_another_models_reach_is_moved_into_it(
    open_app: Open, shelf: Path, checkpoint_root: Path, live
):
    put(checkpoint_root / VAE, shelf / "near")
    put(checkpoint_root / VAE, shelf / "wide", scale=10)
    session = open_app(PAGE, model="wide", live=live, n="3", x="15", extent="12")
    session.set(model="near")
    reach = np.ceil(np.abs(load_checkpoint("near").encodings.z_mean).max())
    assert session.link == {"n": "3", "x": f"{reach:g}", "extent": f"{max(reach, 4):g}"}


@pytest.mark.parametrize("live", [True, False], ids=["live", "still"])
def test_a_clicked_tile_is_enlarged_and_stays_while_the_grid_moves(
    open_app: Open, pictures: list[Picture], live
):
    session = open_app(PAGE, model=VAE, live=live, n="3")
    z = grid_points((0, 0), 3, 3)[5]
    if live:
        session.send(KEYS[VAE], "clicked", {"tile": 5, "z": z.tolist()})
    else:
        session.select(f"{KEYS[VAE]}-still", [{"customdata": 5}])
    pictures.clear()
    session.set(n=7)
    large = next(picture for picture in pictures if picture.caption == "Decoded")
    wanted = np.rint(draw(VAE, z[None], 1) * 255)
    scale = len(large.pixels) // 8
    assert scale == 20
    np.testing.assert_array_equal(large.pixels[::scale, ::scale], wanted)
    assert "z = (3, 0)" in session.words
    assert "Nearest images" in session.words
    assert "Nearest images" not in session.set(model=AUTOENCODER).words


@pytest.mark.parametrize(("size", "scale"), [(None, 1), ("4", 4), ("8", 8)])
def test_the_saved_picture_is_the_grid_at_that_size(open_app: Open, files: Files, size, scale):
    link = {"model": VAE, "n": "4", "extent": "2"} | ({"save_size": size} if size else {})
    open_app(PAGE, **link)
    assert list(files) == [f"{VAE}-grid.png"]
    picture = np.asarray(Image.open(io.BytesIO(files[f"{VAE}-grid.png"]())))
    assert picture.shape == (4 * 8 * scale, 4 * 8 * scale)
    wanted = draw(VAE, grid_points((0, 0), 2, 4), 4)
    np.testing.assert_allclose(picture[::scale, ::scale] / 255, wanted, atol=1 / 255)


def test_a_saved_picture_is_smooth_on_demand(open_app: Open, files: Files):
    session = open_app(PAGE, model=VAE, n="3", save_size="4")
    crisp = np.asarray(Image.open(io.BytesIO(files[f"{VAE}-grid.png"]())))
    session.set(save_as="smooth")
    smooth = np.asarray(Image.open(io.BytesIO(files[f"{VAE}-grid.png"]())))
    np.testing.assert_array_equal(crisp, crisp[::4, ::4].repeat(4, 0).repeat(4, 1))
    assert smooth.shape == crisp.shape
    assert np.any(smooth != crisp)
