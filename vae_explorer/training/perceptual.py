"""What makes reconstructions look right to an eye, beside the likelihood: two optional terms.

Both are added to the negative ELBO while a model trains; neither is part of the model, of its KL
term or of the number that a card calls its ELBO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vae_explorer.config import TrainConfig
from vae_explorer.training.optim import read_moments, restore_moments

if TYPE_CHECKING:
    from accelerate import Accelerator

Network = TypeVar("Network", bound=nn.Module)

PATCH_CHANNELS = (64, 128, 256)
LEAKY_SLOPE = 0.2
DISCRIMINATOR_BETAS = (0.5, 0.99)
DISCRIMINATOR_RATE = 0.5  # of the model's learning rate
HEAD_START = 0.9  # of the steps before it is listened to, the discriminator only waits


class PatchDiscriminator(nn.Module):
    """Says of each patch of an image whether it is real (Isola et al. 2017, section 3.2.2).

    Three strided convolutions, spectrally normalised (Miyato et al. 2018): a patch is 22 pixels
    wide.
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


class Perception:
    """The terms of one training, and the discriminator that learns beside it.

    Parameters
    ----------
    config : TrainConfig
        Says which terms there are, and what they weigh.
    image_channels : int
    accelerator : Accelerator
        Of the training.

    Raises
    ------
    CheckpointError
        If the classifier is not there, or broken.
    """

    def __init__(self, config: TrainConfig, image_channels: int, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.classifier = self.discriminator = None
        if config.feature_weight:
            from vae_explorer.classifiers.storage import load_classifier

            classifier = load_classifier(config.feature_network).to(accelerator.device)
            self.classifier = _channels_last(classifier)
        if config.adversarial_weight:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                raw = PatchDiscriminator(image_channels).to(accelerator.device)
            self.raw = _channels_last(raw)
            self.discriminator = accelerator.prepare(raw)
            self.optimizer = torch.optim.Adam(
                raw.parameters(), lr=config.learning_rate, betas=DISCRIMINATOR_BETAS
            )

    def penalty(self, reconstructions: Tensor, images: Tensor, progress: float) -> Tensor:
        """Return what is added to the loss, a scalar in nats per image.

        Parameters
        ----------
        reconstructions, images : Tensor, (n, channels, height, width)
            In [0, 1].
        progress : float
            Share of the run's steps that are done.
        """
        total = self.feature_penalty(reconstructions, images)
        if self.discriminator is not None and progress >= self.config.adversarial_start:
            for parameter in self.raw.parameters():
                parameter.requires_grad_(False)  # only the decoder learns by this pass
            fake = self.raw(reconstructions)  # no process waits here for the others
            total = total + self.config.adversarial_weight * hinge_generator_loss(fake)
        return total

    def feature_penalty(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Return the features' part of it; zero where there is none."""
        if self.classifier is None:
            return torch.zeros((), device=images.device)
        with torch.no_grad():
            targets = self.classifier.features(images, self.config.feature_layers)
        features = self.classifier.features(reconstructions, self.config.feature_layers)
        return self.config.feature_weight * feature_distance(features, targets)

    def learn(
        self,
        reconstructions: Tensor,
        images: Tensor,
        progress: float,
        learning_rate: float,
        *,
        weight: float = 1.0,
    ) -> None:
        """Let the discriminator learn from the step's images and reconstructions.

        It begins a little before it is listened to, so that its first word is not noise. The
        weight is that of this process's share of the step; see `Processes`.
        """
        if self.discriminator is None or progress < self.config.adversarial_start * HEAD_START:
            return
        for group in self.optimizer.param_groups:
            group["lr"] = DISCRIMINATOR_RATE * learning_rate
        for parameter in self.raw.parameters():
            parameter.requires_grad_(True)
        logits = self.discriminator(torch.cat([images, reconstructions.detach()]))
        real, fake = logits.chunk(2)
        self.optimizer.zero_grad()
        self.accelerator.backward(weight * hinge_discriminator_loss(real, fake))
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Return the discriminator's weights and its optimizer's moments, by name."""
        if self.discriminator is None:
            return {}
        weights = {f"weights.{name}": tensor for name, tensor in self.raw.state_dict().items()}
        return weights | {f"adam.{name}": t for name, t in read_moments(self.optimizer).items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` returned."""
        if self.discriminator is None:
            return
        self.raw.load_state_dict(_below("weights.", state))
        restore_moments(self.optimizer, _below("adam.", state))


def _channels_last(network: Network) -> Network:
    """Lay weights out for the faster convolutions, also spectrally normalised ones."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}


def feature_distance(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """How far the features of two batches of images lie apart, layer by layer.

    Parameters
    ----------
    features, targets : sequence of Tensor, (n, channels, height, width)
        Activations of a fixed network on the reconstructions, and on the images.

    Returns
    -------
    Tensor
        Scalar: of each layer the mean squared difference over the mean square of the targets',
        summed over the layers. 1 a layer is what features of zero give.

    References
    ----------
    Hou, Shen, Sun & Qiu 2017, "Deep Feature Consistent Variational Autoencoder"
    (https://arxiv.org/abs/1610.00291), equation 4, here with each layer on one scale.
    """
    distances = [
        (ours.float() - theirs.float()).square().mean() / theirs.float().square().mean()
        for ours, theirs in zip(features, targets, strict=True)
    ]
    return torch.stack(distances).sum()


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What a discriminator minimises: its logits above 1 for real patches, below -1 for others.

    Returns
    -------
    Tensor
        Scalar, the mean over patches (Lim & Ye 2017, https://arxiv.org/abs/1705.02894; for
        patches, Isola et al. 2017, https://arxiv.org/abs/1611.07004).
    """
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def hinge_generator_loss(fake: Tensor) -> Tensor:
    """What a decoder minimises against it: minus the mean logit of its patches, a scalar.

    For a VAE whose decoder is trained against a discriminator: Larsen et al. 2016
    (https://arxiv.org/abs/1512.09300).
    """
    return -fake.float().mean()
