from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from streamlit import config
from streamlit.testing.v1.element_tree import Widget

from tests.support.checkpoints import put
from tests.support.session import Files, Open, Session
from vae_explorer.catalog.archive import MAX_BYTES, pack_checkpoint
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.data import DATASETS, ImageDataset
from vae_explorer.preprocessing import MAX_BYTES as PICTURE_BYTES
from vae_explorer.ui.files import keep_uploads_in_memory
from vae_explorer.webpage import build_page
from vae_explorer.workspace import READ_ONLY

VAE, DEEP = "digits-vae-2d", "digits-vae-5d"
SHIPPED = "fashion-vae-2d"
PAGE = "overview"


@pytest.fixture
def own(shelf: Path, checkpoint_root: Path) -> Path:
    """A folder of checkpoints: `mine`, called Mine, and one in the place of a shipped one."""
    put(checkpoint_root / VAE, shelf / "mine", title="Mine")
    put(checkpoint_root / VAE, shelf / SHIPPED, title="Shipped")
    return shelf


def upload(session: Session, data: bytes) -> Session:
    keys = (node.key or "" for node in session.app._tree if isinstance(node, Widget))
    (key,) = (key for key in keys if key.startswith("model_upload-"))
    return session.set(**{key: ("model.zip", data, "application/zip")})


def field(session: Session, name: str) -> str:
    (key,) = (f.key for f in session.app.text_input if (f.key or "").startswith(f"own_{name}-"))
    return key


