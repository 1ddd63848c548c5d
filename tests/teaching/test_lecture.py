"""Lists of scenes: what a lecturer may write, and what is said of the rest."""

from __future__ import annotations

import re

import pytest

from tests.support import PROJECT
from vae_explorer.teaching.lecture import MAX_SCENES, read_lecture, shipped_lecture

PAGES = {path.stem for path in PROJECT.joinpath("pages").glob("*.py")}


def test_the_lecture_that_comes_with_the_app_has_about_twelve_sound_scenes() -> None:
    scenes, problems = read_lecture(shipped_lecture(), PAGES)
    assert problems == []
    assert 12 <= len(scenes) <= 14
    assert all(scene.attempt and scene.notes for scene in scenes)
    assert len({scene.link for scene in scenes}) == len(scenes)


def test_a_scene_is_read_whole() -> None:
    (scene,), problems = read_lecture(
        "# Glasses\n// nobody's\nhttp://host:8501/app/edit?model=faces&edit_Smiling=2\n"
        "First half,\nsecond half.\nTry: this.\nNotes: that.\n",
        PAGES,
    )
    assert problems == []
    assert (scene.title, scene.page, scene.sentence) == (
        "Glasses",
        "edit",
        "First half, second half.",
    )
    assert (scene.attempt, scene.notes) == ("this.", "that.")
    assert scene.settings == {"model": "faces", "edit_Smiling": "2"}
    assert read_lecture(f"{scene.link}\nAgain.", PAGES)[0][0].settings == scene.settings


def test_the_root_of_the_app_is_the_page_it_opens_on() -> None:
    (scene,), _ = read_lecture("http://localhost:8501/?model=x\nHere.", PAGES)
    assert (scene.page, scene.title) == ("latent_map", "Scene 1")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("nowhere?x=1\nWords.", r"Line 4: 'nowhere\?x=1' is not a link"),
        ("https://example.org/\x00\nWords.", "Line 4: .* is not a link"),
        ("latent_map", "Line 4: this scene has no sentence"),
        ("# Only a name", "Line 4: this scene has no link"),
        ("../../app\nWords.", "Line 4: .* is not a link"),
    ],
)
def test_a_broken_scene_is_named_and_the_rest_runs(block: str, message: str) -> None:
    text = f"latent_map\nOne.\n\n{block}\n\nmorph\nTwo.\n"
    scenes, problems = read_lecture(text, PAGES)
    assert [scene.sentence for scene in scenes] == ["One.", "Two."]
    (problem,) = problems
    assert re.search(message, problem)


def test_too_many_scenes_end_with_a_word() -> None:
    scenes, problems = read_lecture("latent_map\nOne.\n\n" * (MAX_SCENES + 5), PAGES)
    assert len(scenes) == MAX_SCENES
    assert len(problems) == 1


def test_nothing_and_binary_rubbish_are_no_scenes() -> None:
    assert read_lecture("", PAGES) == ([], [])
    scenes, problems = read_lecture(bytes(range(256)).decode("latin-1"), PAGES)
    assert scenes == []
    assert problems
