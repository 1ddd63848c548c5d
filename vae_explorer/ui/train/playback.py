"""Playback of a training: its recordings, the live view, and the animation file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import streamlit as st

from vae_explorer import workspace
from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.errors import CheckpointError, RunError
from vae_explorer.figures import CLASS_COLOURS
from vae_explorer.images import (
    Format,
    encode_image_file,
    for_display,
    tile,
    to_uint8,
    write_animation,
)
from vae_explorer.installation import shell_command
from vae_explorer.playback.recording import (
    Playback,
    Source,
    list_sources,
    load_playback,
    render_animation,
)
from vae_explorer.ui.cache import find_originals
from vae_explorer.ui.page import close_page, is_smooth
from vae_explorer.ui.stage.component import draw_view
from vae_explorer.ui.state import recall
from vae_explorer.ui.text import escape_markdown
from vae_explorer.ui.widgets import select

OPTIONS = "--dataset fashion-mnist --model fashion-vae --out checkpoints/my-vae --keep-epochs"
ALIGNMENTS = {"epoch": "Epoch", "share": "Progress in %"}
ANIMATION_FORMATS: dict[Format, str] = {"webp": "Animated WebP", "gif": "Animated GIF"}
ANIMATION_SECONDS = 8.0
_ANIMATION = "playback_film"
_TALLEST = 8_000  # px of a sheet of images
_FINEST = 32_767  # largest int16


def needs_sources() -> dict[str, Source]:
    """Return the trainings that can be played; without any, stop the script with instructions."""
    sources = list_sources(workspace.RUNS)
    if sources:
        return sources
    st.info(
        "No model has saved epochs. Train one here or in a terminal: you can replay "
        "it as soon as its first epoch is finished."
    )
    st.page_link("pages/train.py", label="Train a model", icon=":material/model_training:")
    st.code(shell_command(f"train {OPTIONS}"), language="bash", wrap_lines=True)
    st.caption("Epochs cannot be added to a model that was trained without them.")
    close_page()
    return st.stop()


def load_sources(sources: Sequence[Source]) -> list[Playback]:
    """Load the recordings, and show why some cannot be loaded."""
    found = []
    for source in sources:
        try:
            found.append(_load(source))
        except (CheckpointError, RunError) as error:
            st.error(escape_markdown(str(error)))
    if not found:
        close_page()
        st.stop()
    return found


def show_playback(sources: Sequence[Source], key: str, *, align: str, follow: bool) -> None:
    """Show trainings under one slider.

    Parameters
    ----------
    sources : sequence of Source
        One or two.
    align : str
        One of `ALIGNMENTS`: what the slider counts if there are two.
    follow : bool
        Whether the axes follow the points of each epoch.
    """
    recordings = []
    for source in sources:
        with suppress(CheckpointError, RunError):  # already shown by `load_sources`
            recordings.append(_pack(source))
    titles = " and ".join(source.title for source in sources)
    data = {
        "view": "playback",
        "recordings": recordings,
        "colours": list(CLASS_COLOURS),
        "align": align,
        "follow": follow,
        "smooth": is_smooth(),
        "description": f"Playback of {titles}. Arrow keys step through the epochs, space plays.",
    }
    draw_view(key, data, {})


def offer_animation(source: Source) -> None:
    """Offer a training as an animation, rendered on request with a progress bar."""
    with st.popover("Save animation", icon=":material/movie:", width="stretch"):
        kind = select(
            "film",
            "Format",
            ANIMATION_FORMATS,
            help="GIF files are larger and limited to 256 colours.",
        )
        made = recall(_ANIMATION, {})
        key = (source, kind)
        if key not in made and st.button("Create animation", type="primary", width="stretch"):
            made = st.session_state[_ANIMATION] = {key: _write_animation(source, kind)}
        if key in made:
            label = f"Download ({len(made[key]) / 1e6:.2g} MB)"
            st.download_button(
                label,
                made[key],
                f"{source.name}.{kind}",
                f"image/{kind}",
                on_click="ignore",
                icon=":material/download:",
                width="stretch",
            )


def _write_animation(source: Source, kind: Format) -> bytes:
    bar = st.progress(0.0, "Drawing frames …")

    def show(share: float) -> None:
        bar.progress(0.8 * share, "Drawing frames …")

    frames = render_animation(_load(source), CLASS_COLOURS, show)
    bar.progress(0.8, "Compressing …")
    data = write_animation(frames, kind, ANIMATION_SECONDS, back=False)
    bar.empty()
    return data


@st.cache_resource(max_entries=4, show_spinner=False)
def _load(source: Source) -> Playback:
    return load_playback(source, workspace.RUNS)


@st.cache_data(max_entries=4, show_spinner="Decoding the epochs …")
def _pack(source: Source) -> dict[str, object]:
    recording = _load(source)
    kept, grids = recording.kept, recording.decode_grids()
    largest = max(float(np.abs(kept.points).max()), 1e-6)
    points = np.rint(kept.points / largest * _FINEST).astype("<i2")
    labels = np.zeros(len(kept.row_id)) if kept.labels is None else kept.labels
    per_column = max(1, _TALLEST // recording.model.image_size)
    columns = -(-len(kept.numbers) // per_column)
    strips = np.stack([_row(pictures, recording.inverted) for pictures in kept.reconstructions])
    history, originals = recording.history, _originals(source, recording)
    return {
        "id": f"{source.key} {source.fingerprint}",
        "title": source.title,
        "numbers": kept.numbers.tolist(),
        "points": _base64(points.tobytes()),
        "unit": largest / _FINEST,
        "labels": _base64(labels.astype("<i2").tobytes()),
        "label_names": list(kept.label_names),
        "frame": recording.frame.tolist(),
        "frames": recording.frames.tolist(),
        "axes": list(kept.plane.names),
        "rings": recording.model.kind == "vae" and recording.model.latent_dim == 2,
        "grid": {
            "sheet": _sheet(
                [_picture(g, recording.tiles, recording.inverted) for g in grids.values()], 4
            ),
            "epochs": list(grids),
        }
        if grids
        else None,
        "strips": _sheet(list(strips), columns),
        "originals": _sheet([_row(originals, recording.inverted)], 1) if len(originals) else None,
        "curves": {
            name: history[column].tolist()
            for name, column in (
                ("epoch", "epoch"),
                ("train", "train_loss"),
                ("validation", "validation_loss"),
            )
            if column in history
        },
    }


def _originals(source: Source, recording: Playback) -> np.ndarray:
    """Return the images that are reconstructed, uint8; from the data set if it is prepared here."""
    kept = recording.kept
    card = None if source.is_run else list_checkpoints()[0].get(source.name)
    dataset = None if card is None else find_originals(card)
    if dataset is None:
        return kept.originals
    return dataset.take(kept.picture_id, recording.model.image_size)


def _row(pictures: np.ndarray, inverted: bool) -> np.ndarray:
    """Tile uint8 images (k, channels, height, width) in a row: (height, width, 3)."""
    return _picture(pictures.astype(np.float32) / 255, len(pictures), inverted)


def _picture(images: np.ndarray, columns: int, inverted: bool) -> np.ndarray:
    pixels = to_uint8(tile(for_display(images, inverted), columns))
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _sheet(frames: Sequence[np.ndarray], columns: int) -> dict[str, object]:
    """Tile frames of one size on one sheet, in reading order."""
    height, width, _ = frames[0].shape
    rows = -(-len(frames) // columns)
    sheet = np.full((rows * height, min(columns, len(frames)) * width, 3), 255, np.uint8)
    for k, frame in enumerate(frames):
        y, x = k // columns * height, k % columns * width
        sheet[y : y + height, x : x + width] = frame
    address = f"data:image/webp;base64,{_base64(encode_image_file(sheet, 'webp'))}"
    return {"src": address, "columns": columns, "width": width, "height": height}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
