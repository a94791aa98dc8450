"""The rewards by name."""

from __future__ import annotations

from torch import Tensor

from genrl_ros.behavior.actor_critic import Dream, Reward
from genrl_ros.behavior.rewards.embedding import Shown
from genrl_ros.behavior.rewards.sequence import Matcher, aligned
from genrl_ros.behavior.rewards.whitening import Whitening
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
    kinds = {
        'sequence': (_sequence,),
        'whitened': (_whitened,),
        'embedding': (_shown,),
        'sequence+embedding': (_sequence, _shown),
    }
    parts = [make(model, embedding, target, config) for make in kinds[config.reward]]

    def reward(dream: Dream) -> Tensor:
        each = [part(dream) for part in parts]
        return sum(each[1:], each[0]) / len(each)

    return reward


def _sequence(model: MFWM, embedding: Tensor, target: Tensor, config: LearnConfig) -> Reward:
    return Matcher(model.tokenizer.decoder.project, target, model.config.stoch, config.align)


def _whitened(model: MFWM, embedding: Tensor, target: Tensor, config: LearnConfig) -> Reward:
    """Scores of features as published and of whitened ones count the same."""
    project, categoricals = model.tokenizer.decoder.project, model.config.stoch
    whitening = Whitening.of(model, config.seed)
    plain = Matcher(project, target, categoricals)
    white = Matcher(whitening.after(project), whitening(target), categoricals)

    def reward(dream: Dream) -> Tensor:
        scores = plain.scores(dream.stoch, dream.tokens) + white.scores(dream.stoch, dream.tokens)
        return aligned(scores / 2, config.align)

    return reward


def _shown(model: MFWM, embedding: Tensor, target: Tensor, config: LearnConfig) -> Reward:
    return Shown(model, embedding, mixed=config.precision == 'bf16')
