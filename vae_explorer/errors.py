"""Typed errors: each message says what was wrong, what was found, and how to proceed.

The core raises them; the command line prints them and the pages show them. Both catch
`VaeExplorerError`, the base class of all. Names that were importable from other modules
(``vae_explorer.checkpoints.CheckpointError`` and the like) still are.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class VaeExplorerError(Exception):
    """Base class: anything that the user can act on, with a message that says how."""


class ConfigError(VaeExplorerError, ValueError):
    """An invalid configuration; the message says what would be valid."""


class FieldError(ConfigError):
    """A value that its field or option does not take.

    Parameters
    ----------
    field : str
        Name of the field: "channels". A form has a label for it.
    reason : str
        What follows the name or the label in a sentence: "must be ...".
    shown_as : str, optional
        What the message calls the field; its name if not given.
    """

    def __init__(self, field: str, reason: str, shown_as: str = "") -> None:
        super().__init__(f"{shown_as or field} {reason}")
        self.field = field
        self.reason = reason


class CardError(VaeExplorerError, ValueError):
    """A model card that cannot be read or written; the message names the field."""


class CheckpointError(VaeExplorerError, RuntimeError):
    """A checkpoint that is missing, broken or cannot be saved; with the remedy."""


class DatasetError(VaeExplorerError, ValueError):
    """A data set that cannot be prepared or opened; the message says what repairs it."""


class CacheError(VaeExplorerError, RuntimeError):
    """Inconsistent files in the cache of a data set."""


class ImageError(VaeExplorerError, ValueError):
    """An image that cannot be used; `prepare` leaves it out and lists it."""


class ImageBombError(ImageError):
    """A decompression bomb: the header promises more pixels than Pillow's limit."""


class ImageRangeError(ImageError):
    """An image whose values do not tell which of them is white."""


class NoFaceError(ImageError):
    """An image without a detectable face, given to a model of faces."""


class UploadError(VaeExplorerError, ValueError):
    """An upload that cannot be used; the message says what was found and what is accepted."""


class ModelFileError(VaeExplorerError, ValueError):
    """A recipe or vector file that does not fit the model."""


class RunError(VaeExplorerError, RuntimeError):
    """A run that cannot be started, resumed or changed."""


class RunUnderWayError(RunError):
    """Another run is training, and one trains at a time.

    Parameters
    ----------
    run : str
        Name of the run that holds the lock.
    pid : int
        Its process.
    """

    def __init__(self, run: str, pid: int) -> None:
        super().__init__(
            f"The run {run} is training (process {pid}), and only one run can train at a time. "
            "Wait until it finishes, or pause it on the page Train and watch."
        )
        self.run = run


class LaunchError(RunError):
    """A training process that ended before it began; the message is its own."""


class TrainingError(VaeExplorerError, RuntimeError):
    """Training cannot continue; the message says why and what to do."""


class NotANumberError(TrainingError):
    """The loss became not a number."""


class TransferError(VaeExplorerError, RuntimeError):
    """Images or latents that cannot be encoded, decoded or exported."""


class CancelledError(VaeExplorerError, RuntimeError):
    """Work that ended because its caller asked for that; nothing of it was kept."""


class WeightsError(VaeExplorerError, RuntimeError):
    """Weights of the face detector that are missing or not the known ones."""


class UnsupportedLayerError(VaeExplorerError, ValueError):
    """A model that the browser cannot compute; the server can."""


class ReadOnlyError(VaeExplorerError, RuntimeError):
    """A write, refused in a read-only installation; the message says which."""


class HomeError(VaeExplorerError, RuntimeError):
    """A home that is no folder or cannot be written to; the message says how to name another."""


class RequestError(VaeExplorerError, ValueError):
    """A request that is not served.

    Parameters
    ----------
    status : int
        HTTP status.
    reason : str
        One line for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def did_you_mean(what: str, name: str, known: Sequence[str]) -> str:
    """Say that there is no `what` called `name`, suggest the closest, and list the known ones."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"There is no {what} {name!r}.{hint} Available: {', '.join(sorted(known))}."
