"""Encode and decode in batches: NumPy in, NumPy out."""

from __future__ import annotations

import ctypes
import sys

import torch

from vae_explorer.config import ModelConfig, TrainConfig


def choose_device() -> torch.device:
    """Return the fastest device there is: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def chooses_bf16(config: TrainConfig, model: ModelConfig, device: torch.device) -> bool:
    """Say whether the forward pass runs in bfloat16: as configured, or where it pays."""
    if config.precision == "auto" and device.type == "cpu" and model.architecture == "mlp":
        return False  # on a CPU only convolutions gain
    return prefers_bf16(config, device)


def prefers_bf16(config: TrainConfig, device: torch.device) -> bool:
    """Say the same of a network of convolutions."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and _cpu_has_bf16()  # where the instructions for it are there


def _cpu_has_bf16() -> bool:
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16", False))


def keep_freed_memory(block: int | None = None, total: int = 2**31 - 1) -> None:
    """Have glibc reuse large blocks instead of handing them back to the kernel.

    Every pass through a model allocates and frees the same activations; faulting their pages in
    anew costs a tenth of a training step and a sixth of decoding a grid. Does nothing where the C
    library is another one.

    Parameters
    ----------
    block : int, optional
        Bytes, at most 2**25; larger blocks are handed back. By default none are.
    total : int
        Bytes that are kept at most.
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
