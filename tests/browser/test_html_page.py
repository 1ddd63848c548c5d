"""Models as one HTML file, opened from a disk: what it shows, and that it asks for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.support import PROJECT
from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.images import to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.webpage import build_page, write_page

DIGITS, CLOTHES, FACES = "mnist-vae-2d", "fashion-vae-2d", "faces-vae-64"
OpenFile = Callable[..., Page]

LISTEN = """
  globalThis.drawn = [];
  document.addEventListener("vae-drawn", ({ target, detail }) =>
    drawn.push({ view: target.dataset.view, z: Array.from(detail.z) }));
  globalThis.pixelsOf = (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return { width: canvas.width, height: canvas.height, data: Array.from(data) };
  };
"""


def load(name: str) -> Checkpoint:
    return load_checkpoint(PROJECT / "checkpoints" / name)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page of each of the models, and one of two models."""
    folder = tmp_path_factory.mktemp("pages")
    for name in (DIGITS, CLOTHES, FACES):
        write_page([load(name)], folder / f"{name}.html")
    write_page([load(DIGITS), load(CLOTHES)], folder / "two.html")
    return folder


@pytest.fixture
def open_file(new_context: Callable[..., BrowserContext]) -> Iterator[OpenFile]:
    """Return `open_file(path, **context)`: a page that has drawn something.

    The test fails at its end if a page asked for anything but its own file, or wrote an error.
    """
    faults: list[str] = []

    def open_file(path: Path, **options: object) -> Page:
        context = new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(f"thrown: {error}"))
        page.on(
            "console",
            lambda message: message.type == "error" and faults.append(f"console: {message.text}"),
        )
        page.add_init_script(LISTEN)
        page.goto(path.as_uri())
        expect(page.locator(".page-label").last).to_contain_text("Computed in this browser")
        page.asked = asked
        opened.append((page, path))
        return page

    opened: list[tuple[Page, Path]] = []
    yield open_file
    for page, path in opened:
        outside = [url for url in page.asked if not url.startswith(("data:", "blob:"))]
        if outside != [path.as_uri()]:
            faults.append(f"asked for {outside}")
    assert not faults, "\n".join(faults)


def open_tab(page: Page, name: str) -> None:
    page.evaluate("drawn.length = 0")
    page.get_by_role("tab", name=name).click()


def wait_for(page: Page, view: str) -> np.ndarray:
    """Return the latents that a view drew last, once it has rested for a moment."""
    page.wait_for_function("(view) => drawn.some((each) => each.view === view)", arg=view)
    page.wait_for_function(
        """() => new Promise((resolve) => {
          const count = drawn.length;
          setTimeout(() => resolve(drawn.length === count), 300);
        })"""
    )
    found = page.evaluate("(view) => drawn.filter((each) => each.view === view).pop().z", view)
    return np.array(found, np.float32)


def read_canvas(canvas: Locator) -> np.ndarray:
    """Return a canvas's pixels, uint8 (height, width, 3)."""
    found = canvas.evaluate("(canvas) => pixelsOf(canvas)")
    pixels = np.array(found["data"], np.uint8).reshape(found["height"], found["width"], 4)
    return pixels[..., :3]


def decode_tiles(checkpoint: Checkpoint, z: np.ndarray, columns: int) -> np.ndarray:
    """Decode latents by PyTorch, as uint8 (height, width, 3) of a mosaic as it is shown."""
    images = to_uint8(decode(checkpoint.model, z.reshape(-1, checkpoint.card.model.latent_dim)))
    if checkpoint.card.is_inverted:
        images = 255 - images
    images = np.broadcast_to(images, (*images.shape[:3], 3))
    rows = [np.concatenate(images[k : k + columns], axis=1) for k in range(0, len(images), columns)]
    return np.concatenate(rows)


