"""Pages without a browser: sessions of the app on tiny checkpoints, with a data folder beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import streamlit as st
from streamlit.components.v2.component_manager import BidiComponentManager

from tests.support.session import Files, Open, Picture, Session, keep_navigation, read_picture
from tests.support.tuned import WaitingDecoders
from vae_explorer import workspace
from vae_explorer.server import tuned
from vae_explorer.server.tuned import TunedDecoders


@pytest.fixture(autouse=True)
def clear_caches() -> Iterator[None]:
    """Let no test see what another one cached."""
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def waiting_decoders(monkeypatch: pytest.MonkeyPatch) -> WaitingDecoders:
    """Have no decoder tuned: what a page shows depends on no thread."""
    decoders = WaitingDecoders()
    monkeypatch.setattr(tuned, "TUNED", decoders)
    return decoders


@pytest.fixture
def tuned_decoders(
    waiting_decoders: WaitingDecoders, monkeypatch: pytest.MonkeyPatch
) -> TunedDecoders:
    """Have decoders tuned after all."""
    decoders = TunedDecoders()
    monkeypatch.setattr(tuned, "TUNED", decoders)
    return decoders


@pytest.fixture
def data_folder(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the app look for data where the prepared digits are."""
    folder = tmp_path / "data"
    folder.symlink_to(data_root, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def open_app(checkpoint_root: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Return what opens the app at a page: see `Session`."""
    keep_navigation(monkeypatch.setattr)
    # Each session would look through the metadata of all installed packages: most of its time.
    monkeypatch.setattr(BidiComponentManager, "discover_and_register_components", Mock())
    return Session


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> list[Picture]:
    """Collect the pictures that pages show; clear the list to see only what comes next."""
    shown: list[Picture] = []

    def show(image: str, caption: str | None = None, **_options: object) -> None:
        shown.append(Picture(read_picture(image), caption))

    monkeypatch.setattr(st, "image", show)
    return shown


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Collect the files that pages offer."""
    offered: Files = {}

    def offer(
        _label: str, data: str | Callable[[], bytes], file_name: str, _mime: str, **_options: object
    ) -> None:
        offered[file_name] = data if callable(data) else lambda: data

    monkeypatch.setattr(st, "download_button", offer)
    return offered


@pytest.fixture
def shelf(checkpoint_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have checkpoints looked for in an empty folder, to be filled from `checkpoint_root`."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(workspace, "CHECKPOINTS", folder)
    return folder
