"""The header row of every page: title, sentence, model picker, Share."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import NoReturn

import streamlit as st

from vae_explorer.checkpoints import Checkpoint, list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import CheckpointError
from vae_explorer.installation import shell_command
from vae_explorer.ui.cache import CheckpointKey, get_checkpoint, key_of
from vae_explorer.ui.share import offer_link
from vae_explorer.ui.state import (
    add_notice,
    is_lecturing,
    recall,
    seed_from_url,
    write_to_url,
)
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select
from vae_explorer.workspace import disambiguate

FIRST_MODELS = ("fashion-vae-2d",)
TRAINING = "pages/train.py"
"""The page to go to where there is no model."""
Cards = Mapping[str, ModelCard]
"""Cards of all readable checkpoints, by name."""
_CURRENT, _UNREADABLE = "current_checkpoint", "unreadable_checkpoints"
_TITLE, _PAGE, _REQUESTED = "header_title", "header_page", "requested_model"
RECENT = "recent_models"
"""Key of the model last used in each section; the section used last stands at the end."""


def draw_header(
    page: str,
    section: str,
    *,
    needed: bool = True,
    shown: bool = True,
    fits: Callable[[ModelCard, Cards], bool] = lambda _card, _cards: True,
    first: Sequence[str] = FIRST_MODELS,
) -> None:
    """Choose the page's model, and draw the row that `open_page` writes the title into.

    The model of a link comes first, then the one last used in this section, then the one used last
    elsewhere, then `first`: of those that fit the page, as long as there is one.

    Parameters
    ----------
    page, section : str
        Where the visitor is.
    needed : bool
        Whether the script stops with an explanation if no model can be read.
    shown : bool
        Whether the picker is drawn: the page shows a model.
    fits : callable (card, cards)
        Whether the page can show this model.
    first : sequence of str
        Names of the models that a first visit opens, best first.
    """
    cards, errors = list_checkpoints()
    unreadable: dict[CheckpointKey, str] = st.session_state.setdefault(_UNREADABLE, {})
    for name in [name for name, card in cards.items() if key_of(card) in unreadable]:
        errors[name] = unreadable[key_of(cards.pop(name))]
    offered = {name: card for name, card in cards.items() if fits(card, cards)} or cards
    recent: dict[str, str] = recall(RECENT, {})
    names = [recent.get(section, ""), *reversed(recent.values()), *first, *offered]
    if offered:
        default = next(name for name in names if name in offered)
        home = next(name for name in (*first, *offered) if name in offered)
        _follow(page, default, cards, offered, errors)
    title, right = st.columns([0.6, 0.4], gap="medium")
    st.session_state[_TITLE] = title
    with right.container(horizontal=True, horizontal_alignment="right", key="header"):
        if offered and shown:
            titles = disambiguate({name: card.title for name, card in offered.items()})
            name = select("model", "Model", titles, home, dropdown=True, hide_label=True)
        elif offered:  # a link may name it all the same
            name = seed_from_url("model", default, str)
            write_to_url("model", name, home)
        if not is_lecturing():
            offer_link()
    with title:
        _show_errors(errors)
    if not offered:
        if needed:
            _explain_no_models()
        return
    if shown:
        recent.pop(section, None)
        st.session_state[RECENT] = {**recent, section: name}
    key = st.session_state[_CURRENT] = key_of(cards[name])
    try:
        get_checkpoint(key)
    except CheckpointError as error:  # found only when the weights are opened
        unreadable[key] = str(error)
        add_notice(f"{escape_markdown(cards[name].title)} cannot be read")
        st.rerun()  # the next run's picker offers the other models


def write_title(title: str, sentence: str) -> None:
    """Write a page's title and sentence into the header row."""
    with st.session_state[_TITLE]:
        st.title(escape_markdown(title), anchor=False)
        st.markdown(sentence)


def request_model(name: str) -> None:
    """Have the next page open with a model, whatever its section showed last."""
    st.session_state[_REQUESTED] = name


def current_checkpoint() -> Checkpoint:
    """Return the checkpoint that is selected in the header."""
    return get_checkpoint(CheckpointKey(*st.session_state[_CURRENT]))


def show_inverted() -> bool:
    """Say whether the images of the selected model are shown inverted; they are without one."""
    return _CURRENT not in st.session_state or current_checkpoint().card.is_inverted


def _follow(page: str, default: str, cards: Cards, offered: Cards, errors: Container[str]) -> None:
    """Set the picker when a page is opened, or when the selected model is gone."""
    opened = st.session_state.get(_PAGE) != page
    requested = st.session_state.pop(_REQUESTED, None) if opened else None
    st.session_state[_PAGE] = page
    linked, selected = requested or st.query_params.get("model"), st.session_state.get("model")
    wanted = linked if opened and linked is not None else selected
    if wanted is not None and wanted not in cards and wanted not in errors:
        named = escape_markdown(wanted)
        is_linked = opened and wanted == linked
        add_notice(f"there is no model {named} here" if is_linked else f"{named} is no longer here")
    elif opened and linked is not None and linked in cards and linked not in offered:
        add_notice(f"{escape_markdown(cards[linked].title)} cannot be shown on this page")
    if opened or selected not in offered:
        st.session_state["model"] = linked if opened and linked in offered else default


def _show_errors(errors: Mapping[str, str]) -> None:
    if not errors:
        return
    count = "One checkpoint" if len(errors) == 1 else f"{len(errors)} checkpoints"
    with st.expander(f"{count} cannot be read", icon=":material/warning:"):
        for name, reason in errors.items():
            st.markdown(f"**{escape_markdown(name)}**")
            st.text(reason)


def _explain_no_models() -> NoReturn:
    st.title("No models yet")
    st.markdown("There is no checkpoint to show. Train one on Fashion-MNIST, in minutes:")
    options = "--dataset fashion-mnist --model fashion-vae --out checkpoints/my-vae"
    st.code(shell_command(f"train {options}"), language="bash")
    st.markdown("Reload this page when it is finished. Or train one in the browser:")
    st.page_link(TRAINING, label="Train and watch", icon=":material/model_training:")
    st.stop()
