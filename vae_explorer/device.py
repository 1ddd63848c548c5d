"""Device, precision and memory allocator of a process."""

from __future__ import annotations

import ctypes
import sys

import torch

from vae_explorer.config import TrainConfig


def choose_device() -> torch.device:
    """Return the fastest device there is: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def uses_bf16(config: TrainConfig, device: torch.device, *, convolutional: bool) -> bool:
    """Return whether the forward pass runs in bfloat16: as configured, or where it is faster.

    Parameters
    ----------
    config : TrainConfig
        Its `precision` decides, unless that is "auto".
    device : torch.device
    convolutional : bool
        Whether the model has convolutions; on a CPU nothing else is faster in bfloat16.
    """
    if config.precision != "auto":
        return config.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and convolutional and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    """Return whether the CPU has instructions for bfloat16, without which it is slower."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16", False))


def keep_freed_memory(block: int | None = None, total: int = 2**31 - 1) -> None:
    """Make glibc reuse large blocks instead of returning them to the kernel.

    Every pass through a model allocates and frees the same activations; page faults on
    returned blocks cost a tenth of a training step and a sixth of decoding a grid. Does nothing
    with another C library.

    Parameters
    ----------
    block : int, optional
        Bytes, at most 2**25; larger blocks are returned. By default none are.
    total : int
        Largest number of free bytes that are kept.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        m_trim_threshold, m_top_pad, m_mmap_threshold, m_mmap_max = -1, -2, -3, -4  # malloc.h
        libc.mallopt(m_trim_threshold, total)
        if block is None:
            libc.mallopt(m_top_pad, 256 * 2**20)
            libc.mallopt(m_mmap_max, 0)
        else:
            libc.mallopt(m_mmap_threshold, block)
