from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from scipy.spatial import KDTree
from scipy.special import ndtri

from tests.support.live_stage import (
    NO_ENGINE,
    Map,
    assert_same_picture,
    count_messages,
    draw_expected,
    expect_drawn,
    no_rerun,
    read_canvas,
    watch,
)
from tests.support.stage import find_plot, read_image, wait_for_run
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.latent.planes import Plane, coordinate_plane, principal_components
from vae_explorer.sampling import sample_latents
from vae_explorer.ui.stage.tiles import PlaneTiles, Setting

OpenPage = Callable[..., Page]

FASHION, DIGITS = "fashion-vae-2d", "mnist-mlp-vae-20d"
FLAT = coordinate_plane(2)


def query(page: Page) -> dict[str, str]:
    """Return what the page's address holds."""
    return dict(parse_qsl(urlsplit(page.url).query))


def principal_plane() -> Plane:
    return principal_components(load_checkpoint(DIGITS).encodings.z_mean).plane()


def find_gap(stage: Map) -> np.ndarray:
    """Return the place on the screen that is farthest from every point of the map of FASHION."""
    shares = np.linspace(0.1, 0.9, 30)
    places = np.array([stage.at(x, y) for x in shares for y in shares])
    points = load_checkpoint(FASHION).encodings.z_mean
    distances, _ = KDTree(points).query(stage.read_axes(places))
    return places[distances.argmax()]


def open_live(open_page: OpenPage, path: str, view: str) -> Page:
    """Open a page and wait until its stage is there; record what it draws from now on."""
    page = open_page(path)
    expect(page.locator(f"[data-view={view}] canvas.vae-picture").first).to_be_attached()
    if view == "grid":  # a canvas that nothing was drawn on has another size
        page.wait_for_function("document.querySelector('[data-view=grid] canvas').style.width")
    watch(page)
    return page


def centre_of(element: Locator) -> tuple[float, float]:
    box = element.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize(
    ("address", "name", "lift"),
    [
        ("", FASHION, lambda shown: FLAT.to_latent([shown])),
        ("?scale=p", FASHION, lambda shown: FLAT.to_latent([ndtri(shown)])),
        (f"?model={DIGITS}", DIGITS, lambda shown: principal_plane().to_latent([shown])),
    ],
    ids=["plane", "p-values", "principal components"],
)
def test_picture_under_the_pointer_is_what_decodes_there(
    open_page: OpenPage, address: str, name: str, lift: Callable[[np.ndarray], np.ndarray]
) -> None:
    page = open_live(open_page, address, "map")
    stage = Map(page)
    pictures = []
    with no_rerun(page):
        for place in ((0.52, 0.48), (0.3, 0.85)):
            z = lift(stage.hover(*place))
            expect_drawn(page, "map", z)
            pictures.append(read_canvas(stage.lens.locator("canvas")))
            assert_same_picture(pictures[-1], draw_expected(name, z))
            expect(stage.lens).to_be_visible()
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 50


def test_tsne_shows_the_picture_of_the_nearest_point(open_page: OpenPage) -> None:
    page = open_live(open_page, f"?model={DIGITS}&plane=tsne", "map")
    checkpoint = load_checkpoint(DIGITS)
    assert checkpoint.tsne is not None and checkpoint.tsne_rows is not None
    shown = Map(page).hover(0.5, 0.5)
    _, nearest = KDTree(checkpoint.tsne).query(shown)
    expect_drawn(page, "map", checkpoint.encodings.z_mean[checkpoint.tsne_rows[nearest]])


def test_a_drag_moves_the_map_and_reruns_nothing(open_page: OpenPage) -> None:
    page = open_live(open_page, "", "map")
    stage = Map(page)
    before = stage.read_axes(stage.at(0.5, 0.5))
    with no_rerun(page):
        page.mouse.move(*stage.at(0.5, 0.5))
        page.mouse.down()
        page.mouse.move(*stage.at(0.7, 0.6), steps=10)
        page.mouse.up()
        after = stage.hover(0.71, 0.61)
        expect_drawn(page, "map", FLAT.to_latent([after]))
    assert np.abs(stage.read_axes(stage.at(0.7, 0.6)) - before).max() < 0.05


