"""Runs on the page Train and watch: which one is shown, how it stands, and what can be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from vae_explorer import workspace
from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.checkpoints.format import EPOCHS
from vae_explorer.errors import ConfigError, ReadOnlyError, RunError
from vae_explorer.runs.launcher import delete_training, start_training
from vae_explorer.runs.status import Phase, RunStatus, list_runs, read_status
from vae_explorer.ui.run_actions import Action, list_actions, offer_deletion
from vae_explorer.ui.text import plain, say_seconds
from vae_explorer.ui.watching import draw_training
from vae_explorer.ui.widgets import choose
from vae_explorer.workspace import is_read_only

NEW = ":new"  # no run can be called so
_NEXT, _REFUSAL = "next_run", "run_refusal"
_EVERY, _IDLE = 1.0, 5.0  # seconds between two looks
_OTHERS = 6
STATES: dict[Phase, str] = {
    "preparing": "getting ready",
    "training": "training",
    "evaluating": "being measured",
    "paused": "paused",
    "finished": "finished",
    "failed": "failed",
    "interrupted": "interrupted",
}
# What comes every second replaces what is there: nothing of it fades while it is on its way.
_STYLE = "<style>[data-stale=true] { opacity: 1 !important; transition: none !important; }</style>"


def choose_run() -> str | None:
    """Let a run be chosen to be watched: the one that trains by default.

    Returns
    -------
    str or None
        Its name; None for a new one.
    """
    runs = list_runs()
    if not runs:
        return None
    names = {NEW: "A new training", **{status.name: status.name for status in runs}}
    if _NEXT in st.session_state:
        st.session_state["run"] = st.session_state.pop(_NEXT)
    default = runs[0].name if runs[0].is_live else NEW
    with st.columns([0.34, 0.66])[0]:
        chosen = choose("run", "Show", names, default, dropdown=True)
    return None if chosen == NEW else chosen


def launch(arguments: Sequence[str]) -> None:
    """Start what the form says, and show it; or say why it does not start.

    Parameters
    ----------
    arguments : sequence of str
        What stands behind `python -m vae_explorer`, "train" first.
    """

    def start() -> None:
        st.session_state[_NEXT] = start_training(arguments[1:])

    if _attempt(start, "Starting: Python and the model are loaded …"):
        st.rerun()
    _show_refusal()


def watch_run(name: str) -> None:
    """Show how a run stands, again every second while it lives."""
    st.html(_STYLE)
    status = read_status(workspace.RUNS / name)
    live = status is not None and status.is_live
    st.fragment(_draw, run_every=_EVERY if live else _IDLE)(name, live)


def _draw(name: str, was_live: bool) -> None:
    run = workspace.RUNS / name
    status = read_status(run)
    if status is None or status.is_live != was_live:
        st.rerun()  # of the whole page: the sidebar lists a model that was published meanwhile
    stage, panel = st.columns([0.66, 0.34], gap="medium")
    with stage:
        draw_training(run, status)
    with panel:
        _say_state(status)
        if status.phase == "finished":
            _offer_model(Path(status.out).name)
        if is_read_only():
            st.caption("This copy is for looking: training is turned off.")
        else:
            _offer_actions(status)
        st.caption("The same on the command line")
        st.code(status.command, language="bash", wrap_lines=True)
        _list_others(name)


def _say_state(status: RunStatus) -> None:
    message = plain(status.message)
    if status.asked:
        st.info("It ends after the step under way, and saves.", icon=":material/hourglass_top:")
    elif status.phase == "failed":
        st.error(message, icon=":material/error:")
    elif status.phase == "interrupted":
        st.warning(message, icon=":material/warning:")
    elif status.phase == "paused":
        st.info(f"Paused. {message or 'It goes on exactly where it stopped.'}")
    elif status.phase == "finished":
        st.success(message, icon=":material/check:")
    elif message:
        st.warning(message)


def _offer_actions(status: RunStatus) -> None:
    actions = list_actions(status)
    for action in actions:
        _offer(action, status)
    deletes = not status.is_live and offer_deletion(status.name)
    if deletes and _attempt(lambda: delete_training(status.name), "Deleting …"):
        st.session_state[_NEXT] = NEW
        st.rerun()
    _show_refusal()


def _offer(action: Action, status: RunStatus) -> None:
    pressed = st.button(
        action.label,
        help=action.help,
        icon=action.icon,
        key=f"{action.label}-{status.name}",
        type="primary" if action.main else "secondary",
        width="stretch",
        disabled=bool(status.asked) or action.disabled,
    )
    if pressed and _attempt(lambda: action.do(status.name), action.doing):
        st.rerun()


def _offer_model(name: str) -> None:
    card = list_checkpoints()[0].get(name)
    if card is None:
        st.caption(f"It was published as {plain(name)}, which was renamed or deleted since.")
        return

    def choose_it() -> None:
        st.session_state["model"] = st.session_state["played"] = name

    if st.button(
        "Open it in the map",
        type="primary",
        icon=":material/scatter_plot:",
        on_click=choose_it,
        width="stretch",
    ):
        st.switch_page("pages/latent_map.py")
    if EPOCHS in card.sha256 and st.button(
        "Play its epochs", icon=":material/movie:", on_click=choose_it, width="stretch"
    ):
        st.switch_page("pages/playback.py")


def _list_others(name: str) -> None:
    others = [status for status in list_runs() if status.name != name][:_OTHERS]
    if not others:
        return
    st.caption("Other runs")

    def show(other: str) -> None:
        st.session_state[_NEXT] = other

    for status in others:
        words = f"{status.name} · {STATES[status.phase]}, epoch {status.epoch} of {status.epochs}"
        if status.seconds_left >= 0 and status.phase == "training":
            words += f", {say_seconds(status.seconds_left)} left"
        if st.button(
            plain(words),
            type="tertiary",
            key=f"show-{status.name}",
            on_click=show,
            args=(status.name,),
        ):
            st.rerun()


def _attempt(do: Callable[[], None], doing: str) -> bool:
    """Do something that may be refused; the refusal is shown in this and the next run."""
    try:
        with st.spinner(doing):
            do()
    except (ConfigError, OSError, ReadOnlyError, RunError) as error:
        st.session_state[_REFUSAL] = str(error)
        return False
    return True


def _show_refusal() -> None:
    refusal = st.session_state.pop(_REFUSAL, None)
    if refusal is not None:
        st.error(plain(refusal))
