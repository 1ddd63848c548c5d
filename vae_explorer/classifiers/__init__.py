"""Attribute classifiers: the networks, and their checkpoints."""
