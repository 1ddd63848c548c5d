"""Which plane of the latent space a page looks at, and what lies on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.figures import DecodedTiles
from vae_explorer.images import as_shown, data_url, tile
from vae_explorer.latent import from_p_values
from vae_explorer.planes import (
    Plane,
    coordinate_plane,
    dimension_name,
    grid_points,
    posterior_ellipse,
)
from vae_explorer.ui.cache import get_components, get_decoded, key_of
from vae_explorer.ui.controls import choose, slide

_COMPONENTS_OFFERED = 20
TILES = 20


@dataclass(frozen=True)
class MapView:
    """Encodings on a plane, or on a picture that no plane belongs to."""

    points: np.ndarray
    """(n, 2), as drawn."""
    rows: np.ndarray
    """(n,): each point's row in the encodings."""
    plane: Plane | None
    """None for t-SNE, which has no way back to z."""
    axis_names: tuple[str, str]

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Return the points (m, 2) of some rows of the encodings; those not drawn are left out."""
        return self.points[np.flatnonzero(np.isin(self.rows, rows))]

    def outline_posterior(self, checkpoint: Checkpoint, row: int) -> list[np.ndarray]:
        """Return the posterior of a row at 1 and 2 σ, where it has one and the view is a plane."""
        encodings = checkpoint.encodings
        if self.plane is None or encodings.z_log_var is None:
            return []
        posterior = encodings.z_mean[row], encodings.z_log_var[row]
        return [posterior_ellipse(self.plane, *posterior, n_sigma) for n_sigma in (1, 2)]


def choose_view(checkpoint: Checkpoint) -> MapView:
    """Let the plane of a map be chosen: PCA, two dimensions, or t-SNE where it is stored."""
    options = {"pca": "PCA", "z": "Dimensions"}
    if checkpoint.tsne is not None:
        options["tsne"] = "t-SNE"
    if checkpoint.card.model.latent_dim <= 2:
        kind = "z"
    else:
        kind = choose(
            "plane",
            "Plane",
            options,
            help="PCA: the flat cut through z along which the pictures differ most; the rest of z "
            "stays at the mean. Dimensions: any two of z. t-SNE: neighbours stay neighbours, but "
            "distances mean nothing and there is no way back to z: for looking only.",
        )
    if kind == "tsne" and checkpoint.tsne is not None and checkpoint.tsne_rows is not None:
        st.caption("t-SNE is for looking only: its points cannot be decoded back.")
        return MapView(checkpoint.tsne, checkpoint.tsne_rows, None, ("t-SNE 1", "t-SNE 2"))
    plane = choose_plane(checkpoint, kind)
    z_mean = checkpoint.encodings.z_mean
    return MapView(plane.to_plane(z_mean), np.arange(len(z_mean)), plane, plane.names)


def choose_plane(checkpoint: Checkpoint, kind: str, *, with_others: bool = False) -> Plane:
    """Let two axes be chosen, and the place of the plane along all others.

    Parameters
    ----------
    checkpoint : Checkpoint
    kind : {"pca", "z"}
        Principal components, or latent dimensions as they are.
    with_others : bool
        Offer a slider for each of the other axes; without them the plane goes through the mean
        (PCA) or through 0 (dimensions).
    """
    names = axis_names(checkpoint, kind)
    across, up = _choose_axes(kind, names)
    others = {}
    if with_others and len(names) > 2:
        others = _slide_others(checkpoint, kind, names, (across, up))
    if kind == "pca":
        components = get_components(key_of(checkpoint.card))
        scores = np.zeros(len(components.components))
        scores[list(others)] = list(others.values())
        return components.plane(across, up, scores)
    origin = np.zeros(checkpoint.card.model.latent_dim)
    origin[list(others)] = list(others.values())
    return coordinate_plane(checkpoint.card.model.latent_dim, across, up, origin)


def axis_names(checkpoint: Checkpoint, kind: str) -> dict[int, str]:
    """Name the axes that can be chosen, strongest first, each with its share or its KL."""
    if kind == "pca":
        shares = get_components(key_of(checkpoint.card)).explained_variance_ratio
        return {k: f"PC {k + 1} ({s:.0%})" for k, s in enumerate(shares[:_COMPONENTS_OFFERED])}
    latent_dim = checkpoint.card.model.latent_dim
    kl = checkpoint.card.metrics.get("kl_per_dimension")
    plain = [dimension_name(k) for k in range(latent_dim)]
    if latent_dim == 2 or kl is None or not isinstance(kl.value, tuple):
        return dict(enumerate(plain))
    strongest = sorted(range(latent_dim), key=lambda k: -kl.value[k])
    return {k: f"{plain[k]} (KL {kl.value[k]:.2g})" for k in strongest}


def _choose_axes(kind: str, names: dict[int, str]) -> tuple[int, int]:
    indices = list(names)
    if len(indices) == 2:
        return indices[0], indices[1]
    left, right = st.columns(2)
    options = {str(k + 1): names[k] for k in indices}
    with left:
        across = choose(f"{kind}_x", "Across", options, dropdown=True)
    options.pop(across)
    with right:
        up = choose(f"{kind}_y", "Up", options, dropdown=True)
    return int(across) - 1, int(up) - 1


def _slide_others(
    checkpoint: Checkpoint, kind: str, names: dict[int, str], chosen: tuple[int, int]
) -> dict[int, float]:
    z = checkpoint.encodings.z_mean
    with st.expander("The other axes", expanded=False), st.container(height=260, border=False):
        st.caption("Where the plane stands along each; 0 is the " + (
            "mean of the encodings." if kind == "pca" else "prior's mean."
        ))  # fmt: skip
        reach = float(np.ceil(np.abs(z).max()))
        return {
            k: slide(f"{kind}{k + 1}", name, (-reach, reach), 0.0)
            for k, name in names.items()
            if k not in chosen
        }


def lay_tiles(checkpoint: Checkpoint, view: MapView, *, p_values: bool) -> DecodedTiles | None:
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
