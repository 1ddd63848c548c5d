"""Helpers of several test packages: sessions of the app, browsers, processes, checkpoints."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
