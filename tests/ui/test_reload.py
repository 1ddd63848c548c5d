"""Reload on save: which changes of files Streamlit hears of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import PROJECT

# Watches a file as Streamlit does; prints which changes arrive.
_WATCH = """
import pathlib, sys, threading
from streamlit.watcher.event_based_path_watcher import EventBasedPathWatcher, _MultiPathWatcher
from vae_explorer.ui.reload import watch_sources_only

watch_sources_only()
folder, heard = pathlib.Path(sys.argv[1]), threading.Event()
source = folder / "app.py"
watcher = EventBasedPathWatcher(str(source), lambda path: heard.set())
seen = []
observer = _MultiPathWatcher.get_singleton()._observer
(emitter,) = observer.emitters
queue = emitter.queue_event
emitter.queue_event = lambda event: (seen.append(event), queue(event))
for k in range(300):
    (folder / "venv" / f"{k}.py").write_text("x = 1")
    (folder / "venv" / f"{k}.py").read_text()
    source.read_text()
below = [event for event in seen if "venv/" in str(event.src_path)]
source.write_text("x = 2")
print(heard.wait(20), len(below), any(event.event_type == "opened" for event in seen))
EventBasedPathWatcher.close_all()
"""


def test_a_saved_source_is_heard_of_and_what_lies_below_is_not(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "app.py").write_text("x = 1")
    done = subprocess.run(
        [sys.executable, "-c", _WATCH, str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["True", "0", "False"], done.stderr[-2000:]
    assert "overflow" not in done.stderr


_WITHOUT = """
import sys
sys.modules["watchdog"] = None
from vae_explorer.ui.reload import watch_sources_only
watch_sources_only()
"""


def test_where_streamlit_brings_no_watchdog_files_are_left_to_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
