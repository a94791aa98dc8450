"""The rewards by name."""

from __future__ import annotations

from torch import Tensor

from genrl_ros.behavior.actor_critic import Dream, Reward
from genrl_ros.behavior.rewards.nearness import Near
from genrl_ros.behavior.rewards.sequence import Matcher
from genrl_ros.config.learning import LearnConfig
from genrl_ros.world_model.mfwm import MFWM


def reward_of(model: MFWM, embedding: Tensor, target: Tensor, config: LearnConfig) -> Reward:
    """The reward of a prompt: `(T, B)` in [-1, 1] of the states of a dream.

    Args:
        model: the world model.
        embedding: `(D,)` of the prompt, before the aligner.
        target: `(T, B, E)` from `target_features`, for the same embedding.
        config: which reward, and how the target is aligned.
    """
    parts: list[Reward] = []
    if 'sequence' in config.reward:
        project = model.tokenizer.decoder.project
        parts.append(Matcher(project, target, model.config.stoch, config.align))
    if 'nearness' in config.reward:
        parts.append(Near(model, embedding, mixed=config.precision == 'bf16'))

    def mean(dream: Dream) -> Tensor:
        each = [part(dream) for part in parts]
        return sum(each[1:], each[0]) / len(each)

    return mean
