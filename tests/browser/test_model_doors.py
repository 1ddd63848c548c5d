from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support import PROJECT
from tests.support.server import serve
from tests.support.stage import wait_for_run

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def own_shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model that is one's own, and one that is shipped."""
    shelf = tmp_path_factory.mktemp("checkpoints")
    for source, name in (("mnist-vae-2d", "my-digits"), ("fashion-vae-2d", "fashion-vae-2d")):
        shutil.copytree(PROJECT / "checkpoints" / source, shelf / name)
    return shelf


@pytest.fixture(scope="module")
def app_url(own_shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app that may change that folder."""
    log = tmp_path_factory.mktemp("app") / "log.txt"
    with serve(PROJECT, log, VAE_EXPLORER_CHECKPOINTS=str(own_shelf)) as url:
        yield url


def open_doors(page: Page) -> None:
    page.get_by_text("Your models", exact=True).click()
    doors, before = page.get_by_test_id("stExpander").filter(has_text="Your models"), None
    while (box := doors.bounding_box()) != before:  # it unfolds, and moves what is in it
        before = box
        page.wait_for_timeout(300)


def test_a_model_is_saved_added_renamed_and_deleted(
    open_page: OpenPage, own_shelf: Path, tmp_path: Path
) -> None:
    page = open_page("/overview?model=my-digits")
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_text("MNIST VAE (2-D)")

    page.get_by_role("button", name="Save").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Model (ZIP)").click()
    archive = tmp_path / saved.value.suggested_filename
    saved.value.save_as(archive)
    assert archive.name == "my-digits.zip"
    page.keyboard.press("Escape")

    open_doors(page)
    page.get_by_test_id("stFileUploader").locator("input").set_input_files(archive)
    expect(page.get_by_text("It is now selected")).to_be_visible()
    wait_for_run(page)
    assert "model=my-digits-2" in page.url
    picker = page.get_by_role("combobox", name="Model")
    expect(picker).to_have_value("MNIST VAE (2-D) (my-digits-2)")
    assert (own_shelf / "my-digits-2" / "card.json").is_file()

    page.get_by_label("Title").fill("Digits from elsewhere")
    page.get_by_label("Folder name (also used in links)").fill("elsewhere")
    page.get_by_role("button", name="Rename").click()
    expect(title).to_have_text("Digits from elsewhere")
    expect(picker).to_have_value("Digits from elsewhere")
    wait_for_run(page)
    assert "model=elsewhere" in page.url
    page.reload()  # a link opens it
    expect(title).to_have_text("Digits from elsewhere")

    open_doors(page)
    page.get_by_role("button", name="Delete this model").click()
    page.get_by_role("button", name="Delete permanently").click()
    expect(page.get_by_text("elsewhere is no longer here")).to_be_visible()
    expect(title).to_have_text("Fashion-MNIST VAE (2-D)")
    assert sorted(path.name for path in own_shelf.iterdir()) == ["fashion-vae-2d", "my-digits"]

    expect(page.get_by_text("is included with VAE Explorer, so it cannot be")).to_be_attached()
    expect(page.get_by_role("button", name="Delete this model")).to_have_count(0)


def test_a_file_that_is_no_model_is_refused_in_a_sentence(
    open_page: OpenPage, own_shelf: Path, tmp_path: Path
) -> None:
    (tmp_path / "torn.zip").write_bytes(b"PK torn")
    page = open_page("/overview?model=my-digits")
    open_doors(page)
    page.get_by_test_id("stFileUploader").locator("input").set_input_files(tmp_path / "torn.zip")
    expect(page.get_by_text("This file is not a zip file, or it is incomplete")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("MNIST VAE (2-D)")
    assert sorted(path.name for path in own_shelf.iterdir()) == ["fashion-vae-2d", "my-digits"]
