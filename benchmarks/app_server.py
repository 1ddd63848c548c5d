"""The app in a process of its own, started as a person starts it."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
START_SECONDS = 60


class Server(NamedTuple):
    """A server that runs."""

    port: int
    pid: int


@contextmanager
def run_app(script: str = "app.py") -> Iterator[Server]:
    """Start `streamlit run app.py`, and stop it at the end.

    Parameters
    ----------
    script : str
        Another script, below this project's folder.

    Raises
    ------
    RuntimeError
        If it ends, or does not answer within a minute; with what it wrote.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"address": "127.0.0.1", "port": port, "headless": "true", "fileWatcherType": "none"}
    flags = [f"--server.{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "streamlit", "run", script, *flags]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            if not _answers(server, f"http://127.0.0.1:{port}/_stcore/health"):
                log.seek(0)
                raise RuntimeError(f"The app does not answer. It wrote:\n{log.read()}")
            yield Server(port, server.pid)
        finally:
            server.terminate()
            server.wait()


def _answers(server: subprocess.Popen[bytes], health: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(health):
                return True
        except URLError:
            time.sleep(0.1)
    return False
