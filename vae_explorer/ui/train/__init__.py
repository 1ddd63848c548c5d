"""The section Train: the training form, run progress, playback, model comparison."""
