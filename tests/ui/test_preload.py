"""What the server imports before its first visitor, on the shipped models."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support import PROJECT

# Loads app.py as the server does, visits every page, and prints what each visit has imported.
_TOUR = """
import importlib.util, json, sys
from pathlib import Path
import streamlit.web.bootstrap
from tests.support.session import Session, keep_navigation

keep_navigation()
spec = importlib.util.spec_from_file_location("served", "app.py")
spec.loader.exec_module(importlib.util.module_from_spec(spec))
before, imported = set(sys.modules), {}
for page in sorted(path.stem for path in Path("pages").glob("*.py")):
    for link in ({}, {"model": "faces-vae-64"}, {"model": "fashion-vae-2d", "pin": "3"}):
        Session(page, **link)
        imported[f"{page} {link}"] = sorted(set(sys.modules) - before)
        before |= set(sys.modules)
print(json.dumps(imported))
"""


def test_no_visit_imports_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TOUR],
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    imported = json.loads(done.stdout.splitlines()[-1])
    assert len(imported) == 3 * len(list((PROJECT / "pages").glob("*.py")))
    assert not {visit: modules for visit, modules in imported.items() if modules}
