"""All pages of models of few or equal images open, and say what is not there."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PROJECT
from tests.support.few_images import SETS
from tests.support.session import Open
from vae_explorer.cli import main

PAGES = sorted(path.stem for path in (PROJECT / "pages").glob("*.py"))
VIEWS = (
    ("latent_map", {"show": "tiles,rings,samples", "pin": "0"}),
    ("latent_map", {"plane": "z", "show": "tiles", "pin": "0.5,1"}),
    ("latent_map", {"scale": "p", "show": "tiles"}),
    ("decoded_grid", {"axes": "z", "spacing": "quantile"}),
    ("dimensions", {"look_at": "spread"}),
    ("dimensions", {"look_at": "length"}),
    ("dimensions", {"look_at": "labels"}),
    ("generate", {"prior": "both"}),
    ("compare", {"compare": "curves"}),
    ("autoencoder_or_vae", {"spaces": "walk"}),
)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Give the signals back, which `train` takes."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one in each split, one a batch", "t-SNE needs at least 4 different encodings"),
        ("equal, in many dimensions", "All 3 encodings are equal: maps show a single point."),
    ],
)
@pytest.mark.usefixtures("handlers")
def test_all_pages_open(open_app: Open, shelf: Path, tmp_path: Path, name: str, said: str) -> None:
    config = SETS[name].write(tmp_path / "images")
    options = ["--config", config, "--source", tmp_path / "images", "--out", shelf / "few"]
    assert main(["train", *map(str, options), "--title", "Few images"]) == 0
    session = open_app(model="few")
    assert said in session.words
    assert said in session.visit("overview", model="few").words
    for page in PAGES:
        session.visit(page, model="few")
    for page, link in VIEWS:
        session.visit(page, model="few", **link)
    for page in ("latent_map", "decoded_grid", "generate"):
        open_app(page, live=False, model="few")
