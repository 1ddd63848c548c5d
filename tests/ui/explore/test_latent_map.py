from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from tests.support.checkpoints import put
from tests.support.session import (
    Files,
    Open,
    Picture,
    Session,
    read_array,
    read_floats,
    read_mosaic,
    read_points,
)
from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.data import ImageDataset
from vae_explorer.images import for_display, to_uint8
from vae_explorer.inference import decode
from vae_explorer.latent.planes import coordinate_plane, posterior_ellipse, principal_components
from vae_explorer.latent.statistics import nearest
from vae_explorer.sampling import sample_latents

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
MODELS = pytest.mark.parametrize("model", [VAE, DEEP, AUTOENCODER])
SUBSCRIPTS = str.maketrans("12345", "₁₂₃₄₅")
LIVE = pytest.mark.parametrize("live", [True, False], ids=["live", "still"])


def read_map(session: Session) -> dict:
    """Return the figure of the map, wherever it is drawn."""
    (live,) = [key for key in session.views() if key.startswith("map-")] or [None]
    if live:
        return json.loads(session.view(live)["figure"])
    return session.chart(f"map-{session.widget('model').value}-still")


def read_path(shape: dict) -> np.ndarray:
    """Return the points (n, 2) of an outline."""
    pairs = shape["path"].removeprefix("M ").removesuffix(" Z").split(" L ")
    return np.array([pair.split(",") for pair in pairs], float)


def read_rings(figure: dict) -> np.ndarray:
    """Return where the pin stands, (n, 2): its rings are the widest."""
    shapes = [s for s in figure["layout"].get("shapes", []) if s.get("x1") == 10]
    return np.array([[shape["xanchor"], shape["yanchor"]] for shape in shapes])


def axis_titles(figure: dict) -> list[str]:
    return [figure["layout"][f"{axis}axis"]["title"]["text"] for axis in "xy"]


def shown_pixels(images: np.ndarray) -> np.ndarray:
    """Turn one image (1, 1, height, width) into what is shown: uint8 (height, width)."""
    return to_uint8(for_display(images))[0, ..., 0]


def decoded_pixels(checkpoint: Checkpoint, z: np.ndarray) -> np.ndarray:
    return shown_pixels(decode(checkpoint.model, z[None]))


def find_picture(pictures: list[Picture], caption: str) -> np.ndarray:
    """Return a picture at 8x8, the size of a digit, its enlargement undone."""
    (found,) = [picture.pixels for picture in pictures if picture.caption == caption]
    step = len(found) // 8
    np.testing.assert_array_equal(found, found[::step, ::step].repeat(step, 0).repeat(step, 1))
    return found[::step, ::step]


@LIVE
@MODELS
def test_each_held_out_picture_is_a_point_where_its_z_mean_lies(open_app: Open, model, live):
    session = open_app(model=model, live=live)
    z_mean = load_checkpoint(model).encodings.z_mean
    wanted = principal_components(z_mean).plane().to_plane(z_mean) if model == DEEP else z_mean
    np.testing.assert_allclose(read_points(read_map(session)), wanted, atol=1e-5)


def test_the_traces_are_the_classes(open_app: Open):
    figure = read_map(open_app(model=VAE))
    labels = load_checkpoint(VAE).encodings.labels
    assert [trace["name"] for trace in figure["data"]] == list("0123456789")
    for label, trace in enumerate(figure["data"]):
        assert read_array(trace["customdata"]).tolist() == np.flatnonzero(labels == label).tolist()


def test_the_figure_wears_the_theme_of_the_page(open_app: Open):
    light, dark = (read_map(open_app(dark=dark)) for dark in (False, True))
    assert light["layout"]["font"]["color"] != dark["layout"]["font"]["color"]


@LIVE
@MODELS
def test_a_pin_of_the_link_is_told_of(
    open_app: Open, pictures: list[Picture], digits: ImageDataset, model, live
):
    session = open_app(model=model, live=live, pin="7")
    checkpoint = load_checkpoint(model)
    encodings = checkpoint.encodings
    label, row_id = encodings.labels[7], encodings.row_id[7]
    assert f"**{label}** · test image 7" in session.words
    original = digits.take(row_id[None]) / 255
    np.testing.assert_array_equal(find_picture(pictures, "Original"), shown_pixels(original))
    reconstruction = decoded_pixels(checkpoint, encodings.z_mean[7])
    np.testing.assert_array_equal(find_picture(pictures, "Reconstruction"), reconstruction)
    figure = read_map(session)
    np.testing.assert_allclose(read_rings(figure), read_points(figure)[[7, 7]], atol=1e-5)
    assert not session.notices
    assert session.link["pin"] == "7"


