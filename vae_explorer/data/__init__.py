"""Data sets: prepared once into a memory-mapped cache, then opened from it."""

from vae_explorer.data.base import ImageDataset
from vae_explorer.data.cache import (
    find_content,
    find_prepared,
    load_dataset,
    prepare,
    remove_prepared,
)
from vae_explorer.data.registry import DATASETS, DatasetSpec
from vae_explorer.errors import DatasetError

__all__ = [
    "DATASETS",
    "DatasetError",
    "DatasetSpec",
    "ImageDataset",
    "find_content",
    "find_prepared",
    "load_dataset",
    "prepare",
    "remove_prepared",
]
