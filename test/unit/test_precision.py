"""With bf16, losses and gradients are those of float32 as far as rounding allows; models learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_training import TINY, make_store

from genrl_ros.behavior.actor_critic import ActorCritic
from genrl_ros.behavior.rewards.sequence import Matcher
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.model import ModelConfig, model_preset
from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    OptimConfig,
    PriorConfig,
    RecordConfig,
    WorldModelConfig,
)
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import Replay
from genrl_ros.training.engine.run import Run
from genrl_ros.training.engine.state_file import load_state
from genrl_ros.training.model.pretrain import train_world_model
from genrl_ros.world_model import latents, losses
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

SIZES = {
    'conv': replace(
        model_preset('paper', 3, 32), depth=8, stoch=8, classes=8, deter=64, hidden=64, units=64,
        layers=2,
    ),
    'patch': replace(
        model_preset('small', 3, 32), depth=16, stoch=8, classes=8, deter=64, hidden=64,
        units=64, layers=2,
    ),
}  # fmt: skip
BATCH, LENGTH = 4, 16
LEARN = LearnConfig(
    starts=32, critic_first=0, actor_lr=1e-30, critic_lr=1e-30, weight_decay=0.0
)  # fmt: skip


@pytest.fixture(autouse=True)
def expected_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latents that rounding cannot flip: what a sample would be depends on its last bit."""
    torch.manual_seed(0)
    fixed = torch.randint(8, (17, 64, 8))

    def draw(probs: Tensor) -> tuple[Tensor, Tensor]:
        tokens = fixed.flatten()[: probs[..., 0].numel()].view(probs.shape[:-1])
        hard = torch.nn.functional.one_hot(tokens, probs.shape[-1]).to(probs.dtype)
        return hard + (probs - probs.detach()), tokens

    monkeypatch.setattr(latents, 'draw', draw)


def batch() -> dict[str, Tensor]:
    lead = (BATCH, LENGTH)
    values = {
        'image': torch.randint(256, (*lead, 3, 64, 64), dtype=torch.uint8),
        'action': torch.rand(*lead, 3) * 2 - 1,
        'is_first': torch.zeros(lead),
        'logits': torch.randn(*lead, 8, 8).half(),
        'deter': torch.randn(*lead, 64).half(),
        'embed': torch.nn.functional.normalize(torch.randn(*lead, 32), dim=-1),
        'goal': torch.nn.functional.normalize(torch.randn(BATCH, 3, 32), dim=-1),
    }
    values['is_first'][1, 5] = 1
    return values


def agree(of: Callable[[], tuple[Tensor, nn.Module]], loss: float, cosine: float) -> None:
    """The two precisions' losses, to a share, and the direction of each parameter's gradient."""
    seen = []
    for mixed in (False, True):
        torch.manual_seed(1)
        with torch.autocast('cpu', torch.bfloat16, enabled=mixed):
            value, net = of()
        net.zero_grad()
        value.backward()
        assert value.dtype == torch.float32
        seen.append((value.item(), {n: p.grad for n, p in net.named_parameters()}))
    (want, exact), (got, rounded) = seen
    assert got == pytest.approx(want, rel=loss)
    assert got != want
    largest = max(g.norm() for g in exact.values() if g is not None)
    for name, gradient in exact.items():
        other = rounded[name]
        if gradient is None or other is None:
            assert gradient is other, name
            continue
        assert other.dtype == torch.float32
        if gradient.norm() > 1e-5 * largest:
            found = torch.nn.functional.cosine_similarity(gradient.flatten(), other.flatten(), 0)
            assert found > cosine, f'{name}: {found}'


@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
@pytest.mark.parametrize('stage', ['world_model', 'dynamics', 'connect', 'prior', 'nearness'])
def test_losses_and_gradients(sizes: ModelConfig, stage: str) -> None:
    torch.manual_seed(0)
    model, values = MFWM(sizes), batch()
    loss, config = {
        'world_model': (losses.world_model_loss, WorldModelConfig(free_nats=0.0)),
        'dynamics': (losses.dynamics_loss, DynamicsConfig()),
        'connect': (losses.connect_loss, ConnectConfig()),
        'prior': (losses.prior_loss, PriorConfig()),
        'nearness': (losses.nearness_loss, NearnessConfig()),
    }[stage]

    def of() -> tuple[Tensor, nn.Module]:
        return loss(model, values, config)[0], model  # type: ignore[operator]

    agree(of, loss=0.01, cosine=0.99)


@pytest.mark.parametrize('net', ['actor', 'critic'])
@pytest.mark.parametrize('prior', [0.0, 1.0])
def test_behavior(net: str, prior: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Actor, 'draw', lambda self, raw: self.distribution(raw)[0])
    torch.manual_seed(0)
    model = MFWM(SIZES['patch']).requires_grad_(False)
    agent = ActorCritic(model, torch.eye(32)[0], replace(LEARN, prior=prior))
    for layer in (agent.actor.net[-1], agent.critic.net[-1], agent.target_critic.net[-1]):
        nn.init.normal_(layer.weight, std=0.1)
    start = State(latents.draw(torch.rand(32, 8, 8))[0], torch.rand(32, 64))
    target = torch.randn(agent.config.horizon + 1, 32, 16 * 16)
    matcher = Matcher(model.tokenizer.decoder.project, target, 8)

    def of() -> tuple[Tensor, nn.Module]:
        agent.normalizer.load_state_dict({'low': torch.zeros(()), 'high': torch.zeros(())})
        return agent.losses(model, start, matcher)[f'{net}_loss'], getattr(agent, net)

    agree(of, loss=0.02, cosine=0.99)


@pytest.mark.parametrize('tokenizer', ['conv', 'patch'])
def test_a_model_learns_in_bf16_and_keeps_float32_weights(tmp_path: Path, tokenizer: str) -> None:
    torch.manual_seed(0)
    model = MFWM(replace(TINY, tokenizer=tokenizer, stoch=8, classes=8))
    store = EpisodeStore.open(make_store(tmp_path / 'data', side=64))
    seen: list[float] = []
    run = Run(
        tmp_path / 'run', RecordConfig(report_every=10, picture_every=0), precision='bf16',
        on_progress=lambda progress: seen.append(progress.metrics['image']),
    )  # fmt: skip
    config = WorldModelConfig(updates=40, batch=4, optim=OptimConfig(lr=3e-3))
    train_world_model(model, Replay(store, 4, 8, 0), config, run)
    floor = 3 * 64 * 64 / 12  # the images are noise, each number of it uniform
    assert seen[-1] - floor < 0.5 * (seen[0] - floor)
    weights = load_state(next((tmp_path / 'run').glob('*.safetensors')))

    def kinds(state: object) -> set[torch.dtype]:
        if isinstance(state, dict):
            return set().union(*map(kinds, state.values()))
        floating = isinstance(state, torch.Tensor) and state.is_floating_point()
        return {state.dtype} if floating else set()  # type: ignore[attr-defined]

    assert kinds(weights) == {torch.float32}
