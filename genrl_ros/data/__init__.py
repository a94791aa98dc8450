"""Episodes on disk, replay for training, and the collectors that make episodes."""
