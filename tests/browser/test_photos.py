"""What a person does with faces: find them in photos, morph between them, change them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from skimage.data import astronaut, coffee

from tests.support.live_stage import (
    NO_ENGINE,
    assert_same_picture,
    count_messages,
    expect_drawn,
    no_rerun,
    read_canvas,
    watch,
)
from tests.support.stage import go_to, wait_for_run
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.faces import align, edit_photo, find_faces, whole_face
from vae_explorer.images import enlarge, to_uint8
from vae_explorer.inference import decode, encode
from vae_explorer.latent.interpolation import corner_grid, morph_path
from vae_explorer.sampling import sample_latents
from vae_explorer.ui.faces.picker import TEMPERATURE

MODEL = "faces-vae-64"
PORTRAIT = Image.fromarray(astronaut())
TURNED = PORTRAIT.rotate(20, Image.Resampling.BICUBIC, expand=True)
MIRRORED = PORTRAIT.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
OpenPage = Callable[..., Page]


def as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def upload(page: Page, image: Image.Image) -> None:
    file = {"name": "me.png", "mimeType": "image/png", "buffer": as_png(image)}
    page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(file)


def names(page: Page) -> list[str]:
    """The faces of the session."""
    return [each.input_value() for each in page.get_by_role("textbox", name="Name").all()]


def expect_faces(page: Page, count: int) -> None:
    expect(page.get_by_role("textbox", name="Name")).to_have_count(count)


def place(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Where the model puts a photo's face (latent_dim,), and that face aligned, uint8."""
    face = find_faces(image)[0]
    pixels = np.asarray(align(image, face, 64).image, np.float32).transpose(2, 0, 1) / 255
    return encode(load_checkpoint(MODEL).model, pixels[None])[0][0], np.asarray(
        align(image, face, 256).image
    )


def as_trained(page: Page) -> None:
    """Turn the tuned decoder off."""
    page.get_by_role("radio", name="As trained").click()
    expect(page).to_have_url(re.compile("decoder=trained"))
    wait_for_run(page)


def drag(page: Page, name: str, value: float) -> None:
    """Drag a live slider's handle, without letting go."""
    page.get_by_role("slider", name=name, exact=True).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )


def let_go(page: Page, name: str) -> None:
    """Let go of a live slider's handle."""
    page.get_by_role("slider", name=name, exact=True).dispatch_event("change")


def scrub(page: Page, t: float) -> None:
    """Drag the player's handle to t of the way."""
    drag(page, "Position along the path", t)


def test_two_photos_become_a_morph_to_take_home(open_page: OpenPage) -> None:
    page = open_page(f"your_photo?model={MODEL}")
    upload(page, TURNED)
    expect_faces(page, 1)
    upload(page, MIRRORED)
    expect_faces(page, 2)
    go_to(page, "Faces", "Morph")
    expect(page.get_by_role("heading", name="Morph")).to_be_visible()
    (a, first), (b, last) = place(TURNED), place(MIRRORED)
    as_trained(page)
    watch(page)
    screen = page.locator("[data-view=morph] figure canvas")
    with no_rerun(page):
        scrub(page, 0.25)
    expect_drawn(page, "morph", morph_path(a, b, 65)[16])
    for t, photo in ((0, first), (1, last)):
        scrub(page, t)
        expect(page.get_by_text(f"{100 * t}%", exact=True)).to_be_visible()
        page.wait_for_function(
            "([c, t]) => c.ariaLabel === `Morph at ${100 * t}%`", arg=[screen.element_handle(), t]
        )
        # The ends are the photos themselves: the browser's enlarging is undone by its own.
        assert np.abs(read_canvas(screen).astype(int) - photo).max() <= 2
    page.get_by_test_id("stPopover").get_by_role("button").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Animated WebP").click()
    picture = Image.open(download.value.path())
    assert (picture.format, picture.is_animated, picture.size) == ("WEBP", True, (256, 256))
    assert set(re.findall(r"[?&](\w+)=", page.url)) <= {"model", "decoder"}


def test_without_detail_a_morph_is_the_models_own(open_page: OpenPage) -> None:
    page = open_page(f"morph?model={MODEL}&morph_from=Astronaut&detail=0&decoder=trained")
    watch(page)
    scrub(page, 0)
    z, _ = place(PORTRAIT)
    expect_drawn(page, "morph", z)
    image = decode(load_checkpoint(MODEL).model, z[None])
    wanted = to_uint8(enlarge(image, 256)[0]).astype(int)
    found = read_canvas(page.locator("[data-view=morph] figure canvas"))
    # Enlarged by the browser's own filter, and not by Pillow's.
    assert np.abs(found - wanted).mean() < 2


