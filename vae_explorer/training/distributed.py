"""Data-parallel training with Accelerate: shards of a batch, and reductions over the processes.

A batch, its noise and its flips are functions of the seed and the step, whatever the number of
processes. Of `world_size` processes, the one of rank r takes the rows r, r + world_size, … of it.
A loss is weighted by the size of its shard, so that the mean over the processes, which is how
gradients are reduced, is the mean over the batch even where that is not divisible. Some things
remain that depend on the shard: the statistics of batch normalization during training (those of
the EMA weights are computed from whole batches), the scale in `perceptual.feature_distance`, and
the batch's standard deviation in `perceptual.GlobalDiscriminator`.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vae_explorer.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator


def create_accelerator() -> Accelerator:
    """Create the accelerator: this process's device, and the others of `accelerate launch`.

    Mixed precision is left to the trainer, which follows `TrainConfig.precision`.
    """
    from accelerate import Accelerator  # 1.3 s, needed only to train

    # Without cpu=True, processes on a machine without an accelerator do not find each other.
    accelerator = Accelerator(mixed_precision="no", cpu=not torch.accelerator.is_available())
    if accelerator.num_processes > 1:
        # A process that exits while it is still connected aborts.
        atexit.register(accelerator.end_training)
    return accelerator


def any_rank(accelerator: Accelerator, flag: bool) -> bool:
    """Return in every process whether the flag is set in any; each process has to call it."""
    if accelerator.num_processes == 1:
        return flag
    votes = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(votes, "sum") > 0)


def shut_down(accelerator: Accelerator) -> None:
    """Wait for all processes, then disconnect them."""
    accelerator.wait_for_everyone()
    accelerator.end_training()


class Processes:
    """The processes of one training, seen from one of them.

    Parameters
    ----------
    accelerator : Accelerator
    batch_size : int
        Images of a batch, over all processes.

    Raises
    ------
    TrainingError
        If there are more processes than images in a batch.
    """

    def __init__(self, accelerator: Accelerator, batch_size: int) -> None:
        self.accelerator = accelerator
        self.world_size, self.rank = accelerator.num_processes, accelerator.process_index
        if batch_size < self.world_size:
            raise TrainingError(
                f"A batch of {batch_size} images cannot be divided among {self.world_size} "
                "processes. Start fewer, or raise --batch-size."
            )
        self.shard = slice(self.rank, None, self.world_size)
        """This process's rows of a batch."""
        self.weight = len(range(batch_size)[self.shard]) * self.world_size / batch_size
        """Of a mean over the shard, in the mean over all processes."""

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.accelerator.is_main_process

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes, in each of them."""
        return values if self.world_size == 1 else self.accelerator.reduce(values, "mean")

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes, in each of them."""
        return values if self.world_size == 1 else self.accelerator.reduce(values, "sum")

    def any(self, flag: bool) -> bool:
        """Return in every process whether the flag is set in any of them."""
        return any_rank(self.accelerator, flag)
