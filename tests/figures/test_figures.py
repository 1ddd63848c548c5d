from __future__ import annotations

import itertools
import tomllib

import numpy as np
import pytest
from scipy.stats import norm

from tests.support import PROJECT
from vae_explorer.figures import (
    ACCENT,
    CLASS_COLOURS,
    DecodedTiles,
    loss_figure,
    scatter_figure,
)

THEMES = tomllib.loads((PROJECT / ".streamlit/config.toml").read_text())["theme"]
BACKGROUNDS = {name: THEMES[name]["backgroundColor"] for name in ("light", "dark")}

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


def linear_rgb(colour: str) -> np.ndarray:
    value = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG 2.1."""
    low, high = sorted(0.05 + linear_rgb(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b))
    return high / low


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Ottosson, "A perceptual color space for image processing", 2020."""
    lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return lab @ np.cbrt(lms @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("background", BACKGROUNDS.values())
def test_class_colours_are_readable_on_light_and_on_dark(background):
    assert min(contrast(colour, background) for colour in CLASS_COLOURS) >= 3


# For comparison: Matplotlib's ten are 0.113, 0.006 and 0.023 apart; Okabe and Ito's eight 0.156,
# 0.096 and 0.076.
@pytest.mark.parametrize(
    ("vision", "apart"), [("normal", 0.115), ("protanopia", 0.07), ("deuteranopia", 0.07)]
)
def test_any_two_class_colours_can_be_told_apart(vision, apart):
    seen = [oklab(VISION[vision] @ linear_rgb(colour)) for colour in CLASS_COLOURS]
    assert len(seen) == 10
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= apart


def test_the_accent_is_readable_and_no_class_wears_it():
    assert contrast(ACCENT, BACKGROUNDS["light"]) >= 4.5
    assert contrast(ACCENT, BACKGROUNDS["dark"]) >= 3
    accent = oklab(linear_rgb(ACCENT))
    assert min(np.linalg.norm(accent - oklab(linear_rgb(c))) for c in CLASS_COLOURS) >= 0.12


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)


LABELS = np.arange(60) % 3
NAMES = ["Trouser", "Bag", "Coat"]
AXES = ("z₁", "z₂")


def test_there_is_one_trace_a_class_in_its_colour_with_the_rows_of_its_points(points):
    figure = scatter_figure(points, LABELS, NAMES, axis_names=AXES)
    assert [trace.name for trace in figure.data] == NAMES
    assert [trace.marker.color for trace in figure.data] == list(CLASS_COLOURS[:3])
    for trace in figure.data:
        np.testing.assert_array_equal(points[trace.customdata, 0], trace.x)
        np.testing.assert_array_equal(points[trace.customdata, 1], trace.y)
    assert sorted(np.concatenate([trace.customdata for trace in figure.data])) == list(range(60))


def test_a_class_keeps_its_colour_when_others_are_absent(points):
    figure = scatter_figure(points[:2], [2, 2], NAMES, axis_names=AXES)
    assert [(t.name, t.marker.color) for t in figure.data] == [("Coat", CLASS_COLOURS[2])]


def test_the_eleventh_class_differs_from_the_first(points):
    figure = scatter_figure(points[:2], [0, 10], [str(k) for k in range(11)], axis_names=AXES)
    first, eleventh = (trace.marker for trace in figure.data)
    assert (first.color, first.symbol) != (eleventh.color, eleventh.symbol)


def test_points_carry_the_rows_they_are_given(points):
    figure = scatter_figure(points, axis_names=AXES, rows=np.arange(60) + 500)
    np.testing.assert_array_equal(figure.data[0].customdata, np.arange(60) + 500)
    assert figure.layout.showlegend is False


def test_only_encodings_carry_rows(points):
    figure = scatter_figure(points, axis_names=AXES, samples=points[:5] + 1)
    np.testing.assert_array_equal(figure.data[1].x, points[:5, 0] + 1)
    assert figure.data[1].customdata is None


def test_a_unit_is_as_long_on_both_axes_and_the_background_is_the_pages(points):
    layout = scatter_figure(points, axis_names=AXES, height=321, dragmode="lasso").layout
    assert layout.yaxis.scaleanchor == "x"
    assert (layout.xaxis.title.text, layout.yaxis.title.text) == AXES
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert (layout.height, layout.dragmode) == (321, "lasso")


@pytest.mark.parametrize("template", ["light", "dark"])
def test_a_figure_wears_its_themes_text_colour_and_fills_samples_with_its_background(
    points, template
):
    figure = scatter_figure(points, axis_names=AXES, samples=points, template=template)
    assert figure.layout.font.color == THEMES[template]["textColor"]
    assert figure.data[-1].marker.color == BACKGROUNDS[template]
    assert contrast(figure.layout.font.color, BACKGROUNDS[template]) >= 4.5


def test_p_values_map_points_samples_pins_and_ellipses(points):
    figure = scatter_figure(
        points,
        axis_names=AXES,
        p_values=True,
        samples=points[:3],
        pinned=points[0],
        neighbours=points[1:2],
        ellipses=[points[:4]],
    )
    np.testing.assert_allclose(figure.data[0].x, norm.cdf(points[:, 0]), atol=1e-6)
    np.testing.assert_allclose(figure.data[1].y, norm.cdf(points[:3, 1]), atol=1e-6)
    outline, neighbour, *pin = figure.layout.shapes
    assert outline.path.startswith(f"M {norm.cdf(points[0, 0]):.4f}")
    np.testing.assert_allclose(neighbour.xanchor, norm.cdf(points[1, 0]), atol=1e-6)
    np.testing.assert_allclose([ring.yanchor for ring in pin], norm.cdf(points[0, 1]), atol=1e-6)
    assert figure.layout.xaxis.title.text == "Φ(z₁)"
    np.testing.assert_allclose(figure.layout.xaxis.range, (0, 1), atol=0.05)


