"""Ctrl-C as a wish: to finish the step under way, and save."""

from __future__ import annotations

import signal


class StopRequest:
    """Turns the first Ctrl-C into a wish, so that the step under way is finished and saved.

    The system's request to end, SIGTERM, is the same.
    """

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.requested = True
        self.withdraw()  # a second one ends at once

    def withdraw(self) -> None:
        """Let both end the process at once again, as nothing is left to be saved."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
