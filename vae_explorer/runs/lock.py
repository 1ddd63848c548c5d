"""Lock file of a folder of runs: one training at a time, and proof that its process is alive.

The operating system releases the lock with the process, however that ends. A dead process is
therefore never taken for alive, even if its process number was given to another one.
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
_TRIES, _PAUSE = 40, 0.05  # seconds; `lock_owner` holds the lock for a moment too
_FAR = 2**30  # on Windows a locked byte cannot be read: lock one beyond the content

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


class LockOwner(NamedTuple):
    """The training that holds the lock."""

    run: str
    """Name of the run's folder."""
    pid: int
    """Process number; 0 if unknown."""


@contextmanager
def hold_lock(run: Path) -> Iterator[None]:
    """Hold the lock of the folder that `run` is in.

    Raises
    ------
    RunUnderWayError
        If another training holds it.
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
                owner = lock_owner(run.parent)
                if attempt == _TRIES - 1 or (owner and owner.pid != os.getpid()):
                    found = owner or LockOwner("another", 0)
                    raise RunUnderWayError(found.run, found.pid) from None
                time.sleep(_PAUSE)
        file.truncate(0)
        file.write(json.dumps({"run": run.name, "pid": os.getpid()}).encode())
        file.flush()
        yield


def lock_owner(root: Path) -> LockOwner | None:
    """Return the training that holds the lock of a folder of runs, or None; never waits for it."""
    for _ in range(_TRIES):
        try:
            with (root / LOCK).open("rb") as file:
                try:
                    _take(file, shared=True)
                    return None
                except OSError:
                    values = json.loads(file.read())
                    return LockOwner(str(values["run"]), int(values["pid"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # it has just begun, and is writing who it is
            time.sleep(_PAUSE)
    return LockOwner("another", 0)
