"""Episodes on disk: a dataset, and batches of it for training."""
