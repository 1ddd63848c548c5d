"""Attribute vectors: estimation, selection, edit recipes, and vectors defined by the user."""