def assert_alike(found: np.ndarray, wanted: np.ndarray) -> None:
    """Check that images differ by 1/255, and by that of the rounding to whole numbers."""
    assert found.shape == wanted.shape
    difference = np.abs(found.astype(int) - wanted.astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.3
    assert found.std() > 5  # something is there


# ------------------------------------------------------------------ what it shows


@pytest.mark.parametrize("name", [DIGITS, CLOTHES, FACES])
def test_the_place_under_the_pointer_is_decoded(
    pages: Path, open_file: OpenFile, name: str
) -> None:
    checkpoint = load(name)
    page = open_file(pages / f"{name}.html")
    open_tab(page, "Latent map")
    box = page.locator(".vae-linked-map").bounding_box()
    latents = []
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    for share in (0.3, 0.5, 0.7):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.4 * box["height"], steps=4)
        latents.append(wait_for(page, "linked"))
        found = read_canvas(page.locator(".vae-linked-side canvas"))
        assert_alike(found, decode_tiles(checkpoint, latents[-1], 1))
    page.mouse.up()
    assert len(np.unique(np.stack(latents), axis=0)) == 3
    page.locator("[data-view=linked]").focus()
    page.keyboard.press("ArrowUp")
    assert not np.array_equal(wait_for(page, "linked"), latents[-1])


@pytest.mark.parametrize("name", [DIGITS, FACES])
def test_the_grid_is_decoded_while_it_is_dragged(
    pages: Path, open_file: OpenFile, name: str
) -> None:
    checkpoint = load(name)
    page = open_file(pages / f"{name}.html")
    open_tab(page, "Decoded grid")
    page.get_by_label("Grid size").select_option("5")
    before = wait_for(page, "grid")
    canvas = page.locator(".page-stage canvas.vae-picture")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 130, steps=5)
    page.mouse.up()
    after = wait_for(page, "grid")
    assert not np.array_equal(before, after)
    assert_alike(read_canvas(canvas), decode_tiles(checkpoint, after, 5))


@pytest.mark.parametrize("name", [DIGITS, FACES])
def test_every_dimension_has_a_slider(pages: Path, open_file: OpenFile, name: str) -> None:
    checkpoint = load(name)
    page = open_file(pages / f"{name}.html")
    open_tab(page, "Dimensions")
    sliders = page.locator(".page-panel input[type=range]")
    expect(sliders).to_have_count(checkpoint.card.model.latent_dim)
    assert not wait_for(page, "grid").any()
    sliders.last.focus()
    page.keyboard.press("Shift+ArrowRight")
    z = wait_for(page, "grid")
    assert sorted(np.abs(z))[-2:] == pytest.approx([0, 1])
    assert_alike(
        read_canvas(page.locator(".page-stage canvas.vae-picture")), decode_tiles(checkpoint, z, 1)
    )


@pytest.mark.parametrize("name", [CLOTHES, FACES])
def test_a_seed_gives_the_same_samples(pages: Path, open_file: OpenFile, name: str) -> None:
    checkpoint = load(name)
    page = open_file(pages / f"{name}.html")
    open_tab(page, "Generate")
    page.get_by_label("Grid size").select_option("4")
    drawn = {}
    for turn, seed in enumerate((3, 4, 3)):
        page.get_by_label("Seed").fill(str(seed))
        page.get_by_label("Seed").press("Enter")
        drawn[turn] = wait_for(page, "grid")
        assert len(drawn[turn]) == 16 * checkpoint.card.model.latent_dim
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    canvas = page.locator(".page-stage canvas.vae-picture")
    assert_alike(read_canvas(canvas), decode_tiles(checkpoint, drawn[2], 4))
    page.get_by_role("slider", name="Temperature").focus()
    page.keyboard.press("Shift+ArrowLeft")
    cooler = wait_for(page, "grid")
    assert cooler.std() < 0.8 * drawn[2].std()
    page.get_by_role("button", name="New samples").click()
    expect(page.get_by_label("Seed")).to_have_value("4")