def read_folder(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_saved_model_is_added_chosen_and_the_same(
    open_app: Open, own: Path, files: Files, checkpoint_root: Path
):
    session = open_app(PAGE, model="mine")
    data = files["mine.zip"]()
    put(checkpoint_root / DEEP, own / "other", title="Other")
    session.run().set(model="other")
    assert session.app.title[0].value == "Other"
    upload(session, data)
    assert session.widget("model").value == "mine-2"  # the name itself is taken
    assert session.link["model"] == "mine-2"
    assert "Added Mine as mine\\-2" in session.app.success[0].value
    assert load_checkpoint("mine-2").card.sha256 == load_checkpoint("mine").card.sha256
    session.run()
    assert not session.app.success  # said once
    assert len(list_checkpoints()[0]) == 4  # and added once


def test_a_file_that_is_no_model_says_why_and_costs_nothing(open_app: Open, own: Path):
    before = read_folder(own)
    session = open_app(PAGE, model="mine")
    for data, reason in ((b"not a zip", "is not a zip"), (b"", "is not a zip")):
        upload(session, data)
        assert reason in session.app.error[0].value
        assert session.widget("model").value == "mine"
    torn = pack_checkpoint(own / "mine").replace(b"epoch", b"epxch")
    upload(session, torn)
    assert "damaged" in session.app.error[0].value
    assert read_folder(own) == before
    upload(session, pack_checkpoint(own / "mine"))  # the next one works
    assert not session.app.error
    assert session.widget("model").value == "mine-2"


def test_ones_own_is_renamed(open_app: Open, own: Path):
    session = open_app(PAGE, model="mine")
    assert session.widget(field(session, "name")).value == "mine"
    assert session.widget(field(session, "title")).value == "Mine"
    session.widget(field(session, "name")).set_value("yours")
    session.widget(field(session, "title")).set_value("Not mine [any](more)")
    session.click("Rename")
    assert "A title must be one line" in session.app.error[0].value
    assert session.app.title[0].value == "Mine"
    session.widget(field(session, "title")).set_value("Yours")
    session.click("Rename")
    assert session.app.title[0].value == "Yours"
    assert session.widget("model").value == "yours"
    assert "yours" in session.app.success[0].value
    assert not session.notices  # a name that was changed is not missed
    assert sorted(list_checkpoints()[0]) == [SHIPPED, "yours"]
    assert session.widget(field(session, "name")).value == "yours"


def test_a_name_that_is_taken_is_refused(open_app: Open, own: Path):
    before = read_folder(own)
    session = open_app(PAGE, model="mine")
    session.widget(field(session, "name")).set_value(SHIPPED)
    session.click("Rename")
    assert "reserved for a model that comes with the app" in session.app.error[0].value.replace(
        "\\", ""
    )
    assert read_folder(own) == before


def test_deleting_asks_first_and_falls_back_to_another_model(open_app: Open, own: Path):
    other = open_app("latent_map", model="mine")
    session = open_app(PAGE, model="mine")
    asked = {block.proto.popover.label: block for block in session.app.get("popover")}
    assert [each.label for each in asked["Delete this model"].button] == ["Delete permanently"]
    session.click("Delete permanently")
    assert list(list_checkpoints()[0]) == [SHIPPED]
    for each in (session, other.run()):  # also who looks at it elsewhere is told
        assert each.widget("model").value == SHIPPED
        assert "mine is no longer here" in each.notices
        assert not each.run().notices
    assert session.app.title[0].value == "Shipped"


def test_a_shipped_one_says_why_it_stays(open_app: Open, own: Path):
    session = open_app(PAGE, model=SHIPPED)
    assert "is included with VAE Explorer" in session.words
    assert not {"Rename", "Delete permanently"} & set(session.labels())
    assert any(label.startswith("Add a model") for label in session.labels())


def test_a_copy_for_looking_saves_and_says_what_is_off(
    open_app: Open, own: Path, files: Files, monkeypatch: pytest.MonkeyPatch
):
    before = read_folder(own)
    stale = open_app(PAGE, model="mine")  # drawn before the copy was closed
    monkeypatch.setenv(READ_ONLY, "1")
    session = open_app(PAGE, model="mine")
    assert "models cannot be added, renamed or deleted" in session.words
    assert not {"Rename", "Delete permanently"} & set(session.labels())
    assert not any(label.startswith("Add a model") for label in session.labels())
    with zipfile.ZipFile(io.BytesIO(files["mine.zip"]())) as archive:
        assert "mine/card.json" in archive.namelist()
    stale.click("Delete permanently")
    assert read_folder(own) == before
    assert stale.widget("model").value == "mine"


def test_a_copy_for_looking_fetches_no_data(
    open_app: Open, own: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    data_folder.unlink()
    monkeypatch.setenv(READ_ONLY, "1")
    session = open_app(PAGE, model="mine")
    assert "cannot be downloaded here" in session.words
    assert not any(label.startswith("Download") for label in session.labels())
    assert not data_folder.exists()


def test_a_copy_for_looking_takes_no_upload_larger_than_a_picture(monkeypatch: pytest.MonkeyPatch):
    usual = config.get_option("server.maxUploadSize")
    assert usual >= MAX_BYTES / 2**20  # a model as large as is taken gets through
    monkeypatch.setenv(READ_ONLY, "1")
    try:
        keep_uploads_in_memory()
        assert config.get_option("server.maxUploadSize") == PICTURE_BYTES / 2**20
    finally:
        config.set_option("server.maxUploadSize", usual)


def test_the_html_page_is_that_of_the_command_line(open_app: Open, own: Path, files: Files):
    open_app(PAGE, model="mine")
    assert files["mine.html"]() == build_page([load_checkpoint("mine")])


def test_onnx_is_both_networks(open_app: Open, own: Path, files: Files, digits: ImageDataset):
    open_app(PAGE, model="mine")
    with zipfile.ZipFile(io.BytesIO(files["mine-onnx.zip"]())) as archive:
        graphs = {name: onnx.load_from_string(archive.read(name)) for name in archive.namelist()}
    assert set(graphs) == {"encoder.onnx", "decoder.onnx"}
    (shape,) = (output.type.tensor_type.shape for output in graphs["decoder.onnx"].graph.output)
    sizes = [dim.dim_value for dim in shape.dim]
    np.testing.assert_array_equal(sizes[1:], digits.images.shape[1:])
    assert DATASETS["digits"].licence in str(graphs["decoder.onnx"].metadata_props)
