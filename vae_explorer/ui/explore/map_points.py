"""Points of the latent map: the pin, details of a point or latent, and selections."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.evaluation.description import format_attribute
from vae_explorer.latent.interpolation import slerp
from vae_explorer.latent.statistics import nearest
from vae_explorer.ui.cache import find_originals, get_decoded, key_of
from vae_explorer.ui.originals import offer_originals, take_originals
from vae_explorer.ui.stage.views import show_image, show_image_row, show_strip
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.text import escape_markdown, format_share
from vae_explorer.ui.widgets import read_number

_NEIGHBOURS = 6
MANY_DIMENSIONS = 4
"""Latents with more dimensions are not written out as numbers."""
_WALK_LENGTH = 12  # images, about
_PAIR_WIDTH = 128  # px of the panel for each of two images
_PIN, _OWNER = "pin", "pin_model"
_FARTHEST = 1e4
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Pin:
    """The pinned row, or the pinned place on the plane, or neither."""

    row: int | None = None
    at: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """The pin in the URL: `123`, or `0.52,-1.3`."""
        if self.at is not None:
            return ",".join(f"{value:.4g}" for value in self.at)
        return "" if self.row is None else str(self.row)

    def __bool__(self) -> bool:
        return self != Pin()


def current_pin(checkpoint: Checkpoint) -> Pin:
    """Return the pin, which is cleared when the model changes."""
    count = len(checkpoint.encodings.row_id)
    if st.session_state.setdefault(_OWNER, checkpoint.card.name) != checkpoint.card.name:
        st.session_state.update({_PIN: Pin(), _OWNER: checkpoint.card.name})

    def parse(text: str) -> Pin:
        try:
            if "," in text:
                u, v = (read_number(part, float, -_FARTHEST, _FARTHEST) for part in text.split(","))
                return Pin(at=(u, v))
            return Pin(row=read_number(text, int, 0, count - 1))
        except ValueError:
            raise ValueError(f"it must be a row from 0 to {count - 1}, or a location x,y") from None

    pin = seed_from_url(_PIN, Pin(), parse)
    if pin.row is not None and pin.row >= count:  # retrained on fewer images
        pin = st.session_state[_PIN] = Pin()
    write_to_url(_PIN, pin.text, "")
    return pin


def take_pin(sent: Mapping[str, object]) -> None:
    """Pin what the map sent: {"row": int}, {"at": [u, v]}, or {} to unpin."""
    pin = Pin()
    if "row" in sent:
        pin = Pin(row=int(cast(int, sent["row"])))
    elif "at" in sent:
        place = np.array(sent["at"], float)
        if not np.isfinite(place).all():  # NaN arrives from the browser as None
            return
        u, v = np.clip(place, -_FARTHEST, _FARTHEST).tolist()
        pin = Pin(at=(u, v))
    st.session_state[_PIN] = pin


def offer_unpin() -> None:
    """Show the button that unpins."""
    st.button("Unpin", icon=":material/keep_off:", on_click=take_pin, args=({},))


def show_pin(checkpoint: Checkpoint, row: int) -> None:
    """Show one encoding: original, reconstruction, posterior, neighbours."""
    card, encodings = checkpoint.card, checkpoint.encodings
    originals = find_originals(card)
    left, right = st.columns(2)
    with left:
        if originals is None:
            offer_originals(card)
        else:
            original = take_originals(card, originals, encodings.row_id[[row]])[0]
            show_image(original, "Original", _PAIR_WIDTH)
    with right:
        image = get_decoded(key_of(card), encodings.z_mean[[row]])[0]
        show_image(image, "Reconstruction", _PAIR_WIDTH)
    label = name_label(checkpoint, row)
    st.markdown(
        f"**{escape_markdown(label)}** · {_name_image(checkpoint, row)}"
        if label
        else _name_image(checkpoint, row).capitalize()
    )
    if encodings.attributes is not None:
        names = np.array(card.attribute_names)[encodings.attributes[row]]
        st.caption(escape_markdown(", ".join(format_attribute(name) for name in names)))
    if card.model.latent_dim <= MANY_DIMENSIONS:
        z_log_var = None if encodings.z_log_var is None else encodings.z_log_var[row]
        outlines = "" if z_log_var is None else " The ellipses mark 1σ and 2σ."
        st.caption(describe_posterior(encodings.z_mean[row], z_log_var) + outlines)
    neighbours = find_neighbours(checkpoint, row)
    if not len(neighbours):  # the only encoding
        return
    st.caption(f"Nearest neighbours (reconstructed){_count_labels(checkpoint, neighbours)}")
    show_image_row(get_decoded(key_of(card), encodings.z_mean[neighbours]))


def show_latent(checkpoint: Checkpoint, z: np.ndarray) -> None:
    """Show one latent (latent_dim,) decoded, and the nearest encodings."""
    show_image(get_decoded(key_of(checkpoint.card), z[None])[0], "Decoded", width=160)
    if len(z) <= MANY_DIMENSIONS:
        st.caption(f"z = ({', '.join(f'{value:.3g}' for value in z)})")
    show_nearest(checkpoint, z)


def show_nearest(checkpoint: Checkpoint, z: np.ndarray) -> None:
    """Show the encodings nearest to one latent (latent_dim,), decoded."""
    z_mean = checkpoint.encodings.z_mean
    rows, distances = nearest(z[None], z_mean, min(_NEIGHBOURS, len(z_mean)))
    near, far = (f"{distance:.3g}" for distance in distances[0, [0, -1]])
    away = near if near == far else f"{near}–{far}"
    st.caption(f"Nearest images ({away} away), reconstructed{_count_labels(checkpoint, rows[0])}")
    show_image_row(get_decoded(key_of(checkpoint.card), z_mean[rows[0]]))


def show_walk(checkpoint: Checkpoint, stops: np.ndarray) -> None:
    """Show a spherical interpolation between latents (n, latent_dim), from each to the next."""
    if len(stops) < 2:
        return
    st.caption("Interpolation between the pinned samples")
    steps = np.linspace(0, 1, max(2, _WALK_LENGTH // (len(stops) - 1)), endpoint=False)
    legs = [slerp(a, b, steps) for a, b in itertools.pairwise(stops)]
    path = np.concatenate([*legs, stops[-1:]])
    show_strip(path, "walk", checkpoint.card, description=f"Interpolation in {len(path)} images")


def show_selection(checkpoint: Checkpoint, rows: np.ndarray) -> None:
    """Show the label counts of selected encodings, and offer the rows as CSV."""
    st.markdown(f"**{len(rows):,} points selected**")
    if checkpoint.encodings.labels is not None:
        names = checkpoint.card.label_names
        counts = np.bincount(checkpoint.encodings.labels[rows], minlength=len(names))
        order = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
        st.dataframe(
            {
                "Label": [names[k] for k in order],
                "Points": [int(counts[k]) for k in order],
                "Share": [format_share(counts[k] / len(rows)) for k in order],
            },
            column_config={"Share": st.column_config.TextColumn(alignment="right")},
            hide_index=True,
            height=min(36 * len(order) + 40, 260),
        )
    st.download_button(
        "Download CSV",
        write_csv(checkpoint, rows),
        f"{checkpoint.card.name}-selection.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def find_neighbours(checkpoint: Checkpoint, row: int) -> np.ndarray:
    """Return the rows (6,) whose `z_mean` is nearest to that of `row`, without `row` itself.

    Fewer where there are not so many.
    """
    z_mean = checkpoint.encodings.z_mean
    found, _ = nearest(z_mean[[row]], z_mean, min(_NEIGHBOURS + 1, len(z_mean)))
    return found[0][found[0] != row][:_NEIGHBOURS]


def find_nearest(checkpoint: Checkpoint, z: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the encoding nearest to each of n latents, (n, latent_dim), and n captions."""
    z_mean = checkpoint.encodings.z_mean
    rows, distances = nearest(z, z_mean, 1)
    names = [name_label(checkpoint, row) or "an image" for row in rows[:, 0]]
    pairs = zip(names, distances[:, 0], strict=True)
    return z_mean[rows[:, 0]], [f"nearest: {name}, distance {far:.2f}" for name, far in pairs]


