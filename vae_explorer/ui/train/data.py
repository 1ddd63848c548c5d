"""Choice of the training data: built-in, prepared here, to download, or the user's own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vae_explorer import workspace
from vae_explorer.data import DATASETS, DatasetError, DatasetSpec, find_prepared
from vae_explorer.data.base import list_left_out
from vae_explorer.data.cache import FEWEST_IMAGES, say_too_few
from vae_explorer.data.folder import digest_folder, read_folder
from vae_explorer.data.user_sets import (
    MAX_BYTES,
    UserSet,
    add_user_set,
    delete_user_set,
    list_user_sets,
    split_counts,
)
from vae_explorer.errors import ImageError, ReadOnlyError
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select
from vae_explorer.workspace import suggest_name

_FIRST = "mnist"  # what a lecture begins with
_OWN, _NEW, _KEPT = "own-", "yours", "train_data_kept"
_OWN_SIZES = (32, 64, 128)
_COLOURS = {"colour": "Colour", "grey": "Greyscale"}


@dataclass(frozen=True)
class TrainingData:
    """The images that were chosen."""

    name: str
    """In the registry."""
    title: str
    """As people say it."""
    channels: int
    sizes: tuple[int, ...]
    """Sides in pixels that can be had."""
    counts: Mapping[str, int]
    """Images of each split; empty where only preparing them tells."""
    source: Path | None = None

    @property
    def short_name(self) -> str:
        """What a model's name is made of."""
        return self.name if self.source is None else self.title

    @property
    def pictures(self) -> int:
        """All of them; 0 where only preparing them tells."""
        return sum(self.counts.values())

    @property
    def is_resized(self) -> bool:
        """Whether the images are brought to the size that a model takes."""
        return DATASETS[self.name].image_size is None

    @property
    def arguments(self) -> list[str]:
        """What names them on the command line."""
        source = [] if self.source is None else ["--source", str(self.source)]
        return ["--dataset", self.name, *source]


def choose_data() -> TrainingData | None:
    """Draw the choice; None as long as there are no images."""
    own = {f"{_OWN}{each.name}": each for each in list_user_sets(workspace.DATA)}
    offered = {name: spec for name, spec in DATASETS.items() if _can_be_had(spec)}
    titles = {name: f"{spec.title} · {_say_where(spec)}" for name, spec in offered.items()}
    titles |= {name: f"{each.name} · your images" for name, each in own.items()}
    titles[_NEW] = "Your own images …"
    if kept := st.session_state.pop(_KEPT, None):
        st.session_state["train_data"] = kept
    name = select("train_data", "Data set", titles, _FIRST, dropdown=True)
    if name == _NEW:
        return _ask_for_own()
    if name in own:
        each = own[name]
        show_own_set(each, workspace.DATA)
        if each.fault:
            st.error(escape_markdown(each.fault))
            return None
        return _own_data(each.name, each.source, each.counts)
    spec = offered[name]
    found = find_prepared(name, workspace.DATA)
    sizes = (spec.image_size,) if spec.image_size else tuple(found)
    counts = next((info.counts for info in found.values()), spec.counts)
    _show_terms(spec)
    return TrainingData(name, spec.title, spec.channels, sizes, counts)


def _ask_for_own() -> TrainingData | None:
    if kept := ask_for_zip(workspace.DATA):
        st.session_state[_KEPT] = f"{_OWN}{kept.name}"
        st.rerun()
    if not is_at_this_machine() or (named := ask_for_path()) is None:
        return None
    path, pictures, left_out = named
    if left_out:
        lines = list_left_out(left_out, _NAMED)[:_NAMED]
        st.caption(escape_markdown(_say_left_out(len(left_out), lines, "left out")))
    if pictures < FEWEST_IMAGES:
        st.error(f"{escape_markdown(str(path))}: {say_too_few(pictures)}")
        return None
    return _own_data(path.stem, path, split_counts(pictures))


def _own_data(title: str, source: Path, counts: Mapping[str, int]) -> TrainingData:
    channels = 1 if select("colour", "Colour", _COLOURS) == "grey" else 3
    return TrainingData("folder", title, channels, _OWN_SIZES, counts, source)


def _can_be_had(spec: DatasetSpec) -> bool:
    return bool(spec.bundled or spec.download_bytes or find_prepared(spec.name, workspace.DATA))


def _say_where(spec: DatasetSpec) -> str:
    if spec.bundled:
        return "included"
    if not spec.download_bytes or find_prepared(spec.name, workspace.DATA):
        return "on this machine"
    return f"{spec.download_bytes / 1e6:.3g} MB download"


def _show_terms(spec: DatasetSpec) -> None:
    st.caption(
        f"Licence: {escape_markdown(spec.licence)}.",
        help=f"{escape_markdown(spec.terms)} {spec.url}",
    )
    if spec.download_bytes and not find_prepared(spec.name, workspace.DATA):
        st.caption(
            "Downloaded when training starts, so you need an internet connection. If the download "
            "fails, start the training again."
        )


_SEEN, _ROUND = "own_zip_seen", "own_zip_round"
_CHECKED_SIZE = 32  # what an image is shrunk to when it is looked at
_LOOK_SECONDS = 10
_NAMED = 3  # of the files that were left out
_HERE = {"localhost", "127.0.0.1", "::1"}
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")


