"""Making of the embedded video-text embedder."""
