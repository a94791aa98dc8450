"""Dreams beside reality, of a model that is right and of one that is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_training import TINY

from genrl_ros.behavior.actor_critic import Reward
from genrl_ros.behavior.rewards.named import reward_of
from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.bench.dreams import gap
from genrl_ros.config.learning import LearnConfig
from genrl_ros.evaluation.reality import Reality
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

EPISODES, STEPS = 3, 80
HOW = LearnConfig(reward='sequence')


def asked_for(model: MFWM) -> Reward:
    """The published reward of some prompt."""
    prompt = torch.randn(TINY.embed_dim)
    target = target_features(model, prompt, EPISODES, HOW.horizon + 1).contiguous()
    return reward_of(model, prompt, target, HOW)


def still(state: State) -> torch.Tensor:
    return torch.zeros(len(state.deter), TINY.action_dim)


@pytest.fixture
def model() -> MFWM:
    """A model that is sure of what comes: its latents follow from the recurrent state."""
    torch.manual_seed(0)
    model = MFWM(TINY).requires_grad_(False)
    model.sequence.head[-1].weight *= 1_000
    return model


@torch.no_grad()
def reality_of(model: MFWM) -> Reality:
    """A world that is as the model dreams it."""
    state, states = model.sequence.initial(EPISODES), []
    state = State(state.stoch, torch.randn_like(state.deter))
    for _ in range(STEPS):
        state = model.sequence.step(state, still(state), mode=True)
        states.append(state)
    nothing = np.zeros((EPISODES, STEPS))
    return Reality(
        reward=nothing.astype(np.float32)[..., None],
        kl=nothing.astype(np.float32),
        tokens=torch.stack([each.stoch.argmax(-1) for each in states], 1).numpy(),
        deter=torch.stack([each.deter for each in states], 1).numpy(),
        action=nothing.astype(np.float32)[..., None],
        image=nothing.astype(np.uint8),
        state=nothing[..., None],
    )


def test_dreams_of_a_model_that_is_right_come_true(model: MFWM) -> None:
    torch.manual_seed(1)
    found = gap(model, still, reality_of(model), asked_for(model), HOW.horizon)
    assert found['gap'] == pytest.approx(found['dreamt'] - found['real'], abs=2e-3)
    assert abs(found['gap']) < 0.1


def test_a_world_that_goes_another_way_is_told(model: MFWM) -> None:
    """Where what was dreamt of is rewarded, and what came is not."""
    torch.manual_seed(1)
    reality, reward = reality_of(model), asked_for(model)
    tokens = np.random.default_rng(0).integers(0, TINY.classes, reality.tokens.shape)
    other = gap(model, still, replace(reality, tokens=tokens), reward, HOW.horizon)
    same = gap(model, still, reality, reward, HOW.horizon)
    assert abs(other['gap']) > abs(same['gap'])
    assert other['real'] != same['real']
