"""The models at hand: a table of all of them, renaming and deleting, import and export."""
