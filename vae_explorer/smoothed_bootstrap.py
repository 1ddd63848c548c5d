"""Draws around encodings: part a row's own place within its Gaussian, part drawn anew.

A mixture of Gaussians knows of its rows only means and covariances. A draw that keeps a share of
one row's own place has its other traits too, and the covariance stays what it is; how large a
share may be is told by rows that nothing was fitted to: draws must not be much nearer to the
known rows than those are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

ROWS, OWNERS, BANDWIDTH = "prior_rows", "prior_owners", "prior_bandwidth"
NAMES = (ROWS, OWNERS, BANDWIDTH)
BANDWIDTHS = np.sqrt(np.arange(0.4, 1.0, 0.05))
"""Those that are tried: shares of a Gaussian's standard deviation that are drawn anew."""
NEARNESS = 0.85
"""How near to the known rows draws may be, as a share of how near others are: in the latents of
faces, what they decode to is then still farther from the faces that were learnt than others are."""
KEPT, DRAWS = 20_000, 1_000
"""Rows that are kept to draw around, and draws by which the bandwidth is chosen."""

Arrays = Mapping[str, NDArray[np.floating] | NDArray[np.integer]]


def keep_rows(
    mixture: GaussianMixture, rows: NDArray[np.floating], bandwidth: float, seed: int
) -> dict[str, np.ndarray]:
    """Return what `draw_around` needs: some of the rows (n, d) that a mixture was fitted to.

    Returns
    -------
    dict of str to ndarray
        "prior_rows" float16 (m, d), "prior_owners" int16 (m,): the Gaussian of each, and
        "prior_bandwidth" float32 (1,).
    """
    kept = np.random.default_rng([seed, 19]).permutation(rows)[:KEPT]
    return {
        ROWS: kept.astype(np.float16),
        OWNERS: mixture.predict(kept).astype(np.int16),
        BANDWIDTH: np.array([bandwidth], np.float32),
    }


def draw_around(
    arrays: Arrays,
    mixture: tuple[NDArray[np.floating], NDArray[np.floating]],
    chance: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Draw around rows: sqrt(1 - h²) (row - mean) + h L ε, with bandwidth h, from their means.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As `keep_rows` gives.
    mixture : tuple of ndarray (k, d) and ndarray (k, d, d)
        Means of the Gaussians, and lower Cholesky factors L of their covariances.
    chance : (n,)
        Uniform in [0, 1]: which row each draw is near to.
    noise : (n, d)
        ε: standard normal.

    Returns
    -------
    away : ndarray (n, d)
        How far from its Gaussian's mean each draw lies.
    chosen : ndarray of intp (n,)
        Which Gaussian that is.

    References
    ----------
    Silverman & Young 1987, "The bootstrap: to smooth or not to smooth?", section 2 (draws around
    rows, shrunk so that the covariance stays).
    """
    means, factors = mixture
    rows, h = arrays[ROWS], float(arrays[BANDWIDTH][0])
    row = np.minimum((chance * len(rows)).astype(int), len(rows) - 1)
    chosen = arrays[OWNERS][row].astype(np.intp)
    own = rows[row].astype(np.float64) - means[chosen]
    anew = np.einsum("nij,nj->ni", factors[chosen], noise)
    return np.sqrt(1 - h**2) * own + h * anew, chosen


def choose_bandwidth(
    mixture: GaussianMixture,
    known: NDArray[np.floating],
    others: NDArray[np.floating],
    seed: int,
    *,
    to_latents: Callable[[NDArray[np.floating]], NDArray[np.floating]] = lambda rows: rows,
) -> float:
    """Return the smallest of `BANDWIDTHS` whose draws are about as far from known rows as others.

    Compared by the median distance to the nearest of the known rows, of which draws need `NEARNESS`
    of what others have. 1 where none will do.

    Parameters
    ----------
    mixture : GaussianMixture
        Fitted to the known rows.
    known, others : (n, d) and (m, d)
        Of the same kind; nothing knows the others.
    seed : int
        Of the draws.
    to_latents : callable
        From the rows' coordinates to those in which distances are taken.
    """
    from sklearn.metrics import pairwise_distances_argmin_min

    near = to_latents(known).astype(np.float32)

    def distance(rows: NDArray[np.floating]) -> float:
        latents = to_latents(rows[:DRAWS]).astype(np.float32)
        return float(np.median(pairwise_distances_argmin_min(latents, near)[1]))

    rng = np.random.default_rng([seed, 18])
    chance, noise = rng.random(DRAWS), rng.standard_normal((DRAWS, known.shape[1]))
    gaussians = mixture.means_, np.linalg.cholesky(mixture.covariances_)
    wanted, owners = NEARNESS * distance(others), mixture.predict(known)
    for bandwidth in BANDWIDTHS:
        arrays = {ROWS: known, OWNERS: owners, BANDWIDTH: np.array([bandwidth])}
        away, chosen = draw_around(arrays, gaussians, chance, noise)
        if distance(gaussians[0][chosen] + away) >= wanted:
            return float(bandwidth)
    return 1.0


def check_rows(arrays: Arrays, components: int, latent_dim: int) -> None:
    """Raise a ValueError where the kept rows, if there are any, do not fit."""
    present = [name for name in NAMES if name in arrays]
    if not present:
        return
    if len(present) < len(NAMES):
        raise ValueError(f"A fitted prior has {', '.join(NAMES)}; found only {', '.join(present)}.")
    rows, owners, bandwidth = (arrays[name] for name in NAMES)
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != latent_dim:
        raise ValueError(f"{ROWS} must have the shape (m, {latent_dim}); found {rows.shape}.")
    if owners.shape != (len(rows),) or owners.dtype.kind != "i":
        raise ValueError(f"{OWNERS} must be a whole number for each row; found {owners.shape}.")
    if owners.min() < 0 or owners.max() >= components:
        raise ValueError(f"{OWNERS} must lie in 0 ... {components - 1}.")
    if bandwidth.shape != (1,) or not 0 < bandwidth[0] <= 1:
        raise ValueError(f"{BANDWIDTH} must be one number above 0, at most 1; found {bandwidth}.")
