"""One's own pictures to train on: a zip that is checked and kept, or a folder on this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from vae_explorer.data import DatasetError
from vae_explorer.data.files import open_album
from vae_explorer.data.user_sets import (
    MAX_BYTES,
    OwnSet,
    add_own_set,
    delete_own_set,
    list_own_sets,
)
from vae_explorer.errors import ReadOnlyError
from vae_explorer.ui.text import plain
from vae_explorer.workspace import suggest_name

_SEEN, _ROUND = "own_zip_seen", "own_zip_round"
_NAMED = 3  # of the files that were left out
_HERE = {"localhost", "127.0.0.1", "::1"}
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")


def ask_for_zip(root: Path) -> OwnSet | None:
    """Let a zip be uploaded; return the set in the run in which it was kept."""
    turn = st.session_state.get(_ROUND, 0)
    file = st.file_uploader(
        "A zip of pictures",
        "zip",
        key=f"own_zip-{turn}",
        max_upload_size=MAX_BYTES // 2**20,
        help="JPEG, PNG, WebP, HEIC and the like, of any size: each is cropped to its central "
        "square. The folders at the zip's top are the labels; or a file labels.csv there, with "
        "the columns file and label.",
    )
    st.caption(
        "Kept on this machine, below `data/own`, until you delete it; whoever opens this app can "
        "train on it."
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
    st.error(plain(reason))
    return None


def ask_for_path() -> tuple[Path, int] | None:
    """Let a folder or zip be named, by a person at this machine; return it and its pictures."""
    text = st.text_input(
        "Or a folder of pictures on this machine",
        key="own_path",
        placeholder="~/Pictures/cats",
        help="Read where it lies; nothing is copied but the pictures made small. Offered because "
        "your browser runs on the machine that the app runs on.",
    )
    if not text.strip():
        return None
    try:
        path = Path(text.strip()).expanduser()
        return path, _count(str(path))
    except (DatasetError, OSError, RuntimeError) as error:
        st.error(plain(str(error)))
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


def show_own_set(own: OwnSet, root: Path) -> None:
    """Say what was found in a set, and offer to delete it."""
    labels = ", ".join(own.label_names[:5]) + (" …" if len(own.label_names) > 5 else "")
    said = f"{own.pictures:,} pictures; " + (f"labels: {labels}." if labels else "no labels.")
    left_out = [
        (own.damaged, own.damaged_names, "damaged"),
        (own.others, own.other_names, "of another kind"),
    ]
    names = []
    for count, first, what in left_out:
        if count:
            more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
            names.append(f"{count:,} {what} ({', '.join(first[:_NAMED])}{more})")
    if names:
        said += f" Left out: {'; '.join(names)}."
    words, button = st.columns([0.78, 0.22], vertical_alignment="center")
    words.caption(plain(said))
    with button.popover("Delete", icon=":material/delete:", type="tertiary"):
        st.markdown(
            f"Delete the pictures of **{plain(own.name)}** from this machine? Models that were "
            "trained on them stay."
        )
        st.button(
            "Delete them", type="primary", on_click=_delete, args=(own.name, root), width="stretch"
        )


def _keep(file: UploadedFile, root: Path) -> OwnSet:
    name = suggest_name(Path(file.name).stem, [each.name for each in list_own_sets(root)])
    bar = st.progress(0.0, text="Looking through the zip …")

    def show(done: int, total: int | None) -> None:
        share = done / total if total else 0.0
        bar.progress(share, text=f"{done:,} of {total or 0:,} pictures read")

    try:
        return add_own_set(name, file, root, progress=show)
    finally:
        bar.empty()


def _delete(name: str, root: Path) -> None:
    try:
        delete_own_set(name, root)
    except (DatasetError, ReadOnlyError, OSError) as error:
        st.error(plain(str(error)))


@st.cache_data(ttl=60, max_entries=8, show_spinner="Looking for pictures …")
def _count(path: str) -> int:
    with open_album(Path(path)) as album:
        return len(album.pictures)
