"""What no linter says: ruff (pyproject.toml) has docstrings, blind excepts, stars and pickles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.support import PROJECT

PACKAGE = PROJECT / "vae_explorer"
MODULES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in MODULES if PACKAGE / "ui" not in path.parents]

IMPORT_WITHOUT = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
for name in {names}:
    importlib.import_module(name)
"""


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("contract", ["direction", "pages", "circles", "streamlit", "tensors"])
def test_the_packages_keep_their_contracts(
    contract: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lint_imports(
        str(PROJECT / "pyproject.toml"),
        limit_to_contracts=(contract,),
        no_cache=True,
        no_logo=True,
    )
    assert found == 0, capsys.readouterr().out


def test_the_core_imports_without_streamlit_and_without_what_is_only_needed_later() -> None:
    names = [dotted(path) for path in CORE]
    assert "vae_explorer.checkpoints" in names
    later = {"torchvision", "accelerate", "onnx", "onnxruntime", "onnxscript"}
    script = IMPORT_WITHOUT.format(missing={"streamlit", *later}, names=names)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_import_hook_blocks_what_it_should() -> None:
    script = IMPORT_WITHOUT.format(missing={"streamlit"}, names=["streamlit.runtime"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"No module named 'streamlit'" in done.stderr


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [path for path in MODULES if path.stem in drawers] == []
