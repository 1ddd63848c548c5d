"""Training state on disk: `runs/<name>/`, from which a run resumes bit for bit.

| file | what |
|---|---|
| `config.json` | configuration of the model and of its training |
| `state.safetensors` | weights, EMA and best weights, optimizer state, counters, history |
| `status.json`, `log.txt`, `request` | see `vae_explorer.runs` |
| `epochs/` | snapshots of the epochs, if any: see `vae_explorer.training.snapshots` |

Random numbers are functions of the seed and the step, so no generator's state is stored. Each
file is written beside its destination and renamed: a kill at any moment leaves the last one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae_explorer.checkpoints import CARD, load_checkpoint
from vae_explorer.config import Config, ModelConfig, TrainConfig
from vae_explorer.errors import ConfigError, RunError
from vae_explorer.workspace import atomic_write

CONFIG, STATE = "config.json", "state.safetensors"


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one epoch of a VAE; losses are in nats per image."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean of reconstruction + β KL over the epoch's batches, while the weights moved."""
    train_reconstruction: float
    train_kl: float
    validation_loss: float
    """The same on the validation rows, with the EMA weights."""
    validation_reconstruction: float
    validation_kl: float
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Wall time of the epoch's steps."""


@dataclass(frozen=True)
class ClassifierEpoch:
    """Metrics of one epoch of an attribute classifier.

    Losses are in nats per image, summed over the attributes.
    """

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean cross-entropy over the epoch's batches, while the weights moved."""
    validation_loss: float
    """The same on the validation rows, with the EMA weights."""
    validation_accuracy: float
    """On the validation rows, mean over the attributes; the epoch where it is highest is
    published."""
    seconds: float
    """Wall time of the epoch's steps."""


Epoch = TypeVar("Epoch", bound=EpochMetrics | ClassifierEpoch)


@dataclass(frozen=True)
class StepMetrics:
    """Progress of a VAE's training, for a progress bar."""

    step: int
    """Steps done, of `total_steps`."""
    total_steps: int
    loss: Tensor
    """Scalar of the last batch, in nats per image; reading its value waits for the device."""
    reconstruction: Tensor
    kl: Tensor


@dataclass
class RunState(Generic[Epoch]):
    """Everything that changes during a training."""

    weights: dict[str, Tensor]
    ema: dict[str, Tensor]
    """State of the `AveragedModel`: the EMA weights, and how often they were updated."""
    best: dict[str, Tensor]
    """The EMA weights after the best epoch so far."""
    optimizer: dict[str, Tensor]
    perceptual: dict[str, Tensor] = field(default_factory=dict)
    """State of `PerceptualLosses`: the discriminator and its optimizer, if there is one."""
    step: int = 0
    """Steps done since the training began."""
    loss_sums: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Of each loss over the current epoch's steps; for a VAE loss, reconstruction and KL."""
    seconds: float = 0.0
    """Wall time of the current epoch's steps."""
    history: list[Epoch] = field(default_factory=list)
    data: str = ""
    """`ImageDataset.content` of the training data, or its `digest` where the cache has none; empty
    in states of earlier versions."""
    data_summary: str = ""
    """`ImageDataset.summary` of the training data; empty in states of earlier versions."""
    classifier: str = ""
    """`digest_weights` of the classifier of `config.feature_network`; empty where none is used,
    and in states of earlier versions."""


GROUPS = {
    "weights": "weights",
    "ema": "average",
    "best": "best",
    "optimizer": "optimizer",
    "perceptual": "perception",
}
"""Fields of `RunState` that hold tensors, with their prefix in the file."""


def best_of(history: Sequence[EpochMetrics], config: TrainConfig) -> EpochMetrics | None:
    """Return the epoch whose weights are published: that of the lowest validation loss.

    With a discriminator it is the last one, as no validation loss measures what that improves.
    """
    if config.adversarial_weight:
        return history[-1] if history else None
    return min(history, key=lambda metrics: metrics.validation_loss, default=None)


