"""Several models in one figure: points and lines stand where their numbers are."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from vae_explorer.figures import CLASS_COLOURS, curves_figure, rate_distortion_figure
from vae_explorer.figures.comparison import LETTER, LINE, place_labels

NAMES = ["weak", "plain", "strong", "autoencoder", "under way"]
RATE = [10.1, 6.74, 3.38, np.nan, 5.0]
DISTORTION = [250.4, 250.8, 265.1, 250.7, 256.0]
BETA = [0.1, 1.0, 10.0, np.nan, 4.0]
KINDS = ["vae", "vae", "vae", "autoencoder", "run"]


@pytest.fixture
def figure() -> go.Figure:
    return rate_distortion_figure(NAMES, RATE, DISTORTION, beta=BETA, kinds=KINDS)


def marks(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data if trace.name}


def test_models_stand_at_their_rate_and_distortion(figure: go.Figure) -> None:
    found = marks(figure)
    assert found["VAE"].x.tolist() == RATE[:3]
    assert found["VAE"].y.tolist() == DISTORTION[:3]
    assert found["VAE"].hovertext.tolist() == NAMES[:3]
    run = found["Run without a saved model"]
    assert (run.x.tolist(), run.y.tolist()) == ([5.0], [256.0])


def test_what_has_no_rate_stands_apart_at_its_distortion(figure: go.Figure) -> None:
    apart = marks(figure)["Autoencoder"]
    assert list(apart.x) == ["No rate"]
    assert apart.y.tolist() == [250.7]
    assert apart.xaxis == "x2"
    assert figure.layout.yaxis2.matches == "y"  # one scale for both


def test_kinds_differ_in_shape_and_beta_in_colour(figure: go.Figure) -> None:
    found = marks(figure)
    assert len({trace.marker.symbol for trace in found.values()}) == 3
    np.testing.assert_allclose(found["VAE"].marker.color, [-1, 0, 1])  # log10
    ticks = dict(
        zip(
            figure.layout.coloraxis.colorbar.tickvals,
            figure.layout.coloraxis.colorbar.ticktext,
            strict=True,
        )
    )
    assert (ticks[-1], ticks[1]) == ("0.1", "10")


def test_dotted_lines_join_equal_sums(figure: go.Figure) -> None:
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(lines) >= 3
    sums = [np.add(line.x, line.y) for line in lines]
    assert all(a == pytest.approx(b) for a, b in sums)
    low, high = figure.layout.yaxis.range
    assert all(low - 1e-6 <= y <= high + 1e-6 for line in lines for y in line.y)
    written = [float(note.text.removeprefix("−ELBO ")) for note in figure.layout.annotations]
    assert written == pytest.approx([a for a, _ in sums])


def test_all_points_are_in_the_window(figure: go.Figure) -> None:
    assert figure.layout.xaxis.range[0] == 0
    assert figure.layout.xaxis.range[1] > max(RATE[:3])
    low, high = figure.layout.yaxis.range
    assert low < min(DISTORTION) < max(DISTORTION) < high


@pytest.mark.parametrize(
    ("rate", "beta", "kind"), [(3.0, 1.0, "vae"), (np.nan, np.nan, "autoencoder"), (0, 0, "vae")]
)
def test_one_model_is_enough(rate: float, beta: float, kind: str) -> None:
    figure = rate_distortion_figure(["it"], [rate], [80.0], beta=[beta], kinds=[kind])
    (mark,) = marks(figure).values()
    assert mark.y.tolist() == [80.0]
    assert not figure.layout.coloraxis.showscale  # there is nothing to tell apart


def test_a_beta_of_zero_has_a_colour_below_the_others() -> None:
    figure = rate_distortion_figure(["a", "b"], [9, 3], [80, 90], beta=[0, 1], kinds=["vae", "vae"])
    (mark,) = marks(figure).values()
    assert mark.marker.color[0] < mark.marker.color[1]
    assert np.isfinite(mark.marker.color).all()


def test_fifty_models_are_all_named_by_the_pointer_and_some_beside_their_points() -> None:
    rng = np.random.default_rng(0)
    names = [f"Fashion-MNIST VAE (2-D), number {k}" for k in range(50)]
    figure = rate_distortion_figure(
        names, rng.random(50), rng.random(50), beta=np.ones(50), kinds=["vae"] * 50
    )
    (mark,) = marks(figure).values()
    assert mark.hovertext.tolist() == names
    assert "%{hovertext}" in mark.hovertemplate
    written = [text for text in mark.text if text]
    assert 5 < len(written) < 50
    assert set(written) < set(names)


def test_a_name_is_no_markup() -> None:
    name = '<a href="http://example.org">x</a> & <b>'
    figure = rate_distortion_figure([name], [1], [2], beta=[1], kinds=["vae"])
    (mark,) = marks(figure).values()
    assert not {"<", ">"} & set(mark.hovertext[0])
    figure = curves_figure({name: ([1], [2])}, colours={name: 0}, x_title="", y_title="")
    assert not {"<", ">"} & set(figure.data[0].name)


def test_sums_that_cannot_be_compared_are_not_drawn() -> None:
    figure = rate_distortion_figure(NAMES, RATE, DISTORTION, beta=BETA, kinds=KINDS, sums=False)
    assert [trace for trace in figure.data if trace.mode == "lines"] == []
    assert len(figure.layout.annotations) == 0


def boxes(spots: np.ndarray, labels: list[str], sides: list[str]) -> list[np.ndarray]:
    """Where Plotly writes labels, as far as a letter's width is known."""
    found = []
    for (x, y), label, side in zip(spots, labels, sides, strict=True):
        width = LETTER * len(label)
        left = x - {"right": 0, "center": width / 2, "left": width}[side.split()[1]]
        low = y - {"top": 0, "middle": LINE / 2, "bottom": LINE}[side.split()[0]]
        found.append(np.array([left, low, left + width, low + LINE]))
    return found


