"""The latent map: its plane, axes, overlays and colours, as chosen on a page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.evaluation.description import format_attribute
from vae_explorer.evaluation.limits import describe_limits
from vae_explorer.figures import DecodedTiles
from vae_explorer.images import data_url, for_display, tile
from vae_explorer.latent.interpolation import from_p_values
from vae_explorer.latent.planes import (
    Plane,
    coordinate_plane,
    dimension_name,
    grid_points,
    posterior_ellipse,
)
from vae_explorer.latent.statistics import SMALLEST_HALF
from vae_explorer.sampling import available_priors, sample_latents
from vae_explorer.ui.cache import get_components, get_decoded, key_of
from vae_explorer.ui.explore.map_points import Pin
from vae_explorer.ui.header import show_inverted
from vae_explorer.ui.stage.tiles import Setting
from vae_explorer.ui.text import format_share
from vae_explorer.ui.widgets import multiselect, select

_COMPONENTS_OFFERED = 20
_SAMPLES = 200
_TILES = 20  # along a side
_FIRST_ATTRIBUTE = "Smiling"


@dataclass(frozen=True)
class MapView:
    """Encodings on a plane, or in the t-SNE layout."""

    points: np.ndarray
    """(n, 2), as drawn."""
    rows: np.ndarray
    """(n,): each point's row in the encodings."""
    plane: Plane | None
    """None for t-SNE, which cannot be mapped back to z."""
    axis_names: tuple[str, str]

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Return the points (m, 2) of rows of the encodings, without those that are not drawn."""
        return self.points[np.flatnonzero(np.isin(self.rows, rows))]

    def place(self, pin: Pin) -> np.ndarray | None:
        """Return the place (1, 2) of a pin, or None if it is not on this view."""
        if pin.at is not None:
            return np.array([pin.at]) if self.plane else None
        found = self.find(np.array([] if pin.row is None else [pin.row]))
        return found if len(found) else None

    def outline_posterior(self, checkpoint: Checkpoint, row: int) -> list[np.ndarray]:
        """Return the outlines of a row's posterior at 1 and 2 σ; none without σ or a plane."""
        encodings = checkpoint.encodings
        if self.plane is None or encodings.z_log_var is None:
            return []
        posterior = encodings.z_mean[row], encodings.z_log_var[row]
        return [posterior_ellipse(self.plane, *posterior, n_sigma) for n_sigma in (1, 2)]


@dataclass(frozen=True)
class Axes:
    """The two axes of a plane, and the other axes."""

    kind: str
    """"pca" or "z"."""
    across: int
    up: int
    others: dict[int, str]
    """Names of the others, strongest first."""


@dataclass(frozen=True)
class Overlays:
    """The selected overlays of a map, ready to be drawn."""

    tiles: DecodedTiles | None = None
    rings: bool = False
    samples: np.ndarray | None = None
    """(m, 2), coordinates of the plane."""
    p_values: bool = False


def choose_view(checkpoint: Checkpoint) -> MapView:
    """Select the plane of a map: PCA, two dimensions, or t-SNE where it is stored."""
    options = {"pca": "PCA", "z": "Dimensions"}
    if checkpoint.tsne is not None:
        options["tsne"] = "t-SNE"
    if checkpoint.card.model.latent_dim <= 2:
        kind = "z"
    else:
        kind = select(
            "plane",
            "Plane",
            options,
            help="**PCA**: the plane of two principal components, the directions in which the "
            "encodings vary most; the other components stay at the mean. **Dimensions**: any two "
            "dimensions of z; the others stay at 0. **t-SNE**: keeps neighbours together, but "
            "distances between clusters have no meaning, and there is no inverse.",
        )
    limits = describe_limits(checkpoint)
    for about in ("encodings", "tsne"):
        if about in limits:
            st.caption(limits[about])
    if kind == "tsne" and checkpoint.tsne is not None and checkpoint.tsne_rows is not None:
        st.caption(
            "t-SNE has no inverse: only the points can be decoded, not the space between them."
        )
        return MapView(checkpoint.tsne, checkpoint.tsne_rows, None, ("t-SNE 1", "t-SNE 2"))
    plane = span_plane(checkpoint, choose_axes(checkpoint, kind))
    z_mean = checkpoint.encodings.z_mean
    return MapView(plane.to_plane(z_mean), np.arange(len(z_mean)), plane, plane.names)


def choose_axes(checkpoint: Checkpoint, kind: str) -> Axes:
    """Select two axes: principal components ("pca") or latent dimensions ("z")."""
    names = _axis_names(checkpoint, kind)
    indices = list(names)
    if len(indices) == 2:
        return Axes(kind, indices[0], indices[1], {})
    left, right = st.columns(2)
    options = {str(k + 1): names[k] for k in indices}
    with left:
        across = select(f"{kind}_x", "Horizontal axis", options, dropdown=True)
    rest = {number: name for number, name in options.items() if number != across}
    with right:
        up = select(f"{kind}_y", "Vertical axis", rest, dropdown=True)
    chosen = int(across) - 1, int(up) - 1
    return Axes(kind, *chosen, {k: name for k, name in names.items() if k not in chosen})