def test_a_drawn_digit_lands_on_the_map(pages: Path, open_file: OpenFile) -> None:
    checkpoint = load(DIGITS)
    page = open_file(pages / f"{DIGITS}.html")
    paper = page.locator(".vae-paper")
    box = paper.bounding_box()
    page.mouse.move(box["x"] + 95, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 75, box["y"] + 140, steps=8)
    page.mouse.up()
    expect(page.locator(".vae-words")).to_contain_text("nearest test images are all 1s")
    expect(page.locator(".vae-visitor")).to_be_visible()
    values = page.evaluate(
        """() => {
          const { z, image } = __vaeChannels.get("map-0").values;
          return { z, image: Array.from(image) };
        }"""
    )
    image = np.array(values["image"], np.float32).reshape(1, *checkpoint.card.model.image_shape)
    np.testing.assert_allclose(values["z"], encode(checkpoint.model, image)[0][0], atol=0.02)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".vae-visitor")).to_be_hidden()


@pytest.mark.parametrize("name", [CLOTHES, FACES])
def test_an_image_is_encoded_where_it_is(
    pages: Path, open_file: OpenFile, name: str, tmp_path: Path
) -> None:
    checkpoint = load(name)
    photo = skimage.data.astronaut()
    Image.fromarray(photo).save(tmp_path / "photo.png")
    page = open_file(pages / f"{name}.html")
    open_tab(page, "Latent map")
    page.locator("input[type=file]").set_input_files(tmp_path / "photo.png")
    expect(page.locator(".vae-crop .vae-words")).to_contain_text("RMS")
    before = wait_for(page, "upload")
    frame = page.locator(".vae-crop-frame")
    frame.focus()
    for _ in range(8):
        page.keyboard.press("+")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert frame.bounding_box()["width"] > 180
    assert read_canvas(frame.locator("canvas")).std() > 20  # a part of the image, not its outside
    z = wait_for(page, "upload")
    assert not np.array_equal(before, z)
    image = np.array(
        page.evaluate("Array.from(__vaeChannels.get('map-0').values.image)"), np.float32
    ).reshape(1, *checkpoint.card.model.image_shape)
    assert image.std() > 0.05
    np.testing.assert_allclose(z, encode(checkpoint.model, image)[0][0], atol=0.03)
    expect(page.locator(".vae-visitor")).to_be_visible()


