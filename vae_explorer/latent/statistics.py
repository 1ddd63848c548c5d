"""Statistics of encodings: distance from the prior, correlations, neighbours, t-SNE."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree
from scipy.stats import chi2, kstest

from vae_explorer.random_streams import RandomStream, stream

_SHARE = 0.99  # of N(0, I): what lies beyond is far from the prior

TSNE_ROWS = 3_000
"""Encodings that are embedded; more take minutes."""
TSNE_DIFFERENT = 4
"""Different encodings that t-SNE needs: with fewer, the perplexity is below one neighbour."""

_INSIDE = 0.998  # share of the points that a square shows, with a margin
_MARGIN = 1.05
SMALLEST_HALF = 1e-3
"""Half the side of the smallest square, which equal points have."""


def ks_distances(z: ArrayLike) -> NDArray[np.float64]:
    """Tell how far each dimension's values are from N(0, 1).

    Parameters
    ----------
    z : (n, d)
        Latents, at least one.

    Returns
    -------
    ndarray of float64 (d,)
        Kolmogorov-Smirnov distances: the greatest gap between the share of values below a number
        and the share that N(0, 1) has there, in [0, 1].
    """
    columns = np.asarray(z, np.float64).T
    return np.array([kstest(column, "norm").statistic for column in columns])


def sample_posteriors(
    z_mean: ArrayLike, z_log_var: ArrayLike | None, seed: int = 0
) -> NDArray[np.float32]:
    """Draw one z (n, d) of each posterior; without a variance it is the mean itself."""
    means = np.asarray(z_mean, np.float32)
    if z_log_var is None:
        return means
    noise = np.random.default_rng(seed).standard_normal(means.shape, np.float32)
    spread = np.exp(np.asarray(z_log_var, np.float64) / 2)
    drawn: NDArray[np.float32] = (means + spread * noise).astype(np.float32)
    return drawn


def correlations(z: ArrayLike, classes: ArrayLike) -> NDArray[np.float64]:
    """Correlate each dimension with each class.

    Parameters
    ----------
    z : (n, d)
        Latents.
    classes : (n, k) bool
        Who belongs to which.

    Returns
    -------
    ndarray of float64 (d, k)
        Pearson's r in [-1, 1]; 0 where a dimension or a class is the same for all.
    """
    latents, members = np.asarray(z, np.float64), np.asarray(classes, np.float64)
    latents = latents - latents.mean(axis=0)
    members = members - members.mean(axis=0)
    lengths = np.outer(np.linalg.norm(latents, axis=0), np.linalg.norm(members, axis=0))
    products: NDArray[np.float64] = latents.T @ members
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def uncovered_samples(
    z_mean: ArrayLike, n: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw of N(0, I), and say which draws have no encoding near them.

    Near is what it would be if the encodings came from the prior themselves: within the distance
    at which 99 % of draws find one of as many draws. So 1 % is what a perfect fit leaves.

    Parameters
    ----------
    z_mean : (m, d)
        Encodings, at least one.
    n : int
        How many to draw.
    seed : int

    Returns
    -------
    z : ndarray of float32 (n, d)
    lonely : ndarray of bool (n,)

    References
    ----------
    Hoffman & Johnson 2016, "ELBO surgery"
    (http://approximateinference.org/accepted/HoffmanJohnson2016.pdf): the gap between the prior
    and the mean of all posteriors, of which this is an image.
    """
    encodings = np.asarray(z_mean, np.float64)
    rng = stream(seed, RandomStream.PRIOR_COVERAGE)
    draws = rng.standard_normal((n, encodings.shape[1]))
    ideal = rng.standard_normal(encodings.shape)
    reach = np.quantile(KDTree(ideal).query(draws)[0], _SHARE)
    far = KDTree(encodings).query(draws)[0] > reach
    return draws.astype(np.float32), far


def share_far_from_prior(z_mean: ArrayLike) -> float:
    """Return the share of encodings (m, d) beyond the radius within which 99 % of N(0, I) is."""
    encodings = np.asarray(z_mean, np.float64)
    squared = np.square(encodings).sum(axis=1)
    return float((squared > chi2.ppf(_SHARE, encodings.shape[1])).mean())


