"""Pivotal tuning: z optimised for some images, then a copy of the decoder fine-tuned to them.

The encoder's guess of z is not the best one for an image (the amortisation gap; Cremer, Li &
Duvenaud 2018, https://arxiv.org/abs/1801.03558). And no z of a trained decoder gives a face that it
has never seen exactly. Both are mended per image: first z (as in Kim et al. 2018,
https://arxiv.org/abs/1802.02550), then, with z fixed, the decoder (Roich, Mokady, Bermano &
Cohen-Or 2021, "Pivotal Tuning for Latent-based Editing of Real Images",
https://arxiv.org/abs/2106.05744).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.errors import CancelledError
from vae_explorer.inference import decode, encode
from vae_explorer.models import Autoencoder, Decoder
from vae_explorer.random_streams import RandomStream, stream

Progress = Callable[[float], object]

_Z_RATE, _Z_BETAS, _Z_VARIANCE, _PULL = 0.2, (0.8, 0.99), 0.04, 0.15
"""Of the search for z: Adam's first rate and betas, the variance of a pixel, the weight of ‖z‖²."""
_FIRST_RATE, _RATE, _BETAS = 0.25, 1e-3, (0.9, 0.99)
"""Of the tuning: Adam's rate for the first layer, in standard deviations of what it gives; for the
weights of the others; and its betas."""
_FIRST_STEPS = 30
"""Steps in which the first layer is tuned alone. That changes other images least."""
_LATER = 0.3  # share of its rate that the first layer keeps after these steps
_WARMUP = 10  # steps
_LEAST_ERROR = 1e-10  # mean squared: 100 dB
_MOST_OTHERS = 4  # latents a step by which the decoder is kept as it was


@dataclass(frozen=True, eq=False)
class TunedFaces:
    """What tuning to some images gave. It holds traces of them: keep it where they may be kept."""

    z: NDArray[np.float32]
    """(n, latent_dim): the optimised latents, the pivots."""
    model: Autoencoder
    """The checkpoint's encoder with the tuned decoder, in eval mode and frozen, on the CPU."""
    psnr: dict[str, NDArray[np.float64]]
    """Peak signal-to-noise ratio in dB (n,), after each stage: "encoder", "z", "decoder"."""

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decode latents (n, latent_dim) to images (n, channels, height, width) in [0, 1]."""
        return decode(self.model, z)


def tune_to_faces(
    checkpoint: Checkpoint,
    images: NDArray[np.float32],
    *,
    z_steps: int = 20,
    decoder_steps: int = 300,
    target: float = 33.0,
    locality: float = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> TunedFaces:
    """Tune a model to some images, so that it reconstructs these almost exactly.

    The checkpoint is not changed. It works for any model of images; the constants suit faces. On
    busy cores one thread (`torch.set_num_threads(1)`) is the fastest.

    Parameters
    ----------
    checkpoint : Checkpoint
    images : ndarray of float32 (n, channels, height, width)
        In [0, 1], of the model's size; n is at least 1. Time grows with n, and so does the number
        of steps until all images reach the target.
    z_steps, decoder_steps : int
        Steps of Adam: the search for z takes all of them, the tuning of the decoder at most.
    target : float
        PSNR in dB. The decoder is tuned no further once each image reaches it.
    locality : float
        Weight of the squared error that keeps the decoder as it was for random z (Roich et al.,
        section 3.3); 0 leaves the term out.
    seed : int
        Of these random z.
    progress : callable (share), optional
        Called with the share that is done; it rises from 0 to 1, and is 1 at the end.
    is_cancelled : callable, optional
        Asked before each step.

    Returns
    -------
    TunedFaces

    Raises
    ------
    ValueError
        If the images have another dtype or shape, are not finite, or none.
    CancelledError
        If `is_cancelled` says so.
    """
    model = checkpoint.model
    z_mean, _ = encode(model, images)  # checks the images
    if len(images) == 0:
        raise ValueError("Tuning needs at least one image; found none.")
    steps = _Steps(z_steps + decoder_steps, progress, is_cancelled)
    targets = torch.from_numpy(np.array(images))
    z = _optimize_z(model, torch.from_numpy(z_mean), targets, z_steps, steps)
    tuned = copy.copy(model)
    tuned._modules = {**model._modules}  # the encoder stays shared
    others = _Others(checkpoint, min(len(images), _MOST_OTHERS), seed)
    tuned.decoder = _tune_decoder(
        model.decoder,
        z,
        targets,
        others,
        steps,
        count=decoder_steps,
        target=target,
        locality=locality,
    )
    pivots = z.numpy()
    psnr = {
        "encoder": _psnr(decode(model, z_mean), images),
        "z": _psnr(decode(model, pivots), images),
        "decoder": _psnr(decode(tuned, pivots), images),
    }
    steps.finish()
    return TunedFaces(pivots, tuned, psnr)


class _Steps:
    """Counts steps, reports them, and asks whether to end."""

    def __init__(
        self, total: int, progress: Progress | None, is_cancelled: Callable[[], bool]
    ) -> None:
        self._done, self._total = 0, total
        self._progress, self._is_cancelled = progress, is_cancelled

    def take(self) -> None:
        if self._is_cancelled():
            raise CancelledError("The tuning was cancelled, and nothing was kept. Start it again.")
        self._report(self._done / self._total)
        self._done += 1

    def finish(self) -> None:
        self._report(1.0)

    def _report(self, share: float) -> None:
        if self._progress is not None:
            self._progress(share)


class _Others:
    """Random latents, with what the decoder makes of them before it is tuned.

    Roich et al. (equation 3) take latents at a fixed distance from a pivot. Here, where z has a
    prior, such latents near the pivots leave samples of the prior unprotected.
    """

    def __init__(self, checkpoint: Checkpoint, count: int, seed: int) -> None:
        self._decoder = checkpoint.model.decoder
        self._random = stream(seed, RandomStream.TUNING_LOCALITY)
        self._shape = count, checkpoint.model.config.latent_dim
        # A plain autoencoder has no prior, but encodings.
        has_prior = checkpoint.model.config.kind == "vae"
        self._encodings = None if has_prior else checkpoint.encodings.z_mean

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return latents (count, latent_dim) and their images by the decoder as it was."""
        if self._encodings is None:
            z = self._random.standard_normal(self._shape, dtype=np.float32)
        else:
            z = self._encodings[self._random.integers(len(self._encodings), size=self._shape[0])]
        latents = torch.from_numpy(z)
        with torch.no_grad():
            return latents, torch.sigmoid(self._decoder(latents))