def test_what_is_no_image_is_refused(pages: Path, open_file: OpenFile, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    page = open_file(pages / f"{CLOTHES}.html")
    page.locator("input[type=file]").set_input_files(tmp_path / "notes.png")
    expect(page.get_by_text("not an image that this browser can read")).to_be_visible()


def test_faces_are_morphed(pages: Path, open_file: OpenFile) -> None:
    page = open_file(pages / f"{FACES}.html")
    wait_for(page, "grid")
    page.locator(".page-stage canvas.vae-picture").click(position={"x": 20, "y": 20})
    expect(page.get_by_text("now among the faces")).to_be_visible()
    open_tab(page, "Morph")
    page.get_by_label("To", exact=True).select_option("Sample 1")
    wait_for(page, "morph")
    screen = page.locator(".vae-morph canvas")
    half = read_canvas(screen)
    page.get_by_label("Position along the path").fill("1")
    wait_for(page, "morph")
    end = read_canvas(screen)
    assert np.abs(half.astype(int) - end).mean() > 3
    page.get_by_label("Morph between").select_option("four")
    wait_for(page, "corners")
    assert read_canvas(page.locator(".vae-field canvas")).std() > 10


def test_attributes_of_a_face_are_edited(pages: Path, open_file: OpenFile) -> None:
    checkpoint = load(FACES)
    page = open_file(pages / f"{FACES}.html")
    open_tab(page, "Edit")
    before = wait_for(page, "edit")
    image = read_canvas(page.locator(".vae-wipe canvas"))
    page.get_by_label("Smiling", exact=True).focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    after = wait_for(page, "edit")
    d = checkpoint.card.model.latent_dim
    moved = after[-d:] - before[:d]
    smile = checkpoint.attribute_vectors["Smiling"]
    assert moved @ smile > 0
    changed = read_canvas(page.locator(".vae-wipe canvas"))
    assert np.abs(changed.astype(int) - image).mean() > 1


def test_one_of_several_models_is_chosen(pages: Path, open_file: OpenFile) -> None:
    page = open_file(pages / "two.html")
    expect(page.get_by_text("Draw a digit", exact=True)).to_be_visible()
    page.get_by_label("Model", exact=True).select_option(label=load(CLOTHES).card.title)
    expect(page.get_by_role("button", name="Trouser")).to_be_visible()
    wait_for(page, "linked")
    open_tab(page, "Overview")
    expect(page.get_by_text("Xiao, Rasul, Vollgraf")).to_be_visible()
    expect(page.get_by_text("LeCun, Cortes, Burges")).to_be_hidden()


# ------------------------------------------------------------------ where it is opened


def test_markup_in_names_is_shown_as_text(open_file: OpenFile, tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=\"document.title='broken'\"><!--<b>"
    checkpoint = load(CLOTHES)
    card = checkpoint.card
    changed = replace(
        checkpoint,
        card=replace(
            card,
            title=evil,
            label_names=(evil, *card.label_names[1:]),
            dataset=replace(card.dataset, title=evil, terms=evil, citation=evil),
        ),
    )
    (tmp_path / "page.html").write_bytes(build_page([changed, load(DIGITS)]))
    page = open_file(tmp_path / "page.html")
    wait_for(page, "linked")
    expect(page.locator(".page-header option").first).to_have_text(evil)
    expect(page.locator(".page-legend button").first).to_have_text(evil)
    open_tab(page, "Overview")
    expect(page.get_by_text("May be used, changed")).to_have_count(0)
    assert evil in page.locator("[data-card='0']").inner_text()
    assert page.locator("img, b:not([data-card] b)").count() == 0
    assert page.title() != "broken"


@pytest.mark.parametrize("sandbox", ["allow-scripts", "allow-scripts allow-same-origin"])
def test_it_works_in_a_frame(
    pages: Path, open_file: OpenFile, tmp_path: Path, sandbox: str, page: Page
) -> None:
    (tmp_path / "course.html").write_text(
        f'<iframe sandbox="{sandbox}" width="1000" height="700" '
        f'src="{(pages / f"{DIGITS}.html").as_uri()}"></iframe>'
    )
    page.add_init_script(LISTEN)
    page.goto((tmp_path / "course.html").as_uri())
    frame = page.frame_locator("iframe")
    expect(frame.locator(".page-label")).to_contain_text("Computed in this browser")
    frame.get_by_role("tab", name="Decoded grid").click()
    canvas = frame.locator(".page-stage canvas.vae-picture")
    expect(canvas).to_be_visible()
    expect(frame.locator("[data-view=grid]")).to_have_attribute("data-state", "idle")


@pytest.mark.parametrize("name", [CLOTHES, FACES])
@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_every_tab_without_scrolling_sideways(
    pages: Path, open_file: OpenFile, name: str, dark: bool
) -> None:
    page = open_file(
        pages / f"{name}.html",
        viewport={"width": 390, "height": 844},
        has_touch=True,
        color_scheme="dark" if dark else "light",
    )
    for tab in page.get_by_role("tab").all_inner_texts():
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], tab
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark


def test_tabs_are_reached_by_keys(pages: Path, open_file: OpenFile) -> None:
    page = open_file(pages / f"{DIGITS}.html")
    page.get_by_role("tab", name="Latent map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Decoded grid")).to_be_focused()
    expect(page.get_by_role("tab", name="Decoded grid")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Overview")).to_be_focused()
    expect(page.get_by_text("Data and licence")).to_be_visible()


def test_an_old_browser_is_told(pages: Path, page: Page) -> None:
    page.add_init_script("delete globalThis.DecompressionStream")
    page.goto((pages / f"{DIGITS}.html").as_uri())
    expect(page.locator(".page-problem")).to_contain_text("Use a current version of")
