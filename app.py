"""VAE Explorer: the table of pages, and the frame around them.

Start it with `streamlit run app.py`. The server loads this file once to find `app`; each visit
then runs it as a script, which draws the chosen page.
"""

import sys
from pathlib import Path

import streamlit as st
import torch
from streamlit.runtime.scriptrunner import get_script_run_ctx

from vae_explorer.server.routes import live_routes
from vae_explorer.ui.cache import get_checkpoint, key_of
from vae_explorer.ui.faces.picker import BEST_FACE_MODELS, is_face_model
from vae_explorer.ui.files import keep_uploads_in_memory
from vae_explorer.ui.follow import follow_lecture
from vae_explorer.ui.header import FIRST_MODELS, draw_header
from vae_explorer.ui.learn.siblings import has_siblings
from vae_explorer.ui.lecture import lead_lecture
from vae_explorer.ui.page import close_page, icon, logo
from vae_explorer.ui.preload import import_for_sessions
from vae_explorer.ui.reload import watch_sources_only
from vae_explorer.ui.state import start_page

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
        st.Page("pages/anatomy.py", title="Anatomy", icon=":material/account_tree:"),
        st.Page(
            "pages/autoencoder_or_vae.py", title="Autoencoder or VAE?", icon=":material/compare:"
        ),
        st.Page("pages/objective.py", title="The objective", icon=":material/function:"),
        st.Page("pages/lecture.py", title="Lecture", icon=":material/slideshow:"),
    ],
    "Train": [
        st.Page("pages/train.py", title="Train and watch", icon=":material/model_training:"),
        st.Page("pages/playback.py", title="Playback", icon=":material/movie:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/leaderboard:"),
    ],
}

# Which models a page can show; the others show all.
FITS = {
    "your_photo": is_face_model,
    "morph": is_face_model,
    "edit": is_face_model,
    "autoencoder_or_vae": has_siblings,
}
# Pages that are about no single model, or choose among runs themselves, and have no picker.
WITHOUT_MODEL = ("objective", "lecture", "train", "playback", "compare")

if get_script_run_ctx() is None:
    # Said before the first visit: else that one is served by Streamlit's older rule, which runs
    # the files below pages/ on their own.
    st.navigation(PAGES)
    # Threads take turns of 0.5 ms: at Python's 5 ms, one session's rerun holds back another's
    # pictures, which take less than that to decode.
    sys.setswitchinterval(0.0005)
    # Sessions and requests run side by side: within one, threads would only wait for each other,
    # for seconds where a core is busy.
    torch.set_num_threads(1)
    import_for_sessions()
    watch_sources_only()
    keep_uploads_in_memory()  # once, before the server takes any
    app = st.App(Path(__file__), routes=live_routes(lambda card: get_checkpoint(key_of(card))))
else:
    st.set_page_config(
        page_title="VAE Explorer",
        page_icon=icon(),
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    st.logo(logo(), size="large")
    page = st.navigation(PAGES, position="top")
    start_page()
    section = next(name for name, pages in PAGES.items() if page in pages)
    name = page.url_path or "latent_map"
    lead_lecture()
    follow_lecture(name)
    draw_header(
        name,
        section,
        needed=name not in ("train", "lecture"),
        shown=name not in WITHOUT_MODEL,
        fits=FITS.get(name, lambda _card, _cards: True),
        first=BEST_FACE_MODELS if section == "Faces" else FIRST_MODELS,
    )
    page.run()
    close_page()