def test_a_click_between_points_pins_the_place_and_escape_frees_it(open_page: OpenPage) -> None:
    page = open_live(open_page, "", "map")
    stage = Map(page)
    gap = find_gap(stage)
    page.mouse.click(*gap)
    expect(page).to_have_url(re.compile("[?&]pin="))
    pinned = [float(part) for part in query(page)["pin"].split(",")]
    np.testing.assert_allclose(pinned, stage.read_axes(gap), rtol=1e-3)
    expect(page.get_by_text("Decoded", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("pin="))


def test_arrow_keys_move_the_crosshair_and_enter_pins(open_page: OpenPage) -> None:
    page = open_live(open_page, "", "map")
    stage = Map(page)
    stage.host.focus()
    with no_rerun(page):
        for key in ("ArrowUp", "ArrowUp", "ArrowRight", "Shift+ArrowLeft"):
            page.keyboard.press(key)
        shown = stage.read_axes(stage.corner + stage.size / 2 + (7, -16))
        expect_drawn(page, "map", FLAT.to_latent([shown]))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("[?&]pin="))
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("pin="))


def test_a_finger_decodes_along_its_way(open_page: OpenPage) -> None:
    page = open_page(phone=True)
    watch(page)
    stage = Map(page)
    hand = page.context.new_cdp_session(page)

    def touch(kind: str, *place: float) -> None:
        points = [dict(zip("xy", place, strict=True))] if place else []
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    places = [stage.at(share, 0.5) for share in (0.3, 0.45, 0.6)]
    with no_rerun(page):
        for kind, place in zip(("touchStart", "touchMove", "touchMove"), places, strict=True):
            touch(kind, *place)
            expect_drawn(page, "map", FLAT.to_latent([stage.read_axes(place)]))
        touch("touchEnd")


def tiles_of(address: str) -> tuple[PlaneTiles, dict[str, float]]:
    """Return the grid that an address of the Decoded grid means, and its settings."""
    given = {"model": FASHION, "spacing": "linear", **dict(parse_qsl(urlsplit(address).query))}
    z_mean = load_checkpoint(given["model"]).encodings.z_mean
    components = principal_components(z_mean)
    plane = components.plane() if given["model"] == DIGITS else FLAT
    extent = Setting("extent", "", 0.1, 4.0, 3.0)
    others = {"pca3": components.components[2]} if "pca3" in given else {}
    spacing = "quantile" if given["spacing"] == "quantile" else "linear"
    tiles = PlaneTiles(plane, others, spacing, extent, "x", "y")
    settings = {"x": 0.0, "y": 0.0, "extent": 3.0, "n": 15.0}
    settings |= {k: float(v) for k, v in given.items() if k not in ("model", "spacing", "axes")}
    return tiles, settings


def expect_grid(page: Page) -> None:
    """Wait until the grid shows the latents that Python computes for the page's address."""
    tiles, settings = tiles_of(page.url)
    expect_drawn(page, "grid", tiles.latents(settings, int(settings["n"])))


@pytest.mark.parametrize(
    "settings",
    [
        "n=6&extent=2.5&x=0.5&y=-1",
        "n=7&extent=4&spacing=quantile",
        f"n=5&extent=2&model={DIGITS}&axes=pca&pca3=1.5",
        f"n=5&extent=2&model={DIGITS}&axes=pca&pca3=-1&spacing=quantile",
    ],
)
def test_tiles_of_the_grid_are_what_decodes_at_the_latents_python_computes(
    open_page: OpenPage, settings: str
) -> None:
    page = open_live(open_page, f"decoded_grid?{settings}", "grid")
    address = page.url
    tiles, values = tiles_of(address)
    z = tiles.latents(values, int(values["n"]))
    canvas = page.locator("[data-view=grid] canvas")
    expect(canvas).not_to_have_js_property("width", 300)  # of an empty canvas
    name = query(page).get("model", FASHION)
    assert_same_picture(read_canvas(canvas), draw_expected(name, z, int(values["n"])))


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        ("[data-view=grid] canvas", {"x", "y"}),
        (".vae-pad", {"x", "y"}),
        ("[data-view=sliders] input", {"extent"}),
    ],
)
def test_a_drag_reruns_nothing_while_it_lasts_and_once_when_it_ends(
    open_page: OpenPage, part: str, keys: set[str]
) -> None:
    page = open_live(open_page, "decoded_grid?n=8", "grid")
    x, y = centre_of(page.locator(part).first)
    page.mouse.move(x, y)
    with no_rerun(page):
        page.mouse.down()
        page.mouse.move(x + 40, y - 24, steps=10)
    messages = count_messages(page)
    page.mouse.up()
    expect(page).to_have_url(re.compile("[?&](x|extent)="))
    wait_for_run(page)
    assert count_messages(page) == messages + 1
    assert query(page).keys() - {"n"} == keys
    expect_grid(page)


