"""The columns of the table of all models, what may be compared in it, and the table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from vae_explorer.model_rows import ModelRow

Cell = str | float | int | date | None


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
    """Return what the decoder's pictures are judged by: "Gaussian (σ² = 0.05)"."""
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
        "Size of z",
        "How many numbers the model keeps of a picture.",
        lambda row: row.model.latent_dim,
    ),
    Column(
        "negative_elbo",
        "−ELBO, nats",
        "What a picture costs at most under this model: reconstruction + KL. Lower is better.",
        lambda row: row.negative_elbo,
    ),
    Column(
        "reconstruction",
        "Recon., nats",
        "Distortion: how badly the decoded picture explains the original, −log p(x|z).",
        lambda row: row.reconstruction,
    ),
    Column("kl", "KL, nats", "Rate: how much z tells of the picture.", lambda row: row.kl),
    Column(
        "active_units",
        "Active",
        "Dimensions of z that the model uses at all.",
        lambda row: row.active_units,
    ),
    Column(
        "psnr",
        "PSNR, dB",
        "How close reconstructions come, pixel by pixel; higher is closer. Over all pixels that "
        "the model sees: a border that only pads the picture counts too, and is easy.",
        lambda row: row.psnr,
    ),
    Column(
        "training_minutes",
        "Training, min",
        "Wall time of all epochs' steps, on whatever machine it was.",
        lambda row: None if row.seconds is None else row.seconds / 60,
    ),
    Column("epochs", "Epochs", "Passes over the training pictures.", lambda row: row.epochs),
    Column(
        "parameters", "Parameters", "Weights of encoder and decoder.", lambda row: row.parameters
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
        "Side, px",
        "Height and width of the pictures as the model sees them.",
        lambda row: row.model.image_size,
    ),
    Column(
        "likelihood",
        "Likelihood",
        "What the reconstruction's nats are measured by: p(x|z).",
        name_likelihood,
        is_number=False,
    ),
    Column(
        "measured_on",
        "Measured on",
        "Held-out pictures, or, of a run not published yet, its own validation pictures.",
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
        "picture size": lambda row: f"{row.model.image_size} px",
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


def _write_cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
    return "" if cell is None else str(cell)
