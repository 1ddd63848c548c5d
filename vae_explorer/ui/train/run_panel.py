"""Run panel of the page Train and watch: the shown run, its state, and its actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.format import EPOCHS
from vae_explorer.config import TrainConfig
from vae_explorer.errors import ConfigError, ReadOnlyError, RunError
from vae_explorer.evaluation.limits import describe_collapse
from vae_explorer.runs.launcher import (
    delete_training,
    finish_training,
    pause_training,
    restart_training,
    resume_training,
    start_training,
    stop_training,
)
from vae_explorer.runs.run import Run, list_runs
from vae_explorer.runs.status import Phase, RunStatus
from vae_explorer.ui.header import request_model
from vae_explorer.ui.text import escape_markdown, format_duration
from vae_explorer.ui.train.progress import draw_training
from vae_explorer.ui.widgets import select
from vae_explorer.workspace import is_read_only

NEW = ":new"  # no run can be called so
_NEXT, _REFUSAL = "next_run", "run_refusal"
_EVERY, _IDLE = 1.0, 5.0  # seconds between two looks
_OTHERS = 6
STATES: dict[Phase, str] = {
    "preparing": "preparing",
    "training": "training",
    "evaluating": "evaluating",
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
    names = {NEW: "New training", **{status.name: status.name for status in runs}}
    if _NEXT in st.session_state:
        st.session_state["run"] = st.session_state.pop(_NEXT)
    default = runs[0].name if runs[0].is_alive else NEW
    with st.columns([0.34, 0.66])[0]:
        chosen = select("run", "Run", names, default, dropdown=True)
    return None if chosen == NEW else chosen


def launch(arguments: Sequence[str]) -> None:
    """Start what the form says, and show it; or say why it does not start.

    Parameters
    ----------
    arguments : sequence of str
        What stands behind the program's name, "train" first.
    """

    def start() -> None:
        st.session_state[_NEXT] = start_training(arguments[1:])

    if _attempt(start, _STARTING):
        st.rerun()
    _show_refusal()


def watch_run(name: str) -> None:
    """Show how a run stands, again every second while it lives."""
    st.html(_STYLE)
    status = Run.named(name).read_status()
    live = status is not None and status.is_alive
    st.fragment(_draw, run_every=_EVERY if live else _IDLE)(name, live)


def _draw(name: str, was_live: bool) -> None:
    run = Run.named(name)
    status = run.read_status()
    if status is None or status.is_alive != was_live:
        st.rerun()  # of the whole page: the header lists a model that was saved meanwhile
    stage, panel = st.columns([0.66, 0.34], gap="medium")
    with stage:
        draw_training(run, status)
    is_finished = status.phase == "finished"
    card = list_checkpoints()[0].get(Path(status.out).name) if is_finished else None
    if card is not None and (collapse := describe_collapse(card)):
        stage.caption(collapse)  # below the reconstructions
    with panel:
        _say_state(status)
        if card is not None:
            _offer_model(card)
        elif is_finished:
            name = escape_markdown(Path(status.out).name)
            st.caption(f"The model {name} has since been renamed or deleted.")
        if is_read_only():
            st.caption("This copy is read-only: training is turned off.")
        else:
            _offer_actions(status)
        st.caption("Equivalent command")
        st.code(status.command, language="bash", wrap_lines=True)
        _list_others(name)


def _say_state(status: RunStatus) -> None:
    message = escape_markdown(status.message)
    if status.requested_action:
        st.info("Finishing the current step, then saving.", icon=":material/hourglass_top:")
    elif status.phase == "failed":
        st.error(message, icon=":material/error:")
    elif status.phase == "interrupted":
        st.warning(message, icon=":material/warning:")
    elif status.phase == "paused":
        st.info(f"Paused. {message or 'Resume continues exactly where it stopped.'}")
    elif status.phase == "finished":
        st.success(message, icon=":material/check:")
    elif message:
        st.warning(message)


def _offer_actions(status: RunStatus) -> None:
    actions = list_actions(status)
    for action in actions:
        _offer(action, status)
    deletes = not status.is_alive and offer_deletion(status)
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
        disabled=bool(status.requested_action) or action.disabled,
    )
    if pressed and _attempt(lambda: action.do(status.name), action.doing):
        st.rerun()


def _offer_model(card: ModelCard) -> None:
    def choose_it() -> None:
        request_model(card.name)
        st.session_state["played"] = card.name

    if st.button(
        "Open in Latent map",
        type="primary",
        icon=":material/scatter_plot:",
        on_click=choose_it,
        width="stretch",
    ):
        st.switch_page("pages/latent_map.py")
    if EPOCHS in card.sha256 and st.button(
        "Open in Playback", icon=":material/movie:", on_click=choose_it, width="stretch"
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
        if status.seconds_left is not None and status.phase == "training":
            words += f", about {format_duration(status.seconds_left)} left"
        if st.button(
            escape_markdown(words),
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
        st.error(escape_markdown(refusal))


_STARTING = "Starting …"


@dataclass(frozen=True)
class Action:
    """A button."""

    label: str
    do: Callable[[str], None]
    """Takes the run's name."""
    icon: str
    doing: str = _STARTING
    """Stands on the page meanwhile."""
    help: str | None = None
    main: bool = False
    disabled: bool = False


