"""The training of a network of attributes on disk: `runs/classifiers/<name>/`.

| file | what |
|---|---|
| `config.json` | the network's and the training's configuration |
| `state.safetensors` | weights, averaged and best weights, optimizer moments, history |

Each is written to a sibling and renamed into place: a kill at any moment leaves the last one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae_explorer.classifiers.network import AttributeClassifier, ClassifierConfig, build_classifier
from vae_explorer.config import TrainConfig
from vae_explorer.errors import ConfigError, RunError
from vae_explorer.workspace import atomic_write

STATE = "state.safetensors"
CONFIG = "config.json"

TensorGroups = Mapping[str, Mapping[str, Tensor]]
"""Tensors by the name of their group, "weights" or another, and their own."""


@dataclass(frozen=True)
class ClassifierEpoch:
    """What one epoch gave; losses are in nats per image, summed over the attributes."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Cross-entropy over the epoch's batches, as the weights moved."""
    validation_loss: float
    """On the validation rows, by the averaged weights."""
    validation_accuracy: float
    """On the same, the mean over the attributes; the epoch where it is highest is published."""
    seconds: float
    """Wall time of the epoch's steps."""


def best_of(history: Sequence[ClassifierEpoch]) -> ClassifierEpoch:
    """Return the first epoch of the highest validation accuracy; there must be an epoch."""
    return max(history, key=lambda each: each.validation_accuracy)


def save_state(run: Path, groups: TensorGroups, history: Sequence[ClassifierEpoch]) -> None:
    """Write `state.safetensors` in one rename."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    metadata = {"history": json.dumps([asdict(each) for each in history])}
    with atomic_write(run / STATE) as partial:
        save_file(tensors, partial, metadata=metadata)


def load_state(run: Path) -> tuple[dict[str, dict[str, Tensor]], list[ClassifierEpoch]]:
    """Read what `save_state` wrote: the tensors by group and name, and the epochs.

    Raises
    ------
    RunError
        If there is no state in the folder, or none that can be read.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(run / STATE, framework="pt") as file:
            history = [ClassifierEpoch(**each) for each in json.loads(file.metadata()["history"])]
            for key in file.keys():  # noqa: SIM118 - the file is no mapping
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except FileNotFoundError:
        raise RunError(
            f"There is nothing to resume in {run}: no epoch was finished there. "
            "Start it again without --resume."
        ) from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _unreadable("state", run, error) from error
    return groups, history


def load_best(run: Path) -> tuple[AttributeClassifier, list[ClassifierEpoch]]:
    """Return the averaged weights after a run's best epoch, in eval mode, and all its epochs.

    Raises
    ------
    RunError
        If no epoch was finished there, or the state cannot be read.
    """
    network, _ = load_config(run)
    groups, history = load_state(run)
    classifier = build_classifier(network)
    try:
        classifier.load_state_dict(groups["best"])
    except (RuntimeError, KeyError) as error:
        raise _unreadable("state", run, error) from error
    return classifier.eval().requires_grad_(False), history


def save_config(run: Path, network: ClassifierConfig, train: TrainConfig) -> None:
    """Write `config.json` in one rename."""
    values = {"network": network.to_dict(), "train": train.to_dict()}
    with atomic_write(run / CONFIG) as partial:
        partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def load_config(run: Path) -> tuple[ClassifierConfig, TrainConfig]:
    """Read what `save_config` wrote.

    Raises
    ------
    RunError
        If the folder holds no run, or its configuration cannot be read.
    """
    try:
        values = json.loads((run / CONFIG).read_text(encoding="utf-8"))
        network = ClassifierConfig.from_dict(values["network"])
        return network, TrainConfig.from_dict(values["train"])
    except FileNotFoundError:
        raise RunError(f"There is no run in {run} to resume. Start it without --resume.") from None
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise _unreadable("configuration", run, error) from error


def _unreadable(what: str, run: Path, error: Exception) -> RunError:
    return RunError(f"The {what} in {run} cannot be read ({error}). Start it again with --restart.")
