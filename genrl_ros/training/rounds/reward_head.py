"""A reader of true rewards from the world model's states; no part of the world model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.behavior.actor_critic import Dream, Reward
from genrl_ros.config.model import ModelConfig
from genrl_ros.training.rounds.recorded import Recorded
from genrl_ros.world_model.fast.lookup import LookUp
from genrl_ros.world_model.layers import mlp

UPDATES, BATCH, LR = 1_500, 512, 1e-3


def train_reward_head(config: ModelConfig, recorded: Recorded) -> nn.Sequential:
    """A network from features `(..., F)` to the rewards `(..., R)` of all tasks."""
    reward = recorded.reward.flatten(0, 1)
    head = mlp(config.feat, config.units, 2, reward.shape[-1])
    adam = torch.optim.Adam(head.parameters(), LR)
    for update in range(UPDATES):
        chosen = torch.randint(len(reward), (BATCH,))
        loss = (head(recorded.feat(chosen)) - reward[chosen]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]['lr'] = LR * (1 - update / UPDATES)
        adam.step()
    return head.requires_grad_(False)


@torch.no_grad()
def explained(head: nn.Module, recorded: Recorded) -> list[float]:
    """Share of the variance of each task's reward that it tells, on other windows."""
    true = recorded.reward.flatten(0, 1)
    told = torch.cat([head(recorded.feat(part)) for part in torch.arange(len(true)).split(4096)])
    residual = (told - true).square().mean(0) / true.var(0)
    return [float(1 - each) for each in residual]


def reward_of(head: nn.Sequential, task: int, latent: int) -> Reward:
    """The reward of dreams by one task, clipped to [0, 1]."""
    network = LookUp(head, latent)

    def reward(dream: Dream) -> Tensor:
        return network(dream.stoch, dream.tokens, dream.deter)[..., task].clamp(0, 1).float()

    return reward