def read_path(path: str) -> np.ndarray:
    pairs = path.removeprefix("M ").removesuffix(" Z").split(" L ")
    return np.array([pair.split(",") for pair in pairs], float)


def test_prior_rings_lie_at_one_two_and_three_sigma_within_the_view(points):
    layout = scatter_figure(points / 10, axis_names=AXES, prior_rings=True).layout
    radii = [np.linalg.norm(read_path(shape.path), axis=1) for shape in layout.shapes]
    np.testing.assert_allclose(radii, np.repeat([[1], [2], [3]], len(radii[0]), axis=1), rtol=1e-4)
    assert [note.text for note in layout.annotations] == ["1σ", "2σ", "3σ"]
    assert layout.xaxis.range[0] < -3 < 3 < layout.xaxis.range[1]


def test_the_pin_and_its_ellipse_wear_the_accent(points):
    shapes = scatter_figure(
        points, axis_names=AXES, pinned=points[7], ellipses=[points[:5]]
    ).layout.shapes
    np.testing.assert_allclose(read_path(shapes[0].path), points[:5], rtol=1e-4)
    assert shapes[0].line.color == shapes[-1].line.color == ACCENT
    np.testing.assert_allclose((shapes[-1].xanchor, shapes[-1].yanchor), points[7])


def test_tiles_lie_below_the_points_where_they_belong_and_within_the_view(points):
    tiles = DecodedTiles("data:image/png;base64,", x0=-9, x1=5, y0=-2, y1=7)
    layout = scatter_figure(points, axis_names=AXES, tiles=tiles).layout
    (image,) = layout.images
    assert (image.x, image.y, image.sizex, image.sizey) == (-9, 7, 14, 9)
    assert (image.layer, image.sizing, image.source) == ("below", "stretch", tiles.url)
    assert layout.xaxis.range[0] < -9
    assert layout.yaxis.range[1] > 7


def test_zoom_survives_a_pin_but_not_other_axes(points):
    before = scatter_figure(points, axis_names=AXES).layout.uirevision
    assert scatter_figure(points, axis_names=AXES, pinned=points[0]).layout.uirevision == before
    assert scatter_figure(points, axis_names=("z₁", "z₃")).layout.uirevision != before
    assert scatter_figure(points, axis_names=AXES, p_values=True).layout.uirevision != before


def test_a_lasso_fades_what_it_leaves_out_and_a_click_fades_nothing(points):
    pan, lasso = (
        scatter_figure(points, axis_names=AXES, dragmode=mode).data[0] for mode in ("pan", "lasso")
    )
    assert pan.unselected.marker.opacity == pan.marker.opacity
    assert lasso.unselected.marker.opacity < 0.5 * lasso.marker.opacity


def test_no_points_are_an_empty_map():
    figure = scatter_figure(np.zeros((0, 2)), np.zeros(0, int), NAMES, axis_names=AXES)
    assert len(figure.data) == 0


@pytest.mark.parametrize(
    ("labels", "rows", "message"),
    [
        (LABELS[:-1], None, r"\(59,\) labels"),
        (LABELS, np.arange(3), r"\(3,\) rows"),
        (LABELS + 1, None, "from 1 to 3, but there are 3"),
        (LABELS - 1, None, "from -1 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(points, labels, rows, message):
    with pytest.raises(ValueError, match=message):
        scatter_figure(points, labels, NAMES, axis_names=AXES, rows=rows)


@pytest.fixture
def history() -> dict[str, np.ndarray]:
    epochs = np.arange(1, 41)
    fall = 60 * np.exp(-epochs / 2)
    return {
        "epoch": epochs,
        "train_loss": 258 + fall,
        "train_reconstruction": 252 + fall,
        "train_kl": 6 - fall / 100,
        "validation_loss": 259 + fall,
        "validation_reconstruction": 253 + fall,
        "validation_kl": 6.1 - fall / 100,
    }


def test_each_part_of_the_loss_has_its_two_curves(history):
    figure = loss_figure(history, height=400)
    drawn = {tuple(trace.y) for trace in figure.data}
    assert drawn == {tuple(values) for name, values in history.items() if name != "epoch"}
    assert all(np.array_equal(trace.x, history["epoch"]) for trace in figure.data)
    assert {trace.yaxis for trace in figure.data} == {"y", "y2", "y3"}
    assert figure.layout.height == 400


def test_curves_are_labelled_at_their_ends_the_upper_one_above(history):
    notes = [n for n in loss_figure(history).layout.annotations if n.yref == "y"]
    assert {(n.text, n.y, n.yanchor) for n in notes} == {
        ("train", history["train_loss"][-1], "top"),
        ("validation", history["validation_loss"][-1], "bottom"),
    }


def test_the_axis_fits_where_the_curves_settle(history):
    low, high = loss_figure(history).layout.yaxis.range
    assert low < history["train_loss"][-1]
    assert history["validation_loss"][-1] < high < history["train_loss"][0]


def test_a_plain_autoencoder_has_one_panel(history):
    flat = {name: values * (not name.endswith("_kl")) for name, values in history.items()}
    assert {trace.yaxis for trace in loss_figure(flat).data} == {"y"}


def test_a_single_epoch_is_seen_as_a_point(history):
    figure = loss_figure({name: values[:1] for name, values in history.items()})
    assert {trace.mode for trace in figure.data} == {"markers"}


def test_a_history_without_epochs_or_columns_says_so(history):
    with pytest.raises(ValueError, match="no epoch yet"):
        loss_figure({name: values[:0] for name, values in history.items()})
    del history["validation_kl"]
    with pytest.raises(ValueError, match="validation_kl"):
        loss_figure(history)
