"""Metrics of a model card: ELBO terms, reconstruction error, active units, IWAE bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_explorer.checkpoints.card import Metric
from vae_explorer.encodings import Encodings, encode_dataset
from vae_explorer.evaluation.image_quality import measure_image_quality
from vae_explorer.losses import gaussian_constant, kl_divergence, reconstruction_nll
from vae_explorer.models import Autoencoder, reparameterize

if TYPE_CHECKING:
    from vae_explorer.classifiers.network import AttributeClassifier
    from vae_explorer.data import ImageDataset

BATCH = 250
ACTIVE_VARIANCE = 0.01
PERCENTILES = range(0, 101, 5)
"""Of the squared error, so that a page can say how usual an image's is."""


class Evaluation(NamedTuple):
    """What a model does with images it has not seen."""

    metrics: dict[str, Metric]
    encodings: Encodings


def evaluate(
    model: Autoencoder,
    dataset: ImageDataset,
    *,
    latent: Mapping[str, np.ndarray] = MappingProxyType({}),
    evaluation_classifier: AttributeClassifier | None = None,
    importance_samples: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Measure a model on the held-out split of a data set.

    Parameters
    ----------
    model : Autoencoder
        In eval mode.
    dataset : ImageDataset
        Its held-out split is used whole.
    latent : mapping of str to ndarray
        A checkpoint's arrays about its latent space, whose fitted prior is evaluated.
    evaluation_classifier : AttributeClassifier, optional
        Its pooled features compare colour images; see `vae_explorer.evaluation.image_quality`.
    importance_samples : int
        Posterior samples per image for the importance-weighted bound; 0 leaves it out.
    seed : int
        Seeds the posterior samples.

    Returns
    -------
    Evaluation
        Metrics by name, each with its unit and protocol, and the encodings of the split.

    References
    ----------
    Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders"
    (https://arxiv.org/abs/1509.00519): the bound, equation 8; active units, section 5.2.
    """
    rows = dataset.rows(dataset.held_out)
    encodings = encode_dataset(model, dataset, rows)
    protocol = f"{dataset.held_out} split, {len(rows):,} images"
    metrics = _reconstruction_metrics(model, dataset, encodings, seed, protocol)
    if encodings.z_log_var is not None:
        metrics |= _posterior_metrics(encodings, metrics["reconstruction"].value, protocol)
        if importance_samples:
            bound = _importance_weighted_bound(model, dataset, encodings, importance_samples, seed)
            metrics["importance_weighted_nll"] = Metric(
                "importance_weighted_nll",
                bound,
                "nats per image",
                f"{protocol}, k = {importance_samples} posterior samples an image, seed {seed}",
            )
    if model.config.image_channels == 3:
        metrics |= measure_image_quality(model, dataset, encodings, latent, evaluation_classifier)
    return Evaluation(metrics, encodings)


def _reconstruction_metrics(
    model: Autoencoder, dataset: ImageDataset, encodings: Encodings, seed: int, protocol: str
) -> dict[str, Metric]:
    config = model.config
    nll, squared_error = [], []
    with torch.inference_mode():
        for images, z_mean, z_log_var, generator in _batches(model, dataset, encodings, seed):
            z = z_mean if z_log_var is None else reparameterize(z_mean, z_log_var, generator)
            nll.append(reconstruction_nll(model.decoder(z), images, config))
            error = (model.decode(z_mean) - images).square()
            squared_error.append(error.flatten(1).sum(1))
    errors = torch.cat(squared_error).double()
    pixels = math.prod(config.image_shape)
    ratios = -10 * torch.log10(errors / pixels)
    finite = ratios[~torch.isinf(ratios)]  # a reconstruction without any error has no PSNR
    exact = len(ratios) - len(finite)
    averaged = f"averaged over images, without {exact} exact ones" if exact else "then averaged"
    sampling = f"one posterior sample an image, seed {seed}"
    if encodings.z_log_var is None:
        sampling = "from z_mean"
    if config.likelihood == "gaussian":
        constant = gaussian_constant(pixels, config.variance)
        sampling += f"; without the Gaussian's constant of {constant:.1f} nats"
    return {
        metric.name: metric
        for metric in (
            Metric(
                "reconstruction",
                float(torch.cat(nll).double().mean()),
                "nats per image",
                f"-log p(x|z), {config.likelihood}; {protocol}, {sampling}",
            ),
            Metric(
                "squared_error",
                float(errors.mean()),
                "squared pixel values in [0, 1], summed per image",
                f"decode(z_mean) against the image; {protocol}",
            ),
            Metric("psnr", float(finite.mean()), "dB", f"per image, {averaged}; {protocol}"),
            Metric(
                "squared_error_percentiles",
                tuple(np.percentile(errors.cpu().numpy(), PERCENTILES).tolist()),
                "squared pixel values in [0, 1], summed per image",
                f"0th, 5th ... 100th; decode(z_mean) against the image; {protocol}",
            ),
        )
        if metric.name != "psnr" or len(finite)
    }


def _posterior_metrics(
    encodings: Encodings, reconstruction: float | tuple[float, ...], protocol: str
) -> dict[str, Metric]:
    assert encodings.z_log_var is not None and isinstance(reconstruction, float)
    z_mean = torch.from_numpy(encodings.z_mean).double()
    z_log_var = torch.from_numpy(encodings.z_log_var).double()
    kl_per_dimension = kl_divergence(z_mean, z_log_var).mean(0)
    kl = float(kl_per_dimension.sum())
    active = int((z_mean.var(0, correction=min(1, len(z_mean) - 1)) > ACTIVE_VARIANCE).sum())
    return {
        metric.name: metric
        for metric in (
            Metric(
                "negative_elbo",
                reconstruction + kl,
                "nats per image",
                f"reconstruction + kl, that is β = 1; {protocol}",
            ),
            Metric("kl", kl, "nats per image", f"KL(q(z|x) || N(0, I)), closed form; {protocol}"),
            Metric(
                "kl_per_dimension",
                tuple(kl_per_dimension.tolist()),
                "nats per image",
                f"the terms of kl, in the order of z; {protocol}",
            ),
            Metric(
                "active_units",
                float(active),
                f"of {z_mean.shape[1]} latent dimensions",
                f"variance of z_mean over the images above {ACTIVE_VARIANCE}; {protocol}",
            ),
        )
        if metric.name != "active_units" or len(z_mean) > 1  # a single one has no variance
    }


def _importance_weighted_bound(
    model: Autoencoder, dataset: ImageDataset, encodings: Encodings, samples: int, seed: int
) -> float:
    """-log (1 / k) Σ p(x|z_i) p(z_i) / q(z_i|x), averaged over the images."""
    bounds = []
    with torch.inference_mode():
        for images, z_mean, z_log_var, generator in _batches(model, dataset, encodings, seed):
            assert z_log_var is not None
            log_weights = []
            for _ in range(samples):
                z = reparameterize(z_mean, z_log_var, generator)
                log_likelihood = -reconstruction_nll(model.decoder(z), images, model.config)
                # The normalisers of p(z) and q(z|x) cancel but for σ.
                noise = (z - z_mean).square() / z_log_var.exp()
                log_ratio = 0.5 * (noise + z_log_var - z.square()).sum(1)
                log_weights.append(log_likelihood + log_ratio)
            bounds.append(math.log(samples) - torch.logsumexp(torch.stack(log_weights), 0))
    return float(torch.cat(bounds).double().mean())


def _batches(
    model: Autoencoder, dataset: ImageDataset, encodings: Encodings, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None, torch.Generator]]:
    """Yield (images, z_mean, z_log_var, generator) on the model's device, batch by batch."""
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)

    def on_device(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device)

    for start in range(0, len(encodings.row_id), BATCH):
        batch = slice(start, start + BATCH)
        pixels = dataset.take(encodings.row_id[batch], model.config.image_size)
        z_log_var = None if encodings.z_log_var is None else on_device(encodings.z_log_var[batch])
        images = (on_device(pixels).float() / 255).contiguous(memory_format=torch.channels_last)
        yield images, on_device(encodings.z_mean[batch]), z_log_var, generator
