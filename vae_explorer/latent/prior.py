"""Fitted prior: a Gaussian mixture with a smoothed bootstrap, stored as arrays.

What a decoder learnt to draw lies where the encoder puts images, and in many dimensions that is
not where N(0, I) has its mass. The fit is a Gaussian mixture, where it helps in the coordinates of
`vae_explorer.latent.gaussianization`. Where there are rows enough, each draw goes some of the way
from a Gaussian's mean to a row that it stands for, as a smoothed bootstrap does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from vae_explorer.latent.gaussianization import (
    ROTATIONS,
    ROWS_PER_DIMENSION,
    check_layers,
    fit_layers,
    gaussianize,
    has_all,
    inverse,
)
from vae_explorer.random_streams import RandomStream, stream

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

WEIGHTS, MEANS, FACTORS = "prior_weights", "prior_means", "prior_factors"
SUPPORT, OWNERS, BANDWIDTH = "prior_rows", "prior_owners", "prior_bandwidth"
COMPONENTS = (1, 5, 10, 20, 40)
"""Numbers of Gaussians that are tried."""
HELD_OUT = 0.1
MOST_ROWS = 200_000
"""That a prior is fitted to; more would take gigabytes, and add little to so few numbers."""
CHOOSING_ROWS = 100_000
"""Of the others, by which their number is chosen."""
ROWS, ROWS_PER_COLUMN = 200, 4
"""What a Gaussian needs for its covariance, at least: so many rows, and so many a dimension."""
FEWEST = 2_000
"""Rows below which there are neither layers nor a bandwidth."""
TOLERANCE = 1e-3
"""A fit is done when a step adds less than this to the log-likelihood of a row, per dimension."""
_FEWEST_TO_FIT = 3
"""Rows: a mixture takes two, and one is held out."""
_NARROWEST = 1e-6
"""Share of the rows' variance that is added instead, where that is not enough."""
REGULARISATION = 1e-4
"""Added to the diagonal of every covariance, so that none collapses onto a few rows."""


BANDWIDTHS = np.sqrt(np.arange(0.4, 1.0, 0.05))
"""Those that are tried: shares of a Gaussian's standard deviation that are drawn anew."""
NEARNESS = 0.85
"""How near to the known rows draws may be, as a share of how near others are: in the latents of
faces, what they decode to is then still farther from the faces that were learnt than others are."""
SUPPORT_ROWS, CHOOSING_SAMPLES = 20_000, 1_000
"""Rows that are kept to draw around, and draws by which the bandwidth is chosen."""

Support = Mapping[str, NDArray[np.floating] | NDArray[np.integer]]


def fit_prior(
    z_mean: ArrayLike, seed: int = 0, mirrored: ArrayLike | None = None
) -> dict[str, np.ndarray]:
    """Fit a mixture of Gaussians with full covariances to encodings.

    Fitted to the encodings as they are, or to what `gaussianize` makes of them; and with as many
    Gaussians of `COMPONENTS`: what gives the greatest likelihood to a tenth of the rows when
    fitted to others. Then fitted to all.

    With `FEWEST` rows or more, draws are made around rows (`smoothed_bootstrap_sample`),
    hardly nearer to them than the held-out tenth is: what is drawn is no copy.

    Parameters
    ----------
    z_mean : (n, d)
        Of the train split; at least one. Of more than `MOST_ROWS` so many are drawn.
    seed : int
        Of the rows that choose, and of where the Gaussians start.
    mirrored : (n, d), optional
        Encodings of the same images, mirrored, where they are as good as others.

    Returns
    -------
    dict of str to ndarray of float32
        "prior_weights" (k,), "prior_means" (k, d) and "prior_factors" (k, d, d): the lower
        Cholesky factors of the covariances; and the arrays of `fit_layers`, where they help.
        And the arrays of `select_support`, where the bandwidth is below 1.

    Raises
    ------
    ValueError
        If there are none.

    References
    ----------
    Ghosh et al. 2020, "From Variational to Deterministic Autoencoders"
    (https://arxiv.org/abs/1903.12436), section 4: ex-post density estimation.
    """
    sides = [np.asarray(side) for side in (z_mean, mirrored) if side is not None]
    if sides[0].ndim != 2 or not len(sides[0]):
        shape = sides[0].shape
        raise ValueError(f"A prior is fitted to one encoding (n, d) or more; found {shape}.")
    if len(sides[0]) < _FEWEST_TO_FIT:  # none could be held out: counted often enough instead
        sides = [np.repeat(side, _FEWEST_TO_FIT, axis=0) for side in sides]
    if len(sides[0]) > MOST_ROWS:
        drawn = stream(seed, RandomStream.PRIOR_ROWS).permutation(len(sides[0]))[:MOST_ROWS]
        sides = [side[drawn] for side in sides]
    sides = [side.astype(np.float64) for side in sides]
    rows = sides[0]
    order = stream(seed, RandomStream.PRIOR_VALIDATION).permutation(len(rows))
    held = max(1, round(HELD_OUT * len(rows)))
    inner, outer = np.concatenate([side[order[held:]] for side in sides]), rows[order[:held]]

    layers = _find_layers(inner, outer, seed)
    # In single precision, which suffices here, a fit takes half the time.
    known, others, every = (
        (gaussianize(part, layers)[0] if layers else part).astype(np.float32)
        for part in (inner, outer, np.concatenate(sides))
    )
    known = stream(seed, RandomStream.PRIOR_SUBSAMPLE).permutation(known)[:CHOOSING_ROWS]
    fits = [_fit_mixture(known, count, seed) for count in _affordable(known)]
    mixture = max(fits, key=lambda fitted: float(fitted.score(others)))
    bandwidth = 1.0
    if len(rows) >= FEWEST:
        back = partial(inverse, layers=layers) if layers else np.asarray
        bandwidth = choose_bandwidth(mixture, known, others, seed, to_latents=back)
    # The same Gaussians, from where they stand now, to all rows.
    mixture.set_params(
        weights_init=mixture.weights_,
        means_init=mixture.means_,
        precisions_init=mixture.precisions_,
    )
    try:
        mixture.fit(every)
    except ValueError:
        mixture = _fit_narrow(every, mixture.n_components, seed)
    return {
        WEIGHTS: mixture.weights_.astype(np.float32),
        MEANS: mixture.means_.astype(np.float32),
        FACTORS: np.linalg.cholesky(mixture.covariances_).astype(np.float32),
        **layers,
        **(select_support(mixture, every, bandwidth, seed) if bandwidth < 1 else {}),
    }


