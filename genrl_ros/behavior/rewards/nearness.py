"""Reward of a task: how near a state is to what the prompt shows, in looks and in time.

No phase of a motion counts, and a state counts for where it led to in recorded episodes: a body
that gets up is nearer to a walk than one that sits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.world_model.fast.lookup import LookUp
from genrl_ros.world_model.mfwm import MFWM


class Near:
    """Nearness of the prompt, in [0, 1].

    Args:
        model: the world model, whose nearness is trained.
        embedding: `(D,)` of the prompt, before the aligner.
        mixed: compute the network in bfloat16.
    """

    def __init__(self, model: MFWM, embedding: Tensor, mixed: bool = False) -> None:
        with torch.no_grad():
            net = model.nearness.for_prompt(model.aligner(embedding))
        self.network = LookUp(net.requires_grad_(False), model.config.flat_stoch)
        self.device, self.mixed = embedding.device.type, mixed

    def __call__(self, dream: Dream) -> Tensor:
        """Reward `(T, B)` of every state of a dream."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.mixed):
            logit = self.network(dream.stoch, dream.tokens, dream.deter)
        return logit.squeeze(-1).float().sigmoid()
