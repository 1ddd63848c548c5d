"""Training: `train` is a generator of `EpochMetrics`; it never prints and never draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.errors import TrainingError
from vae_explorer.runs import EpochMetrics, StepMetrics, read_weights
from vae_explorer.trainer import Trainer

if TYPE_CHECKING:
    from vae_explorer.data import ImageDataset


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    dataset: ImageDataset,
    run: Path,
    *,
    resume: bool = False,
    on_step: Callable[[StepMetrics], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[EpochMetrics]:
    """Train a model, epoch by epoch.

    Parameters
    ----------
    model_config, config : ModelConfig, TrainConfig
        What to build and how to train it.
    dataset : ImageDataset
        Its train split is learnt from, less `config.validation_fraction` of it, by which the best
        epoch is chosen. The held-out split is only ever encoded, for `keep_epochs`.
    run : Path
        Folder of the state under way; it is saved there after every epoch.
    resume : bool
        Go on from the state in `run`.
    on_step : callable, optional
        Called after every step.
    should_stop : callable
        Asked after every step; once it says yes, in one of several processes, the state is saved
        and the generator ends, in all of them.

    Yields
    ------
    EpochMetrics
        After each epoch, once its state is on disk.

    Raises
    ------
    TrainingError
        If a loss is not a number (the last good state is kept), or the data has too few rows, or
        pictures of another number of channels than the model.
    RunError
        If there is nothing in `run` to resume from, or in `config.start_from` to start from.
    ConfigError
        If what is in `config.start_from` is another model.
    """
    channels = dataset.images.shape[1]
    if channels != model_config.image_channels:
        raise TrainingError(
            f"The pictures of {dataset.name} have {channels} channels, and the model takes "
            f"{model_config.image_channels}. Set image_channels to {channels} in --config, or "
            "choose other data."
        )
    trainer = Trainer(model_config, config, dataset, run)
    if resume:
        trainer.load()
    elif config.start_from:
        trainer.model.load_state_dict(read_weights(Path(config.start_from), model_config))
    while not trainer.finished:
        for metrics in trainer.steps_of_epoch():
            if on_step is not None:
                on_step(metrics)
            if trainer.processes.any(should_stop()):
                trainer.save()
                return
        yield trainer.finish_epoch()
