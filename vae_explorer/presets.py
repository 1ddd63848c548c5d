"""Published architectures by name, and hyperparameters to start from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from vae_explorer.config import JsonValue, ModelConfig
from vae_explorer.errors import ConfigError, did_you_mean

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
    "faces-vae-64-blur-finetune": replace(_FACES_64, upsampling="bilinear"),
}
"""The published models: Foster 2022 (fashion, faces-vae-32), Keras' "Variational AutoEncoder"
example (mnist-vae; Chollet 2020), PyTorch's (mnist-mlp-vae, after Kingma & Welling 2014); and our
own of faces, meant to be trained with perceptual losses and a discriminator
(vae_explorer/training/perceptual.py), then some epochs more, from what that gave (--start-from),
by deeper features too; or, so that no hair looks woven, with a blur after each upsampling (Karras
et al. 2019, "A Style-Based Generator Architecture", https://arxiv.org/abs/1812.04948, appendix C)
and a discriminator of whole faces."""

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
    "faces-vae-64-blur-finetune": {
        "epochs": 24,
        "batch_size": 64,
        "learning_rate": 6e-4,
        "schedule": "held",
        "mirror": True,
        "clip_norm": 2000.0,
        "feature_network": "attributes-strided",
        "feature_weight": 2500.0,
        "feature_layers": 4,
        "adversarial_weight": 1000.0,
        "adversarial_start": 0.01,
        "discriminator": "global",
    },
}
"""How a published model is trained where nothing else is said: fields of `TrainConfig`."""

FEW_IMAGES = 200
"""Below, say what to expect."""
_WIDTHS = (32, 64, 128, 256, 256)
_STEPS = 2_000  # after so many, small models have taken on the shape of their data


def find_preset(name: str) -> ModelConfig:
    """Return a published model's configuration by name.

    Raises
    ------
    ConfigError
        If there is no such preset; the message lists them.
    """
    if name not in PRESETS:
        raise ConfigError(did_you_mean("model", name, list(PRESETS)))
    return PRESETS[name]


class SuggestedHyperparameters(NamedTuple):
    """Numbers of a training that depend on how many images there are."""

    epochs: int
    batch_size: int
    warmup_steps: int
    weight_average: float


def fitting_presets(channels: int, sizes: Collection[int], *, resized: bool) -> list[str]:
    """Return the names of the published models that can be trained on some images from scratch.

    Parameters
    ----------
    channels : int
        1 for grey images, 3 for colour.
    sizes : collection of int
        Sides in pixels that the images can be had at.
    resized : bool
        Whether they are brought to such a size. Images that come at one of their own may be
        given a border, of an eighth of their side at most.
    """

    def fits(model: ModelConfig) -> bool:
        wanted = model.image_size
        borders = [wanted - size for size in sizes if 0 <= wanted - size <= size // 4]
        near = wanted in sizes if resized else any(border % 2 == 0 for border in borders)
        return near and model.image_channels == channels

    return [
        name
        for name, model in PRESETS.items()
        if fits(model) and not name.endswith("-finetune")  # begins where another one ended
    ]


def suggest_widths(size: int) -> tuple[int, ...]:
    """Return an encoder's channels that halve images of this side down to some 4 pixels."""
    smallest = min(4, size // 4)
    stages = 0
    while stages < len(_WIDTHS) and size % 2 == 0 and size // 2 >= smallest:
        size, stages = size // 2, stages + 1
    return _WIDTHS[:stages]


def suggest_hyperparameters(images: int, preset: str | None = None) -> SuggestedHyperparameters:
    """Return numbers to start with: a small set needs small batches, and more epochs.

    Parameters
    ----------
    images : int
        In the train split.
    preset : str, optional
        A published model, whose own number of epochs is taken where it has one.
    """
    batch_size = 32 if images < 2_000 else 64 if images < 10_000 else 128
    steps_per_epoch = max(1, images // batch_size)
    epochs = min(max(10, 5 * round(_STEPS / steps_per_epoch / 5)), 200)
    published = RECIPES.get(preset or "", {}).get("epochs")
    if isinstance(published, int):
        epochs = published
    steps = epochs * steps_per_epoch
    return SuggestedHyperparameters(
        epochs=epochs,
        batch_size=batch_size,
        warmup_steps=min(200, max(1, steps // 10)),
        weight_average=0.999 if steps >= 2 * _STEPS else 0.99,
    )
