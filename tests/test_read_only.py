from __future__ import annotations

import pytest

from vae_explorer.read_only import READ_ONLY, ReadOnlyError, is_read_only, refuse_when_read_only


@pytest.mark.parametrize("value", ["1", "true", "yes", "TRUE", " Yes ", "on", "ture"])
def test_what_is_not_clearly_no_closes_the_copy(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(READ_ONLY, value)
    assert is_read_only()


@pytest.mark.parametrize("value", ["", "0", "false", "no", "No ", "off"])
def test_no_leaves_it_open(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(READ_ONLY, value)
    assert not is_read_only()
    refuse_when_read_only("training")


def test_it_is_open_unless_told_and_the_environment_is_read_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(READ_ONLY, raising=False)
    assert not is_read_only()
    monkeypatch.setenv(READ_ONLY, "1")
    assert is_read_only()


def test_a_refusal_says_what_is_off_and_how_to_turn_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READ_ONLY, "1")
    with pytest.raises(ReadOnlyError, match="deleting a model is turned off") as refusal:
        refuse_when_read_only("deleting a model")
    assert READ_ONLY in str(refusal.value)
