"""Reward, returns and start states against their plain definitions."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import get_args

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from toy_training import TINY

from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.critic import Critic, symexp, symlog
from genrl_ros.behavior.goal import make_goal
from genrl_ros.behavior.rewards.sequence import Matcher, target_features
from genrl_ros.behavior.start_states import data_free, from_data
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.training import Precision
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.world_model.mfwm import MFWM

LEARN = LearnConfig(starts=8)


@pytest.fixture
def model() -> MFWM:
    torch.manual_seed(0)
    return MFWM(TINY).requires_grad_(False)


def one_hot(tokens: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(tokens, classes).double()


def test_reward_is_one_for_a_rollout_that_reaches_the_target_late() -> None:
    torch.manual_seed(0)
    project = torch.nn.Linear(3 * 4, 6).double()
    goal = one_hot(torch.randint(4, (17, 1, 3)), 4)
    delay = 5
    agent = torch.cat([goal[:1].expand(delay, -1, -1, -1), goal[: 17 - delay]])
    matcher = Matcher(project, project(goal.flatten(-2)).detach(), 3)
    torch.testing.assert_close(matcher.reward(agent, agent.argmax(-1)), torch.ones(17, 1).double())
    plain = Matcher(project, project(goal.flatten(-2)).detach(), 3, 'none')
    assert plain.reward(agent, agent.argmax(-1)).mean() < 0.9
    with pytest.raises(ValueError, match='targets of'):
        matcher.reward(agent[:16], agent[:16].argmax(-1))


@given(scale=st.floats(0.1, 10))
def test_scores_are_highest_for_equal_vectors(scale: float) -> None:
    project = torch.nn.Linear(4, 3)
    stoch = torch.eye(4)[2].view(1, 1, 1, 4)
    target = scale * project(stoch.flatten(-2)).detach()
    got = Matcher(project, target, 1).scores(stoch, stoch.argmax(-1)).item()
    assert got == pytest.approx(min(scale, 1 / scale), rel=1e-4)


@given(st.floats(-1e6, 1e6))
def test_symexp_inverts_symlog(x: float) -> None:
    value = torch.tensor(x, dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(value)), value, rtol=1e-9, atol=1e-9)


def test_critic_starts_at_zero_and_learns_its_target() -> None:
    torch.manual_seed(0)
    critic = Critic(4, 16, 1)
    feat, target = torch.randn(32, 4), torch.full((32,), 12.5)
    assert critic.value(critic(feat)).abs().max() < 1e-4
    adam = torch.optim.Adam(critic.parameters(), 1e-2)
    for _ in range(200):
        loss = critic.loss(critic(feat), target)
        adam.zero_grad()
        loss.backward()
        adam.step()
    torch.testing.assert_close(
        critic.value(critic(feat)).mean(), torch.tensor(12.5), rtol=0.05, atol=0
    )


def test_start_states_have_one_hot_latents(model: MFWM) -> None:
    agent = ActorCritic(model, torch.eye(32)[0], LEARN)
    start = data_free(model, agent.act, 8, warmup_steps=2)
    assert start.stoch.shape == (8, 4, 5)
    assert start.deter.shape == (8, 16)
    assert torch.equal(start.stoch.sum(-1), torch.ones(8, 4))
    batch = {
        'image': torch.randint(256, (2, 3, 3, 64, 64), dtype=torch.uint8),
        'action': torch.zeros(2, 3, 3),
        'is_first': torch.zeros(2, 3),
    }
    assert from_data(model, batch).deter.shape == (6, 16)


@pytest.mark.parametrize('precision', get_args(Precision))
def test_updates_raise_the_imagined_reward_and_leave_the_world_model_alone(
    model: MFWM, precision: Precision
) -> None:
    torch.manual_seed(1)
    model.sequence.embed[0].weight[:, -3:] *= 20  # an untrained model hardly notices actions
    model.sequence.head[-1].weight *= 10
    before = {k: v.clone() for k, v in model.state_dict().items()}
    learning = replace(
        LEARN, actor_lr=3e-3, critic_lr=3e-3, prior=0.0, critic_first=0, precision=precision
    )
    agent = ActorCritic(model, torch.eye(32)[0], learning)
    rule = LearningRule(agent)
    target = target_features(model, torch.nn.functional.normalize(torch.randn(32), dim=0), 8, 17)
    matcher = Matcher(model.tokenizer.decoder.project, target, TINY.stoch)
    rewards = []
    for _ in range(40):
        start = data_free(model, agent.act, 8, 2)
        rewards.append(rule.update(model, start, matcher)['reward'])
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.dtype == torch.float32 for p in agent.parameters())


def test_another_prompt_gives_another_goal(model: MFWM) -> None:
    torch.manual_seed(2)
    one, other = np.eye(32, dtype=np.float32)[:2]
    goal = make_goal(model, one, seed=3)
    assert goal.shape == (16, 3, 64, 64)
    assert np.array_equal(goal, make_goal(model, one, seed=3))
    assert not np.array_equal(goal, make_goal(model, other, seed=3))
    with pytest.raises(ValueError, match='32 finite numbers'):
        make_goal(model, np.full(32, np.nan, np.float32))


def test_learning_keeps_to_the_device_of_its_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device without numbers, which refuses to be mixed with another as a GPU does."""
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: contextlib.nullcontext())
    model = MFWM(TINY).requires_grad_(False).to('meta')
    prompt = torch.empty(TINY.embed_dim, device='meta')
    agent = ActorCritic(model, prompt, LEARN)
    target = target_features(model, prompt, LEARN.starts, LEARN.horizon + 1)
    matcher = Matcher(model.tokenizer.decoder.project, target, TINY.stoch)
    start = data_free(model, agent.act, LEARN.starts, LEARN.warmup_steps)
    losses = agent.losses(model, start, matcher)
    (losses['actor_loss'] + losses['critic_loss']).backward()
    for network in (agent.actor, agent.critic):
        assert {value.grad.device.type for value in network.parameters()} == {'meta'}
