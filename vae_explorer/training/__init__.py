"""Training of VAEs and attribute classifiers: batches, optimisation, state, epoch snapshots."""
