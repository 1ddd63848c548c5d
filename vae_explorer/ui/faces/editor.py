"""Face editing: directions and amounts, undo and redo, recipes, and the edited images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.data.image_io import DecodedImage
from vae_explorer.editing.recipe import (
    BEST,
    MAX_BYTES,
    REACH,
    Recipe,
    editable,
    kinds_of,
    read_recipe,
    write_recipe,
)
from vae_explorer.editing.selection import ACCEPTED, KINDS
from vae_explorer.editing.vectors import OFFERED
from vae_explorer.evaluation.description import format_attribute, most_drifting
from vae_explorer.faces import edit_photo, whole_face
from vae_explorer.images import encode_image_file, write_animation, zip_of_files
from vae_explorer.ui.faces.decoder import FaceDecoder
from vae_explorer.ui.faces.directions import user_vectors
from vae_explorer.ui.faces.session_faces import SessionFace
from vae_explorer.ui.files import take_model_file
from vae_explorer.ui.stage.sliders import show_sliders
from vae_explorer.ui.stage.tiles import Setting
from vae_explorer.ui.widgets import multiselect, select

DETAIL = Setting("detail", "Photo detail", 0.0, 1.0, 1.0, 0.05)
USER_PREFIX = "own."
"""Prefix of the names of the user's own directions, which stand beside the attributes."""
Pixels = NDArray[np.uint8]
_AMOUNT, _KIND, _LOCKED = "edit_", "vectors", "locked"
_STEPS, _AT, _WANTED = "edit_steps", "edit_at", "edit_wanted"
_MOST_STEPS = 100
_NAMES = {
    BEST: "Fewest side effects",
    "plain": "Mean difference",
    "balanced": "Balanced difference",
    "regression": "Regression",
    "steered": "Optimised",
    "composed": "Optimised mix",
}
_KIND_HELP = (
    "- **Fewest side effects**: for each attribute, the kind below that changes other attributes "
    "least.\n"
    "- **Mean difference**: from the mean z of faces without the attribute to that of faces with "
    "it.\n"
    "- **Balanced difference**: the same, averaged over all combinations of correlated "
    "attributes.\n"
    "- **Regression**: the attribute's coefficient in a ridge regression of z on all attributes.\n"
    "- **Optimised**: adjusted until the decoded faces have the attribute and keep the others.\n"
    "- **Optimised mix**: the same, restricted to combinations of the attributes' directions."
)
_LOCK_HELP = (
    "Keeps the selected attributes as they are: directions are made orthogonal to theirs (Shen et "
    "al. 2020)."
)
_ENDING = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_SIDE = 320  # of a face alone
_FRAMES, _SECONDS = 21, 1.5


def choose_kind_and_locks(checkpoint: Checkpoint) -> tuple[str, tuple[str, ...]]:
    """Select the kind of direction, and attributes that must not change."""
    kinds = kinds_of(checkpoint)
    kind = BEST
    if len(kinds) > 1:
        names = {kind: _NAMES[kind] for kind in kinds}
        kind = select(_KIND, "Directions", names, help=_KIND_HELP, dropdown=True)
    options = {name: format_attribute(name) for name in editable(checkpoint)}
    return kind, tuple(multiselect(_LOCKED, "Keep unchanged", options, help=_LOCK_HELP))


