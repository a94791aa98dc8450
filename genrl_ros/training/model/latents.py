"""Posterior logits and states of every frame of a dataset, stored beside the frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import nn

from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Arrays
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import weights_identity
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.tokenizer import Tokenizer

FRAMES = 1024
"""Encoded at once: what is in between takes a hundred times the memory of images."""


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

    @torch.no_grad()
    def encode(episode: str) -> Arrays:
        image = store.image(episode)
        parts = (image[start : start + FRAMES] for start in range(0, len(image), FRAMES))
        encoded = [
            tokenizer.encode(torch.from_numpy(np.array(part)).to(device)).half().cpu().numpy()
            for part in parts
        ]
        return {'logits': np.concatenate(encoded)}

    return store.derive(ids, partial(store.logits_path, identity), encode)


def dynamics_identity(model: MFWM) -> str:
    """sha256 over the weights that states along recorded episodes depend on."""
    parts = {'tokenizer': model.tokenizer, 'sequence': model.sequence}
    return weights_identity(nn.ModuleDict(parts))


def follow_dataset(
    store: EpisodeStore, model: MFWM, ids: list[str] | None = None
) -> Iterator[int]:
    """Compute the states along episodes that this world model has not been led through yet.

    From the first frame on, and by the most likely latents: as a policy meets them.

    Args:
        store: the dataset, which the model's tokenizer has encoded.
        model: its identity names the folder that the states go to.
        ids: episodes to follow; all unless given.

    Yields:
        The number of frames of each episode, once it is done.

    Raises:
        OSError: naming the file that cannot be written.
    """
    tokenizer, identity = weights_identity(model.tokenizer), dynamics_identity(model)
    device = next(model.parameters()).device

    @torch.no_grad()
    def follow(episode: str) -> Arrays:
        logits = torch.from_numpy(np.array(store.logits(tokenizer, episode))).to(device)
        action = torch.from_numpy(np.array(store.action(episode))).to(device)
        stoch = latents.mode(latents.log_probs(logits.float()))
        is_first = torch.zeros(1, len(action), device=device)
        is_first[0, 0] = 1
        deter = model.deter_along(stoch[None], action[None], is_first)[0]
        return {'deter': deter.half().cpu().numpy()}

    return store.derive(ids, partial(store.states_path, identity), follow)
