"""The views of the page The objective, drawn by the modules of `browser/learn/objective/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.figures.style import CLASS_COLOURS
from vae_explorer.teaching import objective
from vae_explorer.ui.originals import name_held_out
from vae_explorer.ui.stage.component import draw_view
from vae_explorer.ui.stage.sliders import setting_value, take_values
from vae_explorer.ui.stage.tiles import Setting

VIEWS = {
    "trick": "Reparameterisation",
    "kl": "KL divergence",
    "bubbles": "Reconstruction vs. KL",
    "pixel": "Pixel loss",
    "bound": "ELBO",
}
"""Labels of the figures, by name in the URL."""
TARGET, PIXEL_VARIANCE, ASSUMED_KL = -1.0, 0.25, 10.0
ASSUMED_NLL = 0.25  # nats per value, of a model that was not evaluated
BLUE, ORANGE, TEAL = CLASS_COLOURS[0], CLASS_COLOURS[1], CLASS_COLOURS[9]


@dataclass(frozen=True)
class Slider(Setting):
    """A setting whose slider is part of the figure."""

    doubling: bool = False
    """Whether its values are powers of two."""
    whole: bool = False
    """Whether its values are whole numbers."""


MU = Slider("mu", "μ", -3.0, 3.0, 1.0, 0.05)
SIGMA = Slider("sigma", "σ", 0.05, 3.0, 0.5, 0.05)
BETA = Slider("beta", "β", 0.0, 8.0, 1.0, 0.1)
SLIDERS: dict[str, tuple[Slider, ...]] = {
    "trick": (
        MU,
        SIGMA,
        Slider("samples", "Number of samples, n", 1.0, 256.0, 16.0, doubling=True),
    ),
    "kl": (MU, SIGMA),
    "bubbles": (BETA,),
    "pixel": (
        Slider("target", "Target x", 0.0, 1.0, 0.7, 0.01),
        Slider("prediction", "Prediction p", 0.01, 0.99, 0.8, 0.01),
        BETA,
    ),
    "bound": (
        Slider("step", "Step", 1.0, 4.0, 1.0, 1.0, whole=True),
        MU,
        SIGMA,
        Slider("x", "Observed x", -3.0, 3.0, 0.0, 0.05),
        Slider("k", "Number of samples, k", 1.0, 1024.0, 8.0, doubling=True),
    ),
}


def show_objective(view: str, checkpoint: Checkpoint) -> None:
    """Show one of `VIEWS`; the values of its sliders are in the URL.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its metrics are the example where a sum and a mean over pixels are compared.
    """
    data = {
        "view": view,
        "sliders": [asdict(slider) for slider in SLIDERS[view]],
        "values": {slider.name: _snap(slider) for slider in SLIDERS[view]},
        "constants": _constants(),
        "model": _describe(checkpoint),
        "colours": {"reconstruction": ORANGE, "divergence": BLUE, "gap": TEAL},
        "classes": list(CLASS_COLOURS),
    }
    draw_view(f"objective-{view}", data, {}, values=take_values)


def _snap(slider: Slider) -> float:
    """Return a slider's value, rounded to a power of two or a whole number where it has steps."""
    value = setting_value(slider)
    if slider.doubling:
        return float(2 ** round(np.log2(value)))
    return float(round(value)) if slider.whole else value


def _constants() -> Mapping[str, object]:
    """Return the constants of the formulas."""
    start = objective.scatter_bubbles()
    return {
        "target": TARGET,
        "variance": PIXEL_VARIANCE,
        "noise": objective.NOISE,
        "confusion": objective.CONFUSION,
        "tail": objective.TAIL,
        "rate": objective.FIRST_RATE,
        "farthest": objective.FARTHEST,
        "start": np.column_stack([start.means, np.exp(start.log_radii)]).round(4).tolist(),
    }


def _describe(checkpoint: Checkpoint) -> Mapping[str, object]:
    card = checkpoint.card
    kl, reconstruction = card.metrics.get("kl"), card.metrics.get("reconstruction")
    values = card.model.image_size**2 * card.model.image_channels
    assumed = [
        name for name, metric in (("reconstruction", reconstruction), ("KL", kl)) if not metric
    ]
    note = f", with an assumed {' and '.join(assumed)} term" if assumed else ""
    return {
        "source": f"Example: {name_held_out(checkpoint.encodings)} of {card.title}{note}.",
        "values": values,
        "reconstruction": reconstruction.value if reconstruction else ASSUMED_NLL * values,
        "kl": kl.value if kl else ASSUMED_KL,
    }