def test_a_drag_of_the_grid_moves_what_lies_under_the_pointer_along(open_page: OpenPage) -> None:
    page = open_live(open_page, "decoded_grid?n=8&extent=2", "grid")
    canvas = page.locator("[data-view=grid] canvas")
    x, y = centre_of(canvas)
    width = canvas.evaluate("(canvas) => canvas.offsetWidth")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile("[?&]x="))
    assert float(query(page)["x"]) == pytest.approx(-60 * 4 / width, abs=1e-3)
    assert float(query(page)["y"]) == pytest.approx(30 * 4 / width, abs=1e-3)


def test_the_wheel_zooms_the_grid_and_commits_when_it_rests(open_page: OpenPage) -> None:
    page = open_live(open_page, "decoded_grid?n=8", "grid")
    page.mouse.move(*centre_of(page.locator("[data-view=grid] canvas")))
    with no_rerun(page):
        page.mouse.wheel(0, -300)
    expect(page).to_have_url(re.compile("[?&]extent=2.222"))  # 3 exp(-0.3)
    expect_grid(page)


def test_a_click_enlarges_a_tile(open_page: OpenPage) -> None:
    page = open_live(open_page, "decoded_grid?n=8", "grid")
    canvas = page.locator("[data-view=grid] canvas")
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] * 2.5 / 8, "y": box["height"] * 1.5 / 8})
    tiles, settings = tiles_of(page.url)
    across, up = tiles.latents(settings, 8)[8 + 2]
    expect(page.get_by_text("Decoded", exact=True)).to_be_visible()
    expect(page.get_by_text(f"z = ({across:.3g}, {up:.3g})")).to_be_visible()


def cut_tiles(picture: np.ndarray, side: int) -> np.ndarray:
    """Cut a picture (height, width, 3) of side x side tiles: (side * side, h, w, 3)."""
    height, width = picture.shape[0] // side, picture.shape[1] // side
    rows = picture.reshape(side, height, side, width, 3)
    return rows.swapaxes(1, 2).reshape(-1, height, width, 3)