def choose_amounts(
    checkpoint: Checkpoint, channel: str, user: dict[str, str], *, drifts: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Show a slider for each attribute, by group, and one for the detail of the photo.

    Parameters
    ----------
    channel : str
        Of the view that follows.
    user : dict of str to str
        Labels of the user's own directions, by names that begin with `USER_PREFIX`.
    drifts : bool
        Whether to show below each slider what else its direction changes.

    Returns
    -------
    values, amounts : dict of str to float
        By setting, for the view; and by attribute, of those that are not 0.
    """
    labels = {name: format_attribute(name) for name in editable(checkpoint)} | user
    groups = {**OFFERED, "Your directions": tuple(user)}
    values: dict[str, float] = {}
    for index, (group, members) in enumerate(groups.items()):
        settings = [
            Setting(
                setting_of(name),
                labels[name],
                -REACH,
                REACH,
                0.0,
                private=name in user,
                beside=most_drifting(checkpoint.card, name) if drifts else (),
            )
            for name in members
            if name in labels
        ]
        if settings:
            moved = any(
                st.session_state.get(each.name) or each.name in st.query_params for each in settings
            )
            with st.expander(group, expanded=index == 0 or moved):
                values |= show_sliders(settings, f"{channel}-{index}", channel)
    values |= show_sliders([DETAIL], f"{channel}-detail", channel)
    return values, {name: value for name in labels if (value := values[setting_of(name)])}


def setting_of(name: str) -> str:
    """Return the setting that moves an attribute."""
    return _AMOUNT + name


def offer_undo(recipe: Recipe, checkpoint: Checkpoint) -> None:
    """Record the recipe, and offer to undo or redo."""
    version = checkpoint.card.fingerprint
    steps: list[Recipe] = st.session_state.setdefault(f"{_STEPS}-{version}", [recipe])
    at_key = f"{_AT}-{version}"
    at: int = min(st.session_state.get(at_key, 0), len(steps) - 1)
    if recipe != steps[at]:
        steps[at + 1 :] = [recipe]
        del steps[:-_MOST_STEPS]
        at = len(steps) - 1
    st.session_state[at_key] = at

    def go_to(step: int) -> None:
        st.session_state[at_key] = step
        _apply(steps[step], checkpoint)

    with st.container(horizontal=True):
        for label, icon, step in (("Undo", "undo", at - 1), ("Redo", "redo", at + 1)):
            st.button(
                label,
                icon=f":material/{icon}:",
                disabled=not 0 <= step < len(steps),
                on_click=go_to,
                args=(step,),
                width="stretch",
            )


def offer_recipes(recipe: Recipe, checkpoint: Checkpoint) -> None:
    """Offer to save the recipe as a file, and to load one."""
    with st.popover("Recipe", icon=":material/receipt_long:", width="stretch"):
        st.download_button(
            "Save recipe",
            write_recipe(recipe, checkpoint.card),
            "recipe.json",
            "application/json",
            on_click="ignore",
            width="stretch",
        )
        own = any(name.startswith(USER_PREFIX) for name in recipe.amounts)
        left_out = " Your own directions are not included: save them on Arithmetic." if own else ""
        st.caption(f"A recipe holds the slider values, never a photo.{left_out}")
        loaded = take_model_file(
            "Load recipe", "recipe_file", MAX_BYTES, lambda data: read_recipe(data, checkpoint)
        )
        if loaded is not None:
            st.session_state[_WANTED] = loaded
            st.rerun()


def apply_loaded(checkpoint: Checkpoint) -> None:
    """Apply a recipe that was just loaded; call it before any of the page's widgets is drawn."""
    loaded = st.session_state.pop(_WANTED, None)
    if loaded is not None:
        _apply(loaded, checkpoint)


def compare_kinds(card: ModelCard) -> None:
    """Show how many other attributes each kind of direction changes, from the card's metrics."""
    rows = []
    for group in OFFERED.values():
        for name in group:
            row: dict[str, object] = {"Attribute": format_attribute(name)}
            for kind in KINDS:
                found = card.metrics.get(f"drift.{name}.{kind}")
                if found is not None and isinstance(found.value, tuple):
                    alpha, accepted, total = found.value
                    reached = accepted >= ACCEPTED
                    row[_NAMES[kind]] = f"{total:.1f} at {alpha:g}" if reached else "not reached"
            if len(row) > 1:
                rows.append(row)
    if not rows:
        return
    with st.expander("Side effects", icon=":material/call_split:"):
        st.dataframe(rows, hide_index=True)
        st.caption(
            "Mean number of other attributes, of 40, that changed per face, and the slider value "
            f"at which {ACCEPTED:.0%} of held-out faces were classified as having the attribute. "
            "Attributes are as labelled in CelebA; the classifier took no part in training."
        )


@dataclass(frozen=True, eq=False)
class Edit:
    """A recipe applied to faces."""

    checkpoint: Checkpoint
    recipe: Recipe
    vectors: dict[str, np.ndarray]
    """The recipe's directions, (latent_dim,) each."""
    decoder: FaceDecoder
    """Where it is tuned to a face, that one is edited by it; others as trained."""

    def photo(self, kept: SessionFace) -> DecodedImage:
        """Return the whole photo with its face changed, as its file has it."""
        face = kept.face or whole_face(kept.photo.width)
        image = edit_photo(
            kept.photo,
            face,
            self.checkpoint,
            self.recipe.amounts,
            self.recipe.detail,
            vectors=self.vectors,
            tuned=self.decoder.tuned_to(kept.id),
        )
        return kept.source.with_change(image)

    def face(self, kept: SessionFace, size: int = _SIDE, share: float = 1.0) -> Pixels:
        """Return the aligned face with a share of the change, uint8 (size, size, 3)."""
        image = edit_photo(
            kept.crop(size),
            whole_face(size),
            self.checkpoint,
            {name: share * amount for name, amount in self.recipe.amounts.items()},
            self.recipe.detail,
            vectors=self.vectors,
            tuned=self.decoder.tuned_to(kept.id),
        )
        return np.asarray(image)

    def files(
        self, kept: SessionFace, faces: Sequence[SessionFace]
    ) -> dict[str, tuple[str, Callable[[], bytes]]]:
        """Return the files that can be saved, by label: name, and function that writes it."""

        def write_animated() -> bytes:
            shares = np.linspace(0, 1, _FRAMES)
            frames = np.stack([self.face(kept, share=share) for share in shares])
            return write_animation(frames, "webp", _SECONDS)

        def write_pair() -> bytes:
            before = np.asarray(kept.crop(_SIDE))
            return encode_image_file(np.hstack([before, self.face(kept)]), "png")

        files: dict[str, tuple[str, Callable[[], bytes]]] = {
            f"Photo ({kept.photo.width} × {kept.photo.height} px)": (
                f"edited.{_ENDING[kept.source.kind]}",
                lambda: self._write(kept),
            ),
            "Aligned face": ("face.png", lambda: encode_image_file(self.face(kept), "png")),
            "Before and after": ("before-after.png", write_pair),
            "Animation": ("edit.webp", write_animated),
        }
        if faces:
            files["All your photos (ZIP)"] = ("edited.zip", lambda: self._write_all(faces))
        return files

    def _write(self, kept: SessionFace) -> bytes:
        return self.photo(kept).encode()

    def _write_all(self, faces: Sequence[SessionFace]) -> bytes:
        names = [
            f"{number:02d}.{_ENDING[kept.source.kind]}" for number, kept in enumerate(faces, 1)
        ]
        return zip_of_files(dict(zip(names, map(self._write, faces), strict=True)))


def _apply(recipe: Recipe, checkpoint: Checkpoint) -> None:
    owned = (f"{USER_PREFIX}{id}" for id in user_vectors(checkpoint.card))
    for name in (*editable(checkpoint), *owned):
        st.session_state[setting_of(name)] = recipe.amounts.get(name, 0.0)
    st.session_state[DETAIL.name] = recipe.detail
    st.session_state[_KIND] = recipe.kind
    st.session_state[_LOCKED] = list(recipe.locked)
