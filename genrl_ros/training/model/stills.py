"""What the embedder says of frames that are held still, and the states that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from genrl_ros.data.store.episode_store import CLIP, EpisodeStore
from genrl_ros.data.store.replay import Arrays
from genrl_ros.data.store.stills import HELD, still_actions, still_frames
from genrl_ros.training.model.latents import dynamics_identity
from genrl_ros.vlm.base import VideoTextEmbedder
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import weights_identity
from genrl_ros.world_model.mfwm import MFWM


def embed_stills(
    store: EpisodeStore, embedder: VideoTextEmbedder, ids: list[str] | None = None
) -> Iterator[int]:
    """Embed clips of frames that are held still, of episodes where there are none yet.

    Args:
        store: the dataset.
        embedder: its identity names the folder that they go to.
        ids: episodes; all unless given.

    Yields:
        The number of frames of each episode, once it is done.

    Raises:
        OSError: naming the file that cannot be written.
    """

    def embed(episode: str) -> Arrays:
        image = store.image(episode)
        clips = []
        for frame in still_frames(episode, len(image)):
            moving = image[frame - CLIP + 2 : frame + 1]
            held = np.repeat(image[frame : frame + 1], CLIP, 0)
            clips.append(embedder.embed_windows(np.concatenate([moving, held]))[CLIP - 1 :])
        return {'video': np.stack(clips)}

    usable = _long(store, ids)
    return store.derive(usable, partial(store.stills_path, embedder.identity), embed)


def follow_stills(store: EpisodeStore, model: MFWM, ids: list[str] | None = None) -> Iterator[int]:
    """Compute the states while frames are held still, where there are none yet.

    Args:
        store: the dataset, whose latents and states are there.
        model: its identity names the folder that the states go to.
        ids: episodes; all unless given.

    Yields:
        The number of frames of each episode, once it is done.

    Raises:
        OSError: naming the file that cannot be written.
    """
    tokenizer, dynamics = weights_identity(model.tokenizer), dynamics_identity(model)
    device = next(model.parameters()).device

    @torch.no_grad()
    def follow(episode: str) -> Arrays:
        frames = still_frames(episode, store.length(episode))
        logits, deter, action = (
            torch.from_numpy(array).to(device).float()
            for array in (
                store.logits(tokenizer, episode)[frames],
                store.deter(dynamics, episode)[frames],
                still_actions(episode, model.config.action_dim),
            )
        )
        stoch = latents.mode(latents.log_probs(logits))
        held = stoch[:, None].expand(-1, HELD, -1, -1)
        states = model.sequence.unroll(held, action, deter)
        return {'deter': states.half().cpu().numpy()}

    usable = _long(store, ids)
    return store.derive(usable, partial(store.still_states_path, dynamics), follow)


def _long(store: EpisodeStore, ids: list[str] | None) -> list[str]:
    """Episodes that have a clip."""
    return [
        name for name in (store.episode_ids if ids is None else ids) if store.length(name) >= CLIP
    ]
