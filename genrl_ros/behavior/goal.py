"""The goal of a task, as it can be seen before anything is learned."""

from __future__ import annotations

import numpy as np
import torch

from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.world_model.images import to_uint8
from genrl_ros.world_model.mfwm import MFWM

STEPS = 16
LAST = 4
"""States at the end of a goal's trajectory that show it reached."""
TRAJECTORIES = 8
"""Of one goal, which differ in their first state."""


@torch.no_grad()
def make_goal(model: MFWM, embedding: FloatArray, seed: int = 0, steps: int = STEPS) -> Image:
    """Frames `(T, 3, 64, 64)` uint8 of the latent trajectory that an embedding stands for.

    Args:
        model: the world model.
        embedding: `(D,)` of the prompt.
        seed: of the random draws. States are samples; in learning's targets they are modes.
        steps: length T of the trajectory.

    Raises:
        ValueError: if the embedding has another size or is not finite.
    """
    size = model.config.embed_dim
    if embedding.shape != (size,) or not np.isfinite(embedding).all():
        raise ValueError(
            f'the prompt embedding must be {size} finite numbers, got shape {embedding.shape}'
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prompt = torch.from_numpy(np.ascontiguousarray(embedding, np.float32))
        aligned = model.aligner(prompt.to(next(model.parameters()).device))
        stoch = model.connector.generate(aligned.expand(1, steps, -1), mode=False)[0]
    frames: Image = to_uint8(model.tokenizer.decode(stoch)).cpu().numpy()
    return frames


@torch.no_grad()
def last_features(model: MFWM, embedding: FloatArray, seed: int = 0) -> torch.Tensor:
    """Features g(s) of the goal's last states, `(N, E)` float32 of `TRAJECTORIES` times `LAST`.

    Args:
        model: the world model, on the CPU.
        embedding: `(D,)` of the prompt.
        seed: of the random draws.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prompt = torch.from_numpy(np.ascontiguousarray(embedding, np.float32))
        return target_features(model, prompt, TRAJECTORIES, STEPS)[-LAST:].flatten(0, 1)
