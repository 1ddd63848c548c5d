from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PROJECT

PACKAGE = PROJECT / "vae_explorer"
MODULES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in MODULES if PACKAGE / "ui" not in path.parents]
PAGES = sorted((PROJECT / "pages").glob("*.py"))

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


def relative(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Names of the packages that a file imports, at its top or inside its functions."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return names


def public_definitions(body: list[ast.stmt]) -> list[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes without an underscore, methods among them."""
    found = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += public_definitions(node.body)
    return found


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


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_the_core_reaches_back_to_no_page(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imported(path)}
    assert roots.isdisjoint({"streamlit", "pages", "app"})
    assert not any(name.startswith("vae_explorer.ui") for name in imported(path))


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_pages_know_no_tensor(path: Path) -> None:
    assert not any(name.partition(".")[0] == "torch" for name in imported(path))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert [d.name for d in public_definitions(tree.body) if not ast.get_docstring(d)] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_is_a_drawer(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    handlers = [node.type for node in nodes if isinstance(node, ast.ExceptHandler)]
    assert None not in handlers
    assert not any(isinstance(t, ast.Name) and t.id == "Exception" for t in handlers)
    stars = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
    assert stars == []
    assert {"pickle", "vae_explorer.utils"}.isdisjoint(imported(path))
