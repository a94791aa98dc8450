"""Posterior logits of every frame of a dataset, stored beside the frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from safetensors.numpy import save_file

from genrl_ros.data.episode_store import EpisodeStore
from genrl_ros.files import atomic_file
from genrl_ros.world_model.tokenizer import Tokenizer


def tokenizer_identity(tokenizer: Tokenizer) -> str:
    """sha256 over the tokenizer's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(tokenizer.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.numpy()).tobytes())
    return digest.hexdigest()


@torch.no_grad()
def encode_dataset(store: EpisodeStore, tokenizer: Tokenizer) -> Iterator[int]:
    """Encode the episodes that this tokenizer has not encoded yet.

    Yields:
        The number of frames of each episode, once it is done.
    """
    identity = tokenizer_identity(tokenizer)
    for episode in store.episode_ids:
        path = store.logits_path(identity, episode)
        if not path.exists():
            frames = torch.from_numpy(np.array(store.image(episode)))
            logits = tokenizer.encode(frames).half().numpy()
            with atomic_file(path) as temporary:
                save_file({'logits': logits}, temporary)
        yield store.length(episode)