def span_plane(checkpoint: Checkpoint, axes: Axes) -> Plane:
    """Return the plane of two axes, with all others at the mean (PCA) or at 0 (dimensions)."""
    if axes.kind == "pca":
        return get_components(key_of(checkpoint.card)).plane(axes.across, axes.up)
    return coordinate_plane(checkpoint.card.model.latent_dim, axes.across, axes.up)


def other_settings(checkpoint: Checkpoint, axes: Axes) -> dict[Setting, np.ndarray]:
    """Return a setting for each axis outside the plane, with its direction in z."""
    if axes.kind == "pca":
        directions = get_components(key_of(checkpoint.card)).components
    else:
        directions = np.eye(checkpoint.card.model.latent_dim)
    reach = max(1.0, float(np.ceil(np.abs(checkpoint.encodings.z_mean).max())))
    return {
        Setting(f"{axes.kind}{k + 1}", name, -reach, reach, 0.0): directions[k]
        for k, name in axes.others.items()
    }


def choose_overlays(checkpoint: Checkpoint, view: MapView) -> Overlays:
    """Select overlays; a view without a plane has none."""
    if view.plane is None:
        return Overlays()
    is_vae = checkpoint.card.model.kind == "vae"
    options = {"tiles": "Decoded tiles", "rings": "Prior contours", "samples": "Samples"}
    if not is_vae:
        options.pop("rings")
    shown = multiselect(
        "show",
        "Overlays",
        options,
        help="**Decoded tiles**: the decoder's output on a grid. **Prior contours**: 1σ, 2σ and 3σ "
        f"of N(0, I). **Samples**: {_SAMPLES} samples from the prior.",
    )
    p_values = is_vae and _choose_scale() == "p"
    samples = None
    if "samples" in shown:
        z = sample_latents(checkpoint, _SAMPLES, available_priors(checkpoint)[0])
        samples = view.plane.to_plane(z)
    tiles = _decode_tiles(checkpoint, view, p_values=p_values) if "tiles" in shown else None
    return Overlays(tiles, "rings" in shown, samples, p_values)


def choose_classes(checkpoint: Checkpoint) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the classes by which encodings are coloured.

    Without labels, but with attributes, the classes are those of a selected attribute.

    Returns
    -------
    classes : ndarray of int (n,) or None
        Of each encoding; None without labels and attributes.
    names : tuple of str
        Of class 0, 1, ...
    """
    encodings, card = checkpoint.encodings, checkpoint.card
    if encodings.labels is not None or encodings.attributes is None:
        return encodings.labels, card.label_names
    names = {name: format_attribute(name) for name in card.attribute_names}
    chosen = select("colour", "Colour by", names, _FIRST_ATTRIBUTE, dropdown=True)
    has = encodings.attributes[:, card.attribute_names.index(chosen)]
    return has.astype(int), (f"{names[chosen]}: no", f"{names[chosen]}: yes")


def _axis_names(checkpoint: Checkpoint, kind: str) -> dict[int, str]:
    """Return the labels of the axes, strongest first, each with its explained variance or KL."""
    if kind == "pca":
        ratios = get_components(key_of(checkpoint.card)).explained_variance_ratio
        return {
            k: f"PC {k + 1} ({format_share(r)})" for k, r in enumerate(ratios[:_COMPONENTS_OFFERED])
        }
    latent_dim = checkpoint.card.model.latent_dim
    kl = checkpoint.card.metrics.get("kl_per_dimension")
    names = [dimension_name(k) for k in range(latent_dim)]
    shares = kl.value if kl is not None and latent_dim > 2 else ()
    if not isinstance(shares, tuple) or len(shares) != latent_dim:
        return dict(enumerate(names))
    strongest: list[int] = np.argsort(-np.array(shares), kind="stable").tolist()
    return {k: f"{names[k]} (KL {shares[k]:.2g})" for k in strongest}


def _choose_scale() -> str:
    return select(
        "scale",
        "Scale",
        {"z": "Linear", "p": "Quantile"},
        help="**Linear**: z itself. **Quantile**: each coordinate is mapped through Φ, the "
        "cumulative distribution function of N(0, 1). If the encodings follow the prior, they fill "
        "the unit square evenly.",
    )


def _decode_tiles(checkpoint: Checkpoint, view: MapView, *, p_values: bool) -> DecodedTiles | None:
    """Decode a grid that covers a view; None if the view has no plane."""
    if view.plane is None:
        return None
    if p_values:
        edge = (np.arange(_TILES) + 0.5) / _TILES
        x, y = np.meshgrid(edge, edge[::-1])
        points = from_p_values(np.stack([x.ravel(), y.ravel()], axis=1))
        left, right, bottom, top = 0.0, 1.0, 0.0, 1.0
    else:
        low, high = view.points.min(axis=0), view.points.max(axis=0)
        centre = (low + high) / 2
        half = max(float((high - low).max()) / 2, SMALLEST_HALF)  # equal encodings: one point
        points = grid_points(centre, half * (_TILES - 1) / _TILES, _TILES)
        (left, bottom), (right, top) = centre - half, centre + half
    images = get_decoded(key_of(checkpoint.card), view.plane.to_latent(points))
    url = data_url(tile(for_display(images, show_inverted()), _TILES))
    return DecodedTiles(url, x0=float(left), x1=float(right), y0=float(bottom), y1=float(top))
