"""The model card as a page, and the user's models: add, rename, delete, download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from vae_explorer.catalog.archive import MAX_BYTES, pack_checkpoint, unpack_checkpoint
from vae_explorer.catalog.library import MAX_TITLE, delete_checkpoint, is_shipped, rename_checkpoint
from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.errors import CheckpointError, ReadOnlyError
from vae_explorer.evaluation.description import describe_card, describe_metrics
from vae_explorer.evaluation.limits import describe_collapse, describe_limits
from vae_explorer.figures import loss_figure
from vae_explorer.ui.cache import find_originals, get_decoded, get_onnx, get_page, key_of
from vae_explorer.ui.files import offer_files
from vae_explorer.ui.originals import name_held_out, offer_originals, take_originals
from vae_explorer.ui.page import theme
from vae_explorer.ui.stage.views import row_scale, show_image_row
from vae_explorer.ui.text import escape_markdown
from vae_explorer.workspace import LONGEST, is_read_only

_COUNT = 10
_MODEL = "model"  # key of the header's picker
_ROUND, _MESSAGE, _ERROR = "own_models_round", "own_models_said", "own_models_fault"


def show_reconstructions(checkpoint: Checkpoint) -> None:
    """Show held-out images, if they were prepared here, above their reconstructions."""
    card, encodings = checkpoint.card, checkpoint.encodings
    unseen = np.flatnonzero(encodings.split != "train")
    if not len(unseen):
        st.caption("No held-out images are stored with this model.")
        return
    rows = unseen[:: max(1, len(unseen) // _COUNT)][:_COUNT]
    reconstructions = get_decoded(key_of(card), encodings.z_mean[rows])
    originals = find_originals(card)
    scale = row_scale(_COUNT, card.model.image_size)
    if originals is None:
        offer_originals(card)
    else:
        st.caption(name_held_out(encodings).capitalize())
        show_image_row(take_originals(card, originals, encodings.row_id[rows]), scale)
    st.caption("Reconstructions")
    show_image_row(reconstructions, scale)
    if collapse := describe_collapse(card):
        st.caption(collapse)


def show_history(checkpoint: Checkpoint) -> None:
    """Show the losses of the training, where they are stored."""
    try:
        figure = loss_figure(checkpoint.history, template=theme(), height=330)
    except ValueError as reason:
        st.caption(escape_markdown(str(reason)))
        return
    key = f"losses-{checkpoint.card.name}"
    st.plotly_chart(figure, theme=None, config={"displayModeBar": False}, key=key)


def show_metrics(card: ModelCard) -> None:
    """Show the card's scalar metrics, each with its meaning and how it was measured."""
    figures = describe_metrics(card)
    for start in range(0, len(figures), 2):
        for place, figure in zip(st.columns(2), figures[start : start + 2], strict=False):
            place.metric(figure.title, figure.value, help=figure.explanation)


def show_limits(checkpoint: Checkpoint) -> None:
    """Say what the model lacks because its images are few or equal."""
    for limit in describe_limits(checkpoint).values():
        st.caption(escape_markdown(limit))


def show_facts(card: ModelCard) -> None:
    """Show the architecture, the data and the training."""
    facts = describe_card(card)
    first, *rest = (f"| {name} | {escape_markdown(value)} |" for name, value in facts.items())
    st.markdown("\n".join([first, "|---|---|", *rest]))


def show_terms(card: ModelCard) -> None:
    """Show the licence and terms of the data, and so of the model."""
    with st.expander("Data and licence", icon=":material/gavel:"):
        title, licence, terms, citation, url = map(
            escape_markdown,
            (
                card.dataset.title,
                card.dataset.licence,
                card.dataset.terms,
                card.dataset.citation,
                card.dataset.url,
            ),
        )
        st.markdown(f"**{title}**: {licence}. {terms}")
        st.caption(f"{citation}. {url}")


