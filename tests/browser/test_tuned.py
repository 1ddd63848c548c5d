"""Decoders tuned to photos: from the upload to the saved file, for that session alone."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from skimage.data import astronaut

from tests.support.live_stage import NO_ENGINE, read_canvas
from tests.support.stage import go_to, wait_for_run
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.faces import align, find_faces
from vae_explorer.images import enlarge, to_pil
from vae_explorer.inference import decode
from vae_explorer.sampling import sample_latents

MODEL = "faces-vae-64"
PATH = f"your_photo?model={MODEL}"
PORTRAIT = Image.fromarray(astronaut())
SLOW = 90_000  # ms: on a busy machine a tuning takes a while
EXACT = 27  # dB; the encoder's guess of these photos has 22 at most
OpenPage = Callable[..., Page]


def person() -> Image.Image:
    """Somebody who does not exist: a generated face, with a spot that no decoder has seen."""
    checkpoint = load_checkpoint(MODEL)
    z = sample_latents(checkpoint, 1, "fitted", 0.5, seed=0)
    image = to_pil(decode(checkpoint.model, z)[0]).convert("RGB").resize((320, 320))
    photo = Image.new("RGB", (480, 480), (90, 120, 160))
    photo.paste(image, (80, 80))
    photo.paste((200, 30, 60), (200, 90, 240, 120))
    return photo


PHOTOS = [PORTRAIT.transpose(Image.Transpose.FLIP_LEFT_RIGHT), person()]


def upload(page: Page, *photos: Image.Image) -> None:
    faces = page.get_by_role("textbox", name="Name")
    for photo in photos:
        count = faces.count()
        buffer = io.BytesIO()
        photo.save(buffer, "PNG")
        file = {"name": "me.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
        page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(file)
        expect(faces).to_have_count(count + 1)


def wait_until_tuned(page: Page) -> None:
    """Wait until the ring was seen, and is gone."""
    expect(page.locator(".vae-tuning")).to_have_count(0, timeout=SLOW)
    wait_for_run(page)


def follow_ids(page: Page) -> list[str]:
    """Collect the ids of the tuned decoders that a page asks for."""
    ids: list[str] = []

    def hear(url: str) -> None:
        if found := re.search(r"/api/tuned/([\w-]+)$", url):
            ids.append(found[1])

    page.on("request", lambda request: hear(request.url))
    return ids


def status(page: Page, url: str, id: str) -> int:
    """Ask for a tuned decoder by its id, as anybody could."""
    return page.request.get(f"{url}/api/tuned/{id}").status


def expect_exact(canvas: Locator, photo: Image.Image) -> None:
    """Wait until a canvas shows a photo's face as sharp as the model's size allows."""
    small = align(photo, find_faces(photo)[0], 64).image
    wanted = enlarge(np.asarray(small, np.float32).transpose(2, 0, 1)[None] / 255, 256)[0]
    found = 0.0
    for _ in range(100):
        shown = read_canvas(canvas).transpose(2, 0, 1) / 255
        found = -10 * np.log10(np.square(shown - wanted).mean())
        if found >= EXACT:
            return
        canvas.page.wait_for_timeout(100)
    raise AssertionError(f"{found:.1f} dB")


def test_an_upload_is_usable_at_once_and_then_exact(open_page: OpenPage) -> None:
    page = open_page(PATH)
    upload(page, PHOTOS[0])
    expect(page.locator(".vae-tuning")).to_be_visible()
    expect(page.get_by_text("3 · Reconstruction")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Tuning to this photo|^Waiting: \d"))).to_be_visible()
    wait_until_tuned(page)
    caption = page.get_by_text(re.compile(r"5 · Decoder tuned, [\d.]+ dB"))
    expect(caption).to_be_visible()
    tuned = float(caption.inner_text().split()[-2])
    encoder = float(page.get_by_text(re.compile("3 · Encoder, ")).inner_text().split()[-2])
    assert tuned > encoder + 5
    page.get_by_role("radio", name="As trained").click()
    expect(page.get_by_text("3 · Reconstruction")).to_be_visible()


def test_two_photos_are_tuned_morphed_edited_and_saved(open_page: OpenPage) -> None:
    page = open_page(PATH)
    ids = follow_ids(page)
    upload(page, *PHOTOS)
    go_to(page, "Faces", "Morph")
    expect(page.get_by_text("Tuning to these photos")).to_be_visible(timeout=SLOW)
    wait_until_tuned(page)
    screen = page.locator("[data-view=morph] figure canvas")
    for name, value in (("Photo detail", 0), ("Position along the path", 0)):
        page.get_by_role("slider", name=name, exact=True).evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }",
            value,
        )
    expect_exact(screen, PHOTOS[0])
    page.get_by_role("slider", name="Position along the path").evaluate(
        "(slider) => { slider.value = 1; slider.dispatchEvent(new Event('input')) }"
    )
    expect_exact(screen, PHOTOS[1])
    assert len(set(ids)) == 1
    go_to(page, "Faces", "Edit")
    expect(page.get_by_role("heading", name="Edit")).to_be_visible()
    wait_until_tuned(page)
    slider = page.get_by_role("slider", name="Smiling", exact=True)
    slider.evaluate("(s) => { s.value = -2; s.dispatchEvent(new Event('input')) }")
    slider.dispatch_event("change")
    expect(page).to_have_url(re.compile("edit_Smiling=-2"))
    wait_for_run(page)
    page.get_by_test_id("stPopover").get_by_role("button", name="Save").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"^Photo \(")).click()
    saved = np.asarray(Image.open(download.value.path()), int)
    change = np.abs(saved - np.asarray(PHOTOS[1], int))
    assert change.max() > 20
    assert change[:40].max() == 0
    assert not re.search("|".join(ids), page.url)


@pytest.mark.parametrize("script", ["", NO_ENGINE])
def test_another_session_has_other_decoders_and_none_is_left_of_one_that_ended(
    open_page: OpenPage, app_url: str, script: str
) -> None:
    pages = [open_page(PATH, script=script) for _ in range(2)]
    ids = [follow_ids(page) for page in pages]
    for page in pages:
        upload(page, PHOTOS[0])
        go_to(page, "Faces", "Edit")
        expect(page.get_by_role("heading", name="Edit")).to_be_visible()
    for page, mine in zip(pages, ids, strict=True):
        wait_until_tuned(page)
        page.wait_for_function("document.querySelector('[data-view=edit] canvas').width > 0")
        for _ in range(100):
            if mine:
                break
            page.wait_for_timeout(100)
    first, second = (set(mine) for mine in ids)
    assert first and second and not first & second
    other = pages[1]
    assert status(other, app_url, "A" * 32) == 404
    assert all(status(other, app_url, id) == 200 for id in first | second)
    pages[0].goto("about:blank")  # its session ends
    for _ in range(100):
        if all(status(other, app_url, id) == 404 for id in first):
            break
        other.wait_for_timeout(100)
    assert all(status(other, app_url, id) == 404 for id in first)
    assert all(status(other, app_url, id) == 200 for id in second)


def test_with_the_photo_its_decoder_goes(open_page: OpenPage, app_url: str) -> None:
    page = open_page(PATH)
    ids = follow_ids(page)
    upload(page, PHOTOS[0])
    go_to(page, "Faces", "Edit")
    expect(page.get_by_role("heading", name="Edit")).to_be_visible()
    wait_until_tuned(page)
    page.wait_for_function("document.querySelector('[data-view=edit] .vae-where').textContent")
    assert [status(page, app_url, id) for id in set(ids)] == [200]
    go_to(page, "Faces", "Your photo")
    expect(page.get_by_role("textbox", name="Name")).to_have_count(1)
    page.get_by_role("button", name="Remove all photos").click()
    expect(page.get_by_role("textbox", name="Name")).to_have_count(0)
    assert [status(page, app_url, id) for id in set(ids)] == [404]
    upload(page, PHOTOS[1])
    expect(page.locator(".vae-tuning")).to_be_visible()
    page.get_by_role("button", name="Remove all photos").click()  # while it is tuned to
    expect(page.get_by_text("Example photo")).to_be_visible()
    wait_until_tuned(page)


@pytest.mark.parametrize("looks", [{"dark": True}, {"phone": True}])
@pytest.mark.parametrize("name", ["your_photo", "edit"])
def test_the_switch_and_the_stages_fit_any_screen(
    open_page: OpenPage, looks: dict[str, bool], name: str
) -> None:
    page = open_page(f"{name}?model={MODEL}", **looks)
    wait_until_tuned(page)
    tuned = page.get_by_role("radio", name="Tuned")
    expect(tuned).to_be_checked()
    width = page.viewport_size["width"]
    box = tuned.bounding_box()
    assert box is not None and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