def test_a_pinned_posterior_is_told_and_outlined_at_one_and_two_sigma(open_app: Open):
    session = open_app(model=VAE, pin="7")
    encodings = load_checkpoint(VAE).encodings
    posterior = encodings.z_mean[7], encodings.z_log_var[7]
    mean, sigma = posterior[0], np.exp(posterior[1] / 2)
    assert f"μ = ({mean[0]:.3g}, {mean[1]:.3g}), σ = ({sigma[0]:.2g}, {sigma[1]:.2g})" in (
        session.words
    )
    outlines = [s for s in read_map(session)["layout"]["shapes"] if s["type"] == "path"]
    for outline, n_sigma in zip(outlines, (1, 2), strict=True):
        wanted = posterior_ellipse(coordinate_plane(2), *posterior, n_sigma)
        np.testing.assert_allclose(read_path(outline), wanted, rtol=1e-4, atol=1e-5)


def test_a_plain_autoencoder_has_a_point_and_no_posterior(open_app: Open):
    session = open_app(model=AUTOENCODER, pin="7")
    assert "encodes an image as a point, without a variance" in session.words
    assert all(shape["type"] == "circle" for shape in read_map(session)["layout"]["shapes"])


def test_the_nearest_encodings_of_a_pin_are_ringed_and_counted(open_app: Open):
    session = open_app(model=VAE, pin="7")
    encodings = load_checkpoint(VAE).encodings
    neighbours = nearest(encodings.z_mean[[7]], encodings.z_mean, 7)[0][0, 1:]
    rings = [s for s in read_map(session)["layout"]["shapes"] if s.get("x1") == 4]
    found = np.array([[ring["xanchor"], ring["yanchor"]] for ring in rings])
    wanted = encodings.z_mean[np.sort(neighbours)]
    np.testing.assert_allclose(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)], atol=1e-5)
    (line,) = [line for line in session.words.split("\n") if line.startswith("Nearest neighbours")]
    assert sum(int(part.split("×")[0]) for part in line.partition(":")[2].split(",")) == 6


@MODELS
def test_a_place_between_points_can_be_pinned(open_app: Open, pictures: list[Picture], model):
    session = open_app(model=model, pin="0.5,-1.25")
    checkpoint = load_checkpoint(model)
    plane = coordinate_plane(2)
    if model == DEEP:
        plane = principal_components(checkpoint.encodings.z_mean).plane()
    z = plane.to_latent([[0.5, -1.25]])[0]
    np.testing.assert_array_equal(find_picture(pictures, "Decoded"), decoded_pixels(checkpoint, z))
    assert ("z = (0.5, -1.25)" in session.words) == (model != DEEP)
    np.testing.assert_allclose(read_rings(read_map(session)), [[0.5, -1.25]] * 2)
    assert not session.notices


def test_a_click_pins_goes_to_the_link_and_can_be_taken_back(open_app: Open):
    session = open_app(model=VAE)
    assert "Click a point to see its details" in session.words
    session.send(f"map-{VAE}", "pin", {"row": 12})
    assert session.link["pin"] == "12"
    assert session.view(f"map-{VAE}")["pinned"]
    session.send(f"map-{VAE}", "pin", {"at": [0.25, 1e9]})
    assert session.link["pin"] == "0.25,1e+04"
    session.click("Unpin")
    assert "pin" not in session.link
    assert "Click a point to see its details" in session.words
    assert not session.view(f"map-{VAE}")["pinned"]


def test_a_click_pins_also_where_the_route_cannot_be_reached(open_app: Open):
    session = open_app(model=VAE, live=False)
    assert "Images update when you release" in session.words
    session.select(f"map-{VAE}-still", [{"customdata": 12}])
    assert session.link["pin"] == "12"
    assert "points selected**" not in session.words  # a click encircles nothing
    session.select(f"map-{VAE}-still", [{"customdata": 13}, {"customdata": 14}])
    assert session.link["pin"] == "12"