def offer_models(checkpoint: Checkpoint) -> None:
    """Offer to download the model, to add others, and to rename or delete the user's own."""
    card = checkpoint.card
    offer_files(
        {
            "Model (ZIP)": (f"{card.name}.zip", lambda: pack_checkpoint(checkpoint.path)),
            "ONNX (ZIP)": (f"{card.name}-onnx.zip", lambda: get_onnx(key_of(card))),
            "One HTML page": (f"{card.name}.html", lambda: get_page(key_of(card))),
        },
        note="The model ZIP can be added to another copy of VAE Explorer. ONNX: encoder and "
        "decoder for use without PyTorch, first checked against PyTorch, which takes a while. "
        "HTML page: the model with its latent map, samples and sliders in one file, which opens in "
        "any browser, without Python and without a network.",
    )
    message, error = st.session_state.pop(_MESSAGE, None), st.session_state.pop(_ERROR, None)
    with st.expander("Your models", icon=":material/inventory_2:", expanded=bool(message or error)):
        if is_read_only():
            st.caption(
                "This copy is read-only: models cannot be added, renamed or deleted. Downloads "
                "still work."
            )
            return
        if message:
            st.success(escape_markdown(message))
        if error:
            st.error(escape_markdown(error))
        _ask_for_model()
        if is_shipped(card.name):
            st.caption(
                "The selected model is included with VAE Explorer, so it cannot be renamed or "
                "deleted."
            )
        else:
            _offer_changes(card)


def _ask_for_model() -> None:
    # The file is released with its widget: the next upload has another key.
    key = f"model_upload-{st.session_state.get(_ROUND, 0)}"
    st.file_uploader(
        "Add a model (a ZIP saved on this page)",
        "zip",
        key=key,
        on_change=_add,
        args=(key,),
        max_upload_size=MAX_BYTES // 2**20,
    )


def _offer_changes(card: ModelCard) -> None:
    # Keyed by fingerprint: each version of a model has fields with its current names.
    name, title = (f"{field}-{card.fingerprint}" for field in ("own_name", "own_title"))
    st.session_state.setdefault(title, card.title)
    st.session_state.setdefault(name, card.name)
    with st.form(f"rename-{card.fingerprint}", border=False):
        st.text_input("Title", key=title, max_chars=MAX_TITLE)
        st.text_input("Folder name (also used in links)", key=name, max_chars=LONGEST)
        st.form_submit_button(
            "Rename",
            icon=":material/edit:",
            width="stretch",
            on_click=_rename,
            args=(card.name, name, title),
        )
    with st.popover("Delete this model", icon=":material/delete:", width="stretch"):
        st.markdown(
            f"**{escape_markdown(card.title)}** will be deleted permanently. "
            "To keep a copy, save it as a ZIP first."
        )
        st.button("Delete permanently", on_click=_delete, args=(card,))


def _add(key: str) -> None:
    file = st.session_state.get(key)
    if file is None:
        return
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1

    def add() -> str:
        card = unpack_checkpoint(file.getvalue(), free=True)
        st.session_state[_MODEL] = card.name
        return f"Added {card.title} as {card.name}. It is now selected."

    _report(add)


def _rename(name: str, name_key: str, title_key: str) -> None:
    new_name, title = st.session_state[name_key].strip(), st.session_state[title_key]

    def rename() -> str:
        card = rename_checkpoint(name, new_name, title)
        st.session_state[_MODEL] = card.name
        return f"Renamed to {card.title}, in the folder {card.name}."

    _report(rename)


def _delete(card: ModelCard) -> None:
    def delete() -> None:
        delete_checkpoint(card.name)  # the header tells every session that it is gone

    _report(delete)


def _report(change: Callable[[], str | None]) -> None:
    """Make a change before the page is drawn again, and store the message to show there."""
    try:
        st.session_state[_MESSAGE] = change()
    except (CheckpointError, ReadOnlyError) as reason:
        st.session_state[_ERROR] = str(reason)
