"""The Dockerfile, as far as it can be held against the project without building it."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.support import PROJECT

TEXT = (PROJECT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def arguments(instruction: str) -> list[str]:
    """What follows each line's instruction of that name."""
    return [line.split(maxsplit=1)[1] for line in LINES if line.startswith(f"{instruction} ")]


def copied() -> list[str]:
    return [name for line in arguments("COPY") for name in shlex.split(line)[:-1]]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert all((PROJECT / name).exists() for name in copied())
    assert {f"!{name}" for name in copied()} == {line for line in ignored if line.startswith("!")}


def test_all_that_the_app_needs_is_copied() -> None:
    needed = {"app.py", "pages", "vae_explorer", "checkpoints", ".streamlit", "requirements.txt"}
    assert needed <= set(copied())


def test_the_port_is_the_one_that_is_served_and_asked_for_health() -> None:
    (port,) = arguments("EXPOSE")
    command = json.loads(arguments("CMD")[-1])
    assert f"--server.port={port}" in command
    assert "--server.address=0.0.0.0" in command
    assert f":{port}/_stcore/health" in arguments("HEALTHCHECK")[0]


def test_it_runs_without_rights_and_writes_nothing() -> None:
    (user,) = arguments("USER")
    assert user not in {"root", "0"}
    assert "VAE_EXPLORER_READ_ONLY=1" in arguments("ENV")[0]
    order = [line.split()[0] for line in LINES]
    assert order.index("USER") > max(i for i, name in enumerate(order) if name in {"RUN", "COPY"})


def test_the_python_is_one_that_the_project_supports() -> None:
    (image,) = arguments("FROM")
    found = re.fullmatch(r"python:3\.(\d+)-slim", image)
    if found is None:
        pytest.fail(f"{image} names no version of Python.")
    assert int(found[1]) >= 11