def sample_prior(
    prior: Mapping[str, NDArray[np.floating]], n: int, temperature: float, seed: int
) -> NDArray[np.float32]:
    """Draw n latents (n, d) from what `fit_prior` gave.

    The temperature is a factor on every Gaussian's standard deviation: at 0, all are at its mean,
    or where that comes to lie among the latents.
    The same seed gives the same latents, and a larger n only adds some at the end.
    """
    means, factors = prior[MEANS], prior[FACTORS]
    noise = np.random.default_rng(seed).standard_normal((n, means.shape[1] + 1))
    # One number of each row chooses its Gaussian, so that each row stands for itself.
    chance, noise = ndtr(noise[:, 0]), noise[:, 1:]
    if BANDWIDTH in prior:
        away, chosen = smoothed_bootstrap_sample(prior, (means, factors), chance, noise)
    else:
        shares = np.cumsum(prior[WEIGHTS], dtype=np.float64)
        chosen = np.searchsorted(shares[:-1] / shares[-1], chance, side="right")
        away = np.einsum("nij,nj->ni", factors[chosen], noise)
    z = means[chosen] + temperature * away
    return (inverse(z, prior) if ROTATIONS in prior else z).astype(np.float32)


def check_prior(arrays: Mapping[str, NDArray[np.floating]], latent_dim: int) -> None:
    """Raise a ValueError where the arrays of a fitted prior, if there are any, do not fit."""
    check_layers(arrays, latent_dim)
    names = (WEIGHTS, MEANS, FACTORS)
    if not has_all(arrays, names):
        return
    k = len(arrays[WEIGHTS])
    wanted = ((k,), (k, latent_dim), (k, latent_dim, latent_dim))
    for name, shape in zip(names, wanted, strict=True):
        if arrays[name].shape != shape:
            raise ValueError(f"{name} must have the shape {shape}; found {arrays[name].shape}.")
    if arrays[WEIGHTS].min(initial=0) < 0 or not arrays[WEIGHTS].sum() > 0:
        raise ValueError(f"{WEIGHTS} must be shares: none below 0, one above.")
    check_rows(arrays, k, latent_dim)


def select_support(
    mixture: GaussianMixture, rows: NDArray[np.floating], bandwidth: float, seed: int
) -> dict[str, np.ndarray]:
    """Choose the rows (n, d) of a fitted mixture that `smoothed_bootstrap_sample` draws around.

    Returns
    -------
    dict of str to ndarray
        "prior_rows" float16 (m, d), "prior_owners" int16 (m,): the Gaussian of each, and
        "prior_bandwidth" float32 (1,).
    """
    kept = stream(seed, RandomStream.PRIOR_SUPPORT).permutation(rows)[:SUPPORT_ROWS]
    return {
        SUPPORT: kept.astype(np.float16),
        OWNERS: mixture.predict(kept).astype(np.int16),
        BANDWIDTH: np.array([bandwidth], np.float32),
    }


