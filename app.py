"""VAE Explorer: the table of pages, and the sidebar.

Start it with `streamlit run app.py`. The server loads this file once to find `app`; each visit
then runs it as a script, which draws the chosen page.
"""

import sys
from pathlib import Path

import streamlit as st
import torch
from streamlit.runtime.scriptrunner import get_script_run_ctx

from vae_explorer.ui.page import close_page, icon, logo
from vae_explorer.ui.routes import live_routes
from vae_explorer.ui.sidebar import choose_checkpoint
from vae_explorer.ui.uploads import keep_uploads_in_memory

PAGES = {
    "Explore": [
        st.Page(
            "pages/latent_map.py", title="Latent map", icon=":material/scatter_plot:", default=True
        ),
        st.Page("pages/overview.py", title="Overview", icon=":material/description:"),
        st.Page("pages/decoded_grid.py", title="Decoded grid", icon=":material/grid_on:"),
        st.Page("pages/generate.py", title="Generate", icon=":material/casino:"),
        st.Page("pages/dimensions.py", title="Dimensions", icon=":material/equalizer:"),
    ],
    "Faces": [
        st.Page("pages/your_photo.py", title="Your photo", icon=":material/add_a_photo:"),
        st.Page("pages/morph.py", title="Morph", icon=":material/animation:"),
        st.Page("pages/edit.py", title="Edit", icon=":material/tune:"),
        st.Page("pages/arithmetic.py", title="Arithmetic", icon=":material/calculate:"),
    ],
    "Learn": [
        st.Page("pages/objective.py", title="The objective", icon=":material/function:"),
