from __future__ import annotations

import random

import pytest

from vae_explorer.workspace import LONGEST, check_name, disambiguate, suggest_name


def test_what_is_suggested_is_taken() -> None:
    chance, letters = random.Random(0), "aZ09.-_ /\\é\n:’"
    taken: list[str] = ["Mine", "a"]
    for _ in range(300):
        name = suggest_name("".join(chance.choices(letters, k=chance.randrange(90))), taken)
        check_name(name, taken)
        taken.append(name)


def test_a_good_name_is_suggested_as_it_is() -> None:
    for name in ("mine", "My.Model_2", "a" * (LONGEST - 5)):
        assert suggest_name(name) == name
        check_name(name)


@pytest.mark.parametrize("taken", ["mine", "MINE"])
def test_case_makes_no_other_name(taken: str) -> None:
    with pytest.raises(ValueError, match=r"“Mine” is already in use.*“Mine-2”"):
        check_name("Mine", [taken])


def test_titles_that_several_share_are_told_apart_and_others_left() -> None:
    titles = disambiguate({"a": "Digits", "b": "Clothes", "c": "Digits"})
    assert titles == {"a": "Digits (a)", "b": "Clothes", "c": "Digits (c)"}
