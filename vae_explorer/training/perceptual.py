"""Perceptual and adversarial losses: two optional terms beside the negative ELBO.

They sharpen reconstructions during training. Neither is part of the model, of its KL term or of
the number that a card calls its ELBO.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vae_explorer.classifiers.network import AttributeClassifier
from vae_explorer.config import TrainConfig
from vae_explorer.training.optim import (
    load_optimizer_state,
    optimizer_state,
    set_learning_rate,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

Network = TypeVar("Network", bound=nn.Module)

PATCH_CHANNELS = (64, 128, 256)
GLOBAL_CHANNELS = (32, 32, 64, 128, 192)
LEAKY_SLOPE = 0.2
DISCRIMINATOR_BETAS = {"patch": (0.5, 0.99), "global": (0.0, 0.99)}
DISCRIMINATOR_RATE = {"patch": 0.5, "global": 1.0}  # of the model's learning rate
PENALTY_WEIGHT = 1 / 64  # γ of R1, about as Karras et al. 2020 suggest for 64 pixels a side
PENALTY_EVERY = 8  # steps
HEAD_START = 0.9  # of `adversarial_start`: from there on the discriminator trains


class PatchDiscriminator(nn.Module):
    """A discriminator of overlapping patches, each 22 pixels wide.

    Three strided convolutions and a linear one, with spectral normalization.

    References
    ----------
    Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"
    (https://arxiv.org/abs/1611.07004), section 3.2.2; Miyato et al. 2018, "Spectral Normalization
    for Generative Adversarial Networks" (https://arxiv.org/abs/1802.05957).
    """

    def __init__(self, image_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = image_channels
        for outputs in PATCH_CHANNELS:  # (n, inputs, s, s) -> (n, outputs, s / 2, s / 2)
            convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
            layers += [spectral_norm(convolution), nn.LeakyReLU(LEAKY_SLOPE)]
            inputs = outputs
        layers.append(spectral_norm(nn.Conv2d(inputs, 1, 3, padding=1)))
        self.body = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, channels, height, width) in [0, 1] to logits (n, 1, h / 8, w / 8)."""
        return self.body(2 * images - 1)


class GlobalDiscriminator(nn.Module):
    """Discriminator of whole images, which texture alone cannot deceive.

    A 3x3 convolution, then strided 4x4 convolutions, at most four and none below 8 pixels, without
    normalization. The logit is a mean over patches plus a linear layer over all features, to which
    the minibatch's standard deviation is appended (Karras et al. 2018, "Progressive Growing of
    GANs", https://arxiv.org/abs/1710.10196, section 3).
    """

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        image_channels, size, _ = image_shape
        inputs, *stages = GLOBAL_CHANNELS
        convolution = nn.Conv2d(image_channels, inputs, 3, padding=1)
        layers: list[nn.Module] = [convolution, nn.LeakyReLU(LEAKY_SLOPE)]
        for outputs in stages:  # (n, inputs, s, s) -> (n, outputs, s / 2, s / 2)
            if size < 8:
                break
            convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
            layers += [convolution, nn.LeakyReLU(LEAKY_SLOPE)]
            inputs, size = outputs, size // 2
        self.body = nn.Sequential(*layers)
        self.patches = nn.Conv2d(inputs, 1, 3, padding=1)
        self.whole = nn.Linear(inputs * size**2 + 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, channels, height, width) in [0, 1] to logits (n,).

        The logits depend on the batch: pass real and reconstructed images in two calls.
        """
        features = self.body(2 * images - 1)
        variation = (features.var(0, correction=0) + 1e-8).sqrt().mean()
        rows = torch.cat([features.flatten(1), variation.expand(len(images), 1)], 1)
        logits: Tensor = self.patches(features).mean((1, 2, 3)) + self.whole(rows)[:, 0]
        return logits


def digest_weights(network: nn.Module) -> str:
    """Return 16 hexadecimal digits that change with any weight of a network."""
    parts = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        parts.update(repr((name, tuple(tensor.shape))).encode())
        parts.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return parts.hexdigest()[:16]


class PerceptualLosses:
    """The feature and adversarial losses of a training, and the discriminator it trains.

    Parameters
    ----------
    config : TrainConfig
        Which terms there are, and their weights.
    image_shape : tuple of int
        (channels, height, width).
    accelerator : Accelerator
        Of the training.

    Raises
    ------
    CheckpointError
        If the classifier is missing or broken.
    """

    def __init__(
        self, config: TrainConfig, image_shape: tuple[int, int, int], accelerator: Accelerator
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.classifier: AttributeClassifier | None = None
        self.classifier_digest = ""
        """`digest_weights` of the classifier; empty where there is none."""
        self.discriminator: nn.Module | None = None
        if config.feature_weight:
            from vae_explorer.classifiers.storage import load_classifier

            classifier = load_classifier(config.feature_network).to(accelerator.device)
            self.classifier = _channels_last(classifier)
            self.classifier_digest = digest_weights(classifier)
        if config.adversarial_weight:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                discriminator: nn.Module = (
                    GlobalDiscriminator(image_shape)
                    if config.discriminator == "global"
                    else PatchDiscriminator(image_shape[0])
                ).to(accelerator.device)
            self.discriminator = _channels_last(discriminator)
            self.discriminator_network = accelerator.prepare(discriminator)
            """The discriminator, wrapped where there are several processes."""
            self.optimizer = torch.optim.Adam(
                discriminator.parameters(),
                lr=config.learning_rate,
                betas=DISCRIMINATOR_BETAS[config.discriminator],
            )

    def penalty(self, reconstructions: Tensor, images: Tensor, progress: float) -> Tensor:
        """Return what is added to the model's loss, a scalar in nats per image.

        Parameters
        ----------
        reconstructions, images : Tensor, (n, channels, height, width)
            In [0, 1].
        progress : float
            Share of the training's steps that are done.
        """
        total = self.feature_penalty(reconstructions, images)
        if self.discriminator is not None and progress >= self.config.adversarial_start:
            self.discriminator.requires_grad_(False)  # this pass trains the model alone
            # Not the wrapped one, which would wait for gradients of the other processes.
            fake = self.discriminator(reconstructions)
            is_global = self.config.discriminator == "global"
            loss = logistic_generator_loss(fake) if is_global else hinge_generator_loss(fake)
            total = total + self.config.adversarial_weight * loss
        return total

    def feature_penalty(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Return the feature loss in nats per image; zero where it is not used."""
        if self.classifier is None:
            return torch.zeros((), device=images.device)
        with torch.no_grad():
            targets = self.classifier.features(images, self.config.feature_layers)
        features = self.classifier.features(reconstructions, self.config.feature_layers)
        return self.config.feature_weight * feature_distance(features, targets)

    def train_discriminator(
        self,
        reconstructions: Tensor,
        images: Tensor,
        progress: float,
        learning_rate: float,
        *,
        step: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Take a step of the discriminator, if there is one, on a step's images.

        It starts a little before its loss counts, so that its first gradients are not noise.

        Parameters
        ----------
        reconstructions, images : Tensor, (n, channels, height, width)
            In [0, 1].
        progress : float
            Share of the training's steps that are done.
        learning_rate : float
            Of the model in this step.
        step : int
            Steps that are done: every eighth has the gradient penalty of the global discriminator.
        weight : float
            Of this process's shard of the batch; see `Processes.weight`.
        """
        if self.discriminator is None or progress < self.config.adversarial_start * HEAD_START:
            return
        set_learning_rate(
            self.optimizer, DISCRIMINATOR_RATE[self.config.discriminator] * learning_rate
        )
        self.discriminator.requires_grad_(True)
        reconstructions = reconstructions.detach()
        if self.config.discriminator == "global":
            loss = self._global_loss(reconstructions, images, step)
        else:
            logits = self.discriminator_network(torch.cat([images, reconstructions]))
            loss = hinge_discriminator_loss(*logits.chunk(2))
        self.optimizer.zero_grad()
        self.accelerator.backward(weight * loss)
        self.optimizer.step()

    def _global_loss(self, reconstructions: Tensor, images: Tensor, step: int) -> Tensor:
        """Return the logistic loss, with R1 every `PENALTY_EVERY` steps, weighted up by that.

        Lazy regularization: Karras et al. 2020, https://arxiv.org/abs/1912.04958, appendix B. The
        gradient is with respect to values in [0, 1].
        """
        network = self.discriminator_network
        loss = logistic_discriminator_loss(network(images), network(reconstructions))
        if step % PENALTY_EVERY == 0:
            images = images.detach().requires_grad_()
            with torch.autocast(images.device.type, enabled=False):  # too delicate for bf16
                penalty = gradient_penalty(network(images), images)
            loss = loss + PENALTY_EVERY * PENALTY_WEIGHT / 2 * penalty
        return loss

    def state_dict(self) -> dict[str, Tensor]:
        """Return the discriminator's weights and its optimizer's state, by name."""
        if self.discriminator is None:
            return {}
        weights = self.discriminator.state_dict()
        return {f"weights.{name}": tensor for name, tensor in weights.items()} | {
            f"adam.{name}": tensor for name, tensor in optimizer_state(self.optimizer).items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        if self.discriminator is None:
            return
        self.discriminator.load_state_dict(_below("weights.", state))
        load_optimizer_state(self.optimizer, _below("adam.", state))


def _channels_last(network: Network) -> Network:
    """Change the memory format of all convolutions, also spectrally normalized ones."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}


def feature_distance(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return the distance of two batches' features, layer by layer.

    Parameters
    ----------
    features, targets : sequence of Tensor, (n, channels, height, width)
        Activations of a fixed classifier on the reconstructions, and on the images.

    Returns
    -------
    Tensor
        Scalar: the mean squared difference of each layer, divided by the mean square of its
        targets, summed over the layers. Features of zero give 1 per layer; targets of zero, which
        have no scale, count as they are.

    References
    ----------
    Hou, Shen, Sun & Qiu 2017, "Deep Feature Consistent Variational Autoencoder"
    (https://arxiv.org/abs/1610.00291), equation 4; here each layer is normalized.
    """
    distances = []
    for ours, theirs in zip(features, targets, strict=True):
        scale = theirs.float().square().mean()
        scale = torch.where(scale > 0, scale, 1)
        distances.append((ours.float() - theirs.float()).square().mean() / scale)
    return torch.stack(distances).sum()


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the hinge loss of a discriminator: logits above 1 if real, below -1 if fake.

    Returns
    -------
    Tensor
        Scalar, the mean over patches.

    References
    ----------
    Lim & Ye 2017, "Geometric GAN" (https://arxiv.org/abs/1705.02894).
    """
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def hinge_generator_loss(fake: Tensor) -> Tensor:
    """Return the adversarial loss of a decoder: minus the mean logit of its patches, a scalar.

    References
    ----------
    Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric"
    (https://arxiv.org/abs/1512.09300), where a VAE's decoder is the generator.
    """
    return -fake.float().mean()


def logistic_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the logistic loss of a discriminator: logits are log-odds of an image being real.

    Returns
    -------
    Tensor
        Scalar: softplus(-real) + softplus(fake), each a mean over its images.

    References
    ----------
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, equation 1 (as cross-entropy).
    """
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def logistic_generator_loss(fake: Tensor) -> Tensor:
    """Return the non-saturating adversarial loss of a decoder: the mean of softplus(-fake).

    References
    ----------
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 3.
    """
    return F.softplus(-fake.float()).mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Return R1: the mean squared norm of a discriminator's gradient at real images.

    Parameters
    ----------
    logits : Tensor, (n,)
        Of the images, with the graph that leads back to them.
    images : Tensor, (n, channels, height, width)
        Real images that require their gradient.

    Returns
    -------
    Tensor
        Scalar: squares summed over the values of an image, averaged over images; differentiable
        in the discriminator's weights.

    References
    ----------
    Mescheder, Geiger & Nowozin 2018, "Which Training Methods for GANs do actually Converge?"
    (https://arxiv.org/abs/1801.04406), equation 9, without its γ / 2.
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    return gradient.float().square().flatten(1).sum(1).mean()