def test_labels_of_neighbours_take_other_sides() -> None:
    spots = np.array([[0.4, 0.5], [0.5, 0.5], [0.45, 0.52]])
    sides = place_labels(spots, ["first one", "second one", "third one"])
    assert sides[1] != sides[0] or sides[2] != sides[0]
    assert len(set(sides)) == 3


def test_a_label_at_the_right_edge_is_written_to_the_left() -> None:
    (side,) = place_labels([[0.98, 0.5]], ["a rather long name"])
    assert side.endswith("left")


def test_a_label_without_room_is_left_out() -> None:
    spots = np.full((30, 2), 0.5)
    sides = place_labels(spots, ["a name of some length"] * 30)
    assert sides[0] is not None
    assert None in sides


def test_a_label_keeps_off_what_is_written_already() -> None:
    spot = np.array([[0.3, 0.5]])
    assert place_labels(spot, ["name"]) == ["middle right"]
    (side,) = place_labels(spot, ["name"], [(0.3, 0.4, 0.9, 0.6)])
    (box,) = boxes(spot, ["name"], [side])
    assert box[2] <= 0.3 + 1e-9


def test_curves_are_the_numbers_in_their_colours() -> None:
    x, y = np.arange(1, 31), 100 / np.arange(1, 31)
    figure = curves_figure(
        {"a": (x, y), "late": (x, y + 1), "short": (x[:1], y[:1])},
        colours={"a": 0, "late": 13, "short": 2},
        x_title="epoch",
        y_title="nats",
    )
    first, late, short = figure.data
    assert np.array_equal(first.x, x)
    assert np.array_equal(first.y, y)
    assert first.line.color == CLASS_COLOURS[0]
    assert (late.line.color, late.line.dash) == (CLASS_COLOURS[3], "dash")
    assert short.mode == "markers"  # a line of one point would not be seen
    assert figure.layout.showlegend
    low, high = figure.layout.yaxis.range
    assert low < y[-1] < high < y[0] + 10
