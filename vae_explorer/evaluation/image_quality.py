"""Image quality of reconstructions and samples: SSIM, sharpness, Fréchet distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace

from vae_explorer.checkpoints.card import Metric
from vae_explorer.classifiers.storage import AttributeClassifier, pooled_features
from vae_explorer.images import LUMA
from vae_explorer.inference import decode
from vae_explorer.latent.prior import WEIGHTS, sample_prior
from vae_explorer.models import Autoencoder
from vae_explorer.random_streams import RandomStream, stream

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset
    from vae_explorer.encodings import Encodings

IMAGES = 2_000
"""On each side of a comparison."""
SEED = 0

Images = NDArray[np.floating]

WINDOW = 11
"""Side in pixels of what `ssim` looks through, and so of the smallest images it takes."""
_SMALLEST = 6  # pixels a side: halved, they have one that is not at the edge
_HIGHEST = 7 / 16  # cycles a pixel; 1/2 is the most there can be
_PLAIN = 1e-20  # what rounding leaves of plain images; one pixel's smallest step gives far more


def measure_image_quality(
    model: Autoencoder,
    dataset: ImageDataset,
    encodings: Encodings,
    latent: Mapping[str, np.ndarray],
    evaluation_classifier: AttributeClassifier | None,
) -> dict[str, Metric]:
    """Compare reconstructions and samples with images that the model has not seen.

    Parameters
    ----------
    model : Autoencoder
        In eval mode.
    dataset : ImageDataset
    encodings : Encodings
        Of its held-out split, whole.
    latent : mapping of str to ndarray
        A checkpoint's arrays about its latent space; a fitted prior among them is measured too.
    evaluation_classifier : AttributeClassifier or None
        By whose features distances are measured; without one there are none.

    Returns
    -------
    dict of str to Metric
        By name; without what cannot be measured on images so few, so small or so plain.
    """
    order = stream(SEED, RandomStream.IMAGE_QUALITY_ROWS).permutation(len(encodings.row_id))
    count = min(IMAGES, len(order) // 2)
    if count < 2:
        return {}
    ours, others = np.sort(order[:count]), np.sort(order[count : 2 * count])
    originals = _read(dataset, encodings.row_id[ours], model)
    reconstructions = decode(model, encodings.z_mean[ours])
    metrics = _measure_likeness(reconstructions, originals, dataset.held_out)
    if evaluation_classifier is None:
        return metrics
    sides = f"{count:,} images a side"
    real = pooled_features(evaluation_classifier, originals)
    compared = {
        "real": (_read(dataset, encodings.row_id[others], model), "other real images (the floor)"),
        "reconstructions": (reconstructions, "the reconstructions of the same images"),
        "samples_standard": (_sample(model, count, {}), "samples of N(0, I)"),
    }
    if WEIGHTS in latent:
        compared["samples_fitted"] = (_sample(model, count, latent), "samples of the fitted prior")
    for name, (images, what) in compared.items():
        metrics[f"frechet_{name}"] = Metric(
            f"frechet_{name}",
            frechet_distance(real, pooled_features(evaluation_classifier, images)),
            "squared distance in the judge's pooled features",
            f"{dataset.held_out} split against {what}; {sides}",
        )
    return metrics


def luminance(images: Images) -> NDArray[np.float64]:
    """Return how bright each pixel looks, (n, height, width)."""
    if images.shape[1] == 1:
        return images[:, 0].astype(np.float64)
    return np.einsum("c,nchw->nhw", LUMA, images.astype(np.float64))


def ssim(images: Images, originals: Images) -> NDArray[np.float64]:
    """Structural similarity of the luminance, (n,): 1 for the same image.

    References
    ----------
    Wang, Bovik, Sheikh & Simoncelli 2004, "Image Quality Assessment: From Error Visibility to
    Structural Similarity": equation 13, with the Gaussian window of 11 pixels of section III.C.
    """
    from skimage.metrics import structural_similarity

    pairs = zip(luminance(images), luminance(originals), strict=True)
    published = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return np.array([structural_similarity(x, y, data_range=1.0, **published) for x, y in pairs])


def sharpness(images: Images) -> float:
    """Variance of the Laplacian of the luminance, averaged over 2x2 pixels first.

    The variance is of an image, the mean over the images. A checkerboard does not count as sharp,
    since the average of 2x2 pixels takes it out (Pech-Pacheco et al. 2000, for the measure).
    """
    bright = luminance(images)
    n, height, width = bright.shape
    bright = bright[:, : height // 2 * 2, : width // 2 * 2]
    halved = bright.reshape(n, height // 2, 2, width // 2, 2).mean((2, 4))
    return float(laplace(halved, axes=(1, 2))[:, 1:-1, 1:-1].var((1, 2)).mean())


def highest_frequencies(images: Images) -> float:
    """Mean power of the luminance at 7/16 cycles a pixel and above, along either axis.

    There a checkerboard lives, which strided transposed convolutions weave (Odena et al. 2016),
    and next to nothing of a photograph.
    """
    bright = luminance(images)
    size_y, size_x = bright.shape[1:]
    window = np.hanning(size_y)[:, None] * np.hanning(size_x)  # else the frame's edges leak in
    power = np.abs(np.fft.fft2(bright * window)) ** 2
    high = np.maximum(np.abs(np.fft.fftfreq(size_y))[:, None], np.abs(np.fft.fftfreq(size_x))[None])
    return float(power[:, high >= _HIGHEST].mean())


def frechet_distance(features: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """How far two sets of features (n, d) and (m, d) lie apart, each taken as a Gaussian.

    References
    ----------
    Dowson & Landau 1982 (the distance of two Gaussians); Heusel et al. 2017,
    "GANs Trained by a Two Time-Scale Update Rule" (https://arxiv.org/abs/1706.08500), equation 6,
    whose features are Inception's: numbers of other features are on another scale.
    """
    a, b = features.astype(np.float64), others.astype(np.float64)
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # tr (A B)^1/2 by the symmetric A^1/2 B A^1/2, which has the same eigenvalues.
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariance_b @ root)
    gap = a.mean(0) - b.mean(0)
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(product.clip(0)).sum()
    return float(gap @ gap + spread)


def _measure_likeness(
    reconstructions: NDArray[np.float32], originals: NDArray[np.float32], split: str
) -> dict[str, Metric]:
    protocol = f"decode(z_mean) against the image; {split} split, {len(originals):,} images"
    of_originals = "as a share of the originals'"
    found = {}
    if min(originals.shape[2:]) >= WINDOW:
        found["ssim"] = (float(ssim(reconstructions, originals).mean()), "1 for the same image")
    for name, measure in (("sharpness", sharpness), ("highest_frequencies", highest_frequencies)):
        there = measure(originals) if min(originals.shape[2:]) >= _SMALLEST else 0
        if there > _PLAIN:  # of plain images nothing is a share
            found[name] = (measure(reconstructions) / there, of_originals)
    return {name: Metric(name, value, unit, protocol) for name, (value, unit) in found.items()}


def _sample(model: Autoencoder, n: int, latent: Mapping[str, np.ndarray]) -> NDArray[np.float32]:
    if latent:
        return decode(model, sample_prior(latent, n, 1.0, SEED))
    z = np.random.default_rng(SEED).standard_normal((n, model.config.latent_dim))
    return decode(model, z.astype(np.float32))


def _read(dataset: ImageDataset, rows: np.ndarray, model: Autoencoder) -> NDArray[np.float32]:
    return dataset.take(rows, model.config.image_size).astype(np.float32) / np.float32(255)