def test_playing_goes_there_and_back_without_the_script(open_page: OpenPage) -> None:
    page = open_page(f"morph?model={MODEL}")
    slider = page.get_by_role("slider", name="Position along the path")
    watch(page)
    scrub(page, 0.9)
    with no_rerun(page):
        page.get_by_role("button", name="Play").click()
        for comparison in ("> 0.97", "< 0.9"):
            page.wait_for_function(
                f"(slider) => Number(slider.value) {comparison}", arg=slider.element_handle()
            )
        page.get_by_role("button", name="Pause").click()


@pytest.mark.parametrize("path", ["spherical", "linear"])
def test_a_place_between_four_faces_is_decoded_under_the_pointer(
    open_page: OpenPage, path: str
) -> None:
    page = open_page(f"morph?model={MODEL}&kind=four&columns=5&path={path}")
    checkpoint = load_checkpoint(MODEL)
    corners = np.vstack(
        [sample_latents(checkpoint, 1, "fitted", TEMPERATURE, seed=k) for k in range(4)]
    )
    field = page.locator(".vae-field")
    box = field.bounding_box()
    assert box is not None
    watch(page)
    with no_rerun(page):  # the middle of the tile in the second row and the fourth column
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    fine = corner_grid(corners, 5, path).reshape(5, 5, -1)
    # One latent: on a slow machine the grid and the first place may be drawn only now.
    single = f"drawings.findLast(({{ z }}) => z.length === {fine.shape[-1]})"
    page.wait_for_function(  # to a pixel of the screen
        f"(wanted) => {single}?.z.every((value, i) => Math.abs(value - wanted[i]) < 0.05)",
        arg=fine[1, 3].tolist(),
    )
    seen = np.array(page.evaluate(f"{single}.z"))
    screen = page.locator("[data-view=corners] .vae-screen")
    assert_same_picture(
        read_canvas(screen), to_uint8(decode(checkpoint.model, seen[None].astype(np.float32))[0])
    )
    field.focus()
    with no_rerun(page):
        for _ in range(25):
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("ArrowUp")
    expect_drawn(page, "corners", corners[0])


def test_a_face_is_chosen_by_a_click_on_it(open_page: OpenPage) -> None:
    two = Image.new("RGB", (1024, 512))
    two.paste(PORTRAIT, (0, 0))
    two.paste(MIRRORED, (512, 0))
    page = open_page(f"your_photo?model={MODEL}")
    upload(page, two)
    expect_faces(page, 1)
    other = page.locator(".vae-face:not(.vae-chosen)")
    expect(other).to_have_count(1)
    before = other.get_attribute("aria-label")
    other.click()
    expect_faces(page, 2)
    expect(page.locator(".vae-chosen")).to_have_attribute("aria-label", before or "")


def test_eyes_are_marked_where_no_face_is_found(open_page: OpenPage) -> None:
    page = open_page(f"your_photo?model={MODEL}")
    upload(page, Image.fromarray(coffee()))
    expect(page.get_by_text("No face was found.")).to_be_visible()
    picture = page.locator(".vae-photo.vae-aiming")  # else the first click meets the photo before
    for x in (60, 120):
        picture.click(position={"x": x, "y": 80})
    expect_faces(page, 1)
    expect(page.get_by_text("2 · Aligned")).to_be_visible()