def name_label(checkpoint: Checkpoint, row: int) -> str:
    """Return the name of a row's label, or "" without labels."""
    labels = checkpoint.encodings.labels
    return "" if labels is None else checkpoint.card.label_names[labels[row]]


def describe_posterior(z_mean: np.ndarray, z_log_var: np.ndarray | None) -> str:
    """Describe a posterior by its parameters (latent_dim,), in a sentence."""
    mean = ", ".join(f"{value:.3g}" for value in z_mean)
    if z_log_var is None:
        return f"z = ({mean}). A plain autoencoder encodes an image as a point, without a variance."
    sigma = ", ".join(f"{value:.2g}" for value in np.exp(z_log_var / 2))
    return f"Posterior: μ = ({mean}), σ = ({sigma})."


def write_csv(checkpoint: Checkpoint, rows: np.ndarray) -> str:
    """Write encodings as CSV: row id, split, label, and each dimension of `z_mean`."""
    encodings = checkpoint.encodings
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    dimensions = [f"z{k + 1}" for k in range(encodings.z_mean.shape[1])]
    writer.writerow(["row_id", "split", "label", *dimensions])
    for row in rows:
        z = [f"{value:.5g}" for value in encodings.z_mean[row]]
        label = name_label(checkpoint, row)
        writer.writerow([encodings.row_id[row], encodings.split[row], label, *z])
    return text.getvalue()


def _count_labels(checkpoint: Checkpoint, rows: np.ndarray) -> str:
    """Return ": 4 × Coat, 2 × Shirt" as Markdown, or "" without labels."""
    if checkpoint.encodings.labels is None:
        return ""
    counts = Counter(name_label(checkpoint, row) for row in rows)
    return ": " + ", ".join(
        f"{count} × {escape_markdown(_quote_number(label))}"
        for label, count in counts.most_common()
    )


def _quote_number(label: str) -> str:
    """Return a label, in quotation marks if it is a number: "6 × 7" would be a product."""
    return f"“{label}”" if label.isdecimal() else label


def _name_image(checkpoint: Checkpoint, row: int) -> str:
    """Return "test image 6,792": the split of an encoded image, and its number there from 0.

    Without a number in the train split, of which only some are encoded.
    """
    split = checkpoint.encodings.split
    number = f" {np.count_nonzero(split[:row] == split[row]):,}" if split[row] != "train" else ""
    return f"{_SPLITS[split[row]]} image{number}"
