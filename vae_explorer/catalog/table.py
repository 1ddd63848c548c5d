"""Comparison table: one row per checkpoint (from its card) and per run (from its files).

Nothing is measured here: a checkpoint's numbers are its card's, and a run's are its history's.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vae_explorer.checkpoints import find_checkpoint, list_checkpoints
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.format import HISTORY, unpack_history
from vae_explorer.checkpoints.storage import read_file
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import DATASETS
from vae_explorer.data.base import name_source
from vae_explorer.errors import CheckpointError, RunError
from vae_explorer.models import count_model_parameters
from vae_explorer.runs.run import Run
from vae_explorer.runs.status import find_option
from vae_explorer.training.state import EpochMetrics, best_of, history_columns

RUN = "run:"
"""Before a run's folder in its row's `id`: a checkpoint may have the same name."""

Cell = str | float | int | date | None
_FORMER_TITLE = "Your own pictures"  # of the user's images, in cards of older versions


@dataclass(frozen=True)
class ModelRow:
    """One model among others. Nats are per image; None is what is not known, or does not exist."""

    id: str
    """A checkpoint's folder; of a run, `RUN` and its folder."""
    name: str
    """As people say it."""
    dataset: str
    """In the registry of data sets."""
    data: str
    """The data set as people say it."""
    model: ModelConfig
    beta: float | None
    """None for a plain autoencoder, whose loss has no KL term to weigh."""
    parameters: int
    negative_elbo: float | None
    """`reconstruction` + `kl`, that is β = 1."""
    reconstruction: float | None
    kl: float | None
    active_units: float | None
    psnr: float | None
    """In dB."""
    measured_on: str
    """"held-out" as the card says, or "validation": the run's own rows, at its best epoch."""
    created: date
    history: Mapping[str, NDArray[np.float64]] = field(compare=False)
    """Columns (epochs,) by name; empty where there are none."""

    @property
    def is_run(self) -> bool:
        """Whether it is a training that has not become a model."""
        return self.id.startswith(RUN)

    @property
    def epochs(self) -> int:
        """How many epochs it was trained for."""
        return len(next(iter(self.history.values()), ()))

    @property
    def seconds(self) -> float | None:
        """Wall time of all epochs' steps."""
        return (
            _finite(float(np.sum(self.history["seconds"]))) if "seconds" in self.history else None
        )


def list_rows(
    runs: Path, checkpoint_root: Path | None = None
) -> tuple[list[ModelRow], dict[str, str]]:
    """Find all checkpoints, and the runs that no checkpoint was published from.

    Parameters
    ----------
    runs : Path
        Folder of the runs; it need not be there.
    checkpoint_root : Path, optional
        By default all shelves, where checkpoints are looked for by name.

    Returns
    -------
    rows : list of ModelRow
        The lowest −ELBO of a data set first, what has none after that, by name.
    errors : dict of str to str
        What is broken and how to mend it, by the `id` it would have had.
    """
    cards, errors = list_checkpoints(checkpoint_root)
    rows = []
    for name, card in cards.items():
        try:
            folder = checkpoint_root / name if checkpoint_root else find_checkpoint(name)
            rows.append(_read_checkpoint(folder, card))
        except (ValueError, CheckpointError) as error:  # the latter: deleted just now
            errors[name] = str(error)
    for folder in _run_folders(runs):
        try:
            model, train = Run(folder).load_config()
            if not _is_published(folder, model, train, cards):
                rows.append(_read_run(folder, model, train))
        except RunError as error:
            errors[RUN + folder.name] = str(error)
    return sorted(rows, key=_place), errors


@dataclass(frozen=True)
class Column:
    """One column: numbers stay numbers, so that they sort as such."""

    key: str
    """In a CSV file."""
    heading: str
    """With the unit."""
    meaning: str
    """One line for who does not know the word; may be empty."""
    read: Callable[[ModelRow], Cell]
    is_number: bool = True


def name_likelihood(row: ModelRow) -> str:
    """Name the likelihood of a model: "Gaussian (σ² = 0.05)"."""
    if row.model.likelihood == "bernoulli":
        return "Bernoulli"
    return f"Gaussian (σ² = {row.model.variance:.3g})"