def test_the_still_map_returns_to_life_when_the_route_answers_again(open_app: Open):
    session = open_app(model=VAE)
    session.app.session_state["route_unreachable"] = True
    assert session.run().views() == []
    session.app.session_state["route_unreachable"] = False
    assert session.run().views() == [f"map-{VAE}"]


@LIVE
def test_what_is_encircled_is_counted_and_can_be_saved(open_app: Open, files: Files, live):
    session = open_app(model=VAE, live=live, drag="lasso")
    assert "Drag around points to select them" in session.words
    encodings = load_checkpoint(VAE).encodings
    by_label = [np.flatnonzero(encodings.labels == label) for label in range(10)]
    rows = [*by_label[2][:1], *by_label[7][:3], *by_label[8][:2]]
    rows = [int(row) for row in rows]
    if live:
        session.encircle(f"map-{VAE}", rows)
    else:
        points = [{"customdata": row} for row in rows] + [{"x": 0.1, "y": 0.2}]  # a prior's sample
        session.select(f"map-{VAE}-still", points, lasso=[{"x": [0, 1], "y": [0, 1]}])
    assert "**6 points selected**" in session.words
    (table,) = session.tables()
    assert table["Label"] == ["7", "8", "2"]
    assert table["Points"] == [3, 2, 1]
    assert list(table["Share"]) == ["50%", "33%", "17%"]
    lines = list(csv.DictReader(io.StringIO(files[f"{VAE}-selection.csv"]())))
    assert [int(line["row_id"]) for line in lines] == encodings.row_id[rows].tolist()


def test_a_selection_is_let_go_when_clicks_pin_again(open_app: Open):
    session = open_app(model=VAE, drag="lasso").encircle(f"map-{VAE}", [3, 5])
    assert "**2 points selected**" in session.words
    assert "points selected**" not in session.set(drag="pan").words


def test_p_values_are_the_normal_cdf_of_points_pin_and_samples(open_app: Open):
    session = open_app(model=VAE, pin="7", show="samples")
    before = read_map(session)
    session.set(scale="p")
    after = read_map(session)
    np.testing.assert_allclose(read_points(after), ndtr(read_points(before)), atol=1e-6)
    np.testing.assert_allclose(read_rings(after), ndtr(read_rings(before)), atol=1e-6)
    samples = ndtr(sample_latents(load_checkpoint(VAE), 200))
    np.testing.assert_allclose(read_array(after["data"][-1]["x"]), samples[:, 0], atol=1e-6)
    assert axis_titles(after) == ["Φ(z₁)", "Φ(z₂)"]
    assert session.view(f"map-{VAE}")["p_values"]
    assert session.link["scale"] == "p"


def test_rings_and_samples_of_the_prior_come_and_go(open_app: Open):
    session = open_app(model=VAE)
    plain = read_map(session)
    session.set(show=["rings", "samples"])
    figure = read_map(session)
    radii = [np.linalg.norm(read_path(s), axis=1).mean() for s in figure["layout"]["shapes"]]
    np.testing.assert_allclose(radii, [1, 2, 3], rtol=1e-3)
    assert figure["data"][-1]["name"] == "Samples"
    assert session.link["show"] == "rings,samples"
    assert read_map(session.set(show=[])) == plain
    assert "show" not in session.link


def test_a_plain_autoencoder_offers_no_prior_but_samples_of_its_box(open_app: Open):
    session = open_app(model=AUTOENCODER, show="samples")
    assert session.widget("show").options == ["Decoded tiles", "Samples"]
    assert "scale" not in session.app.session_state
    checkpoint = load_checkpoint(AUTOENCODER)
    drawn = read_map(session)["data"][-1]
    wanted = sample_latents(checkpoint, 200, "box")
    np.testing.assert_allclose(read_array(drawn["y"]), wanted[:, 1], atol=1e-6)


