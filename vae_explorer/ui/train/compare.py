"""The comparison of models: table, selection, rate-distortion plane, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.elements.arrow import DataframeStateInput
from streamlit.elements.lib.column_types import ColumnConfig

from vae_explorer import workspace
from vae_explorer.catalog.table import (
    COLUMNS,
    RUN,
    Column,
    ModelRow,
    find_differences,
    list_rows,
    title_data,
    write_csv,
)
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.figures import curves_figure, rate_distortion_figure
from vae_explorer.ui.header import request_model
from vae_explorer.ui.page import theme
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select
from vae_explorer.workspace import disambiguate

QUANTITIES = {
    "reconstruction": "Reconstruction",
    "kl": "KL",
    "negative_elbo": "−ELBO",
    "loss": "Training objective",
}
TIMES = {"epoch": "Epochs", "minutes": "Minutes"}
WHY = {
    "plane": (
        "Further right: z carries more information (rate). Further down: the reconstruction is "
        "closer (distortion). A small β lowers the distortion, a large β the rate. −ELBO is their "
        "sum, constant along a dotted line: where nats are comparable, lower left is better."
    ),
    "reconstruction": "Reconstruction error, −log p(x|z). Lower is better.",
    "kl": "How much information z carries about an image. A plain autoencoder has no KL term.",
    "negative_elbo": (
        "Reconstruction + KL, with weight 1 whatever β was used in training, so that models with "
        "different β can be compared. A plain autoencoder has none."
    ),
    "loss": (
        "What training minimises: reconstruction + β × KL, and any further terms of the model's "
        "recipe. With different β the curves cannot be compared: lower need not be better."
    ),
}
_WHY_PLANE = (
    "A model that ignores z has rate 0 and always decodes the same image; a model that preserves "
    "every detail needs a high rate. For each rate, the data impose a lower limit on the "
    "distortion. Each β selects one point on this limit, where one more nat of rate reduces the "
    "distortion by β nats. Models with the same −ELBO can therefore behave very differently. A "
    "plain autoencoder encodes each image as a point rather than a distribution; its rate would "
    "be infinite, so it is plotted at the right edge, at its distortion. See [Alemi et al. 2018]"
    "(https://arxiv.org/abs/1711.00464), *Fixing a Broken ELBO*."
)
_CHOSEN = "models"
"""Key of the selected rows' ids, in the session and the URL; none means all."""
_SAME, _ALL = "same", "all"
_OPEN = "open"
_PAGES = {"Latent map": "pages/latent_map.py", "Overview": "pages/overview.py"}
_GOES = "compare_goes"
_MOST, _HEIGHT = 10, 400  # rows, and pixels where there are more
_CONFIG = {"displayModeBar": False}


def read_rows(card: ModelCard) -> list[ModelRow]:
    """Select a data set, by default that of the header's model; return the models trained on it.

    Broken checkpoints are listed below the picker.
    """
    rows, errors = list_rows(workspace.RUNS)
    others = {_key(row.dataset, row.data): row.data for row in rows}
    own = _key(card.dataset.name, title_data(card))
    others.pop(own, None)
    chosen = _SAME
    if others:
        options = {_SAME: title_data(card), **others, _ALL: "All data sets"}
        chosen = select("of", "Data set", options, dropdown=True)
    _show_broken(errors)
    wanted = {_SAME: own}.get(chosen, chosen)
    return [row for row in rows if wanted in (_ALL, _key(row.dataset, row.data))]


def chosen_rows(rows: Sequence[ModelRow]) -> list[ModelRow]:
    """Return the selected rows, or all if none is selected."""

    def parse(text: str) -> list[str]:
        ids = [unquote(part) for part in text.split(",")]
        if gone := set(ids) - {row.id for row in list_rows(workspace.RUNS)[0]}:
            raise ValueError(f"there is no model {sorted(gone)[0][:40]}")
        return ids

    nothing: list[str] = []
    ids = seed_from_url(_CHOSEN, nothing, parse)
    chosen = [row for row in rows if row.id in ids]
    write_to_url(_CHOSEN, ",".join(quote(row.id, safe=":. ") for row in chosen), "")
    return chosen or list(rows)


def choose_models(rows: Sequence[ModelRow]) -> None:
    """Select models by name, where the table is not shown."""
    names = name_rows(rows)
    key = f"{_CHOSEN}_picked"
    st.session_state[key] = [id for id in st.session_state[_CHOSEN] if id in names]
    st.multiselect(
        "Models",
        list(names),
        format_func=names.__getitem__,
        key=key,
        placeholder=f"All {len(rows)} models" if len(rows) > 1 else "1 model",
        on_change=lambda: st.session_state.update({_CHOSEN: st.session_state[key]}),
    )


def name_rows(rows: Sequence[ModelRow]) -> dict[str, str]:
    """Return the models' names by id; equal names are followed by their folders."""
    return disambiguate({row.id: row.name for row in rows})