COLUMNS = (
    Column("name", "Model", "", lambda row: row.name, is_number=False),
    Column(
        "beta",
        "β",
        "Weight of the KL term in training. A plain autoencoder has none.",
        lambda row: row.beta,
    ),
    Column(
        "latent_dim",
        "Latent dim.",
        "Number of latent dimensions, the length of z.",
        lambda row: row.model.latent_dim,
    ),
    Column(
        "negative_elbo",
        "−ELBO, nats",
        "Reconstruction + KL, an upper bound of −log p(x). Lower is better.",
        lambda row: row.negative_elbo,
    ),
    Column(
        "reconstruction",
        "Recon., nats",
        "Distortion: the reconstruction error, −log p(x|z). Lower is better.",
        lambda row: row.reconstruction,
    ),
    Column("kl", "KL, nats", "Rate: how much information z carries.", lambda row: row.kl),
    Column(
        "active_units",
        "Active",
        "Active units: latent dimensions that the model uses.",
        lambda row: row.active_units,
    ),
    Column(
        "psnr",
        "PSNR, dB",
        "Similarity of reconstruction and original, pixel by pixel; higher is better. Includes "
        "any padding at the border, which is easy to reconstruct.",
        lambda row: row.psnr,
    ),
    Column(
        "training_minutes",
        "Training, min",
        "Wall-clock time of all training steps, on the machine used for it.",
        lambda row: None if row.seconds is None else row.seconds / 60,
    ),
    Column("epochs", "Epochs", "Passes over the training images.", lambda row: row.epochs),
    Column(
        "parameters",
        "Parameters",
        "Number of weights in encoder and decoder.",
        lambda row: row.parameters,
    ),
    Column(
        "kind",
        "Kind",
        "",
        lambda row: "VAE" if row.model.kind == "vae" else "Autoencoder",
        is_number=False,
    ),
    Column("data", "Data", "", lambda row: row.data, is_number=False),
    Column(
        "image_size",
        "Size, px",
        "Height and width of the model's images.",
        lambda row: row.model.image_size,
    ),
    Column(
        "likelihood",
        "Likelihood",
        "p(x|z), from which the reconstruction error is computed.",
        name_likelihood,
        is_number=False,
    ),
    Column(
        "measured_on",
        "Evaluated on",
        "Held-out images, or for a run without a saved model its own validation images.",
        lambda row: row.measured_on,
        is_number=False,
    ),
    Column("created", "Date", "", lambda row: row.created, is_number=False),
)
"""In the order in which they are read."""


def find_differences(rows: Iterable[ModelRow]) -> dict[str, list[str]]:
    """Tell why the nats of some models cannot be compared.

    Returns
    -------
    dict of str to list of str
        What differs among them, and its values; empty where nats mean the same for all.
    """
    aspects: dict[str, Callable[[ModelRow], str]] = {
        "data": lambda row: row.data,
        "image size": lambda row: f"{row.model.image_size} px",
        "colour": lambda row: "colour" if row.model.image_channels == 3 else "grey",
        "likelihood": name_likelihood,
    }
    rows = list(rows)
    found = {name: sorted({read(row) for row in rows}) for name, read in aspects.items()}
    return {name: values for name, values in found.items() if len(values) > 1}


def write_csv(rows: Sequence[ModelRow]) -> str:
    """Write the table with full precision, a line a model, and its folder before all else.

    Text that a spreadsheet would take for a formula is given an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["folder", *(column.key for column in COLUMNS)])
    for row in rows:
        cells = [row.id, *(column.read(row) for column in COLUMNS)]
        writer.writerow([_write_cell(cell) for cell in cells])
    return text.getvalue()


def comparable(cards: Iterable[ModelCard], card: ModelCard) -> list[ModelCard]:
    """Return the models of a plane that learnt from the same images as `card`, and it.

    A plain autoencoder comes first, then VAEs by their β.
    """
    found = [
        other
        for other in cards
        if other.model.latent_dim == 2
        and other.dataset.name == card.dataset.name
        and other.model.image_shape == card.model.image_shape
    ]
    return sorted(
        found, key=lambda other: (other.model.kind != "autoencoder", other.train.beta, other.name)
    )


def title_data(card: ModelCard) -> str:
    """Return the title of a checkpoint's data, the same for cards of older versions."""
    return card.dataset.title.replace(_FORMER_TITLE, DATASETS["folder"].title)


