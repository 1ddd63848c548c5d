"""The app as a process of its own, for the browser tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support import PROJECT

START_SECONDS = 60


@contextmanager
def serve(
    folder: Path, log: Path, *, installed: str | None = None, **environment: str
) -> Iterator[str]:
    """Run the app in a folder, where it finds data and writes runs; give its address.

    Parameters
    ----------
    folder, log : Path
        The working directory, and the file for what the server prints.
    installed : str, optional
        The command of an installed copy, to be run instead of this checkout.
    **environment : str
        Added to the environment's variables.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = {"address": "127.0.0.1", "port": port, "headless": "true", "fileWatcherType": "none"}
    flags = [f"--server.{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "streamlit", "run", str(PROJECT / "app.py"), *flags]
    if installed:
        command = [installed, "--", *flags]
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        assert _answers(server, f"{url}/_stcore/health"), log.read_text()
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(server: subprocess.Popen[bytes], health: str) -> bool:
    for _ in range(5 * START_SECONDS):
        try:
            with urlopen(health):
                return True
        except URLError:
            pass  # not yet
        try:
            server.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
        return False  # it ended
    return False
