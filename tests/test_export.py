from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support import PROJECT
from vae_explorer import export
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.cli import main
from vae_explorer.config import ModelConfig
from vae_explorer.errors import CheckpointError
from vae_explorer.export import TOLERANCE, compare_onnx, export_onnx, write_onnx
from vae_explorer.inference import decode, encode
from vae_explorer.models import build_model

VAE, AUTOENCODER = "digits-vae-2d", "digits-ae-2d"


def open_onnx(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def exported(published_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two files of the VAE."""
    folder = tmp_path_factory.mktemp("onnx") / VAE
    assert write_onnx(load_checkpoint(published_checkpoints / VAE), folder) <= TOLERANCE
    return folder


@pytest.mark.parametrize("count", [1, 3, 50])
def test_any_number_of_pictures_is_as_in_pytorch(
    published_checkpoints: Path, exported: Path, count: int
) -> None:
    model = load_checkpoint(published_checkpoints / VAE).model
    rng = np.random.default_rng(5)
    images = rng.random((count, 1, 8, 8), np.float32)
    found = open_onnx(exported / "encoder.onnx").run(["z_mean", "z_log_var"], {"image": images})
    for array, wanted in zip(found, encode(model, images), strict=True):
        np.testing.assert_allclose(array, wanted, atol=1e-4)
    z = 3 * rng.standard_normal((count, 2), np.float32)
    (picture,) = open_onnx(exported / "decoder.onnx").run(["image"], {"z": z})
    np.testing.assert_allclose(picture, decode(model, z), atol=1e-4)
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_the_files_say_what_they_are(exported: Path) -> None:
    for path in exported.iterdir():
        props = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
        assert props["title"] == "Digits 8×8 VAE (2-D)"
        assert props["licence"]
    assert sorted(path.name for path in exported.iterdir()) == ["decoder.onnx", "encoder.onnx"]


def test_a_plain_autoencoder_has_no_variance(published_checkpoints: Path) -> None:
    files, _ = export_onnx(load_checkpoint(published_checkpoints / AUTOENCODER))
    graph = onnx.load_from_string(files["encoder.onnx"]).graph
    assert [output.name for output in graph.output] == ["z_mean"]


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "mlp", "channels": (), "hidden_dim": 6},
        {
            "image_channels": 3,
            "upsampling": "nearest",
            "normalization": "batch",
            "activation": "leaky_relu",
            "activate_projection": True,
            "kernel_size": 4,
        },
        {"image_channels": 3, "upsampling": "bilinear"},
    ],
)
def test_every_kind_of_layer_is_exported(
    published_checkpoints: Path, changes: dict[str, object]
) -> None:
    values = {"image_size": 8, "image_channels": 1, "latent_dim": 3, "channels": (4, 6)} | changes
    checkpoint = load_checkpoint(published_checkpoints / VAE)
    config = ModelConfig(**values)
    made = type(checkpoint)(
        **{
            **vars(checkpoint),
            "model": build_model(config).eval(),
            "card": type(checkpoint.card)(**{**vars(checkpoint.card), "model": config}),
        }
    )
    assert export_onnx(made)[1] <= TOLERANCE


def test_what_differs_from_pytorch_is_not_written(
    published_checkpoints: Path, tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = load_checkpoint(published_checkpoints / VAE)
    files = {path.name: path.read_bytes() for path in exported.iterdir()}
    other = build_model(checkpoint.card.model, seed=9).eval()
    assert compare_onnx(checkpoint.model, files) < TOLERANCE < compare_onnx(other, files)
    for difference in (2 * TOLERANCE, float("nan")):
        monkeypatch.setattr(export, "compare_onnx", lambda *_, found=difference: found)
        with pytest.raises(CheckpointError, match="was not exported: ONNX and PyTorch differ"):
            write_onnx(checkpoint, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_kept(
    checkpoint_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    assert main(["export", VAE, "--out", str(tmp_path)]) == 2
    assert "already exists. Choose another --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_example_of_the_documentation_runs(
    published_checkpoints: Path, tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (PROJECT / "docs" / "scripting.md").read_text(encoding="utf-8")
    (code,) = (
        block.partition("```")[0]
        for block in text.split("```python\n")[1:]
        if "onnxruntime" in block.partition("```")[0]
    )
    assert len(code.strip().splitlines()) <= 10
    shutil.copytree(exported, tmp_path / "onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "scripting.md", "exec"), names)
    assert names["images"].shape == (16, 1, 8, 8)
    assert names["z_mean"].shape == (16, 2)
