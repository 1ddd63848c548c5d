"""What the points of a map are coloured by: their labels, or an attribute."""

from __future__ import annotations

import numpy as np

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.ui.text import read_attribute
from vae_explorer.ui.widgets import choose

_FIRST_ATTRIBUTE = "Smiling"


def choose_classes(checkpoint: Checkpoint) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the classes that tell encodings apart by colour.

    Pictures without labels that have attributes are coloured by one, which can be chosen.

    Returns
    -------
    classes : ndarray of int (n,) or None
        Of each encoding; None where nothing is known of them.
    names : tuple of str
        Of class 0, 1, ...
    """
    encodings, card = checkpoint.encodings, checkpoint.card
    if encodings.labels is not None or encodings.attributes is None:
        return encodings.labels, card.label_names
    names = {name: read_attribute(name) for name in card.attribute_names}
    chosen = choose("colour", "Colour by", names, _FIRST_ATTRIBUTE, dropdown=True)
    has = encodings.attributes[:, card.attribute_names.index(chosen)]
    return has.astype(int), (f"not {names[chosen]}", names[chosen])
