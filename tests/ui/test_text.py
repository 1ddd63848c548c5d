from __future__ import annotations

import pytest

from vae_explorer.evaluation.description import format_attribute
from vae_explorer.ui.text import format_count, format_share


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (0.002, "<1%"), (0.0051, "1%"), (0.686, "69%"), (1.0, "100%")],
)
def test_a_share_that_is_not_0_never_reads_0(share: float, text: str) -> None:
    assert format_share(share) == text


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("Bags_Under_Eyes", "Bags under eyes"),
        ("No_Beard", "No beard"),
        ("5_o_Clock_Shadow", "5 o’clock shadow"),
        ("Made_in_USA", "Made in USA"),
        ("Smiling", "Smiling"),
    ],
)
def test_attributes_are_in_sentence_case(name: str, phrase: str) -> None:
    assert format_attribute(name) == phrase


def test_one_is_singular() -> None:
    assert [format_count(n, "epoch") for n in (0, 1, 1200)] == [
        "0 epochs",
        "1 epoch",
        "1,200 epochs",
    ]
