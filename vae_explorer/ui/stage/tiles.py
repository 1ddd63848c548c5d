"""What a grid of tiles shows, as a function of the settings that sliders move.

`browser/explore/grid.js` computes the same latents while a slider is dragged; here they are for
downloads, for details, and for a browser that cannot reach the decode route.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vae_explorer.latent.planes import Plane, Spacing, grid_points


@dataclass(frozen=True)
class Setting:
    """A number that a slider or a pad moves."""

    name: str
    """Its key in the session, in the URL, and in the channel."""
    label: str
    low: float
    high: float
    reset: float
    """The default, to which a double click returns."""
    step: float = 0.1
    beside: tuple[tuple[str, float], ...] = ()
    """What else it moves, and how much, in [0, 1]: small bars below the slider."""
    private: bool = False
    """Whether it stays in the session, out of the URL: its label is somebody's own words."""


@dataclass(frozen=True)
class PlaneTiles:
    """A square grid over a plane, whose window and place the settings move."""

    plane: Plane
    """At the origin of all other axes."""
    others: Mapping[str, np.ndarray]
    """Direction (latent_dim,) of each other axis, by the name of its setting."""
    spacing: Spacing
    extent: Setting
    x: str
    """Names of the settings of the window's centre."""
    y: str

    def points(self, values: Mapping[str, float], n: int) -> np.ndarray:
        """Return the plane coordinates (n * n, 2) of the tiles, in reading order."""
        centre = values[self.x], values[self.y]
        return grid_points(centre, values[self.extent.name], n, self.spacing)

    def latents(self, values: Mapping[str, float], n: int) -> np.ndarray:
        """Return z (n * n, latent_dim) of the tiles, in reading order."""
        z = self.plane.to_latent(self.points(values, n))
        for name, direction in self.others.items():
            z += (values[name] * direction).astype(np.float32)
        return z

    def pack(self) -> dict[str, object]:
        """Return what `browser/explore/grid.js` computes the same latents from."""
        return {
            "kind": "plane",
            "plane": pack_plane(self.plane),
            "names": self.plane.names,
            "others": {name: direction.tolist() for name, direction in self.others.items()},
            "spacing": self.spacing,
            "extent": self.extent.name,
            "limits": [self.extent.low, self.extent.high],
            "x": self.x,
            "y": self.y,
        }


@dataclass(frozen=True)
class ListTiles:
    """Latents of their own, which a temperature moves towards and away from their centres."""

    z: np.ndarray
    """(n, latent_dim) at temperature 1; fixed ones as they are."""
    centre: np.ndarray
    """(n, latent_dim): where temperature 0 puts each."""
    fixed: np.ndarray
    """bool (n,): tiles that the temperature does not move."""
    temperature: str
    """Name of the setting."""

    def latents(self, values: Mapping[str, float]) -> np.ndarray:
        """Return z (n, latent_dim) at the temperature of the settings."""
        moved = self.centre + values[self.temperature] * (self.z - self.centre)
        return np.where(self.fixed[:, None], self.z, moved).astype(np.float32)

    def pack(self) -> dict[str, object]:
        """Return what `browser/explore/grid.js` computes the same latents from."""
        return {
            "kind": "list",
            "z": pack_floats(self.z),
            "centre": pack_floats(self.centre),
            "fixed": self.fixed.tolist(),
            "temperature": self.temperature,
        }


def fixed_tiles(z: np.ndarray) -> ListTiles:
    """Return latents (n, latent_dim) that no temperature moves."""
    return ListTiles(z, z, np.ones(len(z), bool), "temperature")


def pack_plane(plane: Plane | None) -> dict[str, object] | None:
    """Return a plane as JSON for the browser."""
    if plane is None:
        return None
    return {"origin": plane.origin.tolist(), "axes": plane.axes.tolist()}


def pack_floats(values: np.ndarray) -> str:
    """Return numbers as base64 of little-endian float32, which `browser/lib/dom.js` reads."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")
