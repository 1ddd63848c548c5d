"""Lecture: scenes through the app, in an order."""

import streamlit as st

from vae_explorer.teaching.lecture import shipped_lecture
from vae_explorer.ui.lecture import listen_for_keys, read_scenes, start_lecture, take_list
from vae_explorer.ui.page import open_page
from vae_explorer.ui.state import is_lecturing
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import toggle

SENTENCE = (
    "A lecture through the app: each scene is a page with one sentence and something to try. "
    "PageDown goes on, PageUp goes back, from anywhere."
)

stage, panel = open_page("Lecture", SENTENCE)
with panel:
    st.button(
        "Start",
        icon=":material/slideshow:",
        type="primary",
        on_click=start_lecture,
        width="stretch",
    )
    with_notes = toggle("with_notes", "With notes for the speaker")
    problems = take_list()
    for problem in problems:
        st.warning(escape_markdown(problem))
    st.download_button(
        "The app's list, to begin with",
        shipped_lecture(),
        "lecture.txt",
        "text/plain",
        icon=":material/download:",
        on_click="ignore",
    )
    with st.expander("How a list is written", icon=":material/help:"):
        st.markdown(
            "A block for each scene, an empty line between them. A link is an address of the app, "
            "as the browser shows it, or the part after the last slash."
        )
        st.code(
            "# Its name\nlatent_map?show=rings\nOne sentence.\nTry: something.\n"
            "Notes: for you alone.",
            language=None,
        )
    st.caption("Your browser's print command prints the list with its links.")

scenes, _ = read_scenes()
if not is_lecturing():
    listen_for_keys(len(scenes))
root = (st.context.url or "").rpartition("/")[0]
with stage:
    for number, scene in enumerate(scenes, start=1):
        lines = [f"**{number}. {escape_markdown(scene.title)}**", escape_markdown(scene.sentence)]
        if scene.attempt:
            lines.append(f"Try: {escape_markdown(scene.attempt)}")
        if with_notes and scene.notes:
            lines.append(f"*{escape_markdown(scene.notes)}*")
        st.markdown("  \n".join([*lines, f"<{root}/{scene.link}>"]))
