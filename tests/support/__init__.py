"""Helpers of several test packages: sessions of the app, browsers, processes, checkpoints."""