def smoothed_bootstrap_sample(
    arrays: Support,
    mixture: tuple[NDArray[np.floating], NDArray[np.floating]],
    chance: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Draw around rows: sqrt(1 - h²) (row - mean) + h L ε, with bandwidth h, from their means.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As `select_support` gives.
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
    rows, h = arrays[SUPPORT], float(arrays[BANDWIDTH][0])
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
        latents = to_latents(rows[:CHOOSING_SAMPLES]).astype(np.float32)
        return float(np.median(pairwise_distances_argmin_min(latents, near)[1]))

    rng = stream(seed, RandomStream.BANDWIDTH_SAMPLES)
    chance, noise = (
        rng.random(CHOOSING_SAMPLES),
        rng.standard_normal((CHOOSING_SAMPLES, known.shape[1])),
    )
    gaussians = mixture.means_, np.linalg.cholesky(mixture.covariances_)
    wanted, owners = NEARNESS * distance(others), mixture.predict(known)
    for bandwidth in BANDWIDTHS:
        arrays = {SUPPORT: known, OWNERS: owners, BANDWIDTH: np.array([bandwidth])}
        away, chosen = smoothed_bootstrap_sample(arrays, gaussians, chance, noise)
        if distance(gaussians[0][chosen] + away) >= wanted:
            return float(bandwidth)
    return 1.0


def check_rows(arrays: Support, components: int, latent_dim: int) -> None:
    """Raise a ValueError where the kept rows, if there are any, do not fit."""
    names = (SUPPORT, OWNERS, BANDWIDTH)
    if not has_all(arrays, names):
        return
    rows, owners, bandwidth = (arrays[name] for name in names)
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != latent_dim:
        raise ValueError(f"{SUPPORT} must have the shape (m, {latent_dim}); found {rows.shape}.")
    if owners.shape != (len(rows),) or owners.dtype.kind != "i":
        raise ValueError(f"{OWNERS} must be a whole number for each row; found {owners.shape}.")
    if owners.min() < 0 or owners.max() >= components:
        raise ValueError(f"{OWNERS} must lie in 0 ... {components - 1}.")
    if bandwidth.shape != (1,) or not 0 < bandwidth[0] <= 1:
        raise ValueError(f"{BANDWIDTH} must be one number above 0, at most 1; found {bandwidth}.")


def _find_layers(
    inner: NDArray[np.floating], outer: NDArray[np.floating], seed: int
) -> dict[str, NDArray[np.float32]]:
    """Return layers that make a few Gaussians fit better; none where they do not."""
    if len(inner) < max(FEWEST, ROWS_PER_DIMENSION * inner.shape[1]):
        return {}
    try:
        layers = fit_layers(inner, seed=seed)
    except np.linalg.LinAlgError:  # equal rows, or rows on a plane: their covariance is singular
        return {}
    some = stream(seed, RandomStream.PRIOR_SUBSAMPLE).permutation(inner)[:CHOOSING_ROWS]
    count = [k for k in _affordable(some) if k <= 10][-1]
    straight, log_determinant = gaussianize(outer, layers)
    bent = _fit_mixture(gaussianize(some, layers)[0], count, seed).score(straight)
    plain = _fit_mixture(some, count, seed).score(outer)
    return layers if bent + log_determinant.mean() > plain else {}


def _affordable(rows: NDArray[np.floating]) -> list[int]:
    most = len(rows) / max(ROWS, ROWS_PER_COLUMN * rows.shape[1])
    return [count for count in COMPONENTS if count <= max(1, most)]


def _fit_mixture(rows: NDArray[np.floating], count: int, seed: int) -> GaussianMixture:
    try:
        return _new_mixture(rows, count, seed, REGULARISATION).fit(rows)
    except ValueError:
        return _fit_narrow(rows, count, seed)


def _fit_narrow(rows: NDArray[np.floating], count: int, seed: int) -> GaussianMixture:
    """Fit to rows whose covariances are singular in single precision: a few, or few places.

    In double precision, and regularised by their own spread.
    """
    wide = rows.astype(np.float64)
    regularisation = max(REGULARISATION, _NARROWEST * float(wide.var(axis=0).max()))
    return _new_mixture(wide, count, seed, regularisation).fit(wide)


def _new_mixture(
    rows: NDArray[np.floating], count: int, seed: int, regularisation: float
) -> GaussianMixture:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(
        count,
        tol=TOLERANCE * rows.shape[1],
        reg_covar=regularisation,
        random_state=seed,
        init_params="k-means++",
    )
