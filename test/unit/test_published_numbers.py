"""Constants of the published method (facts 1.2, 1.5, 2.4, 3), each written out here once more."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from toy_training import TINY

from genrl_ros.behavior.actor_critic import ActorCritic, ReturnNormalizer
from genrl_ros.behavior.rewards.sequence import Matcher, target_features
from genrl_ros.behavior.start_states import data_free
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.presets import TRAINING
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.world_model import aligner, latents
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.conv import ChannelNorm
from genrl_ros.world_model.mfwm import MFWM

LEARN = LearnConfig(starts=8, prior=0.0, critic_first=0)


@pytest.fixture
def model() -> MFWM:
    torch.manual_seed(0)
    return MFWM(TINY).requires_grad_(False)


def test_spread_of_the_actor() -> None:
    mean, std = Actor(2, 4, 1, 1).distribution(torch.tensor([0.3, -0.7]))
    assert mean.item() == pytest.approx(math.tanh(0.3))
    assert std.item() == pytest.approx(0.9 / (1 + math.exp(-(-0.7 + 2))) + 0.1)


def test_rate_of_the_return_normaliser() -> None:
    normalizer, returns = ReturnNormalizer(), torch.linspace(0.0, 100.0, 101)
    normalizer(returns, returns)
    assert normalizer.low.item() == pytest.approx(0.01 * 5)
    assert normalizer.high.item() == pytest.approx(0.01 * 95)


def test_noise_of_the_aligner(monkeypatch: pytest.MonkeyPatch) -> None:
    direction = torch.tensor([[0.0, 3.0, 0.0]])
    monkeypatch.setattr(aligner.noise, 'normal', lambda shape, like: direction)
    noisy = aligner.add_noise(torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(noisy, torch.tensor([[0.5, 0.5, 0.0]]) / math.sqrt(0.5))


def test_eps_of_the_channel_norm() -> None:
    x = torch.tensor([0.01, -0.01, 0.03]).view(1, 3, 1, 1)
    mean, variance = 0.01, (0.0 + 0.02**2 + 0.02**2) / 3
    expected = (x - mean) / math.sqrt(variance + 1e-3)
    torch.testing.assert_close(ChannelNorm(3)(x), expected)


def test_optimisers_of_behaviours(model: MFWM) -> None:
    rule = LearningRule(ActorCritic(model, torch.randn(32), TRAINING['paper'].learning))
    for optimizer in (rule.actor, rule.critic):
        config = optimizer.config
        assert (config.lr, config.eps, config.clip, config.weight_decay) == (
            3e-5, 1e-5, 100.0, 1e-6
        )  # fmt: skip
        assert (config.warmup, config.final_lr, config.ema) == (0, 1.0, 0.0)
    assert TRAINING['paper'].learning.target_every == 100


def test_returns_are_of_the_slow_critic(model: MFWM) -> None:
    agent = ActorCritic(model, torch.randn(32), LEARN)
    prompt = torch.randn(32)
    matcher = Matcher(
        model.tokenizer.decoder.project, target_features(model, prompt, 8, 17), TINY.stoch
    )
    start = data_free(model, agent.act, 8, 2)

    def returned() -> Tensor:
        torch.manual_seed(1)
        return agent.losses(model, start, matcher)['return'].detach()

    before = returned()
    with torch.no_grad():
        for value in agent.critic.parameters():
            value.add_(torch.randn_like(value))
    assert torch.equal(returned(), before)
    agent.target_critic.load_state_dict(agent.critic.state_dict())
    assert not torch.equal(returned(), before)


def test_the_slow_critic_is_copied_every_hundred_updates(model: MFWM) -> None:
    agent = ActorCritic(model, torch.randn(32), LEARN)
    matcher = Matcher(
        model.tokenizer.decoder.project, target_features(model, torch.randn(32), 8, 17), TINY.stoch
    )
    start = data_free(model, agent.act, 8, 2)

    def same() -> bool:
        pairs = zip(agent.critic.parameters(), agent.target_critic.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    rule = LearningRule(agent)
    rule.critic.updates = 97
    seen = []
    for _ in range(4):
        rule.update(model, start, matcher)
        seen.append(same())
    assert seen == [False, False, True, False]


def test_targets_are_modes_without_the_first(model: MFWM, monkeypatch: pytest.MonkeyPatch) -> None:
    stoch = latents.one_hot(torch.randint(TINY.classes, (2, 4, TINY.stoch)), TINY.classes)

    def generate(embedding: Tensor, *, mode: bool) -> Tensor:
        assert mode and embedding.shape[:2] == (2, 4)
        return stoch

    monkeypatch.setattr(model.connector, 'generate', generate)
    features = target_features(model, torch.randn(32), 2, 3)
    project = model.tokenizer.decoder.project
    expected = stoch[:, 1:].flatten(-2) @ project.weight.t() + project.bias
    torch.testing.assert_close(features, expected.transpose(0, 1))