def _optimize_z(
    model: Autoencoder, start: Tensor, targets: Tensor, count: int, steps: _Steps
) -> Tensor:
    """Descend from the encoder's guess: squared error of the pixels and the prior's pull.

    Each image keeps the z at which its error was least, so that none ends worse than it began.
    """
    pull = _PULL if model.config.kind == "vae" else 0.0
    z = start.clone().requires_grad_()
    best, least = start.clone(), torch.full((len(start),), math.inf)
    optimizer = torch.optim.Adam([z], lr=_Z_RATE, betas=_Z_BETAS)

    def measure() -> Tensor:
        errors = (torch.sigmoid(model.decoder(z)) - targets).square().sum(dim=(1, 2, 3))
        better = errors.detach() < least
        best[better], least[better] = z.detach()[better], errors.detach()[better]
        return errors.sum()

    for step in range(count):
        steps.take()
        optimizer.param_groups[0]["lr"] = _Z_RATE * (1 - 0.9 * step / count)
        optimizer.zero_grad()
        (measure() / _Z_VARIANCE + pull * z.square().sum()).backward(inputs=[z])
        optimizer.step()
    with torch.no_grad():
        measure()
    return best


def _tune_decoder(
    original: Decoder,
    z: Tensor,
    targets: Tensor,
    others: _Others,
    steps: _Steps,
    *,
    count: int,
    target: float,
    locality: float,
) -> Decoder:
    """Return a tuned copy of a decoder, in eval mode: batch normalisation stays as it is.

    The change of the first layer is ΔW = Aᵀ P, where the rows of P are the pivots p = (z, 1), each
    divided by ‖p‖², and A is learned. At z' the output changes by A's rows times p·p' / ‖p‖²: fully
    at the pivots and at edits of them, but for random z' in many dimensions hardly, because they
    are nearly orthogonal to p. Gradient descent on W stays in the same span; Adam leaves it.
    """
    decoder = copy.deepcopy(original).requires_grad_(False)
    first, rest = decoder.body[0], nn.Sequential(*list(decoder.body)[1:])
    assert isinstance(first, nn.Linear)
    pivots = _with_one(z)
    shares = pivots / pivots.square().sum(dim=1, keepdim=True)
    # Pivots that are more than dimensions, or alike, would add up their steps.
    shares /= torch.linalg.matrix_norm(pivots @ shares.T, 2).clamp(min=1.0)
    with torch.no_grad():
        first_rate = _FIRST_RATE * float(first(z).std())
    changes = torch.zeros(len(z), first.out_features, requires_grad=True)
    weights = [
        layer.weight for layer in rest if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)
    ]
    groups = [{"params": [changes], "lr": first_rate}, {"params": weights, "lr": 0.0}]
    optimizer = torch.optim.Adam(groups, betas=_BETAS, fused=True)

    def reconstruct(latents: Tensor) -> Tensor:
        features = first(latents) + _with_one(latents) @ shares.T @ changes
        return torch.sigmoid(rest(features))

    for step in range(count):
        steps.take()
        later = step - _FIRST_STEPS
        ending = min(1.0, 4 * (1 - step / count))  # no leap may be the last step
        optimizer.param_groups[0]["lr"] = first_rate * ending * (1.0 if later < 0 else _LATER)
        if later >= 0:
            optimizer.param_groups[1]["lr"] = _RATE * min(ending, (later + 1) / _WARMUP)
        for weight in weights:
            weight.requires_grad_(later >= 0)
        optimizer.zero_grad()
        drift = torch.zeros(())
        if locality and later >= 0:
            near, before = others.draw()
            images, after = reconstruct(torch.cat([z, near])).split([len(z), len(near)])
            drift = locality * (after - before).square().sum() * (len(z) / len(near))
        else:
            images = reconstruct(z)
        errors = (images - targets).square()
        worst = errors.detach().mean(dim=(1, 2, 3)).max()
        if -10 * math.log10(max(float(worst), _LEAST_ERROR)) >= target:
            break
        ((errors.sum() + drift) / len(z)).backward()
        optimizer.step()
    with torch.no_grad():
        change = changes.T @ shares
        first.weight.add_(change[:, :-1])
        first.bias.add_(change[:, -1])
    for weight in weights:
        weight.requires_grad_(False)
    return decoder


def _with_one(z: Tensor) -> Tensor:
    return torch.cat([z, torch.ones(len(z), 1)], dim=1)


def _psnr(images: NDArray[np.float32], originals: NDArray[np.float32]) -> NDArray[np.float64]:
    errors = np.square(np.asarray(images, np.float64) - originals).mean(axis=(1, 2, 3))
    return -10 * np.log10(np.maximum(errors, _LEAST_ERROR))