def _read_checkpoint(folder: Path, card: ModelCard) -> ModelRow:
    def read(name: str) -> float | None:
        metric = card.metrics.get(name)
        return _finite(metric.value) if metric and isinstance(metric.value, float) else None

    return ModelRow(
        id=card.name,
        name=card.title,
        dataset=card.dataset.name,
        data=title_data(card),
        model=card.model,
        beta=_weight(card.model, card.train),
        parameters=sum(card.parameters.values()),
        negative_elbo=read("negative_elbo"),
        reconstruction=read("reconstruction"),
        kl=read("kl"),
        active_units=read("active_units"),
        psnr=read("psnr"),
        measured_on="held-out",
        created=date.fromisoformat(card.created),
        history=_read_csv(folder, card.sha256[HISTORY]),
    )


def _read_run(folder: Path, model: ModelConfig, train: TrainConfig) -> ModelRow:
    state = folder / "state.safetensors"
    found = state if state.is_file() else folder / "config.json"
    try:
        written = found.stat().st_mtime_ns
        history = list(_read_state(state, written)) if found == state else []
        parameters = sum(count_model_parameters(model))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RunError(
            f"The state of the run {folder.name} cannot be read ({error}). "
            "Start over with --restart."
        ) from error
    best = best_of(history, train)
    reconstruction = _finite(best.validation_reconstruction) if best else None
    kl = _finite(best.validation_kl) if best and model.kind == "vae" else None
    return ModelRow(
        id=RUN + folder.name,
        name=f"{folder.name} (run)",
        dataset=train.dataset,
        data=_name_data(folder, train.dataset),
        model=model,
        beta=_weight(model, train),
        parameters=parameters,
        # Not the run's loss: that weighs the KL term by β, and may hold terms of other kinds.
        negative_elbo=None if reconstruction is None or kl is None else reconstruction + kl,
        reconstruction=reconstruction,
        kl=kl,
        active_units=None,
        psnr=None,
        measured_on="validation",
        created=datetime.fromtimestamp(written / 1e9, UTC).date(),
        history=history_columns(history) if history else {},
    )


def _name_data(folder: Path, dataset: str) -> str:
    """Name the data of a run as the card of its model will."""
    if dataset not in DATASETS:
        return dataset
    spec, status = DATASETS[dataset], Run(folder).read_status()
    source = find_option(status.arguments, "--source") if status is not None else None
    if spec.needs_source and source is not None:
        return spec.title_with(name_source(Path(source)))
    return spec.title


def _run_folders(runs: Path) -> list[Path]:
    if not runs.is_dir():
        return []
    return sorted(f for f in runs.iterdir() if f.name[0] != "." and (f / "config.json").is_file())


def _is_published(
    folder: Path, model: ModelConfig, train: TrainConfig, cards: Mapping[str, ModelCard]
) -> bool:
    """Whether a model is of this run, by whatever name it goes by now."""
    return Run(folder).is_published and any(
        card.model == model and card.train == train for card in cards.values()
    )


@lru_cache(maxsize=256)
def _read_csv(folder: Path, _digest: str) -> Mapping[str, NDArray[np.float64]]:
    return unpack_history(read_file(folder, HISTORY))


@lru_cache(maxsize=256)
def _read_state(path: Path, _written: int) -> tuple[EpochMetrics, ...]:
    """Read the history alone, which stands in the head of the file: weights can be large."""
    with safe_open(path, framework="np") as file:
        counters = json.loads(file.metadata()["state"])
    return tuple(EpochMetrics(**metrics) for metrics in counters["history"])


def _weight(model: ModelConfig, train: TrainConfig) -> float | None:
    return train.beta if model.kind == "vae" else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _place(row: ModelRow) -> tuple[str, float, str]:
    return row.data, math.inf if row.negative_elbo is None else row.negative_elbo, row.name


def _write_cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
    return "" if cell is None else str(cell)
