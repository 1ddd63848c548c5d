"""A training under way on disk: `runs/<name>/`, from which it resumes bit for bit.

| file | what |
|---|---|
| `config.json` | the model's and the training's configuration |
| `state.safetensors` | weights, averaged and best weights, optimizer moments, counters, history |
| `status.json`, `log.txt`, `request` | see `run_status` and `launching` |
| `epochs/` | what is kept of each epoch, where it is: see `vae_explorer.training.snapshots` |

Random numbers are a function of the seed and the step, so no generator's state is stored. Each
file is written to a sibling and renamed into place: a kill at any moment leaves the last one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae_explorer.checkpoints import CARD, load_checkpoint
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.errors import ConfigError, RunError
from vae_explorer.workspace import atomic_write


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch gave; losses are in nats per image."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean of reconstruction + β KL over the epoch's batches, as the weights moved."""
    train_reconstruction: float
    train_kl: float
    validation_loss: float
    """The same on the validation rows, by the averaged weights."""
    validation_reconstruction: float
    validation_kl: float
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Wall time of the epoch's steps."""


@dataclass(frozen=True)
class StepMetrics:
    """Where a training stands, for a progress bar."""

    step: int
    """Steps done, of `total_steps`."""
    total_steps: int
    loss: Tensor
    """Scalar of the last batch, in nats per image; reading its value waits for the device."""
    reconstruction: Tensor
    kl: Tensor


@dataclass
class RunState:
    """All that changes while a model trains."""

    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    """The averaged weights, which are judged."""
    best: dict[str, Tensor]
    """The averaged weights after the best epoch so far."""
    optimizer: dict[str, Tensor]
    perception: dict[str, Tensor] = field(default_factory=dict)
    """The discriminator that learns beside the model, where there is one."""
    step: int = 0
    """Steps done since the first epoch began."""
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of loss, reconstruction and KL over the steps of the epoch under way."""
    seconds: float = 0.0
    """Spent on the epoch under way."""
    history: list[EpochMetrics] = field(default_factory=list)
    data: str = ""
    """`ImageDataset.digest` of what it learns from; empty in states of earlier versions."""


def best_of(history: Sequence[EpochMetrics], config: TrainConfig) -> EpochMetrics | None:
    """Return the epoch whose weights are published: of the lowest validation loss.

    With a discriminator it is the last one: what that improves, no loss on held-out rows says.
    """
    if config.adversarial_weight:
        return history[-1] if history else None
    return min(history, key=lambda metrics: metrics.validation_loss, default=None)


_TENSORS = ("weights", "average", "best", "optimizer", "perception")


def save_state(run: Path, state: RunState) -> None:
    """Write `state.safetensors` in one rename."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group in _TENSORS
        for name, tensor in getattr(state, group).items()
    }
    counters = {
        "step": state.step,
        "sums": state.sums,
        "seconds": state.seconds,
        "history": [asdict(metrics) for metrics in state.history],
        "data": state.data,
    }
    with atomic_write(run / "state.safetensors") as partial:
        save_file(tensors, partial, metadata={"state": json.dumps(counters)})


def load_state(run: Path) -> RunState:
    """Read what `save_state` wrote.

    Raises
    ------
    RunError
        If there is no state in the folder, or none that can be read.
    """
    path = run / "state.safetensors"
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _TENSORS}
    try:
        with safe_open(path, framework="pt") as file:
            counters = json.loads(file.metadata()["state"])
            for key in file.keys():  # noqa: SIM118 - the file is no mapping
                group, _, name = key.partition("/")
                groups[group][name] = file.get_tensor(key)
        history = [EpochMetrics(**metrics) for metrics in counters["history"]]
        return RunState(
            **groups,
            step=counters["step"],
            sums=tuple(counters["sums"]),
            seconds=counters["seconds"],
            history=history,
            data=counters.get("data", ""),
        )
    except FileNotFoundError:
        raise RunError(
            f"There is nothing to resume in {run.name}: no epoch was finished there. "
            "Start it again without --resume."
        ) from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(run, error) from error


def read_history(run: Path) -> list[EpochMetrics]:
    """Return the epochs of a run that are on disk, without its weights: in under a millisecond.

    Raises
    ------
    RunError
        If there is a state that cannot be read.
    """
    try:
        with safe_open(run / "state.safetensors", framework="np") as file:
            counters = json.loads(file.metadata()["state"])
        return [EpochMetrics(**metrics) for metrics in counters["history"]]
    except FileNotFoundError:
        return []
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(run, error) from error


def read_weights(folder: Path, model: ModelConfig) -> dict[str, Tensor]:
    """Return the best weights of a run or of a checkpoint, for another training to start from.

    Raises
    ------
    RunError
        If the folder holds neither.
    CheckpointError
        If it holds a broken checkpoint.
    ConfigError
        If the model there is another one.
    """
    if (folder / CARD).is_file():
        checkpoint = load_checkpoint(folder)
        found, weights = checkpoint.card.model, checkpoint.model.state_dict()
    else:
        (found, _), weights = load_config(folder), load_state(folder).best
    if found != model:
        raise ConfigError(
            f"The model in {folder} is another one than is to be trained, so training cannot "
            "start from it. Choose the same --model, or train from the beginning."
        )
    return weights


def save_config(run: Path, model: ModelConfig, train: TrainConfig) -> None:
    """Write `config.json` in one rename."""
    values = {"model": model.to_dict(), "train": train.to_dict()}
    with atomic_write(run / "config.json") as partial:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load_config(run: Path) -> tuple[ModelConfig, TrainConfig]:
    """Read what `save_config` wrote.

    Raises
    ------
    RunError
        If the folder holds no run, or its configuration cannot be read.
    """
    try:
        values = json.loads((run / "config.json").read_text(encoding="utf-8"))
        return ModelConfig.from_dict(values["model"]), TrainConfig.from_dict(values["train"])
    except FileNotFoundError:
        raise RunError(
            f"There is no run {run.name!r} to resume. Start it without --resume."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise RunError(
            f"The configuration of the run {run.name} cannot be read ({error}). "
            "Start it again with --restart."
        ) from error


def history_columns(history: list[EpochMetrics]) -> Mapping[str, np.ndarray]:
    """Return the epochs as columns: float64 arrays by field name, `epoch` among them."""
    names = EpochMetrics.__dataclass_fields__
    return {
        name: np.array([getattr(metrics, name) for metrics in history], dtype=np.float64)
        for name in names
    }


def _damaged(run: Path, error: Exception) -> RunError:
    return RunError(
        f"The state of the run {run.name} cannot be read ({error}). Start it again with --restart."
    )
