"""Which pictures to train on: built-in, here, to be downloaded, or one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from vae_explorer.data import DATASETS, DatasetSpec, find_prepared
from vae_explorer.ui.controls import choose
from vae_explorer.ui.state import plain

DATA = Path("data")


@dataclass(frozen=True)
class TrainingData:
    """The pictures that were chosen."""

    name: str
    """In the registry."""
    title: str
    """As people say it."""
    channels: int
    sizes: tuple[int, ...]
    """Sides in pixels that can be had; the first one is the default."""
    counts: Mapping[str, int]
    """Pictures of each split; empty where only preparing them tells."""
    source: Path | None = None

    @property
    def is_resized(self) -> bool:
        """Whether the pictures are brought to the size that a model takes."""
        return DATASETS[self.name].image_size is None

    @property
    def arguments(self) -> list[str]:
        """What names them on the command line."""
        source = [] if self.source is None else ["--source", str(self.source)]
        return ["--dataset", self.name, *source]


def choose_data() -> TrainingData | None:
    """Draw the choice; None where there are no pictures yet."""
    offered = {name: spec for name, spec in DATASETS.items() if _can_be_had(spec)}
    first = "fashion-mnist" if find_prepared("fashion-mnist", DATA) else "digits"
    titles = {name: f"{spec.title} · {_say_where(spec)}" for name, spec in offered.items()}
    name = choose("train_data", "Pictures", titles, first, dropdown=True)
    spec = offered[name]
    found = find_prepared(name, DATA)
    sizes = (spec.image_size,) if spec.image_size else tuple(sorted(found, reverse=True))
    counts = next((info.counts for info in found.values()), spec.counts)
    _show_terms(spec)
    return TrainingData(name, spec.title, spec.channels, sizes, counts)


def _can_be_had(spec: DatasetSpec) -> bool:
    return bool(spec.bundled or spec.download_bytes or find_prepared(spec.name, DATA))


def _say_where(spec: DatasetSpec) -> str:
    if spec.bundled:
        return "comes with the app"
    if not spec.download_bytes or find_prepared(spec.name, DATA):
        return "here"
    return f"{spec.download_bytes / 1e6:.3g} MB to download"


def _show_terms(spec: DatasetSpec) -> None:
    st.caption(f"Licence: {plain(spec.licence)}.", help=f"{plain(spec.terms)} {spec.url}")
    if spec.download_bytes and not find_prepared(spec.name, DATA):
        st.caption(
            "Fetched when training starts, which takes a connection. If it fails, nothing is lost: "
            "start again once you are online."
        )