@pytest.mark.parametrize("model", [VAE, DEEP])
@pytest.mark.parametrize("scale", ["z", "p"])
def test_decoded_tiles_lie_where_their_pictures_belong(open_app: Open, model, scale):
    session = open_app(model=model, show="tiles", scale=scale)
    checkpoint = load_checkpoint(model)
    figure = read_map(session)
    image = figure["layout"]["images"][0]
    mosaic = read_mosaic(figure)
    assert mosaic.shape == (20 * 8, 20 * 8)
    column, row = 14, 3  # the middle of this tile, on the axes
    x = image["x"] + (column + 0.5) / 20 * image["sizex"]
    y = image["y"] - (row + 0.5) / 20 * image["sizey"]
    if scale == "p":
        x, y = ndtri(x), ndtri(y)
    plane = coordinate_plane(2)
    if model == DEEP:
        plane = principal_components(checkpoint.encodings.z_mean).plane()
    wanted = decoded_pixels(checkpoint, plane.to_latent([[x, y]])[0])
    found = mosaic[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] * 255
    np.testing.assert_allclose(found, wanted, atol=1)


def test_any_two_dimensions_span_a_map(open_app: Open):
    session = open_app(model=DEEP).set(plane="z")
    session.set(z_x="4").set(z_y="2")
    figure = read_map(session)
    z_mean = load_checkpoint(DEEP).encodings.z_mean
    np.testing.assert_allclose(read_points(figure), z_mean[:, [3, 1]], atol=1e-5)
    assert axis_titles(figure) == ["z₄", "z₂"]
    np.testing.assert_array_equal(session.view(f"map-{DEEP}")["plane"]["axes"], np.eye(5)[[3, 1]])
    assert session.link["plane"] == "z"


def test_dimensions_are_offered_by_their_kl_strongest_first(open_app: Open):
    session = open_app(model=DEEP, plane="z")
    kl = np.array(load_checkpoint(DEEP).card.metrics["kl_per_dimension"].value)
    order = [f"z{k + 1}".translate(SUBSCRIPTS) for k in np.argsort(-kl)]
    assert [option.split(" ")[0] for option in session.widget("z_x").options] == order
    assert axis_titles(read_map(session)) == order[:2]


def test_an_axis_that_is_taken_is_not_offered_twice(open_app: Open):
    session = open_app(model=DEEP).set(pca_y="3").set(pca_x="3")
    assert len(session.widget("pca_y").options) == 4
    assert session.widget("pca_y").value == "1"
    assert axis_titles(read_map(session)) == ["PC 3", "PC 1"]


def test_tsne_has_no_inverse(open_app: Open, pictures: list[Picture]):
    session = open_app(model=DEEP, pin="7", scale="p").set(plane="tsne")
    checkpoint = load_checkpoint(DEEP)
    figure = read_map(session)
    points = np.full_like(checkpoint.encodings.z_mean[:, :2], np.nan)
    points[checkpoint.tsne_rows] = checkpoint.tsne
    np.testing.assert_allclose(read_points(figure), points, atol=1e-4)
    assert "t-SNE has no inverse" in session.words
    view = session.view(f"map-{DEEP}")
    assert view["plane"] is None
    assert not view["p_values"]
    assert "show" not in [w.key for w in session.app.button_group]
    latents = read_floats(view["latents"]).reshape(-1, 5)  # the nearest point's is decoded
    np.testing.assert_array_equal(latents, checkpoint.encodings.z_mean[checkpoint.tsne_rows])
    np.testing.assert_allclose(read_rings(figure), points[[7, 7]], atol=1e-4)
    assert session.link["plane"] == "tsne"


def test_a_digit_can_be_drawn_on_the_map_of_a_model_of_digits(
    open_app: Open, shelf: Path, checkpoint_root: Path
):
    dataset = replace(load_checkpoint(checkpoint_root / VAE).card.dataset, name="mnist")
    put(checkpoint_root / VAE, shelf / "mine", dataset=dataset)
    session = open_app()
    box, encodings = session.view("map-mine-draw"), load_checkpoint("mine").encodings
    assert box["channel"] == session.view("map-mine")["channel"]
    np.testing.assert_array_equal(read_floats(box["latents"]).reshape(-1, 2), encodings.z_mean)
    assert box["labels"] == encodings.labels.tolist()
    assert "Draw a digit" in session.words
    assert "Draw a digit" not in open_app(live=False).words  # it needs the encode route
    put(checkpoint_root / VAE, shelf / "mine")
    assert "Draw a digit" not in session.run().words


def test_a_place_on_a_plane_is_no_place_on_tsne(open_app: Open):
    session = open_app(model=DEEP, pin="0.5,1").set(plane="tsne")
    assert len(read_rings(read_map(session))) == 0
    assert "Unpin" not in session.labels()
