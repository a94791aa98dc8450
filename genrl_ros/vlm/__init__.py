"""Video-text embedders: one space for clips and sentences."""