def keep(page: Page, *tiles: int) -> None:
    """Click tiles of a 4 x 4 grid of samples, one after the other."""
    canvas = page.locator("[data-view=grid] canvas")
    for count, tile in enumerate(tiles, start=1):
        box = canvas.bounding_box()
        assert box is not None
        position = {
            "x": box["width"] * (tile % 4 + 0.5) / 4,
            "y": box["height"] * (tile // 4 + 0.5) / 4,
        }
        canvas.click(position=position)
        expect(page.locator(".vae-marks i")).to_have_count(count)
        expect(page).to_have_url(re.compile("[?&]keep="))


def test_a_kept_sample_stays_when_the_others_are_rolled_anew(open_page: OpenPage) -> None:
    page = open_live(open_page, "generate?side=4", "grid")
    keep(page, 5)
    canvas = page.locator("[data-view=grid] canvas")
    before = cut_tiles(read_canvas(canvas), 4)
    page.get_by_role("button", name="New samples").click()
    expect(page).to_have_url(re.compile("[?&]seed=1"))
    z = sample_latents(load_checkpoint(FASHION), 16, seed=1)
    z[5] = sample_latents(load_checkpoint(FASHION), 16, seed=0)[5]
    expect_drawn(page, "grid", z)
    after = cut_tiles(read_canvas(canvas), 4)
    # Server and browser, where the images before and after may come from, differ by rounding.
    difference = np.abs(before.astype(int) - after.astype(int)).max(axis=(1, 2, 3))
    assert np.flatnonzero(difference <= 2).tolist() == [5]


def test_the_temperature_decodes_anew_while_it_is_dragged(open_page: OpenPage) -> None:
    page = open_live(open_page, "generate?side=4", "grid")
    x, y = centre_of(page.locator("[data-view=sliders] input"))
    page.mouse.move(x, y)
    with no_rerun(page):
        page.mouse.down()
        page.mouse.move(x - 50, y, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile("[?&]temperature=0"))
    temperature = float(query(page)["temperature"])
    z = sample_latents(load_checkpoint(FASHION), 16, temperature=temperature, seed=0)
    expect_drawn(page, "grid", z)


def test_a_walk_between_kept_samples_plays(open_page: OpenPage) -> None:
    page = open_live(open_page, "generate?side=4", "grid")
    keep(page, 0, 6)
    strip = page.locator("[data-view=strip]")
    with no_rerun(page):
        strip.get_by_role("button", name="Play").click()
        page.wait_for_function(
            "() => new Set(drawings.filter((d) => d.view === 'strip').map((d) => d.z[0])).size > 5"
        )
        strip.get_by_role("button", name="Pause").click()
        expect(strip.get_by_role("button", name="Play")).to_be_visible()


@pytest.mark.parametrize("path", ["", "decoded_grid", "generate"])
def test_where_only_the_socket_gets_through_pictures_follow_on_release(
    open_page: OpenPage, path: str
) -> None:
    page = open_page(path, cut_off=lambda: True)
    explanation = page.get_by_text("Images update when you release")
    expect(explanation).to_have_count(1)
    expect(find_plot(page)).to_be_visible()
    assert read_image(find_plot(page)).std() > 5  # something is drawn


def test_a_lost_server_is_named_costs_no_picture_and_is_found_again(open_page: OpenPage) -> None:
    # Between browser and server from the start: a request that is under way while that is set up
    # may hang.
    lost: list[bool] = []
    page = open_live(partial(open_page, script=NO_ENGINE, cut_off=lambda: bool(lost)), "", "map")
    stage = Map(page)
    canvas, note = stage.lens.locator("canvas"), stage.host.locator(".vae-note")
    expect_drawn(page, "map", FLAT.to_latent([stage.hover(0.5, 0.5)]))
    before = read_canvas(canvas)
    lost.append(True)
    shown = stage.hover(0.2, 0.85)
    expect(note).to_contain_text("does not respond")
    np.testing.assert_array_equal(read_canvas(canvas), before)
    lost.clear()
    expect_drawn(page, "map", FLAT.to_latent([shown]))
    expect(note).to_be_hidden()


def stroke(page: Page, points: np.ndarray) -> None:
    """Draw one line through points (n, 2), shares of the box to draw in."""
    box = page.locator(".vae-paper").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places:
        page.mouse.move(*place)
    page.mouse.up()


ANGLES = np.linspace(0, 2 * np.pi, 25)


@pytest.mark.parametrize(
    ("digit", "points"),
    [
        ("0", 0.5 + np.stack([0.2 * np.sin(ANGLES), -0.33 * np.cos(ANGLES)], axis=1)),
        ("1", np.stack([np.linspace(0.52, 0.48, 12), np.linspace(0.15, 0.85, 12)], axis=1)),
    ],
)
def test_a_drawn_digit_lands_among_its_like(
    open_page: OpenPage, digit: str, points: np.ndarray
) -> None:
    page = open_live(open_page, f"?model={DIGITS}", "map")
    page.get_by_text("Draw a digit", exact=True).click()
    expect(page.locator(".vae-paper")).to_be_visible()
    with no_rerun(page):
        stroke(page, points)
        expect(page.locator(".vae-words")).to_contain_text(f"{digit}s")
    expect(page.locator(".vae-visitor")).to_be_visible()


def test_a_dimension_moves_alone_while_it_is_dragged(open_page: OpenPage) -> None:
    page = open_live(open_page, f"dimensions?model={DIGITS}", "grid")
    kl = np.array(load_checkpoint(DIGITS).card.metrics["kl_per_dimension"].value)
    slider = page.locator("[data-view=sliders] input").first
    with no_rerun(page):
        slider.evaluate("(s) => { s.value = -2; s.dispatchEvent(new Event('input')); }")
    z = np.zeros(len(kl), np.float32)
    z[kl.argmax()] = -2
    expect_drawn(page, "grid", z)