def save_state(run: Path, state: RunState[Epoch]) -> None:
    """Write `state.safetensors` in one rename."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for attribute, group in GROUPS.items()
        for name, tensor in getattr(state, attribute).items()
    }
    counters = {
        "step": state.step,
        "sums": state.loss_sums,
        "seconds": state.seconds,
        "history": [asdict(metrics) for metrics in state.history],
        "data": state.data,
        "data_summary": state.data_summary,
        "classifier": state.classifier,
    }
    with atomic_write(run / STATE) as partial:
        save_file(tensors, partial, metadata={"state": json.dumps(counters)})


def load_state(run: Path) -> RunState[EpochMetrics]:
    """Read a VAE's state.

    Raises
    ------
    RunError
        If there is no state in the folder, or it cannot be read.
    """
    return read_state(run, EpochMetrics)


def read_state(run: Path, metrics: type[Epoch]) -> RunState[Epoch]:
    """Read what `save_state` wrote, for either kind of training.

    Parameters
    ----------
    run : Path
    metrics : type
        `EpochMetrics` or `ClassifierEpoch`.

    Raises
    ------
    RunError
        If there is no state in the folder, or it cannot be read.
    """
    tensors: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS.values()}
    try:
        with safe_open(run / STATE, framework="pt") as file:
            metadata = file.metadata()
            for key in file.keys():  # noqa: SIM118 - the file is no mapping
                group, _, name = key.partition("/")
                tensors[group][name] = file.get_tensor(key)
        if "state" in metadata:
            counters = json.loads(metadata["state"])
        else:
            # Classifiers of earlier versions were saved at the end of an epoch only.
            counters = {
                "step": int(tensors["average"]["n_averaged"]),
                "sums": [0.0],
                "seconds": 0.0,
                "history": json.loads(metadata["history"]),
            }
        return RunState(
            **{attribute: tensors[group] for attribute, group in GROUPS.items()},
            step=counters["step"],
            loss_sums=tuple(counters["sums"]),
            seconds=counters["seconds"],
            history=[metrics(**values) for values in counters["history"]],
            data=counters.get("data", ""),
            data_summary=counters.get("data_summary", ""),
            classifier=counters.get("classifier", ""),
        )
    except FileNotFoundError:
        raise RunError(
            f"There is nothing to resume in {run.name}: no step was saved. "
            "Start it again without --resume."
        ) from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(run, error) from error


def read_history(run: Path) -> list[EpochMetrics]:
    """Return the saved epochs of a VAE's run, without its weights: in under a millisecond.

    Raises
    ------
    RunError
        If there is a state that cannot be read.
    """
    try:
        with safe_open(run / STATE, framework="np") as file:
            counters = json.loads(file.metadata()["state"])
        return [EpochMetrics(**metrics) for metrics in counters["history"]]
    except FileNotFoundError:
        return []
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(run, error) from error


def read_weights(folder: Path, model: ModelConfig) -> dict[str, Tensor]:
    """Return the best weights of a run or a checkpoint, as initial weights of another training.

    Raises
    ------
    RunError
        If the folder holds neither.
    CheckpointError
        If it holds a broken checkpoint.
    ConfigError
        If the model there differs by more than `upsampling` "nearest" against "bilinear".
    """
    if (folder / CARD).is_file():
        checkpoint = load_checkpoint(folder)
        found, weights = checkpoint.card.model, checkpoint.model.state_dict()
    else:
        (found, _), weights = load_config(folder), load_state(folder).best
    if {found.upsampling, model.upsampling} == {"nearest", "bilinear"}:  # the weights are the same
        found = replace(found, upsampling=model.upsampling)
    if found != model:
        raise ConfigError(
            f"Training cannot start from {folder}, which has a different model. Choose the same "
            "--model, or train without --start-from."
        )
    return weights


def save_config(run: Path, model: ModelConfig, train: TrainConfig) -> None:
    """Write the `config.json` of a VAE's run in one rename."""
    write_config(run, "model", model, train)


def load_config(run: Path) -> tuple[ModelConfig, TrainConfig]:
    """Read the `config.json` of a VAE's run.

    Raises
    ------
    RunError
        If the folder holds no run, or its configuration cannot be read.
    """
    return read_config(run, "model", ModelConfig)


Architecture = TypeVar("Architecture", bound=Config)


def write_config(run: Path, key: str, model: Config, train: TrainConfig) -> None:
    """Write `config.json` in one rename, with the model's configuration under a key."""
    values = {key: model.to_dict(), "train": train.to_dict()}
    with atomic_write(run / CONFIG) as partial:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_config(run: Path, key: str, kind: type[Architecture]) -> tuple[Architecture, TrainConfig]:
    """Read what `write_config` wrote.

    Raises
    ------
    RunError
        If the folder holds no run, or its configuration cannot be read.
    """
    try:
        values = json.loads((run / CONFIG).read_text(encoding="utf-8"))
        return kind.from_dict(values[key]), TrainConfig.from_dict(values["train"])
    except FileNotFoundError:
        raise RunError(
            f"There is no run {run.name!r} to resume. Start it without --resume."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise RunError(
            f"The configuration of the run {run.name} cannot be read ({error}). "
            "Start over with --restart."
        ) from error


def history_columns(history: Sequence[EpochMetrics]) -> Mapping[str, NDArray[np.float64]]:
    """Return the epochs as columns (epochs,) by field name, `epoch` among them."""
    names = EpochMetrics.__dataclass_fields__
    return {
        name: np.array([getattr(metrics, name) for metrics in history], dtype=np.float64)
        for name in names
    }


def _damaged(run: Path, error: Exception) -> RunError:
    return RunError(
        f"The state of the run {run.name} cannot be read ({error}). Start over with --restart."
    )
