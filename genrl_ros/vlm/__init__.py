"""Video-text embedders: one space for clips and sentences."""

from genrl_ros.vlm.registry import load_embedder

__all__ = ['load_embedder']
