"""Held-out metrics: ELBO terms, reconstruction error, and image quality."""
