"""The published architectures by name."""

from __future__ import annotations

from vae_explorer.config import ConfigError, ModelConfig, unknown_name

PRESETS: dict[str, ModelConfig] = {
    "fashion-vae": ModelConfig(
        image_size=32, image_channels=1, latent_dim=2, channels=(32, 64, 128)
    ),
    "fashion-ae": ModelConfig(
        image_size=32, image_channels=1, latent_dim=2, channels=(32, 64, 128), kind="autoencoder"
    ),
    "mnist-vae": ModelConfig(
        image_size=28,
        image_channels=1,
        latent_dim=2,
        channels=(32, 64),
        hidden_dim=16,
        activate_projection=True,
    ),
    "mnist-mlp-vae": ModelConfig(
        image_size=28, image_channels=1, latent_dim=20, architecture="mlp", hidden_dim=400
    ),
    "faces-vae-32": ModelConfig(
        image_size=32,
        image_channels=3,
        latent_dim=200,
        channels=(128, 128, 128, 128),
        normalization="batch",
        activation="leaky_relu",
        activate_projection=True,
        likelihood="gaussian",
        # 2,000 x the mean squared error over 3,072 values, written as squared error / (2 variance)
        variance=3072 / 4000,
    ),
}
"""The published models: Foster 2022 (fashion, faces), Keras' "Variational AutoEncoder" example
(mnist-vae; Chollet 2020) and PyTorch's (mnist-mlp-vae, after Kingma & Welling 2014)."""


def find_preset(name: str) -> ModelConfig:
    """Return a published model's configuration by name.

    Raises
    ------
    ConfigError
        If there is no such preset; the message lists them.
    """
    if name not in PRESETS:
        raise ConfigError(unknown_name("model", name, list(PRESETS)))
    return PRESETS[name]
