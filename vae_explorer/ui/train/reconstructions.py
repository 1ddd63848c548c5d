"""Reconstructions of the same twelve held-out images by several models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from html import escape
from typing import NamedTuple

import numpy as np
import streamlit as st

from vae_explorer import workspace
from vae_explorer.catalog.reconstructions import crop, draw_row_ids, find_latents, psnr
from vae_explorer.catalog.table import RUN, ModelRow
from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.data import DATASETS, ImageDataset
from vae_explorer.data.registry import is_inverted
from vae_explorer.errors import CheckpointError, RunError
from vae_explorer.images import data_url, for_display, tile
from vae_explorer.inference import decode, encode
from vae_explorer.ui.cache import (
    find_dataset,
    find_originals,
    get_checkpoint,
    get_decoded,
    get_run_model,
    key_of,
)
from vae_explorer.ui.originals import offer_originals
from vae_explorer.ui.page import is_smooth
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.train.compare import name_rows
from vae_explorer.ui.widgets import read_number

COUNT = 12
_SEED, _MOST_SEED = "twelve", 99_999
_MOST = 12  # models: each is loaded
_SIDE = 64  # of an image on the screen, in pixels, at most
_STYLE = """
<style>
  .same-pictures { overflow-x: auto; }
  .same-pictures table { border-collapse: collapse; }
  .same-pictures th, .same-pictures td { border: 0; padding: 0 .8rem 0 0; text-align: left; }
  .same-pictures th { font-weight: 600; font-size: .9rem; padding-top: .45rem; }
  .same-pictures td:last-child { white-space: nowrap; }
  .same-pictures img { display: block; max-width: none; image-rendering: var(--pixels); }
</style>
"""


def offer_another() -> int:
    """Offer another twelve images; return the seed of the current ones."""
    seed = seed_from_url(_SEED, 0, lambda text: read_number(text, int, 0, _MOST_SEED))
    write_to_url(_SEED, str(seed), "0")
    st.button(
        "New images",
        icon=":material/casino:",
        width="stretch",
        on_click=lambda: st.session_state.update({_SEED: (seed + 1) % (_MOST_SEED + 1)}),
    )
    return seed


def show_reconstructions(rows: Sequence[ModelRow], seed: int) -> None:
    """Show twelve images that no model was trained on, and each model's reconstructions.

    Parameters
    ----------
    rows : sequence of ModelRow
        Trained on the same data.
    seed : int
        Determines the images.
    """
    if len({row.data for row in rows}) != 1:
        st.info("These models have different data sets. Choose one data set above.")
        return
    shown = rows[:_MOST]
    cards, _ = list_checkpoints()
    cards = {row.id: cards[row.id] for row in shown if row.id in cards}
    data = {row.id: _find_data(row, cards) for row in shown}
    ids = _draw(shown, cards, data, seed)
    best = max((d for d in data.values() if d), key=lambda d: d.images.shape[-1], default=None)
    if best is None and cards:
        offer_originals(next(iter(cards.values())))
    inverted = is_inverted(shown[0].dataset, shown[0].model.image_channels)
    names, strips = name_rows(rows), []
    if best is not None and len(ids):
        strips.append(_Strip("Held-out images", best.take(ids).astype(np.float32) / 255, None))
    for row in shown:
        images = _reconstruct(row, cards.get(row.id), data[row.id], ids)
        if images is None:
            continue
        originals = data[row.id]
        close = None
        if originals is not None:
            images = crop(images, originals.images.shape[-1])
            close = psnr(images, originals.take(ids) / 255)
        strips.append(_Strip(names[row.id], images, close))
    if strips:
        st.html(_STYLE + _write_table(strips, inverted))
    _explain(rows, shown, strips)


class _Strip(NamedTuple):
    name: str
    images: np.ndarray
    """(n, channels, height, width) in [0, 1]."""
    psnr: float | None


def _find_data(row: ModelRow, cards: dict[str, ModelCard]) -> ImageDataset | None:
    if row.id in cards:
        return find_originals(cards[row.id])
    spec = DATASETS.get(row.dataset)  # a run does not say at which size its data was prepared
    found = find_dataset(row.dataset, (spec and spec.image_size) or row.model.image_size)
    # A model of grey images may have been trained on those of a data set in colour.
    return found if found is None or found.images.shape[1] == row.model.image_channels else None


def _draw(
    rows: Sequence[ModelRow],
    cards: dict[str, ModelCard],
    data: dict[str, ImageDataset | None],
    seed: int,
) -> np.ndarray:
    encoded = []
    for card in cards.values():
        with suppress(CheckpointError):
            encoded.append(get_checkpoint(key_of(card)).encodings)
    if encoded:
        return draw_row_ids([(e.row_id[e.split != "train"]) for e in encoded], COUNT, seed)
    held_out = [d.rows(d.held_out) for row in rows if (d := data[row.id]) is not None]
    return draw_row_ids(held_out, COUNT, seed)


def _reconstruct(
    row: ModelRow, card: ModelCard | None, data: ImageDataset | None, ids: np.ndarray
) -> np.ndarray | None:
    """Return a model's reconstructions (n, channels, height, width), or None if it has none."""
    if not len(ids):
        return None
    if card is not None:
        with suppress(CheckpointError):
            checkpoint = get_checkpoint(key_of(card))
            return get_decoded(key_of(card), find_latents(checkpoint.encodings, ids))
        return None
    if data is None or not row.epochs:
        return None
    folder = workspace.RUNS / row.id.removeprefix(RUN)
    with suppress(RunError, OSError):
        written = (folder / "state.safetensors").stat().st_mtime_ns
        model = get_run_model(folder, row.model, written)
        images = data.take(ids, row.model.image_size).astype(np.float32) / 255
        return decode(model, encode(model, images)[0])
    return None


def _write_table(strips: Sequence[_Strip], inverted: bool) -> str:
    lines = []
    for strip in strips:
        scale = max(1, _SIDE // strip.images.shape[-1])
        mosaic = tile(
            for_display(strip.images, inverted), len(strip.images), gap=1 if scale > 1 else 2
        )
        close = "" if strip.psnr is None else f"{strip.psnr:.1f} dB"
        lines.append(
            f'<tbody><tr><th colspan="2" scope="rowgroup">{escape(strip.name)}</th></tr><tr><td>'
            f'<img src="{data_url(mosaic, scale, is_smooth())}" '
            f'alt="{len(strip.images)} images: {escape(strip.name)}"></td>'
            f"<td>{close}</td></tr></tbody>"
        )
    return (
        '<div class="same-pictures" tabindex="0" role="region" aria-label="The same images, '
        f'reconstructed by each model"><table>{"".join(lines)}</table></div>'
    )


def _explain(rows: Sequence[ModelRow], shown: Sequence[ModelRow], strips: Sequence[_Strip]) -> None:
    if any(strip.psnr is not None for strip in strips):
        st.caption(
            "PSNR in dB, at each model's image size, without padding. Higher is closer to the "
            "original, but blur lowers it little."
        )
    if len(rows) > len(shown):
        st.caption(
            f"Showing the first {len(shown)} of {len(rows)} models. Select others in the table."
        )
    drawn = {strip.name for strip in strips}
    if missing := [name for id, name in name_rows(shown).items() if name not in drawn]:
        st.caption(
            f"Not shown: {escape_markdown('; '.join(missing))}. "
            "A run needs a finished epoch, and its data set on this machine."
        )
