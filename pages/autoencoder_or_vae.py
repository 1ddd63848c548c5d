"""Autoencoder or VAE?: the same images in the spaces of several models, side by side."""

import numpy as np
import streamlit as st

from vae_explorer.figures import panels_figure
from vae_explorer.latent.interpolation import lerp, to_p_values
from vae_explorer.latent.statistics import largest_relative_step, uncovered_samples
from vae_explorer.sampling import sample_box
from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.learn.siblings import (
    LINKS,
    LOOKS,
    SOURCES,
    WHY,
    choose_two,
    find_siblings,
    require_siblings,
    show_linked,
    show_loss_terms,
)
from vae_explorer.ui.page import open_page, theme
from vae_explorer.ui.stage.views import show_image_row
from vae_explorer.ui.widgets import int_input, select

SPACES = {2: "two", 3: "three", 4: "four"}
STEPS, FINE, SAMPLES, SHOWN, HALF_SIDE = 8, 64, 8, 2_000, 3.9

checkpoint = current_checkpoint()
family = find_siblings(checkpoint.card)
stage, panel = open_page(
    "Autoencoder or VAE?",
    f"The same data in {SPACES.get(len(family), 'several')} latent spaces. "
    "Hover to decode the same location in each.",
)
with stage:
    require_siblings(checkpoint.card, family)
    look = select("spaces", "View", LOOKS)

with panel:
    if look == "cursor":
        link = select("link", "Linked by", LINKS, help=WHY["link"])
    elif look == "walk":
        ends = choose_two(checkpoint)
    elif look == "samples":
        source = select("drawn_from", "Sample from", SOURCES)
        seed = int_input("seed", "Seed", (0, 99_999), 0)
    st.markdown(WHY[look])
    show_loss_terms(family)

with stage:
    encoded = {name: each.encodings.z_mean for name, each in family.items()}
    labels = checkpoint.encodings.labels
    classes = np.zeros(SHOWN, int) if labels is None else labels[:SHOWN]
    if look == "cursor":
        show_linked(family, "linked", link)
    elif look == "walk":
        for name, each in family.items():
            a, b = each.encodings.z_mean[list(ends)]
            fine, shown = (lerp(a, b, np.linspace(0, 1, n)) for n in (FINE, STEPS))
            jump = largest_relative_step(get_decoded(key_of(each.card), fine))
            st.caption(
                f"**{name}**: largest change in one of {FINE - 1} steps: {jump:.2g} × the mean"
            )
            show_image_row(get_decoded(key_of(each.card), shown), 2)
    elif look == "samples":
        for name, each in family.items():
            prior = np.random.default_rng(seed).standard_normal((SAMPLES, 2)).astype(np.float32)
            z = prior if source == "prior" else sample_box(encoded[name], SAMPLES, seed)
            st.caption(f"**{name}**")
            show_image_row(get_decoded(key_of(each.card), z), 2)
    elif look == "cover":
        points, lonely = {}, {}
        for name, z in encoded.items():
            drawn, far = uncovered_samples(z, SHOWN)
            title = f"{name}: {far.mean():.1%} with no encoding nearby"
            points[title], lonely[title] = drawn, far.astype(int)
        figure = panels_figure(points, lonely, half_side=HALF_SIDE, template=theme())
        st.plotly_chart(figure, theme=None, key="cover", config={"displayModeBar": False})
    else:
        p_values = {name: to_p_values(z[:SHOWN]) for name, z in encoded.items()}
        figure = panels_figure(p_values, classes, unit_square=True, template=theme())
        st.plotly_chart(figure, theme=None, key="p_values", config={"displayModeBar": False})
