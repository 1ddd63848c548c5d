"""Bundles of the browser code: ES modules as one inline script, for Streamlit or a page of its own.

The sources import each other by relative paths, so that browsers and Node can also load them as
they are. In a bundle each module is a function's scope, `const __module_1 = (() => { ... })();`, so
that modules may use the same names; they are ordered by their imports. Comments and indentation are
left out: Streamlit sends the script along with every view of every rerun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent / "ui" / "browser"
"""Folder of the modules, and of `styles/`."""
STYLES = ("base", "explore", "faces", "learn", "train")

_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default (?=(?:async )?(?:function|class) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


class BundleError(ValueError):
    """A module cannot be bundled: a file or a name is missing, or imports form a cycle."""


def bundle_script(entry: Path) -> str:
    """Return a module and all that it imports as one module, with the entry's default export.

    Raises
    ------
    BundleError
        If an imported file or name does not exist, imports form a cycle, or a module imports or
        exports in another way than `import { a, b as c } from "./x.js"`, `export function f`,
        `export class C`, `export const c` or `export default function f`.
    """
    modules = list(_in_order(entry.resolve(), ()))
    exports = {path: _exports_of(path) for path in modules}
    names = {path: f"__module_{number}" for number, path in enumerate(modules)}
    scripts = [_wrap(path, names, exports) for path in modules]
    if "default" in exports[modules[-1]]:
        scripts.append(f"export default {names[modules[-1]]}.default;\n")
    return "\n".join(scripts)


def join_styles(names: Sequence[str] = STYLES) -> str:
    """Return style sheets after one another; by default those of all views."""
    return "\n".join((ROOT / "styles" / f"{n}.css").read_text(encoding="utf-8") for n in names)


def _in_order(path: Path, importers: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the modules below one, each once, and after all that it imports."""
    if path in importers:
        cycle = [*importers[importers.index(path) :], path]
        raise BundleError(f"Imports form a cycle: {' -> '.join(each.name for each in cycle)}.")
    if not path.is_file():
        raise BundleError(f"{importers[-1] if importers else 'The entry'} imports {path}: no file.")
    done: set[Path] = set()
    for _, source in _IMPORT.findall(path.read_text(encoding="utf-8")):
        for each in _in_order((path.parent / source).resolve(), (*importers, path)):
            if each not in done:
                done.add(each)
                yield each
    yield path


def _strip(script: str) -> str:
    """Leave out indentation, and lines that are empty or hold a comment alone.

    Lines that begin within a template literal stay as they are.
    """
    kept, in_comment, in_template = [], False, False
    for line in script.splitlines(keepends=True):
        text = line.lstrip(" ")
        if in_template:
            kept.append(line)
        elif in_comment or (text.startswith("/*") and text.rstrip().partition("*/")[2] == ""):
            in_comment = "*/" not in text
            continue
        elif not text.startswith("//") and text.strip():
            kept.append(text)
        else:
            continue
        in_template ^= line.count("`") % 2 == 1
    return "".join(kept)


def _exports_of(path: Path) -> dict[str, str]:
    """Return the names that a module exports, and what they are called in it."""
    script = path.read_text(encoding="utf-8")
    exports = {name: name for name in _EXPORT.findall(script)}
    if default := _DEFAULT.search(script):
        exports["default"] = default[1]
    return exports


def _wrap(path: Path, names: dict[Path, str], exports: dict[Path, dict[str, str]]) -> str:
    """Return a module as a constant: an object of its exports, made in a scope of its own."""

    def destructure(match: re.Match[str]) -> str:
        source = (path.parent / match[2]).resolve()
        wanted = [re.split(r"\s+as\s+", each.strip()) for each in match[1].split(",")]
        for name, *_ in wanted:
            if name and name not in exports[source]:
                raise BundleError(f"{path} imports {name} from {source}, which does not export it.")
        return f"const {{ {', '.join(': '.join(each) for each in wanted)} }} = {names[source]};\n"

    script = _IMPORT.sub(destructure, path.read_text(encoding="utf-8"))
    script = _strip(_DEFAULT.sub("", _EXPORT.sub("", script)))
    if other := _OTHER.search(script):
        raise BundleError(f"{path} has a line that cannot be bundled: {other[0]}")
    exported = ", ".join(f"{name}: {own}" for name, own in exports[path].items())
    return f"const {names[path]} = (() => {{\n{script}return {{ {exported} }};\n}})();\n"
