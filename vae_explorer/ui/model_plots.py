"""Models in plots: rate against distortion, and their validation curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vae_explorer.catalog.table import ModelRow, find_differences
from vae_explorer.figures import curves_figure, rate_distortion_figure
from vae_explorer.ui.model_table import name_rows
from vae_explorer.ui.page import theme
from vae_explorer.ui.text import plain

QUANTITIES = {
    "reconstruction": "Reconstruction",
    "kl": "KL",
    "negative_elbo": "−ELBO",
    "loss": "Loss in training",
}
TIMES = {"epoch": "Epochs", "minutes": "Minutes"}
WHY = {
    "plane": (
        "Right: z tells more of the picture (rate). Down: the decoded picture is closer "
        "(distortion). A small β buys closeness with rate, a large one saves rate. −ELBO is their "
        "sum, the same along a dotted line: where nats can be compared, lower left is better."
    ),
    "reconstruction": "How badly decoded pictures explain the originals: lower is closer.",
    "kl": "How much z tells of a picture. A plain autoencoder has no KL: it is not drawn.",
    "negative_elbo": (
        "Reconstruction + KL, whatever β weighed it by in training: the fair sum between "
        "different β. A plain autoencoder has none: it is not drawn."
    ),
    "loss": (
        "What each training made small: reconstruction + β × KL, and what else its recipe asks "
        "for. Of different β it is not the same sum, so the lower curve need not be the better "
        "model."
    ),
}
_WHY_PLANE = (
    "A model that ignores z has rate 0 and draws the same picture always; one that keeps every "
    "picture whole needs a high rate. No model gets below a border that the data sets, and each β "
    "asks for one place along it, where a nat more of rate saves β nats of distortion. So models "
    "of the same −ELBO can be quite different: look where they stand. A plain autoencoder puts "
    "each picture on a point of z, not a cloud; a point would cost endless nats, so it has no "
    "rate, and stands at the right at its distortion. After [Alemi et al. 2018]"
    "(https://arxiv.org/abs/1711.00464), *Fixing a Broken ELBO*."
)
_CONFIG = {"displayModeBar": False}


def show_plane(rows: Sequence[ModelRow]) -> None:
    """Draw models at their KL and their reconstruction term."""
    there = [row for row in rows if row.reconstruction is not None]
    if not there:
        st.info("None of these models has been measured yet: train an epoch, or evaluate one.")
        return
    names = name_rows(there)
    figure = rate_distortion_figure(
        list(names.values()),
        _numbers([row.kl for row in there]),
        _numbers([row.reconstruction for row in there]),
        beta=_numbers([row.beta for row in there]),
        kinds=["run" if row.is_run else row.model.kind for row in there],
        sums=not find_differences(there),
        template=theme(),
    )
    st.plotly_chart(figure, theme=None, key="rate-distortion", config=_CONFIG)
    _name_missing(rows, there, "was not measured yet")
    with st.expander("Why look at both", icon=":material/help:"):
        st.markdown(_WHY_PLANE)


def show_curves(
    rows: Sequence[ModelRow], among: Sequence[ModelRow], quantity: str, per: str
) -> None:
    """Lay the validation curves of models over one another.

    Parameters
    ----------
    rows, among : sequence of ModelRow
        Those to draw, and all of the table: a model's colour is its place in that.
    quantity, per : str
        Of `QUANTITIES` and `TIMES`.
    """
    names = name_rows(among)
    colours = {names[id]: place for place, id in enumerate(sorted(names))}
    curves, there = {}, []
    for row in rows:
        values, times = _curve(row, quantity), _times(row, per)
        if values is not None and times is not None:
            curves[names[row.id]] = times, values
            there.append(row)
    if not curves:
        st.info("None of these models has this curve. Choose another one, or other models.")
        return
    figure = curves_figure(
        curves,
        colours=colours,
        x_title="epoch" if per == "epoch" else "minutes of training",
        y_title=f"{QUANTITIES[quantity]}, nats per image",
        template=theme(),
    )
    st.plotly_chart(figure, theme=None, key="curves", config=_CONFIG)
    st.caption("On each training's validation pictures. A click on a name hides or shows its line.")
    _name_missing(rows, there, "has no such curve")


def _curve(row: ModelRow, quantity: str) -> NDArray[np.float64] | None:
    """Return one quantity on the validation rows (epochs,), or None where there is none."""
    history = row.history
    if row.model.kind == "autoencoder" and quantity in ("kl", "negative_elbo"):
        return None
    parts = ["reconstruction", "kl"] if quantity == "negative_elbo" else [quantity]
    columns = [f"validation_{part}" for part in parts]
    if not row.epochs or not set(columns) <= history.keys():
        return None
    return np.sum([history[column] for column in columns], axis=0)


def _times(row: ModelRow, per: str) -> NDArray[np.float64] | None:
    if per == "epoch":
        return row.history.get("epoch")
    seconds = row.history.get("seconds")
    return None if seconds is None else np.cumsum(seconds) / 60


def _name_missing(rows: Sequence[ModelRow], there: Sequence[ModelRow], why: str) -> None:
    missing = [name for id, name in name_rows(rows).items() if id not in {r.id for r in there}]
    if missing:
        st.caption(f"Left out: {plain('; '.join(missing))}, which {why}.")


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
