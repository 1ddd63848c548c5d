"""Catalog of models: comparison table, renaming and deleting, import and export."""
