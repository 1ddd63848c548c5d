from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.session import Open, Session
from vae_explorer.server.follow import LECTURES, MAX_LECTURES
from vae_explorer.teaching.lecture import read_lecture, shipped_lecture

FOLLOWER = "lecture_follower"
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


@pytest.fixture(autouse=True)
def end_lectures() -> Iterator[None]:
    """A server has few; what one test leaves would be another's."""
    yield
    for id in list(LECTURES._lectures):
        LECTURES.end(id)


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


def open_to_followers(session: Session) -> dict[str, str]:
    """Press the lecturer's button, and return what the page needs to lead."""
    session.click("Let the class follow")
    lead = session.view(KEYS)["lead"]
    assert isinstance(lead, dict)
    return lead


def follow(open_app: Open, id: str, page: str = "latent_map") -> Session:
    """Open the link; AppTest does not notice that the script changed page."""
    session = open_app("latent_map", following=id)
    session.app.switch_page(f"pages/{page}.py")
    return session.run()


def show(lead: dict[str, str], scene: str) -> None:
    """Do what the lecturer's page does when it has another scene."""
    LECTURES.lead(
        lead["id"], lead["token"], f'{{"scene": "{scene}", "model": "", "z": null}}'.encode()
    )


def test_nobody_can_follow_unless_the_lecturer_wants_it(session: Session) -> None:
    start(session)
    assert session.view(KEYS)["lead"] is None
    lead = open_to_followers(session)
    assert lead["scene"] == LECTURES.scene(lead["id"]) == f"?model={DIGITS}&scale=p"
    assert f"following={lead['id']}" in session.words
    assert lead["token"] not in session.words + str(session.link)
    turn(session, 1, "objective").run()
    assert session.view(KEYS)["lead"] == {**lead, "scene": "objective?view=kl&mu=-2"}


def test_the_link_is_dead_after_stop_and_after_the_end(session: Session) -> None:
    start(session)
    lead = open_to_followers(session)
    session.click("Stop")
    assert LECTURES.scene(lead["id"]) is None
    assert session.view(KEYS)["lead"] is None
    lead = open_to_followers(session)
    session.click("End")
    assert LECTURES.scene(lead["id"]) is None


def test_a_lecture_that_the_server_has_dropped_can_be_opened_again(session: Session) -> None:
    start(session)
    lead = open_to_followers(session)
    LECTURES.end(lead["id"])
    session.send(KEYS, "lost", True)
    assert open_to_followers(session)["id"] != lead["id"]


def test_too_many_lectures_are_refused_with_the_reason(session: Session) -> None:
    start(session)
    for _ in range(MAX_LECTURES):
        LECTURES.begin("")
    session.click("Let the class follow")
    assert "Try again" in session.notices
    assert session.view(KEYS)["lead"] is None


def test_a_follower_opens_the_scene_and_goes_along(session: Session, open_app: Open) -> None:
    lead = open_to_followers(start(session))
    follower = follow(open_app, lead["id"])
    assert follower.link == {"model": DIGITS, "scale": "p", "following": lead["id"]}
    assert "Following the lecturer" in follower.words
    assert follower.view(FOLLOWER) == {
        "id": lead["id"],
        "scene": f"?model={DIGITS}&scale=p",
        "follows": True,
    }
    show(lead, "objective?view=kl&mu=-2&lecture=3")
    follower.send(FOLLOWER, "moved", {"scene": "a browser can send anything"})
    follower.app.switch_page("pages/objective.py")
    follower.run()
    assert follower.link == {"view": "kl", "mu": "-2", "following": lead["id"]}
    assert "Following the lecturer" in follower.words


@pytest.mark.parametrize("leave", ["button", "page"])
def test_who_explores_stays_and_returns_with_one_click(
    session: Session, open_app: Open, leave: str
) -> None:
    lead = open_to_followers(start(session))
    follower = follow(open_app, lead["id"])
    if leave == "button":
        follower.click("Explore on my own")
    else:
        follower.visit("generate")
    assert "Exploring on your own" in follower.words
    assert follower.link["following"] == lead["id"]
    assert not follower.view(FOLLOWER)["follows"]
    show(lead, "objective?view=kl&mu=-2")
    follower.send(FOLLOWER, "moved", {})
    assert "Exploring on your own" in follower.words
    follower.click("Return to the lecturer").app.switch_page("pages/objective.py")
    follower.run()
    assert "Following the lecturer" in follower.words
    assert follower.link == {"view": "kl", "mu": "-2", "following": lead["id"]}


def test_reset_keeps_following_and_leave_does_not(session: Session, open_app: Open) -> None:
    lead = open_to_followers(start(session))
    follower = follow(open_app, lead["id"]).click("Reset")
    assert "Following the lecturer" in follower.words
    follower.click("Leave")
    assert "following" not in follower.link
    assert FOLLOWER not in follower.views()


@pytest.mark.parametrize("id", ["nowhere", "x" * 41, "é"])
def test_a_link_to_no_lecture_says_so_and_shows_the_app(open_app: Open, id: str) -> None:
    session = open_app("latent_map", following=id)
    assert FOLLOWER not in session.views()
    assert "The lecture has ended" in session.words or "cannot be used" in session.notices


def test_a_scene_of_no_page_of_this_app_is_not_opened(session: Session, open_app: Open) -> None:
    lead = open_to_followers(start(session))
    show(lead, "nowhere?x=1")
    follower = open_app("latent_map", following=lead["id"])
    assert follower.link == {"following": lead["id"]}
