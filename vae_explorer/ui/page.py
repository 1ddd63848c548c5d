"""The frame of every page: header, stage and panel, reset button, notices."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vae_explorer.bundling import ROOT
from vae_explorer.figures import CLASS_COLOURS
from vae_explorer.ui.header import RECENT, write_title
from vae_explorer.ui.state import (
    FOLLOW,
    LECTURE,
    drop_unknown_settings,
    is_lecturing,
    reset_view,
    take_notices,
)
from vae_explorer.ui.widgets import toggle

_NOTICE_PLACE, _PANEL = "notice_place", "panel"
_LECTURE_BAR = 100  # pixels that it takes more than a page's title and sentence
_BRAND = "#7664fb"  # one logo for both themes: contrast 3.9 : 1 on light, 4 : 1 on dark
_DOTS = ((18, 20, 14, 0), (47, 17, 10, 1), (20, 49, 10, 2), (46, 46, 15, 4))
"""The logo: x, y and radius in a square of 64, and the class that gives the colour."""
_MENU = (ROOT / "menu.js").read_text(encoding="utf-8")
_STYLE = """
<style>
  /* the stage and its main control are seen at 1280 x 720 without scrolling, below the menu */
  .stMainBlockContainer { padding: 4.4rem 2rem 1.5rem; }
  .stMainBlockContainer h1 { padding: 0; }
  :has(> .st-key-menu) { display: none; }
  [data-testid="stMetricValue"] { font-size: 1.35rem; }
  .js-plotly-plot image, .stImage img { image-rendering: var(--pixels); }
  [class*="st-key-image_upload"] [data-testid="stFileUploaderDropzoneInstructions"] {
    display: none;
  }
  /* a panel longer than the screen: the face stays in view beside its sliders */
  .stColumn:has([data-view="edit"]) { position: sticky; top: 4.2rem; align-self: flex-start; }
  /* the progress of a tuning: over the stage, which must not move when it is finished */
  :has(> .st-key-tuning) { position: relative; height: 0; margin-bottom: -1rem; z-index: 5; }
  .st-key-tuning .vae-tuning {
    position: absolute; right: 0; top: 0; padding: .2rem .6rem; border-radius: 6px;
    background: var(--vae-background); border: 1px solid #8884; white-space: nowrap;
  }
  .vae-qr { display: block; width: min(100%, 62vh); margin: 0 auto; image-rendering: pixelated; }
  @media (max-width: 640px) {
    .stMainBlockContainer { padding: 4.2rem 0.8rem 2rem; }
    .stButtonGroup [role="radiogroup"] { flex-wrap: wrap; } /* no option beyond the edge */
    .stColumn:has(> * > .st-key-header) { margin-top: -1.2rem; }
    .stHorizontalBlock:has(.st-key-header) { position: relative; }
    .stColumn:has(.st-key-header):not(:has(.stSelectbox)) { /* Share alone: beside the title */
      position: absolute; right: 0; top: 0; width: auto; min-width: 0; margin: 0;
    }
    .stColumn:has([data-view="edit"]) {
      top: 4rem; z-index: 20; padding-bottom: 0.4rem; background: var(--vae-background);
    }
    .stHorizontalBlock:has(.st-key-header):not(:has(.stSelectbox)) h1 { min-height: 46px; }
    /* the menu, by its usual sign */
    [data-testid="stExpandSidebarButton"] { width: 44px; height: 44px; }
    [data-testid="stExpandSidebarButton"] [data-testid="stIconMaterial"] { font-size: 0; }
    [data-testid="stExpandSidebarButton"] [data-testid="stIconMaterial"]::after {
      content: "menu"; font-size: 26px;
    }
    /* a thumb needs 40 px */
    .stButton button, .stDownloadButton button, .stPopover button, .stButtonGroup button,
    .stFileUploader button, .stFormSubmitButton button, .stExpander summary,
    [data-testid="stPageLink-NavLink"], [data-testid="stSidebarNavLink"], .stCheckbox label {
      min-height: 40px; align-items: center;
    }
    .stSelectbox [role="group"], .stTextInput input, .stNumberInput input {
      min-height: 40px;
    }
    .stNumberInput button { min-width: 40px; min-height: 40px; }
    [data-testid="stBaseButton-elementToolbar"] { min-width: 40px; min-height: 40px; }
    [data-testid="stTooltipHoverTarget"] button {
      min-width: 40px; min-height: 40px; margin: -13px; justify-content: center;
    }
  }
</style>
"""


def open_page(
    title: str, sentence: str, *, whole: bool = False
) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Write a page's title and sentence, and return its stage and its panel.

    Parameters
    ----------
    title : str
        Not shown in a lecture.
    sentence : str
        What one can do here; not shown in a lecture.
    whole : bool
        Whether the stage takes the whole width of the page.

    Returns
    -------
    stage, panel : DeltaGenerator
        Views at the left, about two thirds of the width; controls at the right, or below on a
        phone.
    """
    pixels = "auto" if is_smooth() else "pixelated"
    st.html(
        f"{_STYLE}<style>:root {{ --pixels: {pixels}; --vae-background: {_background()}; }}</style>"
    )
    with st.container(key="menu"):
        st.html(f"<script>{_MENU}</script>", unsafe_allow_javascript=True)
    if not is_lecturing():  # a scene has its own title and sentence
        write_title(title, sentence)
    st.session_state[_NOTICE_PLACE] = st.container()
    if whole:
        stage, panel = st.container(), st.container()
    else:
        stage, panel = st.columns([0.66, 0.34], gap="medium")
    st.session_state[_PANEL] = panel
    return stage, panel


def close_page() -> None:
    """Offer to reset the view, and show what in the link could not be used."""
    with st.session_state.pop(_PANEL).container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            help="Reset this page to its defaults.",
            type="tertiary",
            on_click=reset_view,
            kwargs={"but": {"model", "smooth", RECENT, LECTURE, FOLLOW}},
        )
        toggle(
            "smooth",
            "Smooth images",
            help="On: images are smoothed. Off: you see the individual pixels.",
        )
    drop_unknown_settings()
    notices = take_notices()
    place = st.session_state.pop(_NOTICE_PLACE)
    if notices:
        place.warning(f"Defaults are shown: {'; '.join(notices)}.", icon=":material/link_off:")


def fit_height(pixels: int) -> int:
    """Return the height of a stage that fits on a screen of 720 px, less a lecture's bar."""
    return pixels - _LECTURE_BAR if is_lecturing() else pixels


def is_smooth() -> bool:
    """Say whether images are interpolated."""
    return bool(st.session_state.get("smooth", False))


def icon() -> str:
    """Draw the icon of the browser tab, as SVG within the page: there is no file to go missing."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">{_draw_mark(1.0)}</svg>'


def logo() -> str:
    """Draw the logo at the top of the page, as SVG that is readable in both themes."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="180" height="30">'
        f"{_draw_mark(0.45, 1)}"
        '<text x="38" y="21" font-family="Source Sans, sans-serif" font-size="18" '
        f'font-weight="700" fill="{_BRAND}">VAE Explorer</text></svg>'
    )


def theme() -> Literal["light", "dark"]:
    """Return the browser's theme."""
    return "dark" if st.context.theme.type == "dark" else "light"


def _background() -> str:
    return str(st.get_option(f"theme.{theme()}.backgroundColor"))


def _draw_mark(scale: float, down: float = 0.0) -> str:
    return "".join(
        f'<circle cx="{x * scale}" cy="{y * scale + down}" r="{radius * scale}" '
        f'fill="{CLASS_COLOURS[colour]}"/>'
        for x, y, radius, colour in _DOTS
    )
