"""Few or equal images: they are trained on and published, and what they cannot give is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.few_images import SETS
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.cli import main

OUT = Path("checkpoints/few")


@pytest.mark.parametrize("name", SETS)
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
def test_few_or_equal_images_are_published(
    training_folder: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    config = SETS[name].write(training_folder / "images")
    options = ["--config", config, "--source", training_folder / "images", "--out", OUT]
    assert main(["train", *map(str, options)]) == 0
    checkpoint = load_checkpoint(OUT)
    for metric in checkpoint.card.metrics.values():
        assert np.isfinite(metric.value).all()
    for array in (checkpoint.encodings.z_mean, *checkpoint.latent.values()):
        assert np.isfinite(array).all()
    output = capfd.readouterr().out
    for part in SETS[name].said:
        assert part in output
    assert main(["evaluate", str(OUT), "--source", str(training_folder / "images")]) == 0