def list_actions(status: RunStatus) -> list[Action]:
    """Return what can be done with a run, what helps most first."""
    if status.phase in ("evaluating", "finished"):
        return []
    if status.is_alive:
        return _while_it_lives(status)
    config = _config_of(status)
    actions = []
    goes_on = Action(
        "Resume" if Run.named(status.name).can_resume else "Try again",
        resume_training,
        ":material/play_arrow:",
        main=status.failure != "not_a_number",
    )
    if config is not None and status.failure == "not_a_number":
        rate = f"{config.learning_rate / 2:.4g}"
        actions.append(
            Action(
                f"Restart with learning rate {rate}",
                lambda name: restart_training(name, "--lr", rate),
                ":material/replay:",
                main=True,
                help="From the beginning, with half the learning rate.",
            )
        )
    else:
        actions.append(goes_on)
    if config is not None and status.failure == "memory" and config.batch_size > 1:
        size = str(config.batch_size // 2)
        actions.append(
            Action(
                f"Restart with batch size {size}",
                lambda name: restart_training(name, "--batch-size", size),
                ":material/replay:",
                help="From the beginning, with half the batch size. Needs less memory.",
            )
        )
    if config is not None and status.failure == "data":
        actions.append(
            Action(
                "Restart",
                restart_training,
                ":material/replay:",
                help="From the beginning, with the current images.",
            )
        )
    if status.epoch and Run.named(status.name).can_resume:
        actions.append(
            Action(
                "Save the model",
                finish_training,
                ":material/check:",
                help="Evaluates the best epoch so far and adds it to your models.",
            )
        )
    return actions


def offer_deletion(status: RunStatus) -> bool:
    """Draw a button that deletes a run, and one that is sure; say whether that was pressed."""
    with st.popover("Delete this run", icon=":material/delete:", type="tertiary"):
        words = "This deletes the training run and its saved epochs."
        if status.phase == "finished":
            words += " The finished model stays; delete it under Overview → Your models."
        st.markdown(words)
        return st.button("Delete", key=f"delete-{status.name}", type="primary")


def _while_it_lives(status: RunStatus) -> list[Action]:
    return [
        Action(
            "Pause",
            pause_training,
            ":material/pause:",
            doing="Pausing …",
            help="Saves after the current step. Resume continues exactly there.",
        ),
        Action(
            "Stop and save the model",
            stop_training,
            ":material/stop:",
            doing="Stopping …",
            help="Evaluates the best epoch so far and adds it to your models."
            if status.epoch
            else "Available after the first epoch.",
            disabled=status.epoch == 0,
        ),
    ]


def _config_of(status: RunStatus) -> TrainConfig | None:
    try:
        return Run.named(status.name).load_config()[1] if status.begun else None
    except RunError:
        return None
