"""What is pinned on a map: a row of the encodings, or a place between them. One key in the URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.widgets import read_number

_PIN, _OWNER = "pin", "pin_model"
_FARTHEST = 1e4


@dataclass(frozen=True)
class Pin:
    """A row, or a place on the plane, or neither: nothing is pinned."""

    row: int | None = None
    at: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """As it stands in the URL: `123`, or `0.52,-1.3`."""
        if self.at is not None:
            return ",".join(f"{value:.4g}" for value in self.at)
        return "" if self.row is None else str(self.row)

    def __bool__(self) -> bool:
        return self != Pin()


def current_pin(checkpoint: Checkpoint) -> Pin:
    """Return what is pinned; another model's pin is forgotten."""
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
            raise ValueError(f"it takes a row from 0 to {count - 1}, or a place x,y") from None

    pin = seed_from_url(_PIN, Pin(), parse)
    if pin.row is not None and pin.row >= count:  # retrained on fewer pictures
        pin = st.session_state[_PIN] = Pin()
    write_to_url(_PIN, pin.text, "")
    return pin


def take_pin(sent: Mapping[str, object]) -> None:
    """Pin what the map sent: {"row": int}, {"at": [u, v]}, or {} for nothing."""
    pin = Pin()
    if "row" in sent:
        pin = Pin(row=int(cast(int, sent["row"])))
    elif "at" in sent:
        place = np.array(sent["at"], float)
        if not np.isfinite(place).all():  # what is NaN in the browser arrives as None
            return
        u, v = np.clip(place, -_FARTHEST, _FARTHEST).tolist()
        pin = Pin(at=(u, v))
    st.session_state[_PIN] = pin


def offer_unpin() -> None:
    """Draw the button that frees the pin."""
    st.button("Unpin", icon=":material/keep_off:", on_click=take_pin, args=({},))
