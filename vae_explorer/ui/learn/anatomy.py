"""Anatomy: an image traced through every layer, its noise and sample of z, explanations."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.server.trace import MAX_NOISE, MAX_SEED, TraceRequest, pack_trace
from vae_explorer.ui.cache import find_originals, get_decoded, key_of
from vae_explorer.ui.explore.garments import ask_for_garment, knows_garments
from vae_explorer.ui.explore.map_points import name_label
from vae_explorer.ui.faces.picker import FACES, ONE, choose_faces
from vae_explorer.ui.originals import offer_originals, take_originals
from vae_explorer.ui.stage.component import draw_view, has_live_route
from vae_explorer.ui.stage.sliders import show_sliders, take_values
from vae_explorer.ui.stage.tiles import Setting, pack_floats
from vae_explorer.ui.stage.views import describe_model, explain_release, show_drawing_box
from vae_explorer.ui.state import seed_from_url, write_to_url
from vae_explorer.ui.widgets import read_number, select, toggle

NOISE = Setting("noise", "Input noise, σ", 0.0, MAX_NOISE, 0.0, step=0.01)
_MOST = {"noise_seed": MAX_SEED, "epsilon_seed": MAX_SEED, "layer": 99}
_FIRST_LAYER = 1  # the first that computes something
_PER_LABEL = 3  # images
_UNLABELLED = 20  # images offered without labels
_TILES = (
    "Each tile is one channel of a layer. White is 0, black is the largest activation, and orange "
    "is negative; each layer has its own scale. Channels are sorted by their activation for this "
    "image and keep their order when you add noise."
)
_NOISE = (
    "The bottleneck has no capacity for the noise. The decoder generates an image from z alone "
    "and was trained on clean images, so the output looks clean. It is not always correct: with "
    "strong noise, the encoder can mistake the image for a different one. A denoising autoencoder "
    "([Vincent et al. 2008](https://dl.acm.org/doi/10.1145/1390156.1390294)) is trained on noisy "
    "input for this purpose; this model was not."
)
_BITS = (
    "A real number of unlimited precision could hold any amount of information, so the number of "
    "dimensions does not say how much z carries. In a VAE each value is known only up to σ: the "
    "encoder outputs N(μ, σ²) instead of a point. The KL divergence from the prior N(0, 1) is the "
    "expected cost of encoding a sample of it, in nats; one nat is 1.44 bits "
    "([Kingma & Welling 2014](https://arxiv.org/abs/1312.6114)). Averaged over images, it is an "
    "upper bound on the information that z carries about the image."
)
_POINTS = (
    "A plain autoencoder maps an image to one point. There is no σ, so there is nothing to sample, "
    "no KL divergence, and no such bound on the information in z. Select a VAE at the top of the "
    "page to see μ, σ and ε."
)


@dataclass(frozen=True, eq=False)
class ChosenImage:
    """A selected image and its name."""

    name: str
    image: np.ndarray
    """float32 (channels, height, width) in [0, 1], as input of the model."""


def choose_image(checkpoint: Checkpoint, drawing_key: str) -> ChosenImage:
    """Select a test image, or ask for an upload or a drawing.

    Uploads and drawings are never in the URL, a log or a shared cache; a drawing stays in the
    browser, on the channel of `drawing_key`.
    """
    if checkpoint.card.dataset.name == FACES:
        (chosen,) = choose_faces(checkpoint, ONE)
        st.page_link("pages/your_photo.py", label="Add a photo", icon=":material/add_a_photo:")
        return ChosenImage(chosen.name, chosen.kept.pixels(checkpoint.card.model.image_size))
    picked = _pick(checkpoint)
    show_drawing_box(drawing_key, checkpoint)
    if knows_garments(checkpoint):
        with st.expander("Upload a garment", icon=":material/upload:"):
            garment = ask_for_garment(checkpoint)
        if garment is not None:
            return ChosenImage("Your upload", garment)
    return picked


def choose_subject(checkpoint: Checkpoint, picture: ChosenImage, channel: str) -> TraceRequest:
    """Select the noise added to an image, and whether z is a sample or the mean."""
    noise = show_sliders([NOISE], f"{channel}-sliders", channel)[NOISE.name]
    sampled = False
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Resample noise", disabled=not noise, on_click=_draw_other_noise)
        if checkpoint.card.model.kind == "vae":
            sampled = not toggle(
                "mean", "Use z = μ", help="Off: z is sampled as μ + σ × ε, with ε from N(0, I)."
            )
    return TraceRequest(
        picture.image, noise, _recall("noise_seed"), _recall("epsilon_seed"), sampled
    )


def show_network(
    checkpoint: Checkpoint, subject: TraceRequest, picture: ChosenImage, channel: str
) -> None:
    """Show every layer of the network with its activations for an image."""
    answer = None
    if not has_live_route():
        explain_release()
        packed = pack_trace(subject.trace_forward(checkpoint.model))
        answer = base64.b64encode(packed).decode("ascii")
    data = {
        "view": "network",
        "image": pack_floats(picture.image),
        "name": picture.name,
        "noise": subject.noise,
        "sampled": subject.sampled,
        "values": {name: _recall(name) for name in _MOST},
        "channel": channel,
        "answer": answer,
        **describe_model(checkpoint.card),
    }
    draw_view(channel, data, {}, values=take_values)


def show_layer(channel: str) -> None:
    """Show the selected layer and all its activations."""
    draw_view(f"{channel}-layer", {"view": "layer", "channel": channel}, {})


def explain_anatomy(card: ModelCard) -> None:
    """Explain the tiles, the noise, and the bits of the bottleneck."""
    with st.expander("How to read the tiles", icon=":material/grid_view:"):
        st.markdown(_TILES)
    with st.expander("Why the noise disappears", icon=":material/blur_off:"):
        st.markdown(_NOISE)
    if card.model.kind == "vae":
        with st.expander("How much information z carries", icon=":material/compress:"):
            st.markdown(_BITS)
    else:
        with st.expander("Why there is no σ", icon=":material/compress:"):
            st.markdown(_POINTS)


def _pick(checkpoint: Checkpoint) -> ChosenImage:
    card, encodings = checkpoint.card, checkpoint.encodings
    options = _options(checkpoint)
    row = int(select("picture", "Image", options, dropdown=True))
    originals = find_originals(card)
    if originals is not None:
        image = take_originals(card, originals, encodings.row_id[[row]])[0]
        return ChosenImage(options[str(row)], image)
    offer_originals(card)
    image = get_decoded(key_of(card), encodings.z_mean[[row]])[0]
    st.caption(
        "Shown instead: the reconstruction, which loses little when it is reconstructed again."
    )
    return ChosenImage(f"{options[str(row)]}, reconstructed", image)


def _options(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the labels of the images offered, by row of the encodings."""
    labels = checkpoint.encodings.labels
    if labels is None:
        ids = checkpoint.encodings.row_id[:_UNLABELLED]
        return {str(row): f"Image {id}" for row, id in enumerate(ids)}
    return {
        str(row): f"{name_label(checkpoint, row)}, image {k + 1}"
        for label in range(len(checkpoint.card.label_names))
        for k, row in enumerate(np.flatnonzero(labels == label)[:_PER_LABEL])
    }


def _draw_other_noise() -> None:
    st.session_state["noise_seed"] = (st.session_state["noise_seed"] + 1) % (MAX_SEED + 1)


def _recall(name: str) -> int:
    """Return a whole number that the view needs, kept in the session and the URL."""
    most, default = _MOST[name], _FIRST_LAYER if name == "layer" else 0
    kept = seed_from_url(name, float(default), lambda text: float(read_number(text, int, 0, most)))
    value = min(max(round(kept), 0), most)
    st.session_state[name] = float(value)  # a browser can send anything
    write_to_url(name, str(value), str(default))
    return value
