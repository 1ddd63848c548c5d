"""What can be done with a run, by how it stands: for each fault, the button that helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from vae_explorer import workspace
from vae_explorer.config import TrainConfig
from vae_explorer.errors import RunError
from vae_explorer.runs.launcher import (
    finish_training,
    pause_training,
    restart_training,
    resume_training,
    stop_training,
)
from vae_explorer.runs.status import RunStatus, can_resume
from vae_explorer.training.state import load_config

_STARTING = "Starting: Python and the model are loaded …"


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
    if status.is_live:
        return _while_it_lives(status)
    config = _config_of(status)
    actions = []
    goes_on = Action(
        "Go on" if can_resume(workspace.RUNS / status.name) else "Try again",
        resume_training,
        ":material/play_arrow:",
        main=status.fault != "not_a_number",
    )
    if config is not None and status.fault == "not_a_number":
        rate = f"{config.learning_rate / 2:.4g}"
        actions.append(
            Action(
                f"Start again at a learning rate of {rate}",
                lambda name: restart_training(name, "--lr", rate),
                ":material/replay:",
                main=True,
                help="Half of what it was, from the beginning",
            )
        )
    else:
        actions.append(goes_on)
    if config is not None and status.fault == "memory" and config.batch_size > 1:
        size = str(config.batch_size // 2)
        actions.append(
            Action(
                f"Start again with {size} pictures a step",
                lambda name: restart_training(name, "--batch-size", size),
                ":material/replay:",
                help="Half as many, from the beginning: needs less memory",
            )
        )
    if config is not None and status.fault == "data":
        actions.append(
            Action(
                "Start again",
                restart_training,
                ":material/replay:",
                help="From the beginning, with the pictures that are there now",
            )
        )
    if status.epoch and can_resume(workspace.RUNS / status.name):
        actions.append(
            Action(
                "Publish the best so far",
                finish_training,
                ":material/check:",
                help="Measure the best epoch and put it among the models",
            )
        )
    return actions


def offer_deletion(name: str) -> bool:
    """Draw a button that deletes a run, and one that is sure; say whether that was pressed."""
    with st.popover("Delete this run", icon=":material/delete:", type="tertiary"):
        st.markdown("Its state and what was kept of its epochs go. A published model stays.")
        return st.button("Delete it", key=f"delete-{name}", type="primary")


def _while_it_lives(status: RunStatus) -> list[Action]:
    return [
        Action(
            "Pause",
            pause_training,
            ":material/pause:",
            doing="Asking it to pause …",
            help="Saves after the step under way; it goes on exactly there",
        ),
        Action(
            "Stop here",
            stop_training,
            ":material/stop:",
            doing="Asking it to stop …",
            help="Measures the best epoch so far and puts it among the models"
            if status.epoch
            else "Once an epoch is finished: before, there is nothing to publish",
            disabled=status.epoch == 0,
        ),
    ]


def _config_of(status: RunStatus) -> TrainConfig | None:
    try:
        return load_config(workspace.RUNS / status.name)[1] if status.begun else None
    except RunError:
        return None
