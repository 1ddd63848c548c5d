"""The published architectures by name."""

from __future__ import annotations

from vae_explorer.config import ConfigError, JsonValue, ModelConfig, unknown_name

_FACES_64 = ModelConfig(
    image_size=64,
    image_channels=3,
    latent_dim=128,
    channels=(32, 64, 128, 256),
    decoder_channels=(256, 128, 64, 32, 24),
    upsampling="nearest",
    kernel_size=4,
    normalization="batch",
    activation="leaky_relu",
    activate_projection=True,
    likelihood="gaussian",
    variance=0.05,
)
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
    "faces-vae-64": _FACES_64,
    "faces-vae-64-finetune": _FACES_64,
}
"""The published models: Foster 2022 (fashion, faces-vae-32), Keras' "Variational AutoEncoder"
example (mnist-vae; Chollet 2020), PyTorch's (mnist-mlp-vae, after Kingma & Welling 2014); and our
own of faces, meant to be trained with features and a discriminator (vae_explorer/perception.py),
then some epochs more, from what that gave (--start-from), by deeper features too."""

RECIPES: dict[str, dict[str, JsonValue]] = {
    "faces-vae-32": {"epochs": 10, "learning_rate": 5e-4},
    "faces-vae-64": {
        "epochs": 20,
        "learning_rate": 1e-3,
        "mirror": True,
        "clip_norm": 2000.0,
        "feature_network": "attributes-strided",
        "feature_weight": 2000.0,
        "adversarial_weight": 500.0,
    },
    "faces-vae-64-finetune": {
        "epochs": 8,
        "learning_rate": 5e-4,
        "mirror": True,
        "clip_norm": 2000.0,
        "feature_network": "attributes-strided",
        "feature_weight": 2500.0,
        "feature_layers": 4,
        "adversarial_weight": 1200.0,
        "adversarial_start": 0.03,
    },
}
"""How a published model is trained where nothing else is said: fields of `TrainConfig`."""


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
