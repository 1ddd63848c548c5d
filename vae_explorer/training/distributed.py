"""Several processes that train one model: who takes which pictures, and how numbers meet again.

A batch, its noise and its mirroring are functions of the seed and the step, whatever the number of
processes; of n processes, the one of index i takes every n-th row of it, from the i-th on. A loss
is weighted by the share it was taken over, so that the mean over the processes, by which gradients
are reduced, is the mean over the batch also where it is not divisible. What remains is rounding,
and two things that a process sees in its own share alone: the statistics of batch normalisation
while weights move (those of the averaged weights are taken anew from whole batches), and the
scale of the features in `losses.feature_distance`.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vae_explorer.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator


def find_devices() -> Accelerator:
    """Return what knows this process's device, and the other processes of `accelerate launch`.

    Precision is not its business: `TrainConfig.precision` says which.
    """
    from accelerate import Accelerator  # 1.3 s, needed only to train

    # Unless told that there is nothing but a CPU, it takes each of several processes for alone.
    devices = Accelerator(mixed_precision="no", cpu=not torch.accelerator.is_available())
    if devices.num_processes > 1:
        atexit.register(devices.end_training)  # one that is still connected as it ends, aborts
    return devices


def anywhere(devices: Accelerator, flag: bool) -> bool:
    """Say in all processes whether it is true in one of them; each has to ask."""
    if devices.num_processes == 1:
        return flag
    votes = torch.tensor(float(flag), device=devices.device)
    return bool(devices.reduce(votes, "sum") > 0)


def part(devices: Accelerator) -> None:
    """Let each process go its own way, once all have come here."""
    devices.wait_for_everyone()
    devices.end_training()


class Processes:
    """The processes of one training, seen from one of them.

    Parameters
    ----------
    accelerator : Accelerator
        Knows how many there are, and how they reach each other.
    batch_size : int
        Rows of every batch, of all processes together.

    Raises
    ------
    TrainingError
        If there are more processes than rows in a batch.
    """

    def __init__(self, accelerator: Accelerator, batch_size: int) -> None:
        self.accelerator = accelerator
        self.count, self.index = accelerator.num_processes, accelerator.process_index
        if batch_size < self.count:
            raise TrainingError(
                f"A batch of {batch_size} pictures cannot be shared among {self.count} processes. "
                "Start fewer, or raise --batch-size."
            )
        self.share = slice(self.index, None, self.count)
        """Of the rows of a batch."""
        self.weight = len(range(batch_size)[self.share]) * self.count / batch_size
        """Of a mean over that share, in the mean over all processes."""

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes."""
        return self.accelerator.is_main_process

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes, the same in each of them."""
        return values if self.count == 1 else self.accelerator.reduce(values, "mean")

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the processes, the same in each of them."""
        return values if self.count == 1 else self.accelerator.reduce(values, "sum")

    def any(self, flag: bool) -> bool:
        """Say in all processes whether it is true in one of them."""
        return anywhere(self.accelerator, flag)
