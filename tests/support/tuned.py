"""Tunings that a test holds still, or waits for."""

from __future__ import annotations

import time
from unittest.mock import Mock

from vae_explorer.server.tuned import TunedDecoders, Tuning


class WaitingDecoders(TunedDecoders):
    """Tunings wait for ever: all faces are decoded as trained."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = Mock()


def wait_until_finished(decoders: TunedDecoders, seconds: float = 30) -> list[Tuning]:
    """Wait for all tunings that there are, and return them, the one used last at the end."""
    end = time.monotonic() + seconds
    while not all(tuning.is_finished for tuning in decoders._tunings.values()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return list(decoders._tunings.values())
