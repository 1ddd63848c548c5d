"""Checkpoints: one folder per model, written whole or not at all, verified whenever read."""

from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.checkpoints.checkpoint import (
    Checkpoint,
    describe_damage,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    say_repair,
)
from vae_explorer.checkpoints.storage import CARD
from vae_explorer.errors import CheckpointError

__all__ = [
    "CARD",
    "Checkpoint",
    "CheckpointError",
    "ModelCard",
    "describe_damage",
    "find_checkpoint",
    "list_checkpoints",
    "load_checkpoint",
    "save_checkpoint",
    "say_repair",
]
