"""What a map shows beside its points: decoded tiles, the prior's rings and samples, p-values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.figures import DecodedTiles
from vae_explorer.images import as_shown, data_url, tile
from vae_explorer.latent.interpolation import from_p_values
from vae_explorer.latent.planes import grid_points
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.cache import get_decoded, key_of
from vae_explorer.ui.views import MapView
from vae_explorer.ui.widgets import choose, choose_many

SAMPLES = 200
TILES = 20  # along a side


@dataclass(frozen=True)
class Overlays:
    """What was chosen to be shown, ready to be drawn."""

    tiles: DecodedTiles | None = None
    rings: bool = False
    samples: np.ndarray | None = None
    """(m, 2), coordinates of the plane."""
    p_values: bool = False


def choose_overlays(checkpoint: Checkpoint, view: MapView) -> Overlays:
    """Let overlays be chosen; a view that no plane belongs to has none."""
    if view.plane is None:
        return Overlays()
    is_vae = checkpoint.card.model.kind == "vae"
    options = {"tiles": "Decoded tiles", "rings": "Prior rings", "samples": "Samples"}
    if not is_vae:
        options.pop("rings")
    shown = choose_many("show", "Show as well", options)
    p_values = is_vae and _choose_scale() == "p"
    samples = None
    if "samples" in shown:
        z = sample_latents(checkpoint, SAMPLES, available_priors(checkpoint)[0])
        samples = view.plane.to_plane(z)
    tiles = _decode_tiles(checkpoint, view, p_values=p_values) if "tiles" in shown else None
    return Overlays(tiles, "rings" in shown, samples, p_values)


def _choose_scale() -> str:
    return choose(
        "scale",
        "Axes",
        {"z": "z", "p": "p-values"},
        help="A p-value is the share of the prior N(0, 1) that lies below z. If the encodings "
        "follow the prior, they fill the unit square evenly.",
    )


def _decode_tiles(checkpoint: Checkpoint, view: MapView, *, p_values: bool) -> DecodedTiles | None:
    """Decode a mosaic that covers a view; None where the view has no way back to z."""
    if view.plane is None:
        return None
    if p_values:
        edge = (np.arange(TILES) + 0.5) / TILES
        x, y = np.meshgrid(edge, edge[::-1])
        points = from_p_values(np.stack([x.ravel(), y.ravel()], axis=1))
        left, right, bottom, top = 0.0, 1.0, 0.0, 1.0
    else:
        low, high = view.points.min(axis=0), view.points.max(axis=0)
        centre, half = (low + high) / 2, float((high - low).max()) / 2
        points = grid_points(centre, half * (TILES - 1) / TILES, TILES)
        (left, bottom), (right, top) = centre - half, centre + half
    images = get_decoded(key_of(checkpoint.card), view.plane.to_latent(points))
    url = data_url(tile(as_shown(images), TILES))
    return DecodedTiles(url, x0=float(left), x1=float(right), y0=float(bottom), y1=float(top))