def largest_relative_step(images: ArrayLike) -> float:
    """Tell how even a path of images is: the largest change of one step, over the mean of all.

    Parameters
    ----------
    images : (k, ...)
        At least two, in the order of the path.

    Returns
    -------
    float
        1 where all steps change the image by the same root of squared differences, k - 1 where
        one step does it all; 1 also where nothing changes.
    """
    pixels = np.asarray(images, np.float64)
    steps = np.linalg.norm(np.diff(pixels.reshape(len(pixels), -1), axis=0), axis=1)
    return float(steps.max() / steps.mean()) if steps.any() else 1.0


def nearest(
    z: ArrayLike, candidates: ArrayLike, k: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find the `k` nearest candidates of each latent by Euclidean distance, nearest first.

    Parameters
    ----------
    z : (m, d)
        Latents to find neighbours for.
    candidates : (n, d)
        Latents to choose from.
    k : int
        How many, from 1 to n.

    Returns
    -------
    indices : (m, k) int
        Rows of `candidates`.
    distances : (m, k) float32

    Raises
    ------
    ValueError
        If the two differ in latent dimensions, or there are fewer than `k` candidates.
    """
    queries, rows = np.asarray(z, np.float64), np.asarray(candidates, np.float64)
    if queries.ndim != 2 or rows.ndim != 2 or queries.shape[1] != rows.shape[1]:
        raise ValueError(
            f"Neighbours need latents (m, d) and candidates (n, d); "
            f"found {queries.shape} and {rows.shape}."
        )
    if not 1 <= k <= len(rows):
        raise ValueError(f"There are {len(rows)} candidates: k cannot be {k}.")
    if not len(queries):
        return np.empty((0, k), np.intp), np.empty((0, k), np.float32)
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows)
    chosen = search.kneighbors(queries, return_distance=False)
    # It ranks by |c|² - 2 c·z, which loses digits far from the origin: the few that it finds are
    # measured again, and sorted by that.
    lengths = np.linalg.norm(rows[chosen] - queries[:, None], axis=2)
    order = np.argsort(lengths, axis=1, kind="stable")
    distances = np.take_along_axis(lengths, order, axis=1).astype(np.float32)
    return np.take_along_axis(chosen, order, axis=1), distances


def count_different(z: ArrayLike) -> int:
    """Count the different rows of latents (n, d), as checkpoints store them, in float16."""
    with np.errstate(over="ignore"):
        stored = np.asarray(z).astype(np.float16)
    return len(np.unique(stored, axis=0))


def embed(z_mean: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """t-SNE (van der Maaten & Hinton 2008) of a seeded subset, where z has no plane of its own.

    Parameters
    ----------
    z_mean : ndarray of float32 (n, latent_dim)
    seed : int
        Of the subset, and of where the points start.

    Returns
    -------
    dict of str to ndarray
        "tsne" float32 (m, 2) and "tsne_rows" (m,); empty for two dimensions, for fewer than
        `TSNE_DIFFERENT` different encodings, and for encodings beyond the range of float16, which
        no checkpoint stores.
    """
    if z_mean.shape[1] <= 2:
        return {}
    count = min(TSNE_ROWS, len(z_mean))
    rows = np.sort(stream(seed, RandomStream.TSNE_ROWS).choice(len(z_mean), count, replace=False))
    # scikit-learn divides the first principal component by its standard deviation. Where the rows
    # are equal, or closer than float32 can square, that is 0, and its quadtree of NaNs recurses
    # until the process is killed (SIGSEGV). Rows that differ in float16 are far enough apart. Of
    # huge ones the squares overflow.
    is_huge = np.abs(z_mean[rows]).max(initial=0) > float(np.finfo(np.float16).max)
    if is_huge or count_different(z_mean[rows]) < TSNE_DIFFERENT:
        return {}
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (count - 1) / 3)
    plane = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(z_mean[rows])
    return {"tsne": plane.astype(np.float32), "tsne_rows": rows}


def square_around(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the middle and half the side of a square with nearly all points (n, 2): (3,)."""
    low, high = np.quantile(points, [1 - _INSIDE, _INSIDE], axis=0)
    half = max(float((high - low).max()) / 2 * _MARGIN, SMALLEST_HALF)
    return np.array([*((low + high) / 2), half])
