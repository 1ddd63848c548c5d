from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.session import Open, Session
from vae_explorer.teaching.lecture import read_lecture, shipped_lecture

PAGE, DIGITS = "lecture", "digits-vae-2d"
KEYS, LIST = "lecture_keys", "lecture_list"
OWN = f"""
# First
latent_map?model={DIGITS}&scale=p
One.
Try: this.

# Broken
nowhere
Two.

objective?view=kl&mu=-2
Three <b>.
"""


@pytest.fixture
def session(open_app: Open) -> Session:
    session = open_app(PAGE, model=DIGITS)
    session.app.file_uploader(key=LIST).set_value(("own.txt", OWN.encode(), "text/plain"))
    return session.run()


def bar(session: Session) -> str:
    """Return what the bar says."""
    return "\n".join(block.proto.body for block in session.app.get("html"))


def start(session: Session) -> Session:
    """Begin, and stand where that leads: AppTest does not notice that the script changed page."""
    session.click("Start lecture").app.switch_page("pages/latent_map.py")
    return session.run()


def turn(session: Session, by: int, page: str) -> Session:
    """Press PageDown or PageUp, which leads to a page."""
    session.send(KEYS, "moved", {"by": by}).app.switch_page(f"pages/{page}.py")
    return session


def test_the_apps_own_lecture_is_listed_with_links_and_notes_on_demand(open_app: Open) -> None:
    session = open_app(PAGE, model=DIGITS)
    pages = {path.stem for path in Path("pages").glob("*.py")} or {"latent_map"}
    scenes, _ = read_lecture(shipped_lecture(), pages)
    words = session.words.replace("\\", "")
    assert all(scene.link in words and scene.sentence in words for scene in scenes)
    assert scenes[0].notes not in words
    session.set(with_notes=True)
    assert scenes[0].notes in session.words.replace("\\", "")


def test_a_list_of_ones_own_runs_without_its_broken_scene(session: Session) -> None:
    assert "Line 8" in session.notices
    assert "Three" in session.words
    session.click("Start lecture")
    assert session.link == {"model": DIGITS, "scale": "p", "lecture": "1"}
    assert "One." in bar(session)
    assert "**First** (1 of 2)" in session.words


def test_keys_lead_on_and_back_and_stop_at_the_ends(session: Session) -> None:
    start(session)
    turn(session, 1, "objective")
    assert session.link == {"view": "kl", "mu": "-2", "lecture": "2"}
    assert "Three &lt;b>." in bar(session)
    turn(session, 1, "objective")
    assert session.link["lecture"] == "2"
    turn(session, -1, "latent_map")
    assert session.link["lecture"] == "1"


def test_a_scene_can_be_left_and_begins_again_as_it_was(session: Session) -> None:
    start(session).set(scale="z")
    session.visit("generate", model=DIGITS)
    assert "**First** (1 of 2)" in session.words
    session.click("Reset scene")
    assert session.link == {"model": DIGITS, "scale": "p", "lecture": "1"}
    assert session.widget("scale").value == "p"


def test_what_a_browser_should_not_send_moves_nothing(session: Session) -> None:
    start(session)
    for rubbish in ({"by": 7}, {"by": "1"}, {}, {"by": None}):
        session.send(KEYS, "moved", rubbish)
    assert session.link["lecture"] == "1"


def test_ones_own_list_stays_until_it_is_left(session: Session) -> None:
    session.visit("generate", model=DIGITS).visit(PAGE, model=DIGITS)
    assert "Three" in session.words
    session.click("Restore the built-in lecture")
    assert "Three" not in session.words
    assert "A latent space you can explore" in session.words


def test_the_end_takes_the_bar_away_and_keeps_the_page(session: Session) -> None:
    start(session).click("End")
    assert "lecture" not in session.link
    assert KEYS not in session.views()
    assert "of 2)" not in session.words


def test_a_file_that_is_no_list_is_named_and_the_apps_own_stays(open_app: Open) -> None:
    session = open_app(PAGE, model=DIGITS)
    session.app.file_uploader(key=LIST).set_value(("x.txt", b"\xff\xfe\x00", "text/plain"))
    session.run()
    assert "not a text file" in session.notices
    assert "A latent space you can explore" in session.words