def show_table(rows: Sequence[ModelRow]) -> None:
    """Show the table, whose ticked rows are the selected models."""
    names = name_rows(rows)
    columns: dict[str, list[object]] = {c.key: [c.read(row) for row in rows] for c in COLUMNS}
    columns["name"] = list(names.values())
    columns[_OPEN] = [[] if row.is_run else list(_PAGES) for row in rows]
    several = len({row.data for row in rows}) > 1
    first = ["name", _OPEN, *(["data"] if several else [])]
    columns = {
        key: columns[key] for key in [*first, *(c.key for c in COLUMNS if c.key not in first)]
    }
    key = "compared-" + "-".join(row.id for row in rows)
    ticked = [k for k, row in enumerate(rows) if row.id in st.session_state[_CHOSEN]]
    state: DataframeStateInput = {"selection": {"rows": ticked}}
    kept = st.session_state.get(key)
    if kept is not None and sorted(kept["selection"]["rows"]) != ticked:
        st.session_state[key] = state  # selected elsewhere, or reset

    def take() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        st.session_state[_CHOSEN] = [rows[k].id for k in sorted(picked) if k < len(rows)]

    def go() -> None:
        click = st.session_state[_GOES]
        row, page = click["row"], _PAGES.get(click["label"])
        if page and row < len(rows) and not rows[row].is_run:  # a browser can send anything
            request_model(rows[row].id)
            st.session_state[f"{_GOES}_to"] = page

    st.dataframe(
        columns,
        key=key,
        hide_index=True,
        on_select=take,
        selection_default=state,
        selection_mode="multi-row",
        placeholder="–",
        height=_HEIGHT if len(rows) > _MOST else "auto",
        column_config={
            **{column.key: _configure(column) for column in COLUMNS},
            _OPEN: st.column_config.ButtonColumn(
                "Open",
                type="tertiary",
                on_click=go,
                key=_GOES,
                width="small",
                help="Open this model on another page.",
            ),
        },
        alt="Models and their metrics. Click a heading to sort.",
    )
    if page := st.session_state.pop(f"{_GOES}_to", None):
        st.switch_page(page)


def offer_table(rows: Sequence[ModelRow]) -> None:
    """Explain the table's columns, and offer the table as CSV."""
    words, button = st.columns([0.75, 0.25], gap="medium")
    with words, st.expander("What the columns mean", icon=":material/help:"):
        meanings = [f"- **{column.heading}**: {column.meaning}" for column in COLUMNS]
        st.markdown("\n".join(line for line in meanings if not line.endswith(": ")))
    with button:
        st.download_button(
            "Download CSV",
            lambda: write_csv(rows),
            "models.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            width="stretch",
        )


def explain_nats(rows: Sequence[ModelRow]) -> None:
    """Say whether the losses of the models can be compared."""
    differences = find_differences(rows)
    if "data" in differences:
        found = escape_markdown(", ".join(differences["data"]))
        st.caption(f"Nats cannot be compared between different data sets, here {found}.")
    elif differences:
        found = escape_markdown(
            "; ".join(f"{name}: {', '.join(v)}" for name, v in differences.items())
        )
        st.caption(f"Nats cannot be compared: the models differ in {found}.")
    elif len(rows) > 1:
        st.caption(
            "You can compare the nats directly: all models have the same data, image size and "
            "likelihood."
        )
    if any(row.is_run for row in rows):
        st.caption(
            "Runs without a saved model are evaluated on their own validation images, at their "
            "best epoch; models on held-out images, which are never used in training."
        )


def show_plane(rows: Sequence[ModelRow]) -> None:
    """Plot models in the rate-distortion plane: KL against reconstruction term."""
    there = [row for row in rows if row.reconstruction is not None]
    if not there:
        st.info(
            "None of these models has been evaluated yet. Choose others, or train for an epoch."
        )
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
    _name_missing(rows, there, "not evaluated yet")
    with st.expander("How to read this plot", icon=":material/help:"):
        st.markdown(_WHY_PLANE)


def show_curves(
    rows: Sequence[ModelRow], among: Sequence[ModelRow], quantity: str, per: str
) -> None:
    """Plot the validation curves of models.

    Parameters
    ----------
    rows, among : sequence of ModelRow
        The models to plot, and all of the table, which determine the colours.
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
        st.info("None of these models has this curve. Choose another quantity or other models.")
        return
    figure = curves_figure(
        curves,
        colours=colours,
        x_title="epoch" if per == "epoch" else "minutes of training",
        y_title=f"{QUANTITIES[quantity]}, nats per image",
        template=theme(),
    )
    st.plotly_chart(figure, theme=None, key="curves", config=_CONFIG)
    st.caption(
        "On each run's validation images. Click a name in the legend to hide or show its line."
    )
    _name_missing(rows, there, "no such curve")


def _key(dataset: str, title: str) -> str:
    """Return a data set's name in the URL; for user data it includes the title."""
    return dataset + "".join(title.partition(": ")[1:])


def _configure(column: Column) -> ColumnConfig:
    if column.key == "created":
        return st.column_config.DateColumn(column.heading, format="YYYY-MM-DD")
    if column.key == "parameters":
        return st.column_config.NumberColumn(
            column.heading, format="localized", help=column.meaning
        )
    if column.is_number:
        return st.column_config.NumberColumn(column.heading, format="%.4g", help=column.meaning)
    return st.column_config.TextColumn(
        column.heading, help=column.meaning or None, pinned=column.key == "name"
    )


def _show_broken(errors: Mapping[str, str]) -> None:
    if not errors:
        return
    names = {id: id.removeprefix(RUN) for id in errors}
    label = f"Cannot be read: {escape_markdown(', '.join(names.values()))}"
    with st.expander(label, icon=":material/warning:"):
        for id, reason in errors.items():
            st.text(f"{names[id]}: {reason}")


def _curve(row: ModelRow, quantity: str) -> NDArray[np.float64] | None:
    """Return one quantity on the validation data (epochs,), or None if it is not there."""
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
        st.caption(f"Not shown ({why}): {escape_markdown('; '.join(missing))}.")


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
