"""What the views share, each module by itself in the browser."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from scipy.stats import kstest, norm

from vae_explorer.latent.interpolation import lerp, slerp
from vae_explorer.latent.planes import Plane
from vae_explorer.ui.stage.tiles import pack_floats
from vae_explorer.webpage import to_text

LoadModules = Callable[..., Page]


# ------------------------------------------------------------------ latents


@pytest.mark.parametrize("kind", ["any", "parallel", "opposite", "zero"])
def test_interpolation_is_the_cores(load_modules: LoadModules, kind: str) -> None:
    page = load_modules("lib/latents.js")
    a, b = np.random.default_rng(0).standard_normal((2, 5))
    b = {"any": b, "parallel": 2 * a, "opposite": -a, "zero": 0 * a}[kind]
    t = np.linspace(0, 1, 5)
    script = "([f, a, b, t]) => t.map((each) => window[f](a, b, each))"
    for name, wanted in (("slerp", slerp), ("lerp", lerp)):
        found = page.evaluate(script, [name, a.tolist(), b.tolist(), t.tolist()])
        np.testing.assert_allclose(found, wanted(a, b, t), atol=1e-5)


def test_a_plane_is_mapped_to_latents(load_modules: LoadModules) -> None:
    page = load_modules("lib/latents.js")
    origin, *axes = np.random.default_rng(0).standard_normal((3, 4))
    plane = {"origin": origin.tolist(), "axes": np.array(axes).tolist()}
    found = page.evaluate(
        """(plane) => {
          const z = new Float64Array(8);
          planeToLatent(z, 4, plane, 2, -0.5);
          return Array.from(z);
        }""",
        plane,
    )
    np.testing.assert_allclose(found, [0] * 4 + list(origin + 2 * axes[0] - 0.5 * axes[1]))


def test_normal_quantiles_and_grid_steps(load_modules: LoadModules) -> None:
    page = load_modules("lib/latents.js")
    p = [1e-6, 0.01, 0.2, 0.5, 0.9, 0.999]
    np.testing.assert_allclose(page.evaluate("(p) => p.map(probit)", p), norm.ppf(p), atol=1e-7)
    x = norm.ppf(p)
    np.testing.assert_allclose(page.evaluate("(x) => x.map(normalCdf)", x.tolist()), p, atol=2e-7)
    assert page.evaluate("gridSteps(2, 5, 'linear')") == [-2, -1, 0, 1, 2]
    steps = np.array(page.evaluate("gridSteps(2, 5, 'quantile')"))
    np.testing.assert_allclose(np.diff(norm.cdf(steps)), np.diff(norm.cdf(steps)).mean(), rtol=1e-5)


def test_a_path_is_linear_between_its_points(load_modules: LoadModules) -> None:
    page = load_modules("lib/latents.js")
    found = page.evaluate(
        "[0, 0.25, 0.5, 1].map((t) => Array.from(alongPath([0, 0, 2, 4, 2, 0], t, 2)))"
    )
    assert found == [[0, 0], [1, 2], [2, 4], [2, 0]]


# ------------------------------------------------------------------ scatter


def test_projection_and_its_inverse(load_modules: LoadModules) -> None:
    page = load_modules("lib/scatter.js")
    frame = {"x": 1, "y": -2, "half": 4}
    found = page.evaluate(
        "(frame) => [[1, -2], [-3, 2], [5, -6]].map((p) => project(projection(frame, 200), p))",
        frame,
    )
    assert found == [[100, 100], [0, 0], [200, 200]]
    back = page.evaluate(
        "([frame, found]) => found.map((p) => unproject(projection(frame, 200), p))",
        [frame, found],
    )
    assert back == [[1, -2], [-3, 2], [5, -6]]


def test_points_are_drawn_in_their_colours_between_two_places_and_contours_over_them(
    load_modules: LoadModules,
) -> None:
    page = load_modules("lib/scatter.js")
    pixel = page.evaluate(
        """() => {
          document.body.style.color = "#0000ff";
          const canvas = document.createElement("canvas");
          canvas.style.cssText = "width: 100px; height: 100px";
          document.body.append(canvas);
          const scatter = createScatter(canvas, { radius: 2, lines: [2, 2, 2] });
          const drawn = scatter.draw({
            frame: { x: 0, y: 0, half: 5 }, from: [0, 0, 4, 4, -4, -4], to: [-4, 2, 4, 4, -4, -4],
            share: 0.5, labels: [0, 1, 2], inks: toInks(["#ff0000", "#00ff00", "#111111"]),
            hidden: new Set([2]),
          });
          const context = canvas.getContext("2d");
          return [[30, 40], [90, 10], [10, 90], [50, 50], [60, 50]].map(
            (at) => Array.from(context.getImageData(...at, 1, 1).data));
        }"""
    )
    red, green, hidden, empty, contour = pixel
    assert red == [255, 0, 0, 255]
    assert green == [0, 255, 0, 255]
    assert hidden == empty == [0, 0, 0, 0]
    assert contour[:3] == [0, 0, 255]
    assert contour[3] > 200  # its edges are smooth


# ------------------------------------------------------------------ curves


def test_scales_ticks_and_ranges(load_modules: LoadModules) -> None:
    page = load_modules("lib/curves.js")
    assert page.evaluate("[2, 3, 4].map(linearScale([2, 4], [100, 0]))") == [100, 50, 0]
    assert page.evaluate("linearScale([2, 2], [100, 0])(2)") == 100
    assert page.evaluate("ticksOf(0, 10)") == [0, 5, 10]
    assert page.evaluate("ticksOf(-0.11, 0.13)") == [-0.1, 0, 0.1]
    assert page.evaluate("padRange([0, 10], 0.1)") == [-1, 11]
    assert page.evaluate("padRange([3, 3], 0.1)") == pytest.approx([2.99, 3.01])


def test_curves_span_the_chart(load_modules: LoadModules) -> None:
    page = load_modules("lib/curves.js")
    found = page.evaluate(
        """() => {
          const chart = createCurves(document.body, { width: 600, height: 90 });
          chart.draw([{ places: [1, 2, 3], values: [9, 0, 4.5], className: "a" }], [1, 3], [0, 9]);
          const marker = chart.addMarker("marker");
          marker.move(2);
          return [chart.svg.querySelector("path").getAttribute("d"),
                  chart.svg.querySelector(".marker").getAttribute("transform")];
        }"""
    )
    assert found == ["M0.0 0.0L300.0 90.0L600.0 45.0", "translate(300)"]


# ------------------------------------------------------------------ slider


@pytest.fixture
def slider(load_modules: LoadModules) -> Page:
    page = load_modules("lib/slider.js", "lib/dom.js")
    page.evaluate(
        """() => {
          window.moves = [];
          window.commits = 0;
          window.add = (setting, snap) => {
            const made = createSlider(document.body, setting, {
              snap, commit: debounce(() => commits++, 1000),
              move: (value) => { moves.push(value); made.show(value, String(value)); },
            });
            made.show(setting.value, "");
          };
          add({ label: "plain", low: -1, high: 1, step: 0.1, reset: 0.25, value: 0 }, false);
          const powers = { low: 1, high: 256, doubling: true };
          add({ label: "double", ...powers, reset: 16, value: 8 }, true);
        }"""
    )
    return page


def last(page: Page) -> float:
    return float(page.evaluate("moves.at(-1)"))


@pytest.mark.parametrize(
    ("label", "keys", "wanted"),
    [
        ("plain", ["ArrowRight"], 0.1),
        ("plain", ["ArrowUp", "ArrowUp", "ArrowLeft"], 0.1),
        ("plain", ["Shift+ArrowDown"], -1),
        ("plain", ["Shift+ArrowRight", "ArrowRight"], 1),  # and no farther
        ("double", ["ArrowRight"], 16),
        ("double", ["ArrowLeft", "ArrowDown"], 2),
        ("double", ["End"], 256),
    ],
)
def test_keys_move_a_slider_and_it_is_committed_when_they_rest(
    slider: Page, label: str, keys: list[str], wanted: float
) -> None:
    handle = slider.get_by_role("slider", name=label)
    for key in keys:
        handle.press(key)
    assert last(slider) == pytest.approx(wanted)
    slider.wait_for_function("commits === 1")
    slider.wait_for_timeout(100)
    assert slider.evaluate("commits") == 1
    expect(handle).to_have_attribute("aria-valuetext", str(slider.evaluate("String(moves.at(-1))")))


def test_a_double_click_resets_and_commits_at_once(slider: Page) -> None:
    for label, wanted in (("plain", 0.25), ("double", 16)):
        slider.get_by_role("slider", name=label).dispatch_event("dblclick")
        assert last(slider) == wanted
    assert slider.evaluate("commits") == 2


def test_a_wheel_moves_only_the_slider_that_has_the_focus(slider: Page) -> None:
    handle = slider.get_by_role("slider", name="plain")
    handle.hover()
    slider.mouse.wheel(0, 100)
    slider.wait_for_timeout(100)
    assert slider.evaluate("moves.length") == 0
    handle.focus()
    slider.mouse.wheel(0, -100)
    slider.wait_for_function("moves.length === 1")
    assert last(slider) == pytest.approx(0.1)


# ------------------------------------------------------------------ player


def test_a_player_goes_there_and_back(load_modules: LoadModules) -> None:
    page = load_modules("lib/player.js")
    found = page.evaluate(
        """() => {
          const advance = thereAndBack(2)(0.5);
          return [500, 500, 1000, 1500].map((elapsed) => advance(elapsed).at);
        }"""
    )
    assert found == pytest.approx([0.75, 1, 0.5, 0.25])


# ------------------------------------------------------------------ channel


def test_values_are_shared_by_name_and_news_from_python_only_once(
    load_modules: LoadModules,
) -> None:
    page = load_modules("lib/channel.js")
    found = page.evaluate(
        """() => {
          const [one, two, other] = ["a", "a", "b"].map(openChannel);
          const heard = [];
          const leave = two.follow((since) => heard.push([since, two.values.x]));
          one.give({ x: 1 });
          one.move({ x: 2 }, 5);
          one.give({ x: 1 }); // no news
          const kept = two.values.x;
          one.give({ x: 3 });
          leave();
          one.move({ x: 4 }, 6);
          return { heard, kept, other: other.values, last: two.values.x };
        }"""
    )
    assert found == {"heard": [[0, 1], [5, 2], [0, 3]], "kept": 2, "other": {}, "last": 4}


# ------------------------------------------------------------------ source


def test_of_many_requests_only_the_newest_waits(load_modules: LoadModules) -> None:
    page = load_modules("lib/source.js")
    found = page.evaluate(
        """async ([lanes]) => {
          const [answers, asked, drawn] = [[], [], []];
          const decode = (z) => new Promise((answer) => { asked.push(z); answers.push(answer); });
          const notes = { show() {}, hide() {} };
          const draw = (images, { z }) => drawn.push(z);
          const ask = createFeed({ decode }, notes, draw, () => {}, lanes);
          for (let z = 1; z <= 6; z++) ask(() => ({ z }));
          const before = [...asked];
          while (answers.length) {
            answers.shift()("images");
            await new Promise((done) => setTimeout(done));
          }
          return { before, asked, drawn };
        }""",
        [2],
    )
    assert found == {"before": [1, 2], "asked": [1, 2, 6], "drawn": [1, 2, 6]}


@pytest.mark.parametrize(
    ("status", "asked", "shown", "lost"),
    [(409, 1, [], False), (422, 1, ["no"], False), (503, 2, [], False), (404, 1, ["no"], True)],
)
def test_a_refusal_is_shown_or_asked_again(
    load_modules: LoadModules, status: int, asked: int, shown: list[str], lost: bool
) -> None:
    page = load_modules("lib/source.js")
    found = page.evaluate(
        """async (status) => {
          const result = { asked: 0, shown: [], lost: false };
          const decode = async () => {
            if (++result.asked === 1) throw new RequestError(status, "no");
            return "images";
          };
          const notes = { show: (text) => result.shown.push(text), hide() {} };
          createFeed({ decode }, notes, () => {}, () => (result.lost = true))(() => ({ z: [] }));
          await new Promise((done) => setTimeout(done, 250));
          return result;
        }""",
        status,
    )
    assert found == {"asked": asked, "shown": shown, "lost": lost}


def test_what_the_browser_cannot_compute_is_said_in_the_engines_words(
    load_modules: LoadModules,
) -> None:
    page = load_modules("lib/source.js", "lib/engine/engine.js")
    found = page.evaluate(
        """async () => {
          const result = { loads: 0, shown: [], lost: false };
          const load = async () => {
            result.loads++;
            throw new Error("no weights");
          };
          const source = createEngine(load).source();
          const notes = { show: (text) => result.shown.push(text), hide() {} };
          createFeed(source, notes, () => {}, () => (result.lost = true))(() => ({ z: [] }));
          while (!result.shown.length) await new Promise((done) => setTimeout(done, 20));
          await new Promise((done) => setTimeout(done, 50));
          return result;
        }"""
    )
    assert found["loads"] > 0
    assert [words[:38] for words in found["shown"]] == ["This browser cannot compute this model"]
    assert not found["lost"]


# ------------------------------------------------------------------ passes of the decoded grid


def test_interleaved_passes_cover_every_tile_once(load_modules: LoadModules) -> None:
    page = load_modules("explore/passes.js")
    for count in (1, 4, 9):
        tiles = page.evaluate(
            "(n) => Array.from({ length: n }, (_, pass) => tilesOf(pass, n, 10, 100)).flat()", count
        )
        assert sorted(tiles) == list(range(100))


def test_the_refinement_goes_from_coarse_to_idle(load_modules: LoadModules) -> None:
    page = load_modules("explore/passes.js")
    states = page.evaluate(
        """() => {
          const passes = createPasses();
          const states = [passes.state];
          passes.outdate();
          states.push(passes.state); // all tiles in one request
          passes.finish(passes.begin(0), 40);
          passes.adapt(100, 10); // which took 40 ms: three passes
          states.push(passes.state);
          passes.outdate();
          for (let now = 50; passes.isOutdated; now += 10) {
            states.push(passes.state);
            passes.finish(passes.begin(now), now + 10);
          }
          return [...states, passes.state];
        }"""
    )
    assert states == ["idle", "full", "idle", "coarse", "interleaved", "interleaved", "idle"]


# ------------------------------------------------------------------ progress of a training


def test_principal_components_are_aligned_by_rotation_or_reflection(
    load_modules: LoadModules,
) -> None:
    page = load_modules("train/progress.js")
    points = np.random.default_rng(0).standard_normal((30, 2))
    c, s = np.cos(0.7), np.sin(0.7)
    for transform in ([[c, -s], [s, c]], [[c, s], [s, -c]]):
        moved = points @ np.array(transform).T
        found = page.evaluate(
            "([points, others]) => alignTo(points, others)",
            [moved.ravel().tolist(), points.ravel().tolist()],
        )
        np.testing.assert_allclose(found, points.ravel(), atol=1e-9)


# ------------------------------------------------------------------ what a page of its own needs


def test_a_latent_has_its_coordinates_on_a_plane(load_modules: LoadModules) -> None:
    page = load_modules("lib/latents.js")
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((5, 2)))[0].T
    plane = Plane(rng.standard_normal(5), axes, ("a", "b"))
    z = rng.standard_normal((4, 5))
    found = page.evaluate(
        "([origin, axes, z]) => z.map((each) => latentToPlane({ origin, axes }, each))",
        [plane.origin.tolist(), plane.axes.tolist(), z.tolist()],
    )
    np.testing.assert_allclose(found, plane.to_plane(z), atol=1e-5)


def test_numbers_are_packed_and_read(load_modules: LoadModules) -> None:
    page = load_modules("lib/dom.js")
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    packed = page.evaluate("packFloats", values.tolist())
    assert packed == pack_floats(values)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8, 12, 13, 14, 1000])
def test_packed_text_is_read(load_modules: LoadModules, count: int) -> None:
    page = load_modules("lib/packed_text.js")
    data = np.random.default_rng(count).bytes(count)
    assert bytes(page.evaluate("(text) => Array.from(fromText(text))", to_text(data))) == data
    text = to_text(gzip.compress(data))
    found = page.evaluate("async (t) => Array.from(new Uint8Array(await unzip(fromText(t))))", text)
    assert bytes(found) == data


def test_latents_are_drawn_from_a_prior(load_modules: LoadModules) -> None:
    page = load_modules("lib/random.js")
    covariance = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]])
    mean = [1.0, -2.0, 0.5]
    factor = np.linalg.cholesky(covariance)[np.tril_indices(3)].tolist()
    script = """([prior, d, n, seed]) => {
      const { z, centre } = drawLatents(prior, d, n, seed);
      return [Array.from(z), Array.from(centre)];
    }"""

    def draw(prior: dict[str, object], n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        z, centre = page.evaluate(script, [prior, 3, n, seed])
        return np.reshape(z, (n, 3)), np.reshape(centre, (n, 3))

    z, centre = draw({"kind": "gaussian", "mean": mean, "factor": factor}, 40_000)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.05)
    np.testing.assert_allclose(centre, np.broadcast_to(mean, centre.shape))
    few, _ = draw({"kind": "gaussian", "mean": mean, "factor": factor}, 10)
    np.testing.assert_array_equal(few, z[:10])
    standard, _ = draw({"kind": "gaussian"}, 10_000, 5)
    assert kstest(standard.ravel(), "norm").pvalue > 1e-3
    other, _ = draw({"kind": "gaussian"}, 10, 6)
    assert not np.isclose(other, standard[:10]).any()
    box, middle = draw({"kind": "box", "low": [0, -1, 2], "high": [1, 3, 2]}, 10_000)
    np.testing.assert_allclose(middle[0], [0.5, 1, 2])
    np.testing.assert_allclose(box.min(axis=0), [0, -1, 2], atol=0.01)
    np.testing.assert_allclose(box.max(axis=0), [1, 3, 2], atol=0.01)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("inverted", [False, True])
def test_an_upload_becomes_a_models_input(
    load_modules: LoadModules, channels: int, inverted: bool
) -> None:
    page = load_modules("explore/upload.js")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 4), np.uint8)
    found = page.evaluate(
        "([p, c, i]) => Array.from(toInput(Uint8ClampedArray.from(p), c, i))",
        [pixels.ravel().tolist(), channels, inverted],
    )
    colours = Image.fromarray(pixels[..., :3])
    wanted = np.asarray(colours.convert("L") if channels == 1 else colours, float) / 255
    wanted = np.moveaxis(wanted.reshape(4, 4, channels), -1, 0)
    wanted = 1 - wanted if inverted else wanted
    np.testing.assert_allclose(found, wanted.ravel(), atol=1 / 255)