def test_a_pasted_picture_is_an_upload(open_page: OpenPage) -> None:
    page = open_page(f"your_photo?model={MODEL}")
    expect(page.locator(".vae-photo img")).to_be_visible()
    page.evaluate(
        """async (png) => {
          const blob = await (await fetch(`data:image/png;base64,${png}`)).blob();
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([blob], "pasted.png", { type: "image/png" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        base64.b64encode(as_png(MIRRORED)).decode(),
    )
    expect_faces(page, 1)


def test_two_sessions_never_see_each_others_photo(open_page: OpenPage) -> None:
    path = f"your_photo?model={MODEL}"
    first = open_page(path, script=NO_ENGINE)
    asked: list[str] = []
    first.on("request", lambda request: asked.append(request.url))
    upload(first, TURNED)
    expect_faces(first, 1)
    go_to(first, "Faces", "Morph")
    expect(first.locator("[data-view=morph] img").first).to_have_attribute("alt", "Photo")
    wait_for_run(first)
    assert any("/api/decode/" in url for url in asked)
    assert not any("?" in url for url in asked if "/api/decode/" in url)
    second = open_page(path)
    assert not names(second)
    expect(second.get_by_text("Example photo")).to_be_visible()
    first.reload()
    wait_for_run(first)
    expect(first.locator("[data-view=morph] img").first).to_have_attribute("alt", "Generated A")


@pytest.mark.parametrize("looks", [{"dark": True}, {"phone": True}])
@pytest.mark.parametrize("kind", ["two", "four"])
def test_a_morph_fits_any_screen(
    open_page: OpenPage, tmp_path: Path, looks: dict[str, bool], kind: str
) -> None:
    page = open_page(f"morph?model={MODEL}&kind={kind}", **looks)
    view = page.locator("[data-view=morph], [data-view=corners]")
    expect(view).to_be_visible()
    box, width = view.bounding_box(), page.viewport_size["width"]
    assert box is not None
    assert box["x"] >= 0 and box["x"] + box["width"] <= width


def test_a_photo_smiles_and_is_taken_home_whole(open_page: OpenPage) -> None:
    page = open_page(f"your_photo?model={MODEL}")
    upload(page, TURNED)
    expect_faces(page, 1)
    go_to(page, "Faces", "Edit")
    expect(page.get_by_role("heading", name="Edit")).to_be_visible()
    as_trained(page)
    watch(page)
    checkpoint = load_checkpoint(MODEL)
    z, _ = place(TURNED)
    with no_rerun(page):
        drag(page, "Smiling", -2)
        moved = z - 2 * checkpoint.attribute_vectors["Smiling"]
        page.wait_for_function("drawings.length > 0")
        seen = np.array(page.evaluate("drawings.at(-1).z"))[-len(z) :]
        np.testing.assert_allclose(seen, moved, atol=0.02)
    canvas = page.locator("[data-view=edit] canvas")
    crop = align(TURNED, find_faces(TURNED)[0], 256).image
    wanted = edit_photo(crop, whole_face(256), checkpoint, {"Smiling": -2.0})
    difference = np.abs(read_canvas(canvas).astype(int) - np.asarray(wanted, int))
    change = np.abs(np.asarray(crop, int) - np.asarray(wanted, int))
    assert change.max() > 20  # something was changed, and the browser changes the same
    assert difference.mean() < 0.25 * change.mean() + 1
    let_go(page, "Smiling")
    expect(page).to_have_url(re.compile("edit_Smiling=-2"))
    wait_for_run(page)
    page.get_by_test_id("stPopover").get_by_role("button", name="Save").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"^Photo \(")).click()
    saved = np.asarray(Image.open(download.value.path()))
    whole = edit_photo(TURNED, find_faces(TURNED)[0], checkpoint, {"Smiling": -2.0})
    np.testing.assert_array_equal(saved, np.asarray(whole))


def test_before_and_after_by_a_wipe_and_side_by_side(open_page: OpenPage) -> None:
    page = open_page(f"edit?model={MODEL}&edit_Smiling=-2&decoder=trained")
    frame, after = page.locator(".vae-wipe"), page.locator(".vae-wipe canvas")
    box = frame.bounding_box()
    assert box is not None
    watch(page)
    for share in (0.2, 0.8):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 100)
        page.mouse.down()
        page.mouse.up()
        clip = after.evaluate("(canvas) => canvas.style.clipPath")
        assert float(re.findall(r"[\d.]+", clip)[-1]) == pytest.approx(100 * share, abs=1)
    page.get_by_role("button", name="Side by side").click()
    left, right = page.locator(".vae-wipe img").bounding_box(), after.bounding_box()
    assert left is not None and right is not None
    assert left["x"] + left["width"] <= right["x"]
    assert count_messages(page) == 0


def test_undo_brings_the_slider_back(open_page: OpenPage) -> None:
    page = open_page(f"edit?model={MODEL}")
    drag(page, "Smiling", 1.5)
    let_go(page, "Smiling")
    expect(page).to_have_url(re.compile("edit_Smiling=1.5"))
    page.get_by_role("button", name="Undo").click()
    expect(page).not_to_have_url(re.compile("edit_Smiling"))
    wait_for_run(page)
    assert float(page.get_by_role("slider", name="Smiling").input_value()) == 0


def test_a_sum_of_pictures_follows_its_weight(open_page: OpenPage) -> None:
    page = open_page(f"arithmetic?model={MODEL}")
    watch(page)
    with no_rerun(page):
        drag(page, "Strength", 2)
    checkpoint = load_checkpoint(MODEL)
    a, b, c = (sample_latents(checkpoint, 1, "fitted", TEMPERATURE, seed=k)[0] for k in range(3))
    expect_drawn(page, "grid", a + 2 * (c - b))
