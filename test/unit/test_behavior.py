"""Reward, returns and start states against their plain definitions."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from genrl_ros.behavior.actor_critic import ActorCritic, lambda_returns
from genrl_ros.behavior.critic import Critic, symexp, symlog
from genrl_ros.behavior.goal import make_goal
from genrl_ros.behavior.matching import matching_reward, max_cosine, target_features
from genrl_ros.behavior.start_states import data_free, from_data
from genrl_ros.config import LearnConfig, model_preset
from genrl_ros.world_model.mfwm import MFWM

TINY = replace(
    model_preset('small', 3, 32), depth=4, stoch=4, classes=5, deter=16, hidden=24,
    units=16, layers=1,
)  # fmt: skip
LEARN = LearnConfig(starts=8)


@pytest.fixture
def model() -> MFWM:
    torch.manual_seed(0)
    return MFWM(TINY).requires_grad_(False)


def score(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    longest = max(u.norm(), v.norm())
    return (u / longest) @ (v / longest)


def plain_reward(agent: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Facts 3.3, word for word, for one trajectory `(T, E)`."""
    steps, window = len(agent), 8
    means = [
        torch.stack([score(agent[t + i], target[i]) for i in range(window)]).mean()
        for t in range(steps - window)
    ]
    best = int(torch.stack(means).argmax())
    return torch.stack([score(agent[t], target[max(0, t - best)]) for t in range(steps)])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), steps=st.integers(9, 20), batch=st.integers(1, 3))
def test_aligned_reward_equals_the_plain_loop(seed: int, steps: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    agent = torch.randn(steps, batch, 6, generator=generator, dtype=torch.float64)
    target = torch.randn(steps, batch, 6, generator=generator, dtype=torch.float64)
    agent.requires_grad_()
    fast = matching_reward(agent, target)
    slow = torch.stack([plain_reward(agent[:, b], target[:, b]) for b in range(batch)], 1)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    weight = torch.randn(steps, batch, generator=generator, dtype=torch.float64)
    (got,) = torch.autograd.grad((fast * weight).sum(), agent, retain_graph=True)
    (want,) = torch.autograd.grad((slow * weight).sum(), agent)
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)


def test_reward_is_one_for_a_rollout_that_reaches_the_target_late() -> None:
    target = torch.randn(17, 1, 6)
    delay = 5
    agent = torch.cat([target[:1].expand(delay, -1, -1), target[: 17 - delay]])
    torch.testing.assert_close(matching_reward(agent, target), torch.ones(17, 1))
    assert matching_reward(agent, target, 'none').mean() < 0.9


@given(scale=st.floats(0.1, 10))
def test_max_cosine_is_largest_for_equal_vectors(scale: float) -> None:
    u = torch.tensor([[[1.0, 2.0, -1.0]]])
    got = max_cosine(u, scale * u).item()
    assert got == pytest.approx(min(scale, 1 / scale), rel=1e-5)


def test_lambda_returns_equal_their_definition() -> None:
    torch.manual_seed(0)
    reward, value = torch.randn(5, 2).double(), torch.randn(6, 2).double()
    got = lambda_returns(reward, value, 0.9, 0.8)
    expected = value[5]
    for t in reversed(range(5)):
        expected = reward[t] + 0.9 * (0.2 * value[t + 1] + 0.8 * expected)
        torch.testing.assert_close(got[t], expected)


@given(st.floats(-1e6, 1e6))
def test_symexp_inverts_symlog(x: float) -> None:
    value = torch.tensor(x, dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(value)), value, rtol=1e-9, atol=1e-9)


def test_critic_starts_at_zero_and_learns_its_target() -> None:
    torch.manual_seed(0)
    critic = Critic(4, 16, 1)
    feat, target = torch.randn(32, 4), torch.full((32,), 12.5)
    assert critic.value(feat).abs().max() < 1e-4
    adam = torch.optim.Adam(critic.parameters(), 1e-2)
    for _ in range(200):
        loss = critic.loss(feat, target)
        adam.zero_grad()
        loss.backward()
        adam.step()
    torch.testing.assert_close(critic.value(feat).mean(), torch.tensor(12.5), rtol=0.05, atol=0)


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


def test_updates_raise_the_imagined_reward_and_leave_the_world_model_alone(model: MFWM) -> None:
    torch.manual_seed(1)
    model.sequence.embed[0].weight[:, -3:] *= 20  # an untrained model hardly notices actions
    model.sequence.head[-1].weight *= 10
    before = {k: v.clone() for k, v in model.state_dict().items()}
    learning = replace(LEARN, actor_lr=3e-3, critic_lr=3e-3, prior=0.0, critic_first=0)
    agent = ActorCritic(model, torch.eye(32)[0], learning)
    target = target_features(model, torch.nn.functional.normalize(torch.randn(32), dim=0), 8, 17)
    rewards = []
    for _ in range(40):
        start = data_free(model, agent.act, 8, 2)
        rewards.append(agent.update(model, start, target)['reward'])
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_another_prompt_gives_another_goal(model: MFWM) -> None:
    torch.manual_seed(2)
    one, other = np.eye(32, dtype=np.float32)[:2]
    goal = make_goal(model, one, seed=3)
    assert goal.frames.shape == (16, 3, 64, 64)
    assert np.array_equal(goal.tokens, make_goal(model, one, seed=3).tokens)
    assert not np.array_equal(goal.frames, make_goal(model, other, seed=3).frames)
    with pytest.raises(ValueError, match='32 finite numbers'):
        make_goal(model, np.full(32, np.nan, np.float32))
