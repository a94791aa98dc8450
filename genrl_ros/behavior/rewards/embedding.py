"""Reward of a task: how near what a dream shows comes to the prompt, as the embedder would see it.

The embedding head tells, from a state alone, how the embedder would embed the clip that ends
there. What a robot does counts, and no phase of it.

Source: the paper's baseline WM-CLIP.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.world_model.fast.lookup import LookUp
from genrl_ros.world_model.mfwm import MFWM


class Shown:
    """Cosine of what states show and the prompt, in [-1, 1].

    Args:
        model: the world model, whose embedding head is trained.
        embedding: `(D,)` of the prompt, before the aligner.
        mixed: compute the head in bfloat16.
    """

    def __init__(self, model: MFWM, embedding: Tensor, mixed: bool = False) -> None:
        self.network = LookUp(model.embedding_head.net, model.config.flat_stoch)
        self.mixed = mixed
        with torch.no_grad():
            self.goal = model.aligner(embedding)

    def __call__(self, dream: Dream) -> Tensor:
        """Reward `(T, B)` of every state of a dream."""
        with torch.autocast(self.goal.device.type, torch.bfloat16, enabled=self.mixed):
            told = self.network(dream.stoch, dream.tokens, dream.deter)
        return F.normalize(told.float(), dim=-1) @ self.goal
