"""What callbacks write into the session, and what is read there."""

from __future__ import annotations

import math

import pytest
import streamlit as st

from vae_explorer.ui.explore.map_points import Pin, take_pin
from vae_explorer.ui.stage.sliders import take_values
from vae_explorer.ui.state import add_notice, recall, take_notices


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A session's state: outside of a script's run, Streamlit has none."""
    state: dict[str, object] = {}
    monkeypatch.setattr(st, "session_state", state)
    return state


def test_the_values_of_a_drag_are_rounded_to_what_a_link_can_hold(memory: dict[str, object]):
    memory |= {"x": 0.0, "y": 0.0}
    take_values({"x": 1.23456, "y": 2})
    assert memory == {"x": 1.235, "y": 2.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "1", [1.0], {"x": 1.0}])
def test_what_is_no_number_is_not_taken_from_a_drag(memory: dict[str, object], value):
    memory |= {"x": 0.5, "y": 0.0}
    take_values({"x": value, "y": 1.0})
    assert memory == {"x": 0.5, "y": 1.0}


def test_a_drag_writes_to_settings_only(memory: dict[str, object]):
    memory |= {"model": "digits", "seed": 7, "x": 0.0}
    take_values({"model": 1.0, "seed": 1.0, "unknown": 1.0})
    assert memory == {"model": "digits", "seed": 7, "x": 0.0}


@pytest.mark.parametrize(
    ("sent", "pin"),
    [
        ({"row": 7}, Pin(row=7)),
        ({"at": [0.5, -1]}, Pin(at=(0.5, -1))),
        ({"at": [1e9, -1e300]}, Pin(at=(1e4, -1e4))),
        ({}, Pin()),
    ],
)
def test_a_map_sends_a_row_or_a_place_or_nothing(memory: dict[str, object], sent, pin):
    take_pin(sent)
    assert memory == {"pin": pin}


@pytest.mark.parametrize("place", [[None, 0], [math.nan, 0]])
def test_a_place_that_is_nowhere_is_not_pinned(memory: dict[str, object], place):
    memory["pin"] = Pin(row=7)
    take_pin({"at": place})
    assert memory == {"pin": Pin(row=7)}


@pytest.mark.parametrize(
    ("pin", "text"),
    [(Pin(), ""), (Pin(row=0), "0"), (Pin(at=(0.123456, -10)), "0.1235,-10")],
)
def test_a_pin_stands_in_the_link_as_short_text(pin, text):
    assert pin.text == text
    assert bool(pin) == bool(text)


def test_a_notice_is_said_once_and_then_forgotten(memory: dict[str, object]):
    assert take_notices() == []
    for text in ("n is wrong", "x is wrong", "n is wrong"):
        add_notice(text)
    assert take_notices() == ["n is wrong", "x is wrong"]
    assert take_notices() == []


def test_what_a_page_remembers_is_found_again(memory: dict[str, object]):
    assert recall("tile", 3) == 3
    memory["tile"] = 4
    assert recall("tile", 3) == 4
