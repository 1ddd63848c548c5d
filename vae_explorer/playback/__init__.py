"""Playback of a training: packed epoch snapshots, and their animation."""
