"""Posterior logits of every frame of a dataset, stored beside the frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from genrl_ros.data.episode_store import EpisodeStore
from genrl_ros.files import write_tensors
from genrl_ros.world_model.checkpoint import weights_identity
from genrl_ros.world_model.tokenizer import Tokenizer


@torch.no_grad()
def encode_dataset(
    store: EpisodeStore, tokenizer: Tokenizer, ids: list[str] | None = None
) -> Iterator[int]:
    """Encode the episodes that this tokenizer has not encoded yet.

    Args:
        store: the dataset.
        tokenizer: its identity names the folder that the logits go to.
        ids: episodes to encode; all unless given.

    Yields:
        The number of frames of each episode, once it is done.

    Raises:
        OSError: naming the file that cannot be written.
    """
    identity = weights_identity(tokenizer)
    device = next(tokenizer.parameters()).device
    for episode in store.episode_ids if ids is None else ids:
        path = store.logits_path(identity, episode)
        if not path.exists():
            frames = torch.from_numpy(np.array(store.image(episode))).to(device)
            logits = tokenizer.encode(frames).half().cpu().numpy()
            write_tensors(path, {'logits': logits})
        yield store.length(episode)
