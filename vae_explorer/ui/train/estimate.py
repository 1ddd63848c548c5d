"""What is known of a training before it starts: pictures, parameters, time."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.errors import MeasuringError
from vae_explorer.runs.estimate import (
    Estimate,
    Measured,
    Measurer,
    count_model,
    estimate,
    what_is_measured,
)
from vae_explorer.ui.text import escape_markdown, format_duration

_ASKED = "training_measured"
_LOOK_EVERY = 1.0  # seconds, while it is being measured


def show_estimate(model: ModelConfig, config: TrainConfig, counts: Mapping[str, int]) -> None:
    """Show a training's size and its time, as soon as that is measured."""
    wanted = what_is_measured(model, config, counts)
    before: Measured | None = st.session_state.get(_ASKED)
    if before is not None and before != wanted:
        _measurer().cancel(before)
    st.session_state[_ASKED] = wanted
    try:
        pace = _measurer().ask(wanted)
    except MeasuringError as error:
        _show(model, config, counts, escape_markdown(str(error)))
        return
    if pace is None:
        _show(model, config, counts, "**Time** is being measured, by a few steps of this model …")
        st.fragment(_wait, run_every=_LOOK_EVERY)(wanted)
        return
    _show(model, config, counts, _say_time(estimate(model, config, counts, pace), config))


def stop_measuring() -> None:
    """Leave the machine to the training that starts."""
    if asked := st.session_state.get(_ASKED):
        _measurer().cancel(asked)


def _say_time(found: Estimate, config: TrainConfig) -> str:
    early = ", or less, if it stops early" if config.patience else ""
    return (
        f"**About {format_duration(found.seconds)}** on this machine{early}: "
        f"{format_duration(found.seconds_per_epoch)} an epoch, then "
        f"{format_duration(found.evaluation_seconds)} to evaluate"
    )


def _show(model: ModelConfig, config: TrainConfig, counts: Mapping[str, int], time: str) -> None:
    encoder, decoder = count_model(model)
    train = counts.get("train", 0)
    validated = round(train * config.validation_fraction)
    held_out = counts.get("test") or counts.get("val", 0)
    st.markdown(time)
    st.markdown(
        f"**{train - validated:,} pictures** to learn from; {validated:,} more choose the best "
        f"epoch, {held_out:,} judge it"
    )
    st.markdown(
        f"**{encoder + decoder:,} parameters**: {encoder:,} in the encoder, {decoder:,} in the "
        "decoder"
    )


def _wait(wanted: Measured) -> None:
    try:
        done = _measurer().ask(wanted) is not None
    except MeasuringError:
        done = True
    if done:
        st.rerun()


@st.cache_resource(show_spinner=False)
def _measurer() -> Measurer:
    return Measurer()
