"""Lecture scenes: an ordered list of app links with a sentence each, as a text file.

One scene is a block of lines, and an empty line ends it:

    # Title
    latent_map?show=rings
    One sentence.
    Try: an action.
    Notes: for the speaker.

The link may be a whole address, as a browser shows it. Title, Try and Notes are optional. Lines
that begin with // are comments.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

MAX_BYTES = 64 * 1024
MAX_SCENES = 100
_SHIPPED = Path(__file__).with_name("scenes.txt")
_TITLE, _TRY, _NOTES, _COMMENT = "#", "Try:", "Notes:", "//"
_HOME = "latent_map"  # the page at the root of the app, which has no address of its own
_SHOWN = 60  # characters of a line that cannot be used


@dataclass(frozen=True)
class Scene:
    """A state of a page, and what is said of it."""

    title: str
    page: str
    """The page's name in the address: "latent_map"."""
    sentence: str
    attempt: str = ""
    """What to try."""
    notes: str = ""
    """For the speaker."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the address holds behind its question mark."""

    @property
    def link(self) -> str:
        """The scene's address, from the app's root."""
        page = "" if self.page == _HOME else self.page
        return f"{page}?{urlencode(self.settings)}" if self.settings else page


@cache
def shipped_lecture() -> str:
    """Return the lecture that comes with the app, as such a file."""
    return _SHIPPED.read_text(encoding="utf-8")


def read_lecture(text: str, pages: Container[str]) -> tuple[list[Scene], list[str]]:
    """Read scenes; what cannot be used is named and left out, and the rest stands.

    Parameters
    ----------
    text : str
        As above.
    pages : container of str
        Names of the pages that there are.

    Returns
    -------
    scenes : list of Scene
        At most `MAX_SCENES`.
    problems : list of str
        A sentence each, with the line.
    """
    scenes: list[Scene] = []
    problems: list[str] = []
    block: list[tuple[int, str]] = []
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        line = raw.strip().lstrip("\ufeff")
        if line.startswith(_COMMENT):
            continue
        if line:
            block.append((number, line))
            continue
        if block and len(scenes) < MAX_SCENES:
            try:
                scenes.append(_read_scene(block, pages, len(scenes) + 1))
            except ValueError as error:
                problems.append(str(error))
        elif block:
            problems.append(f"Line {block[0][0]}: a lecture can have at most {MAX_SCENES} scenes.")
            break
        block = []
    return scenes, problems


def read_link(link: str) -> tuple[str, dict[str, str]]:
    """Return the name of the page that a link opens, and its settings.

    Parameters
    ----------
    link : str
        From the app's root, or a whole address.
    """
    address = urlsplit(link)
    page = address.path.rstrip("/").rpartition("/")[2] or _HOME
    return page, dict(parse_qsl(address.query))


def _read_scene(lines: list[tuple[int, str]], pages: Container[str], place: int) -> Scene:
    """Read one block of (line number, line); raise ValueError, saying what is wrong with it."""
    parts = {_TITLE: "", _TRY: "", _NOTES: ""}
    plain: list[tuple[int, str]] = []
    for number, line in lines:
        mark = next((mark for mark in parts if line.startswith(mark)), None)
        if mark is None:
            plain.append((number, line))
        else:
            parts[mark] = line.removeprefix(mark).strip()
    if not plain:
        raise ValueError(f"Line {lines[0][0]}: this scene has no link. Add the address of a page.")
    number, link = plain[0]
    page, settings = read_link(link)
    if page not in pages:
        raise ValueError(f"Line {number}: {link[:_SHOWN]!r} is not a link to a page of this app.")
    if len(plain) < 2:
        raise ValueError(
            f"Line {number}: this scene has no sentence. Add one in the line below the link."
        )
    return Scene(
        title=parts[_TITLE] or f"Scene {place}",
        page=page,
        sentence=" ".join(line for _, line in plain[1:]),
        attempt=parts[_TRY],
        notes=parts[_NOTES],
        settings=settings,
    )
