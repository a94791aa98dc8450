"""States that imagination starts from.

Without any data, or from recorded episodes (facts 3.5); beside these, not in the paper, from where
earlier dreams ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from genrl_ros.config.model import ModelConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

SEQUENCE = 16
Policy = Callable[[State], Tensor]


@torch.no_grad()
def data_free(
    model: MFWM, policy: Policy, count: int, warmup_steps: int, dreamed: float = 0.5
) -> State:
    """States drawn from the world model alone.

    Half as many latents as asked for are drawn: each is a connector state for random embeddings
    with probability `dreamed`, else a uniformly random one. The recurrent state is zero.
    They are then moved on by `warmup_steps` of random actions, and once more by the policy.

    Args:
        model: the world model.
        policy: sampled action `(B, A)` for a state.
        count: number B of states, a multiple of 4.
        warmup_steps: world-model steps.
        dreamed: probability of a connector state.

    Returns:
        `count` states.
    """
    config, weight = model.config, model.sequence.cell.norm.weight
    half, device = count // 2, weight.device
    tokens = torch.randint(config.classes, (half, config.stoch), device=device)
    random = latents.one_hot(tokens, config.classes).to(weight)
    sequences = -(-half // SEQUENCE)
    noise = torch.randn(sequences, SEQUENCE, config.embed_dim, dtype=weight.dtype, device=device)
    embedding = model.aligner(F.normalize(noise, dim=-1))
    dream = model.connector.generate(embedding, mode=False).flatten(0, 1)[:half]
    chance = torch.rand(half, 1, 1, dtype=weight.dtype, device=device)
    stoch = torch.where(chance < dreamed, dream, random)
    begin = State(stoch, stoch.new_zeros(half, config.deter))
    ends = [_moved(model, begin, act, warmup_steps) for act in (_random(config), policy)]
    return joined(ends)


def joined(parts: Sequence[State]) -> State:
    """All states of several batches."""
    return State(*(torch.cat(each) for each in zip(*parts, strict=True)))


def chosen(states: State, count: int) -> State:
    """Some of the states of a batch, at random."""
    which = torch.randperm(len(states.deter))[:count].to(states.deter.device)
    return State(states.stoch[which], states.deter[which])


def _moved(model: MFWM, state: State, policy: Policy, steps: int) -> State:
    for _ in range(steps):
        state = model.sequence.step(state, policy(state))
    return state


def _random(config: ModelConfig) -> Policy:
    def act(state: State) -> Tensor:
        return state.deter.new_empty(len(state.deter), config.action_dim).uniform_(-1, 1)

    return act


@torch.no_grad()
def from_data(model: MFWM, batch: Mapping[str, Tensor]) -> State:
    """Every posterior state of a batch of recorded sequences, `B * T` of them."""
    stoch, deter = model.observe(batch['image'], batch['action'], batch['is_first'])
    return State(stoch.flatten(0, 1), deter.flatten(0, 1))
