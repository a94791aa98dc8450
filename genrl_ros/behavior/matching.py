"""Reward of a task: how well imagined states follow the prompt's latent trajectory.

Source: facts 3.2, 3.3.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genrl_ros.world_model.mfwm import MFWM

WINDOW = 8


@torch.no_grad()
def target_features(model: MFWM, embedding: Tensor, trajectories: int, steps: int) -> Tensor:
    """Features g(s) of the prompt's latent trajectory, one trajectory for each imagined one.

    The connector's first state is sampled, so that trajectories differ; the states after it are
    modes. The first generated state is dropped, as published.

    Args:
        model: the world model.
        embedding: `(D,)` embedding of the prompt, before the aligner.
        trajectories: number B of trajectories.
        steps: number T of states in each.

    Returns:
        `(T, B, E)` float32.
    """
    aligned = model.aligner(embedding).expand(trajectories, steps + 1, -1)
    stoch = model.connector.generate(aligned, mode=True)[:, 1:]
    return model.tokenizer.project(stoch).transpose(0, 1)


def max_cosine(agent: Tensor, target: Tensor) -> Tensor:
    """Pairwise score of agent states and target states, in [-1, 1] and 1 only if equal.

    `u . v / max(|u|, |v|)^2`, that is the cosine times the ratio of the lengths.

    Args:
        agent: `(B, T, E)` features.
        target: `(B, G, E)` features.

    Returns:
        `(B, T, G)`.
    """
    longest = torch.maximum(
        agent.square().sum(-1).unsqueeze(-1), target.square().sum(-1).unsqueeze(-2)
    )
    return agent @ target.transpose(-1, -2) / longest.clamp(min=1e-12)


def matching_reward(
    agent: Tensor, target: Tensor, align: Literal['sequence', 'initial', 'none'] = 'sequence'
) -> Tensor:
    """Reward of every imagined state.

    With alignment, the agent may take its time: the target starts where its first eight states fit
    the rollout best, and until then the agent is compared with the target's first state.

    Args:
        agent: `(T, B, E)` features of imagined states.
        target: `(T, B, E)` features from `target_features`.
        align: `sequence` (best window of eight, the default of the paper), `initial` (best first
            state) or `none`.

    Returns:
        `(T, B)` float32 in [-1, 1].

    Source: facts 3.3, where the last possible window is not tried; kept so.
    """
    steps, batch = agent.shape[:2]
    if target.shape != agent.shape:
        raise ValueError(f'target {tuple(target.shape)} must match agent {tuple(agent.shape)}')
    scores = max_cosine(agent.transpose(0, 1), target.transpose(0, 1))  # (B, T, G)
    time = torch.arange(steps)
    if align == 'none':
        start = torch.zeros(batch, dtype=torch.long)
    elif align == 'initial':
        start = scores[:, :, 0].argmax(1)
    else:
        starts = torch.arange(steps - WINDOW)
        window = torch.arange(WINDOW)
        start = scores.detach()[:, starts[:, None] + window, window].mean(-1).argmax(1)
    index = (time[None] - start[:, None]).clamp(min=0)  # (B, T)
    return scores.gather(2, index.unsqueeze(-1)).squeeze(-1).transpose(0, 1)
