"""`genrl bench` compares two forms of the same update: here, that they are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.rewards.sequence import Matcher
from genrl_ros.bench import plain
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.model import ModelConfig
from genrl_ros.config.training import ConnectConfig, OptimConfig, WorldModelConfig
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.training.engine.optim import Optimizer
from genrl_ros.world_model import latents, losses
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

TINY = ModelConfig(
    action_dim=3, embed_dim=32, depth=2, stoch=4, classes=5, deter=16, hidden=24, units=16,
    layers=2,
)  # fmt: skip


def likeliest(logp: torch.Tensor) -> torch.Tensor:
    """A draw without chance, so that two forms draw alike."""
    return latents.mode(logp) + (logp.exp() - logp.exp().detach())


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> MFWM:
    torch.manual_seed(0)
    monkeypatch.setattr(latents, 'draw', lambda probs: (likeliest(probs.log()), probs.argmax(-1)))
    return MFWM(TINY)


def gradients(loss: torch.Tensor, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def same(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> None:
    """Equal to a ten-thousandth of the largest entry of each."""
    assert got.keys() == want.keys()
    for name in got:
        scale = want[name].abs().max().item()
        torch.testing.assert_close(got[name], want[name], rtol=0, atol=1e-4 * scale, msg=name)


def test_world_model(model: MFWM) -> None:
    batch = {
        'image': torch.randint(256, (2, 6, 3, 64, 64), dtype=torch.uint8),
        'action': torch.randn(2, 6, 3),
        'is_first': torch.zeros(2, 6),
    }
    batch['is_first'][0, 0] = batch['is_first'][1, 3] = 1
    config = WorldModelConfig(free_nats=0.0)
    fast, _ = losses.world_model_loss(model, batch, config)
    slow = plain.world_model_loss(model, batch, config, likeliest)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=0)
    same(gradients(fast, model), gradients(slow, model))


def test_connector(model: MFWM) -> None:
    batch = {
        'logits': torch.randn(2, 16, 4, 5),
        'embed': torch.nn.functional.normalize(torch.randn(2, 16, 32), dim=-1),
    }
    torch.manual_seed(1)  # the aligner's noise
    fast, _ = losses.connect_loss(model, batch, ConnectConfig())
    torch.manual_seed(1)
    slow = plain.connect_loss(model, batch, ConnectConfig(), likeliest)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=0)
    same(gradients(fast, model), gradients(slow, model))


def test_behavior(model: MFWM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses of an update, and what they ask of the actor and of the critic."""
    monkeypatch.setattr(Actor, 'draw', lambda self, raw: self.distribution(raw)[0])
    model.requires_grad_(False)
    config = LearnConfig(starts=8, prior=0.0, critic_first=0, actor_lr=1e-30, critic_lr=1e-30)
    agent = ActorCritic(model, torch.eye(32)[0], replace(config, weight_decay=0.0, clip=1e9))
    torch.nn.init.normal_(agent.critic.net[-1].weight)
    agent.target_critic.load_state_dict(agent.critic.state_dict())
    start = State(likeliest(torch.randn(8, 4, 5)).detach(), torch.rand(8, 16))
    goal = likeliest(torch.randn(17, 8, 4, 5)).detach()
    matcher = Matcher(model.tokenizer.decoder.project, model.tokenizer.project(goal), 4)
    actor_loss, critic_loss = plain.behavior_losses(agent, model, start, goal, likeliest)
    want = gradients(actor_loss, agent.actor), gradients(critic_loss, agent.critic)
    agent.normalizer.load_state_dict({'low': torch.zeros(()), 'high': torch.zeros(())})
    metrics = LearningRule(agent).update(model, start, matcher)
    assert metrics['actor_loss'] == pytest.approx(actor_loss.item(), rel=1e-4)
    assert metrics['critic_loss'] == pytest.approx(critic_loss.item(), rel=1e-5)
    for net, expected in zip((agent.actor, agent.critic), want, strict=True):
        same({n: p.grad for n, p in net.named_parameters()}, expected)


@pytest.mark.parametrize('clip', [1e9, 0.1])
def test_optimizer(clip: float) -> None:
    """Three steps, clipped or not, with a decay that is large enough to see."""
    torch.manual_seed(0)
    config = OptimConfig(lr=1e-2, eps=1e-6, clip=clip, weight_decay=1e-2)
    nets = [nn.Linear(3, 2).double() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    fast = Optimizer(nets[0].parameters(), config, 10)
    slow = plain.PlainOptimizer(list(nets[1].parameters()), config)
    for _ in range(3):
        x = torch.randn(5, 3).double()
        fast.step(nets[0](x).square().sum())
        slow.step(nets[1](x).square().sum())
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)  # published clips by norm + 1e-6
