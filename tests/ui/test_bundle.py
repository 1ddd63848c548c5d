"""The bundle of the browser's modules."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vae_explorer.ui.browser import ROOT, STYLES, BundleError, bundle_script, join_styles

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="There is no Node.")
LIBRARY = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("lib/*.js"))


def write(folder: Path, **modules: str) -> Path:
    """Write modules, by name; return the one called main."""
    for name, script in modules.items():
        (folder / f"{name}.js").write_text(script)
    return folder / "main.js"


def run(script: str, tmp_path: Path) -> str:
    """Return what a module prints in Node."""
    (tmp_path / "bundle.mjs").write_text(script)
    command = [NODE or "", str(tmp_path / "bundle.mjs")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_module_comes_once_and_after_what_it_imports(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main='import { a } from "./a.js";\nimport { c } from "./c.js";\n'
        "export default function mount() { return a + c; }\n",
        a='import { b } from "./b.js";\nexport const a = b; // a\n',
        b='import { c } from "./c.js";\nexport const b = c; // b\n',
        c="export const c = 1; // c\n",
    )
    script = bundle_script(main)
    assert re.findall(r"// (\w)$", script, re.MULTILINE) == ["c", "b", "a"]
    assert not re.search(r"^import\b", script, re.MULTILINE)
    assert re.findall(r"^export .*", script, re.MULTILINE) == ["export default __module_3.default;"]


def test_comments_and_indentation_are_left_out_but_not_of_templates(tmp_path: Path) -> None:
    script = """/* What it is.
 * And why. */
// One line, with a `name` in it.
export const text = `
  // kept
  /* kept */
`;

export default function f(x) {
    // why
    return x / 2; // after code it stays
}
"""
    (tmp_path / "main.js").write_text(script)
    bundle = bundle_script(tmp_path / "main.js")
    assert "What it is" not in bundle
    assert "why" not in bundle
    assert "`\n  // kept\n  /* kept */\n`" in bundle
    assert "\nreturn x / 2; // after code it stays\n" in bundle


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main='import { a } from "./a.js";\n',
        a='import { b } from "./b.js";\nexport const a = 1;\n',
        b='import { a } from "./a.js";\nexport const b = a;\n',
    )
    with pytest.raises(BundleError, match=r"a\.js -> b\.js -> a\.js"):
        bundle_script(main)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('import { a } from "./gone.js";\n', r"imports .*gone\.js: no file"),
        ('import { gone } from "./a.js";\n', r"imports gone from .*a\.js, which does not export"),
        ('import * as all from "./a.js";\n', "cannot be bundled: import"),
        ('import { a }\n  from "./a.js";\n', "cannot be bundled: import"),
        ("export { a };\n", "cannot be bundled: export"),
        ("export let a = 1;\n", "cannot be bundled: export"),
    ],
)
def test_what_cannot_be_bundled_is_named(tmp_path: Path, script: str, message: str) -> None:
    main = write(tmp_path, main=script, a="export const a = 1;\n")
    with pytest.raises(BundleError, match=message):
        bundle_script(main)


@needs_node
def test_modules_may_use_the_same_names(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main='import { value as first } from "./a.js";\n'
        'import {\n  value,\n  Thing,\n} from "./b.js";\n'
        "const scale = 100;\nconsole.log(first, value, scale, new Thing().name());\n",
        a="const scale = 2;\nexport const value = 1 * scale;\n",
        b="const scale = 3;\nexport const value = 1 * scale;\n"
        "export class Thing {\n  name() {\n    return scale;\n  }\n}\n",
    )
    assert run(bundle_script(main), tmp_path) == "2 3 100 3"


@needs_node
@pytest.mark.parametrize("path", LIBRARY)
def test_node_loads_every_module_of_the_library(path: str, tmp_path: Path) -> None:
    script = f"{bundle_script(ROOT / path)}\nconsole.log('loaded');\n"
    assert run(script, tmp_path) == "loaded"
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copytree(ROOT / "lib", tmp_path / "lib")  # as they are, unbundled
    assert run(f'import "./{path}";\nconsole.log("loaded");\n', tmp_path) == "loaded"


@needs_node
def test_the_apps_bundles_have_a_default_export(tmp_path: Path) -> None:
    for entry in ("main.js", "learn/presenter.js", "learn/follower.js"):
        (tmp_path / "entry.mjs").write_text(bundle_script(ROOT / entry))
        script = 'import mount from "./entry.mjs";\nconsole.log(typeof mount);\n'
        assert run(script, tmp_path) == "function"


def test_every_module_and_style_sheet_is_used() -> None:
    used: set[Path] = set()
    waiting = [ROOT / entry for entry in ("main.js", "learn/presenter.js", "learn/follower.js")]
    while waiting:
        path = waiting.pop().resolve()
        used.add(path)
        sources = re.findall(r'from "(.+)";', path.read_text(encoding="utf-8"))
        waiting += [path.parent / source for source in sources]
    assert used == {path.resolve() for path in ROOT.rglob("*.js")}
    assert {path.stem for path in ROOT.rglob("*.css")} == set(STYLES)
    assert join_styles().count("{") == join_styles().count("}")
