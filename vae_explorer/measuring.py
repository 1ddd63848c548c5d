"""Measures the pace of a training in a process of its own, so that nobody waits for it.

One at a time: two would measure each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.errors import MeasuringError
from vae_explorer.estimates import Pace

NICE = 5
"""How far it steps back behind the app: as far as a training does."""
_ROOT = Path(__file__).parents[1]


class Measured(NamedTuple):
    """What a pace depends on."""

    model: ModelConfig
    config: TrainConfig


def what_is_measured(
    model: ModelConfig, config: TrainConfig, counts: Mapping[str, int]
) -> Measured:
    """Return what the pace of a training depends on: without its epochs, seed and the like."""
    usual = TrainConfig(dataset=config.dataset)
    return Measured(
        model,
        replace(
            usual,
            batch_size=max(1, min(config.batch_size, counts.get("train", config.batch_size))),
            mirror=config.mirror,
            clip_norm=config.clip_norm,
            feature_network=config.feature_network,
            feature_weight=config.feature_weight,
            feature_layers=config.feature_layers,
            adversarial_weight=config.adversarial_weight,
            precision=config.precision,
            keep_epochs=config.keep_epochs,
        ),
    )


class Measurer:
    """Measures what is asked for, one after the other, and remembers it. For all sessions."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[Measured, Pace | MeasuringError] = {}
        self._running: tuple[Measured, subprocess.Popen[bytes]] | None = None

    def ask(self, wanted: Measured) -> Pace | None:
        """Return a pace, or None as long as it is being measured; never waits.

        Raises
        ------
        MeasuringError
            If it cannot be measured.
        """
        with self._lock:
            self._collect()
            if wanted not in self._known:
                if self._running is None:
                    self._start(wanted)
                return None
            found = self._known[wanted]
        if isinstance(found, MeasuringError):
            raise found
        return found

    def cancel(self, unwanted: Measured) -> None:
        """Stop measuring that, if it is what is being measured; who still waits asks again."""
        with self._lock:
            if self._running and self._running[0] == unwanted:
                self._running[1].kill()
                self._running[1].communicate()
                self._running = None

    def _start(self, wanted: Measured) -> None:
        asked = {"model": wanted.model.to_dict(), "train": wanted.config.to_dict()}
        process = subprocess.Popen(
            [sys.executable, "-m", "vae_explorer.estimates", json.dumps(asked)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if hasattr(os, "setpriority"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        self._running = (wanted, process)

    def _collect(self) -> None:
        if self._running is None or self._running[1].poll() is None:
            return
        wanted, process = self._running
        self._running = None
        answer, said = process.communicate()
        try:
            self._known[wanted] = Pace(**json.loads(answer))
        except (ValueError, TypeError):
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            reason = last[0] if last else f"it ended with status {process.returncode}"
            self._known[wanted] = MeasuringError(f"The time cannot be measured: {reason}")
