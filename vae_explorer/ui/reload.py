"""Reload on save: what Streamlit watches of the file system."""

from __future__ import annotations

from typing import Any

from streamlit import env_util


def watch_sources_only() -> None:
    """Have Streamlit watch the folders of source files, but nothing below them.

    It watches the folder of each source file with all that lies below, and app.py lies at the top:
    with a virtual environment, data or runs in the checkout, every file that Python opens there
    would be an event, until the kernel's queue overflows. A source file in a folder of its own is
    watched all the same: its folder is another entry.
    """
    if env_util.IS_WSL:  # files are polled there
        return
    try:
        from watchdog import events
        from watchdog.observers import Observer
    except ModuleNotFoundError:  # as on macOS, where Streamlit does not bring it: likewise
        return
    changes: list[type[events.FileSystemEvent]] = [
        events.FileCreatedEvent,
        events.FileModifiedEvent,
        events.FileMovedEvent,
        events.FileDeletedEvent,
    ]
    observers: Any = Observer  # a class, which one depends on the system
    schedule = observers.schedule

    def schedule_flat(observer: object, handler: object, path: str, **_options: object) -> object:
        return schedule(observer, handler, path, recursive=False, event_filter=changes)

    observers.schedule = schedule_flat
