"""The lock that a training holds while it lives: proof that it does, and that it is the only one.

The system drops it with the process, however that ends, so nothing stale is ever taken for alive,
and a process number that was given to another process is never mistaken.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vae_explorer.errors import RunUnderWayError

LOCK = ".lock"
_TRIES, _PAUSE = 40, 0.05  # seconds; whoever only looks holds it for a moment too
_FAR = 2**30  # on Windows a locked byte cannot be read: one beyond what is written

if sys.platform == "win32":
    import msvcrt

    def _take(file: BinaryIO, *, shared: bool) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _take(file: BinaryIO, *, shared: bool) -> None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


class Holder(NamedTuple):
    """The training that runs."""

    run: str
    """Name of its folder."""
    pid: int
    """Number of its process."""


@contextmanager
def hold_lock(run: Path) -> Iterator[None]:
    """Be the one training in the folder that `run` lies in, for the length of a block.

    Raises
    ------
    RunUnderWayError
        If there is another one.
    """
    run.parent.mkdir(parents=True, exist_ok=True)
    path = run.parent / LOCK
    path.touch()
    with path.open("r+b") as file:  # never deleted: a lock on a deleted file keeps nobody out
        for attempt in range(_TRIES):
            try:
                _take(file, shared=False)
                break
            except OSError:
                holder = find_holder(run.parent)
                if attempt == _TRIES - 1 or (holder and holder.pid != os.getpid()):
                    found = holder or Holder("another", 0)
                    raise RunUnderWayError(found.run, found.pid) from None
                time.sleep(_PAUSE)
        file.truncate(0)
        file.write(json.dumps({"run": run.name, "pid": os.getpid()}).encode())
        file.flush()
        yield


def find_holder(root: Path) -> Holder | None:
    """Return the training that runs in a folder of runs, or None."""
    for _ in range(_TRIES):
        try:
            with (root / LOCK).open("rb") as file:
                try:
                    _take(file, shared=True)
                    return None
                except OSError:
                    values = json.loads(file.read())
                    return Holder(str(values["run"]), int(values["pid"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # it has just begun, and writes who it is
            time.sleep(_PAUSE)
    return Holder("another", 0)
