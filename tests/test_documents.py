"""README, docs/ and the other documents: links, commands, words and the animation."""

from __future__ import annotations

import argparse
import re
import shlex
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

import vae_explorer
from tests.support import PROJECT
from vae_explorer.cli import build_parser
from vae_explorer.cli.train import TrainRequest

README = PROJECT / "README.md"
DOCS = sorted((PROJECT / "docs").glob("*.md"))
DOCUMENTS = [README, *DOCS, PROJECT / "CONTRIBUTING.md", PROJECT / "CHANGELOG.md"]
ANIMATION = PROJECT / "docs" / "tour.webp"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
COMMAND = re.compile(
    r"(?:\w+=\S+ )*(?:(?:python|accelerate launch .*|torchrun .*) -m vae_explorer|"
    r"uvx --from \. vae-explorer|vae-explorer)(?=\s|$)\s*(?P<arguments>.*)"
)
ELLIPSIS = "…"
# Left column of the project's vocabulary: the terms on the right of it are used instead.
OLD_WORDS = re.compile(
    r"\b(pictures?|re-?draw\w*|redrawn|made[- ]up|encircle\w*|prior rings|re-?roll\w*|fetch\w*|"
    r"out of reach|your own pictures)\b",
    re.IGNORECASE,
)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose_of(text: str) -> str:
    """Leave out code, whose names are not ours to choose."""
    return re.sub(r"`[^`]*`", "", FENCE.sub("", text))


def slug(heading: str) -> str:
    """What GitHub makes of a heading for links to it."""
    kept = re.sub(
        rf"[{re.escape(string.punctuation.replace('-', '').replace('_', ''))}…]", "", heading
    )
    return kept.strip().lower().replace(" ", "-")


def slugs_of(path: Path) -> set[str]:
    return {slug(heading) for heading in HEADING.findall(FENCE.sub("", text_of(path)))}


def find_links() -> Iterator[tuple[Path, str]]:
    for path in DOCUMENTS:
        for target in LINK.findall(FENCE.sub("", text_of(path))):
            if not re.match(r"[a-z]+:", target):
                yield path, target


def find_commands() -> Iterator[tuple[str, str]]:
    """The arguments of each command of this project, and the document that it is in."""
    for path in DOCUMENTS:
        text = text_of(path)
        lines = [
            line
            for language, block in FENCE.findall(text)
            if language == "bash"
            for line in block.replace("\\\n", " ").splitlines()
        ]
        for line in (*lines, *SPAN.findall(FENCE.sub("", text))):
            if (found := COMMAND.match(line)) and found["arguments"]:
                yield path.name, found["arguments"]


LINKS, COMMANDS = list(find_links()), list(find_commands())


def test_the_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= 150


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {
        (README.parent / target.partition("#")[0]).resolve()
        for path, target in LINKS
        if path == README
    }
    assert set(DOCUMENTS) - {README} <= linked


@pytest.mark.parametrize(("path", "target"), LINKS, ids=lambda value: getattr(value, "name", value))
def test_a_link_leads_to_a_file_and_a_heading(path: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    assert file.is_relative_to(PROJECT) and file.exists()
    if anchor:
        assert anchor in slugs_of(file)


@pytest.mark.parametrize(("document", "arguments"), COMMANDS)
def test_a_command_is_one_that_the_program_takes(document: str, arguments: str) -> None:
    words = [word for word in shlex.split(arguments, comments=True) if word != ELLIPSIS]
    if ELLIPSIS in arguments or "--help" in words:
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([*words[:1], "--help"])
        assert ended.value.code == 0
        return
    build_parser().parse_args(words)
    if words[0] == "train":
        TrainRequest.parse(words[1:])


def test_the_documents_show_each_command_of_the_program() -> None:
    shown = {arguments.split()[0] for _, arguments in COMMANDS}
    (choices,) = (
        a.choices for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)
    )
    assert shown >= set(choices)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_benchmarks_and_files_that_are_named_exist(path: Path) -> None:
    text = text_of(path)
    for module in re.findall(r"python -m (benchmarks\.[a-z_]+)", text):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file(), module
    for name in re.findall(r"`((?:vae_explorer|tests|benchmarks|docs|pages)/[\w./-]*)`", text):
        assert "NAME" in name or (PROJECT / name).exists(), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_words_are_those_of_the_vocabulary(path: Path) -> None:
    assert OLD_WORDS.findall(prose_of(text_of(path))) == []


def test_the_readme_shows_an_animation_that_loads_quickly() -> None:
    assert f"]({ANIMATION.relative_to(PROJECT).as_posix()})" in text_of(README)
    assert ANIMATION.stat().st_size < 3_000_000
    with Image.open(ANIMATION) as image:
        assert image.format == "WEBP"
        assert getattr(image, "n_frames", 1) > 1
        first = image.convert("RGB").tobytes()
        image.seek(image.n_frames // 2)
        assert image.convert("RGB").tobytes() != first


def test_the_models_in_the_readme_are_those_that_come_with_the_app() -> None:
    from vae_explorer.checkpoints import list_checkpoints

    cards, errors = list_checkpoints()
    assert not errors
    for card in cards.values():
        row = next(line for line in text_of(README).splitlines() if f"| `{card.name}` |" in line)
        assert row.startswith(f"| {card.title} |")
        elbo = card.metrics.get("negative_elbo")
        if elbo is not None and card.dataset.name != "celeba":
            assert f"{elbo.value:.1f}" in row


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load(text_of(PROJECT / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == vae_explorer.__version__
