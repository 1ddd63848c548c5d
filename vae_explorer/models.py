"""Models: convolutional and MLP encoders and decoders, autoencoder and VAE.

One configurable convolutional network and one MLP; `ModelConfig` says which. The encoder holds
the heads for `z_mean` and `z_log_var`, the decoder ends in logits.

References
----------
Kingma & Welling 2014, "Auto-Encoding Variational Bayes" (https://arxiv.org/abs/1312.6114).
Rezende, Mohamed & Wierstra 2014 (https://arxiv.org/abs/1401.4082).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_explorer.config import ModelConfig

LEAKY_SLOPE = 0.3  # Keras 2's default, which the published face model was trained with


class ModelOutput(NamedTuple):
    """One forward pass: n images through the bottleneck and back."""

    logits: Tensor
    """(n, channels, height, width), before the sigmoid."""
    z_mean: Tensor
    """(n, latent_dim)."""
    z_log_var: Tensor | None
    """(n, latent_dim); None for a plain autoencoder."""


def reparameterize(z_mean: Tensor, z_log_var: Tensor, noise: torch.Generator | Tensor) -> Tensor:
    """Draw z ~ N(z_mean, exp(z_log_var)) as μ + σ ε (Kingma & Welling 2014, section 2.4).

    Parameters
    ----------
    z_mean, z_log_var : Tensor, (n, latent_dim)
        The posterior's mean and the logarithm of its variance.
    noise : torch.Generator or Tensor (n, latent_dim)
        Source of ε, on the tensors' device; or ε itself, where several processes share a batch.

    Returns
    -------
    Tensor, (n, latent_dim)
        One sample per row, differentiable in both arguments. It always samples: whoever wants
        the mean takes `z_mean`.
    """
    if isinstance(noise, torch.Generator):
        noise = torch.randn(z_mean.shape, generator=noise, device=z_mean.device, dtype=z_mean.dtype)
    return z_mean + torch.exp(0.5 * z_log_var) * noise


class _SingleValueBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization by the running statistics where a batch has one value per channel.

    A single value has no variance, and PyTorch raises an error for it in training. It is what one
    image gives in a dense layer, or in a feature map of one pixel.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (n, channels) or (n, channels, height, width)."""
        if self.training and input.numel() == self.num_features:
            statistics = self.running_mean, self.running_var
            return F.batch_norm(input, *statistics, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class BatchNorm1d(_SingleValueBatchNorm, nn.BatchNorm1d):
    """Of dense layers."""


class BatchNorm2d(_SingleValueBatchNorm, nn.BatchNorm2d):
    """Of feature maps."""


class Encoder(nn.Module):
    """Images to the parameters of their posterior."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.architecture == "mlp":
            self.body, features = nn.Sequential(nn.Flatten()), config.image_size**2
            features *= config.image_channels
        else:
            self.body = nn.Sequential(*_downsampling(config), nn.Flatten())
            features = config.channels[-1] * config.feature_size**2
        if config.hidden_dim is not None:
            self.body.extend([nn.Linear(features, config.hidden_dim), _activation(config)])
            features = config.hidden_dim
        self.z_mean = nn.Linear(features, config.latent_dim)
        self.z_log_var = nn.Linear(features, config.latent_dim) if config.kind == "vae" else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map images (n, channels, height, width) to `z_mean`, `z_log_var` (n, latent_dim)."""
        features = self.body(images)  # (n, features)
        return self.z_mean(features), None if self.z_log_var is None else self.z_log_var(features)


class Decoder(nn.Module):
    """Latents to the logits of images."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(_mlp_decoder(config) if config.architecture == "mlp" else _upsampling(config))
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map z (n, latent_dim) to logits (n, channels, height, width)."""
        return self.body(z)


class Autoencoder(nn.Module):
    """A plain autoencoder: encoder, bottleneck, decoder (Hinton & Salakhutdinov 2006)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map images (n, channels, height, width) to `z_mean` and `z_log_var` (n, latent_dim)."""
        return self.encoder(images)

    def decode(self, z: Tensor) -> Tensor:
        """Map z (n, latent_dim) to pixel probabilities or means in [0, 1]."""
        return torch.sigmoid(self.decoder(z))

    def forward(self, images: Tensor, noise: torch.Generator | Tensor) -> ModelOutput:
        """Reconstruct; a plain autoencoder has no use for the noise."""
        z_mean, z_log_var = self.encoder(images)
        return ModelOutput(self.decoder(z_mean), z_mean, z_log_var)


class VAE(Autoencoder):
    """A variational autoencoder: the bottleneck is a sample of the posterior."""

    def forward(self, images: Tensor, noise: torch.Generator | Tensor) -> ModelOutput:
        """Reconstruct from one posterior sample per image; see `reparameterize`."""
        z_mean, z_log_var = self.encoder(images)
        assert z_log_var is not None  # an encoder of kind "vae" has both heads
        # The sample and the KL term are too delicate for bf16.
        z_mean, z_log_var = z_mean.float(), z_log_var.float()
        z = reparameterize(z_mean, z_log_var, noise)
        return ModelOutput(self.decoder(z), z_mean, z_log_var)


def build_model(config: ModelConfig, seed: int = 0) -> Autoencoder:
    """Build the model that a configuration describes, with seeded initial weights.

    Returns
    -------
    Autoencoder
        A `VAE` where `config.kind` is "vae"; in training mode, on the CPU.
    """
    # Layers draw their initial weights from the global generator; the fork gives it back unmoved.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VAE(config) if config.kind == "vae" else Autoencoder(config)


@lru_cache(maxsize=256)
def count_model_parameters(config: ModelConfig) -> tuple[int, int]:
    """Return the numbers of parameters of a model's encoder and decoder, without weights."""
    with torch.device("meta"):  # where weights cost neither time nor memory
        model = build_model(config)
    return count_parameters(model.encoder), count_parameters(model.decoder)


def count_parameters(module: nn.Module) -> int:
    """Count weights and buffers, without the counters of batches that normalisation keeps."""
    return sum(
        tensor.numel()
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )


def _downsampling(config: ModelConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    inputs = config.image_channels
    for outputs in config.channels:  # (n, inputs, s, s) -> (n, outputs, s / 2, s / 2)
        padding = (config.kernel_size - 1) // 2
        layers.append(nn.Conv2d(inputs, outputs, config.kernel_size, stride=2, padding=padding))
        layers += _normalization(config, BatchNorm2d, outputs)
        layers.append(_activation(config))
        inputs = outputs
    return layers


def _upsampling(config: ModelConfig) -> list[nn.Module]:
    mirrored = (config.channels[-1], *reversed(config.channels))
    inputs, *stages = config.decoder_channels or mirrored
    size, kernel = config.feature_size, config.kernel_size
    features = inputs * size**2
    layers: list[nn.Module] = [nn.Linear(config.latent_dim, features)]
    if config.activate_projection:
        layers += _normalization(config, BatchNorm1d, features)
        layers.append(_activation(config))
    layers.append(nn.Unflatten(1, (inputs, size, size)))
    for outputs in stages:  # (n, inputs, s, s) -> (n, outputs, 2 s, 2 s)
        if config.upsampling != "transposed":
            enlarge = nn.Upsample(scale_factor=2, mode=config.upsampling)  # pixels' middles aligned
            layers += [enlarge, nn.Conv2d(inputs, outputs, 3, padding=1)]
        else:
            layers.append(
                nn.ConvTranspose2d(
                    inputs,
                    outputs,
                    kernel,
                    stride=2,
                    padding=(kernel - 1) // 2,
                    output_padding=kernel % 2,  # doubles the size for even and odd kernels alike
                )
            )
        layers += _normalization(config, BatchNorm2d, outputs)
        layers.append(_activation(config))
        inputs = outputs
    output = _GreyOutput if config.image_channels == 1 else nn.Conv2d
    kernel = kernel if config.upsampling == "transposed" else 3
    layers.append(output(inputs, config.image_channels, kernel, padding="same"))
    return layers


class _GreyOutput(nn.Conv2d):
    """A convolution to one channel, at inference as a matrix product: 2.4 x as fast on a CPU.

    Libraries spread a convolution's work over its output channels, of which there is one here.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, height, width) to (n, 1, height, width)."""
        kernel = self.kernel_size[0]
        if torch.is_grad_enabled() or kernel % 2 == 0:
            return super().forward(features)
        assert self.bias is not None
        # What every pixel adds to each of its neighbours; `fold` sums what comes together.
        weights = self.weight[0].flip(1, 2).flatten(1)  # (channels, kernel * kernel)
        additions = features.permute(0, 2, 3, 1).flatten(1, 2) @ weights
        size = (features.shape[2], features.shape[3])
        return F.fold(additions.transpose(1, 2), size, kernel, padding=kernel // 2) + self.bias


def _mlp_decoder(config: ModelConfig) -> list[nn.Module]:
    assert config.hidden_dim is not None  # ModelConfig refuses an MLP without
    channels, height, width = config.image_shape
    return [
        nn.Linear(config.latent_dim, config.hidden_dim),
        _activation(config),
        nn.Linear(config.hidden_dim, channels * height * width),
        nn.Unflatten(1, (channels, height, width)),
    ]


def _normalization(
    config: ModelConfig, layer: type[BatchNorm1d] | type[BatchNorm2d], features: int
) -> list[nn.Module]:
    return [layer(features)] if config.normalization == "batch" else []


def _activation(config: ModelConfig) -> nn.Module:
    return nn.ReLU() if config.activation == "relu" else nn.LeakyReLU(LEAKY_SLOPE)
