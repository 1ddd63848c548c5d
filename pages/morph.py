"""Morph: one face becoming another, or a field between four."""

import numpy as np
import streamlit as st

from vae_explorer.faces.morph import blend, residual
from vae_explorer.images import png_bytes, tile, write_animation
from vae_explorer.latent.interpolation import corner_grid, morph_path
from vae_explorer.ui.faces.decoder import choose_decoder
from vae_explorer.ui.faces.picker import FOUR, TWO, choose_faces, needs_faces
from vae_explorer.ui.faces.views import show_corners, show_morph
from vae_explorer.ui.files import offer_files
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.page import open_page
from vae_explorer.ui.stage.sliders import show_sliders
from vae_explorer.ui.stage.tiles import Setting
from vae_explorer.ui.widgets import int_slider, select

SENTENCE = "Interpolate between two faces in latent space. Drag the slider."
PATHS = {"spherical": "Spherical", "linear": "Linear"}
PATH_HELP = (
    "**Spherical**: along an arc, so that z keeps a length that is typical of faces. "
    "**Linear**: along a straight line; halfway, z is shorter and faces look more average."
)
DETAIL = Setting("detail", "Photo detail", 0.0, 1.0, 1.0, 0.05)
DETAIL_HELP = (
    "Adds back the detail that the reconstruction loses. At 1 the two ends are the original "
    "photos; at 0 everything comes from the model."
)
FRAMES, SECONDS = 31, 2.0

checkpoint = current_checkpoint()
card = checkpoint.card
stage, panel = open_page("Morph", SENTENCE)
needs_faces(card)
channel = f"morph-{card.name}"

with panel:
    kind = select("kind", "Morph between", {"two": "Two faces", "four": "Four faces"})
    chosen = choose_faces(checkpoint, TWO if kind == "two" else FOUR)
    decoder = choose_decoder(checkpoint, chosen, stage.container(key="tuning"))
    st.page_link("pages/your_photo.py", label="Add a photo", icon=":material/add_a_photo:")
    path = select("path", "Interpolation", PATHS, help=PATH_HELP)
faces, latents = decoder.faces, decoder.latents

if kind == "two":
    with panel:
        steps = int_slider("steps", "Images in strip", (3, 24), 8)
        values = show_sliders([DETAIL], f"{channel}-detail", channel)
        st.caption(DETAIL_HELP)

    def compose(frames: int) -> np.ndarray:
        """Return the morph as uint8 (frames, SIDE, SIDE, 3)."""
        ends = decoder.decode(latents)
        first, last = (residual(f.image, end) for f, end in zip(faces, ends, strict=True))
        images = decoder.decode(morph_path(*latents, frames, path))
        return blend(images, (first, last), values[DETAIL.name], decoder.fade_power)

    with stage:
        show_morph(
            decoder,
            path,
            channel,
            steps=steps,
            values=values,
            detail=DETAIL.name,
            compose=compose,
        )
    files = {
        "Animated WebP": ("morph.webp", lambda: write_animation(compose(FRAMES), "webp", SECONDS)),
        "Animated GIF": ("morph.gif", lambda: write_animation(compose(FRAMES), "gif", SECONDS)),
        "Strip as PNG": (
            "morph-strip.png",
            lambda: png_bytes(tile(np.moveaxis(compose(steps), -1, 1) / 255, steps)),
        ),
    }
else:
    with panel:
        columns = int_slider("columns", "Grid size", (3, 12), 7)

    def write_grid() -> bytes:
        """Write the grid between the corners."""
        images = decoder.decode(corner_grid(latents, columns, path))
        return png_bytes(tile(images, columns), 2, True)

    with stage:
        show_corners(decoder, path, channel, columns)
    files = {"Grid as PNG": ("morph-grid.png", write_grid)}
with panel:
    offer_files(files)
