"""Lecture: scenes through the app, in an order."""

import streamlit as st

from vae_explorer.teaching.lecture import shipped_lecture
from vae_explorer.ui.lecture import listen_for_keys, read_scenes, start_lecture, take_list
from vae_explorer.ui.page import open_page
from vae_explorer.ui.state import is_lecturing
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import toggle

scenes, _ = read_scenes()
count = "1 scene" if len(scenes) == 1 else f"{len(scenes)} scenes"
stage, panel = open_page(
    "Lecture", f"A guided tour in {count}. Use Next and Back, or Page Down and Page Up."
)
with panel:
    st.button(
        "Start lecture",
        icon=":material/slideshow:",
        type="primary",
        on_click=start_lecture,
        width="stretch",
    )
    with_notes = toggle("with_notes", "Show speaker notes")
    problems = take_list()
    for problem in problems:
        st.warning(escape_markdown(problem))
    st.download_button(
        "Download the built-in lecture",
        shipped_lecture(),
        "lecture.txt",
        "text/plain",
        icon=":material/download:",
        on_click="ignore",
    )
    with st.expander("File format", icon=":material/help:"):
        st.markdown(
            "One block per scene, separated by empty lines. The link is the address of a page as "
            "the browser shows it, or only the part after the last slash. Title, *Try* and "
            "*Notes* are optional."
        )
        st.code(
            "# Title\nlatent_map?show=rings\nOne sentence.\nTry: an action.\n"
            "Notes: for the speaker.",
            language=None,
        )
    st.caption("To print the scenes with their links, print this page from your browser.")

if not is_lecturing():
    listen_for_keys(len(scenes))
root = (st.context.url or "").rpartition("/")[0]
with stage:
    for number, scene in enumerate(scenes, start=1):
        lines = [f"**{number}. {escape_markdown(scene.title)}**", escape_markdown(scene.sentence)]
        if scene.attempt:
            lines.append(f"Try this: {escape_markdown(scene.attempt)}")
        if with_notes and scene.notes:
            lines.append(f"*{escape_markdown(scene.notes)}*")
        st.markdown("  \n".join([*lines, f"<{root}/{scene.link}>"]))
