"""What an installed copy is: its metadata, what its wheel holds, how its command is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import PROJECT
from vae_explorer import __version__, installation
from vae_explorer.catalog.library import SHIPPED
from vae_explorer.installation import MODULE, SCRIPT, name_program

METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
INCLUDED = METADATA["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
PLACE = "vae_explorer/_app/"


def test_the_dependencies_are_those_of_requirements_txt() -> None:
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert METADATA["project"]["dependencies"] == wanted


def test_the_command_is_a_function_that_is_there() -> None:
    module, _, function = METADATA["project"]["scripts"][SCRIPT].partition(":")
    done = subprocess.run(
        [sys.executable, "-c", f"from {module} import {function} as f; f(['--version'])"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"VAE Explorer {__version__}\n"), done.stderr


def test_a_wheel_holds_the_app_and_the_shipped_models_and_no_others() -> None:
    assert all((PROJECT / source).exists() for source in INCLUDED)
    assert {source: f"{PLACE}{source}" for source in INCLUDED} == INCLUDED
    needed = {"app.py", "pages", ".streamlit/config.toml"}
    classifiers = (PROJECT / "checkpoints/classifiers").glob("attributes-*")
    models = {f"checkpoints/{name}" for name in SHIPPED}
    models |= {f"checkpoints/classifiers/{folder.name}" for folder in classifiers}
    assert set(INCLUDED) == needed | models


@pytest.mark.parametrize(
    ("started", "is_installed", "name"),
    [
        ("/venv/bin/vae-explorer", True, SCRIPT),
        ("C:/venv/Scripts/vae-explorer.exe", True, SCRIPT),
        ("/venv/bin/vae-explorer", False, SCRIPT),  # installed with --editable
        (str(PROJECT / "vae_explorer/__main__.py"), True, MODULE),
        (str(PROJECT / "vae_explorer/__main__.py"), False, MODULE),
        ("/venv/bin/streamlit", True, SCRIPT),
        ("/venv/bin/streamlit", False, MODULE),
        ("", True, SCRIPT),
    ],
)
def test_the_program_is_named_as_it_was_started(
    started: str, is_installed: bool, name: str
) -> None:
    assert name_program(started, is_installed=is_installed) == name


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    unset = ("VAE_EXPLORER_HOME", "VAE_EXPLORER_CHECKPOINTS", installation.PROGRAM)
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    return subprocess.run(
        [sys.executable, "-m", "vae_explorer", *arguments],
        cwd=cwd,
        env={**inherited, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder that Python finds an installed copy in, with one model on its shelf."""
    packages = tmp_path / "packages"
    shutil.copytree(PROJECT / "vae_explorer", packages / "vae_explorer")
    model = "checkpoints/fashion-ae-2d"
    shutil.copytree(PROJECT / model, packages / PLACE / model)
    return packages


def test_an_installed_copy_keeps_what_is_new_in_the_working_directory_or_the_home(
    installed: Path, tmp_path: Path
) -> None:
    before = {path for path in installed.rglob("*") if "__pycache__" not in path.parts}
    small = ["--dataset", "digits", "--image-size", "8", "--image-channels", "1", "--epochs", "1"]
    small += ["--channels", "4,4", "--latent-dim", "2", "--batch-size", "256"]
    work, home = tmp_path / "work", tmp_path / "my home"
    work.mkdir()
    path = {"PYTHONPATH": str(installed)}

    done = run("train", *small, "--out", "checkpoints/one", cwd=work, **path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"Saved checkpoints/one. To open it: {MODULE}\n")
    assert {folder.name for folder in work.iterdir()} == {"checkpoints", "runs", "data"}

    there = ["--home", str(home), "train", *small, "--out"]
    done = run(*there, str(home / "checkpoints/two"), cwd=work, **path)
    assert done.stdout.endswith(f"To open it: {MODULE} --home '{home}'\n"), done.stderr
    assert {folder.name for folder in home.iterdir()} == {"checkpoints", "runs", "data"}
    done = run(*there, str(home / "checkpoints/fashion-ae-2d"), "--replace", cwd=work, **path)
    assert done.returncode == 2
    assert "a model that comes with VAE Explorer" in done.stderr

    listed = run("list", cwd=work, **path).stdout.split()
    assert {"one", "fashion-ae-2d"} <= set(listed)
    assert "two" not in listed
    listed = run("list", cwd=work, **path, VAE_EXPLORER_HOME=str(home)).stdout.split()
    assert {"two", "fashion-ae-2d"} <= set(listed)
    assert "one" not in listed
    after = {path for path in installed.rglob("*") if "__pycache__" not in path.parts}
    assert after == before


def test_a_home_that_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("--home", str(tmp_path / "file"), "list", cwd=PROJECT)
    assert done.returncode == 2
    assert f"error: {tmp_path / 'file'} is not a folder" in done.stderr
    assert "--home DIR" in done.stderr
    for home in (tmp_path / "file" / "below", Path("/proc/home")):  # also for root
        done = run("--home", str(home), "train", "--out", "checkpoints/one", cwd=PROJECT)
        assert done.returncode == 2
        assert f"error: {home} cannot be written to" in done.stderr