def ask_for_zip(root: Path) -> UserSet | None:
    """Let a zip be uploaded; return the set in the run in which it was kept."""
    turn = st.session_state.get(_ROUND, 0)
    file = st.file_uploader(
        "Upload a ZIP of images",
        "zip",
        key=f"own_zip-{turn}",
        max_upload_size=MAX_BYTES // 2**20,
        help="JPEG, PNG, WebP, HEIC and similar, of any size; each image is cropped to its "
        "central square. Labels are the top-level folders of the ZIP, or a file labels.csv there "
        "with the columns file and label.",
    )
    st.caption(
        "Stored on this machine in `data/own` until you delete it. Everyone who opens this app "
        "can train on it."
    )
    if file is None:
        return None
    seen, reason = st.session_state.get(_SEEN, (None, ""))
    if file.file_id != seen:
        try:
            found = _keep(file, root)
        except (DatasetError, ReadOnlyError) as error:
            reason = str(error)
            st.session_state[_SEEN] = (file.file_id, reason)
        else:
            st.session_state[_ROUND] = turn + 1  # lets go of the file
            return found
    st.error(escape_markdown(reason))
    return None


def ask_for_path() -> tuple[Path, int, Mapping[str, str]] | None:
    """Let a folder or zip be named, by a person at this machine.

    Returns
    -------
    path : Path
    images : int
    left_out : mapping of str to str
        Why files are left out, by name.
    """
    text = st.text_input(
        "Or enter a folder of images on this machine",
        key="own_path",
        placeholder="~/Pictures/cats",
        help="The folder is left as it is; the app stores resized copies of its images. Only "
        "available in a browser on the machine that runs the app.",
    )
    if not text.strip():
        return None
    try:
        path = Path(text.strip()).expanduser()
        return path, *_look_into(str(path), _digest(str(path)))
    except (DatasetError, OSError, RuntimeError) as error:
        st.error(escape_markdown(str(error)))
        return None


def is_at_this_machine() -> bool:
    """Say whether the browser runs where the app does, as far as what it sends can tell.

    It must have opened the app by a name of this machine, from this machine, and through no proxy:
    who can only reach the app over a network is never asked for a path.
    """
    headers = st.context.headers
    origin = urlsplit(headers.get("Origin", "")).hostname
    return (
        origin in _HERE
        and st.context.ip_address in {None, *_HERE}
        and not any(name in headers for name in _FORWARDED)
    )


def show_own_set(own: UserSet, root: Path) -> None:
    """Say what was found in a set, and offer to delete it."""
    labels = ", ".join(own.label_names[:5]) + (" …" if len(own.label_names) > 5 else "")
    said = f"{own.pictures:,} images; " + (f"labels: {labels}." if labels else "no labels.")
    left_out = [
        (own.damaged, own.damaged_names, "damaged"),
        (own.others, own.other_names, "of another type"),
    ]
    names = [_say_left_out(*each) for each in left_out if each[0]]
    if names:
        said += f" Left out: {'; '.join(names)}."
    words, button = st.columns([0.78, 0.22], vertical_alignment="center")
    words.caption(escape_markdown(said))
    with button.popover("Delete", icon=":material/delete:", type="tertiary"):
        st.markdown(
            f"Delete the images of **{escape_markdown(own.name)}** from this machine? "
            "Models that were trained on them are kept."
        )
        st.button(
            "Delete images",
            type="primary",
            on_click=_delete,
            args=(own.name, root),
            width="stretch",
        )


def _say_left_out(count: int, first: Sequence[str], what: str) -> str:
    more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
    return f"{count:,} {what} ({', '.join(first[:_NAMED])}{more})"


def _keep(file: UploadedFile, root: Path) -> UserSet:
    name = suggest_name(Path(file.name).stem, [each.name for each in list_user_sets(root)])
    bar = st.progress(0.0, text="Reading the ZIP …")

    def show(done: int, total: int | None) -> None:
        share = done / total if total else 0.0
        bar.progress(share, text=f"{done:,} of {total or 0:,} images read")

    try:
        return add_user_set(name, file, root, progress=show)
    finally:
        bar.empty()


def _delete(name: str, root: Path) -> None:
    try:
        delete_user_set(name, root)
    except (DatasetError, ReadOnlyError, OSError) as error:
        st.error(escape_markdown(str(error)))


@st.cache_data(ttl=5, max_entries=8, show_spinner="Looking for images …")
def _digest(path: str) -> str:
    return digest_folder(workspace.DATA, Path(path))


@st.cache_data(max_entries=8, show_spinner="Looking for images …")
def _look_into(path: str, digest: str) -> tuple[int, dict[str, str]]:
    """Count the images that can be read; say why the others, and other files, are left out."""
    del digest  # what it is cached under
    source = read_folder(workspace.DATA, _CHECKED_SIZE, Path(path))
    damaged, end = {}, time.monotonic() + _LOOK_SECONDS
    for record in source.records:
        if time.monotonic() > end:
            break  # of many images, damaged ones among the rest are named once they are prepared
        try:
            record.load()
        except ImageError as error:
            damaged[record.name] = str(error)
    return source.count - len(damaged), {**damaged, **source.left_out}
