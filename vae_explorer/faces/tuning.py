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
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.errors import VaeExplorerError as CancelledError
from vae_explorer.inference import decode, encode
from vae_explorer.models import Autoencoder
from vae_explorer.random_streams import RandomStream, stream
from vae_explorer.sampling import sample_latents

Progress = Callable[[float], object]

_Z_RATE, _Z_VARIANCE, _PULL = 0.05, 0.04, 0.15
"""Of the search for z: Adam's rate, the variance of a pixel, and the weight of ‖z‖²."""
_DECODER_RATE, _DECODER_VARIANCE = 5e-4, 0.01
_LOCALITY_DISTANCE = 5.0  # Roich et al. (eq. 3) call it α: how far from a pivot others stay as is
_CHECK_EVERY = 10  # steps


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
    z_steps: int = 50,
    decoder_steps: int = 100,
    target: float = 34.0,
    locality: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> TunedFaces:
    """Tune a model to some images, so that it reconstructs these almost exactly.

    The checkpoint is not changed. Works for any model of images; the constants suit faces.

    Parameters
    ----------
    checkpoint : Checkpoint
    images : ndarray of float32 (n, channels, height, width)
        In [0, 1], of the model's size; n is at least 1.
    z_steps, decoder_steps : int
        Steps of Adam: at most, of both searches.
    target : float
        PSNR in dB. The decoder is tuned no further once each image reaches it.
    locality : float
        Weight of the term that keeps the decoder as it was for other z (Roich et al., eq. 3).
    seed : int
        Of these other z.
    progress : callable (share), optional
        Called with the share that is done, from 0 to 1.
    is_cancelled : callable, optional
        Asked between steps.

    Returns
    -------
    TunedFaces

    Raises
    ------
    ValueError
        If the images have another dtype or shape, or are not finite.
    CancelledError
        If `is_cancelled` says so.
    """
    model = checkpoint.model
    z_mean, _ = encode(model, images)  # checks the images
    if len(images) == 0:
        raise ValueError("Tuning takes at least one image; found none.")
    steps = _Steps(z_steps + decoder_steps, progress, is_cancelled)
    targets = torch.from_numpy(np.array(images))
    psnr = {"encoder": _psnr(decode(model, z_mean), images)}
    z = _optimize_z(model, torch.from_numpy(z_mean), targets, z_steps, steps)
    pivots = z.numpy()
    psnr["z"] = _psnr(decode(model, pivots), images)
    tuned = copy.copy(model)
    tuned._modules = {**model._modules}  # the encoder stays shared
    tuned.decoder = copy.deepcopy(model.decoder)
    others = _Others(checkpoint, z, seed)
    _tune_decoder(tuned.decoder, z, targets, decoder_steps, target, locality, others, steps)
    psnr["decoder"] = _psnr(decode(tuned, pivots), images)
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
            raise CancelledError("The tuning was cancelled.")
        self._done += 1
        if self._progress is not None:
            self._progress(self._done / self._total)


class _Others:
    """Latents near the pivots, with what the decoder made of them before (Roich et al., eq. 3)."""

    def __init__(self, checkpoint: Checkpoint, pivots: Tensor, seed: int) -> None:
        self._decoder = checkpoint.model.decoder
        self._pivots = pivots
        self._random = stream(seed, RandomStream.TUNING_LOCALITY)
        self._latent_dim = pivots.shape[1]

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """Return z (n, latent_dim) and their images by the decoder as it was."""
        samples = torch.from_numpy(
            self._random.standard_normal((n, self._latent_dim), dtype=np.float32)
        )
        with torch.no_grad():
            return samples, torch.sigmoid(self._decoder(samples))


def _optimize_z(
    model: Autoencoder, start: Tensor, targets: Tensor, count: int, steps: _Steps
) -> Tensor:
    """Descend from the encoder's guess: squared error of the pixels and the prior's pull."""
    z = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=_Z_RATE)
    for _ in range(count):
        steps.take()
        optimizer.zero_grad()
        errors = F.mse_loss(torch.sigmoid(model.decoder(z)), targets, reduction="sum")
        (errors / _Z_VARIANCE + _PULL * z.square().sum()).backward()
        optimizer.step()
    return z.detach()


def _tune_decoder(
    decoder: nn.Module,
    z: Tensor,
    targets: Tensor,
    count: int,
    target: float,
    locality: float,
    others: _Others,
    steps: _Steps,
) -> None:
    """Fine-tune a decoder in place, in eval mode: batch normalisation keeps its statistics."""
    decoder.requires_grad_(True)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=_DECODER_RATE)
    for _ in range(count):
        steps.take()
        optimizer.zero_grad()
        if locality:
            near, before = others.draw(len(z))
            images = torch.sigmoid(decoder(torch.cat([z, near])))
            drift = F.mse_loss(images[len(z) :], before, reduction="sum")
            images = images[: len(z)]
        else:
            images, drift = torch.sigmoid(decoder(z)), torch.zeros(())
        errors = (images - targets).square().sum(dim=(1, 2, 3))
        ((errors.sum() + locality * drift) / _DECODER_VARIANCE / len(z)).backward()
        optimizer.step()
    decoder.requires_grad_(False)


def _psnr(images: NDArray[np.float32], originals: NDArray[np.float32]) -> NDArray[np.float64]:
    errors = np.square(np.asarray(images, np.float64) - originals).mean(axis=(1, 2, 3))
    return -10 * np.log10(np.maximum(errors, 1e-10))
