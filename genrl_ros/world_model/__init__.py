"""The multimodal-foundation world model: what is learned from images and actions alone."""
