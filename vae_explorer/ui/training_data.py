"""Which pictures to train on: built-in, here, to be downloaded, or one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from vae_explorer import workspace
from vae_explorer.data import DATASETS, DatasetSpec, find_prepared
from vae_explorer.data.base import SPLITS
from vae_explorer.data.user_sets import list_own_sets, split_counts
from vae_explorer.ui.own_pictures import (
    ask_for_path,
    ask_for_zip,
    is_at_this_machine,
    show_own_set,
)
from vae_explorer.ui.text import plain
from vae_explorer.ui.widgets import choose

_OWN, _NEW, _KEPT = "own-", "yours", "train_data_kept"
_OWN_SIZES = (32, 64, 128)


@dataclass(frozen=True)
class TrainingData:
    """The pictures that were chosen."""

    name: str
    """In the registry."""
    title: str
    """As people say it."""
    channels: int
    sizes: tuple[int, ...]
    """Sides in pixels that can be had."""
    counts: Mapping[str, int]
    """Pictures of each split; empty where only preparing them tells."""
    source: Path | None = None

    @property
    def short_name(self) -> str:
        """What a model's name is made of."""
        return self.name if self.source is None else self.title

    @property
    def pictures(self) -> int:
        """All of them; 0 where only preparing them tells."""
        return sum(self.counts.values())

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
    """Draw the choice; None as long as there are no pictures."""
    own = {f"{_OWN}{each.name}": each for each in list_own_sets(workspace.DATA)}
    offered = {name: spec for name, spec in DATASETS.items() if _can_be_had(spec)}
    titles = {name: f"{spec.title} · {_say_where(spec)}" for name, spec in offered.items()}
    titles |= {name: f"{each.name} · yours" for name, each in own.items()}
    titles[_NEW] = "Your own pictures …"
    if kept := st.session_state.pop(_KEPT, None):
        st.session_state["train_data"] = kept
    first = "fashion-mnist" if find_prepared("fashion-mnist", workspace.DATA) else "digits"
    name = choose("train_data", "Pictures", titles, first, dropdown=True)
    if name == _NEW:
        return _ask_for_own()
    if name in own:
        each = own[name]
        show_own_set(each, workspace.DATA)
        return _own_data(each.name, each.source, each.counts)
    spec = offered[name]
    found = find_prepared(name, workspace.DATA)
    sizes = (spec.image_size,) if spec.image_size else tuple(found)
    counts = next((info.counts for info in found.values()), spec.counts)
    _show_terms(spec)
    return TrainingData(name, spec.title, spec.channels, sizes, counts)


def _ask_for_own() -> TrainingData | None:
    if kept := ask_for_zip(workspace.DATA):
        st.session_state[_KEPT] = f"{_OWN}{kept.name}"
        st.rerun()
    if not is_at_this_machine() or (named := ask_for_path()) is None:
        return None
    path, pictures = named
    if pictures < len(SPLITS):
        st.error(f"There are {pictures} pictures in {plain(str(path))}: too few to train on.")
        return None
    return _own_data(path.stem, path, split_counts(pictures))


def _own_data(title: str, source: Path, counts: Mapping[str, int]) -> TrainingData:
    return TrainingData("folder", title, DATASETS["folder"].channels, _OWN_SIZES, counts, source)


def _can_be_had(spec: DatasetSpec) -> bool:
    return bool(spec.bundled or spec.download_bytes or find_prepared(spec.name, workspace.DATA))


def _say_where(spec: DatasetSpec) -> str:
    if spec.bundled:
        return "comes with the app"
    if not spec.download_bytes or find_prepared(spec.name, workspace.DATA):
        return "here"
    return f"{spec.download_bytes / 1e6:.3g} MB to download"


def _show_terms(spec: DatasetSpec) -> None:
    st.caption(f"Licence: {plain(spec.licence)}.", help=f"{plain(spec.terms)} {spec.url}")
    if spec.download_bytes and not find_prepared(spec.name, workspace.DATA):
        st.caption(
            "Fetched when training starts, which takes a connection. If it fails, nothing is lost: "
            "start again once you are online."
        )
