"""Names that somebody else chose, with markup in them: shown as they are, on every page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.support import PROJECT
from tests.support.checkpoints import put, put_faces
from tests.support.session import Open, Session
from vae_explorer.checkpoints import load_checkpoint

MARKDOWN, HTML = "**strong** :red[hot]", "<b>bold</b>"
NAME = f"{HTML} {MARKDOWN}"
PAGES = sorted(path.stem for path in (PROJECT / "pages").glob("*.py"))
FACES = ("latent_map", "your_photo", "morph", "edit", "arithmetic")
# Fields of Streamlit's messages that the browser shows as they are, or not at all.
PLAIN = {"id", "form_id", "key", "url", "data", "value", "placeholder"}
LISTED = {"options", "raw_value", "set_value", "default"}  # of a drop-down list


@pytest.fixture
def marked(checkpoint_root: Path, shelf: Path) -> Path:
    """Put three models on the shelf whose every name holds markup."""
    for name in ("digits-vae-2d", "digits-vae-5d", "digits-ae-2d"):
        card = load_checkpoint(checkpoint_root / name).card
        dataset = replace(card.dataset, title=NAME, licence=NAME, terms=NAME, citation=NAME)
        labels = tuple(f"{k} {NAME}" for k in range(10))
        put(checkpoint_root / name, shelf / name, title=NAME, dataset=dataset, label_names=labels)
    put_faces(checkpoint_root / "digits-vae-2d", shelf / "faces", title=NAME)
    return shelf


@pytest.mark.parametrize("page", PAGES)
def test_markup_in_names_is_shown_as_text(page: str, marked: Path, open_app: Open) -> None:
    model = "digits-vae-2d"
    links = [{"model": model}, {"model": model, "pin": "3"}, {"model": "digits-vae-5d"}]
    wrong = set()
    if page in FACES:
        links.append({"model": "faces"})
    for link in links:
        session = open_app(page, **link)
        wrong |= {found for found in texts(session) if MARKDOWN in found[1]}
        charts = ((key, json.dumps(session.chart(key))) for key in session.charts())
        wrong |= {(key, figure) for key, figure in charts if HTML in figure}
    assert not wrong


def texts(session: Session) -> Iterator[tuple[str, str]]:
    """Return the texts of a page that Streamlit reads as Markdown, each with its field's name."""
    for node in session.app._tree:
        proto = getattr(node, "proto", None)
        if isinstance(proto, Message) and node.type not in ("bidi_component", "plotly_chart"):
            plain = PLAIN | LISTED if node.type in ("selectbox", "multiselect") else PLAIN
            yield from _strings(proto, plain)


def _strings(message: Message, plain: set[str]) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        if field.name in plain:
            continue
        for each in value if field.is_repeated else (value,):
            if field.type == FieldDescriptor.TYPE_STRING:
                yield field.name, each
            elif isinstance(each, Message):
                yield from _strings(each, plain)
