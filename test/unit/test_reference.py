"""The package's fast forms are the functions that `test/reference` writes down step by step.

A few random inputs of each in the short form, two hundred in the long one.
"""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from reference import learning, networks
from reference.agree import agree, likeliest
from torch import Tensor

from genrl_ros.behavior.actor_critic import lambda_returns
from genrl_ros.behavior.critic import Critic
from genrl_ros.behavior.rewards.sequence import Matcher
from genrl_ros.behavior.start_states import data_free
from genrl_ros.config.model import ModelConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.connector import Connector
from genrl_ros.world_model.losses import balanced_kl
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import SequenceModel

TINY = ModelConfig(
    action_dim=3, embed_dim=16, tokenizer='patch', depth=2, stoch=3, classes=4, deter=8,
    hidden=12, units=8, layers=1, temporal_zeros=2,
)  # fmt: skip
forms = pytest.mark.parametrize('examples', [5, pytest.param(200, marks=pytest.mark.full)])
seeds = st.integers(0, 2**31)


def checked(examples: int, *strategies: st.SearchStrategy[object]) -> Callable[..., None]:
    """Run a check on so many random inputs, the same ones each time."""

    def run(check: Callable[..., None]) -> None:
        settings(max_examples=examples, deadline=None, derandomize=True)(
            given(*strategies)(check)
        )()

    return run


def one_hots(*shape: int, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.randint(classes, shape), classes).double()


@pytest.fixture(autouse=True)
def draws_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, 'draw', likeliest)


@forms
def test_sequence_model(examples: int) -> None:
    @checked(examples, seeds, st.integers(1, 3), st.integers(1, 12))
    def check(seed: int, batch: int, steps: int) -> None:
        torch.manual_seed(seed)
        is_first = (torch.rand(batch, steps) < 0.2).double()

        def fast(model: SequenceModel, stoch: Tensor, action: Tensor) -> Tensor:
            previous = torch.cat([torch.zeros_like(stoch[:, :1]), stoch[:, :-1]], 1)
            start, keep = model.initial(batch).deter, 1 - is_first.to(stoch.dtype)
            return model.unroll(previous, action, start, keep)

        def slow(model: SequenceModel, stoch: Tensor, action: Tensor) -> Tensor:
            rows = networks.states(model, stoch, action, is_first)
            return torch.stack([torch.stack(row) for row in rows])

        model = SequenceModel(3, 4, 3, 8, 12)
        stoch = torch.randn(batch, steps, 3, 4).softmax(-1)
        agree(fast, slow, [stoch, torch.randn(batch, steps, 3)], model)


@forms
def test_connector(examples: int) -> None:
    @checked(examples, seeds, st.integers(1, 2), st.integers(1, 2))
    def check(seed: int, batch: int, chunks: int) -> None:
        torch.manual_seed(seed)
        stoch = torch.randn(batch, 8 * chunks, 3, 4).softmax(-1)
        embedding = torch.nn.functional.normalize(torch.randn(batch, chunks, 16), dim=-1)
        agree(
            Connector.teacher_forced, networks.teacher_forced, [stoch, embedding], Connector(TINY)
        )


@forms
def test_balanced_kl(examples: int) -> None:
    @checked(examples, seeds, st.floats(0, 1), st.floats(0, 4))
    def check(seed: int, balance: float, free_nats: float) -> None:
        torch.manual_seed(seed)

        def fast(post: Tensor, prior: Tensor) -> Tensor:
            posterior, other = post.log_softmax(-1), prior.log_softmax(-1)
            return balanced_kl(posterior, other, balance, free_nats)[0]

        def slow(post: Tensor, prior: Tensor) -> Tensor:
            posterior, other = post.log_softmax(-1), prior.log_softmax(-1)
            return learning.balanced_kl(posterior, other, balance, free_nats)

        agree(fast, slow, [torch.randn(2, 3, 3, 4), torch.randn(2, 3, 3, 4)])


@forms
def test_lambda_returns(examples: int) -> None:
    @checked(examples, seeds, st.integers(1, 16), st.floats(0, 1), st.floats(0, 1))
    def check(seed: int, steps: int, gamma: float, lambda_: float) -> None:
        torch.manual_seed(seed)

        def slow(reward: Tensor, value: Tensor) -> Tensor:
            whole = torch.cat([torch.full_like(value[:1], torch.nan), value])  # v_0 is not used
            trajectories = [
                [
                    learning.lambda_return(reward[:, b], whole[:, b], gamma, lambda_, t)
                    for t in range(steps)
                ]
                for b in range(2)
            ]
            return torch.stack([torch.stack(row) for row in trajectories], 1)

        agree(
            lambda reward, value: lambda_returns(reward, value, gamma, lambda_),
            slow,
            [torch.randn(steps, 2), 10 * torch.randn(steps, 2)],
        )


@forms
def test_two_hot_symlog(examples: int) -> None:
    @checked(examples, seeds, st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=6))
    def check(seed: int, targets: list[float]) -> None:
        torch.manual_seed(seed)
        target = torch.tensor(targets, dtype=torch.float64)
        critic = Critic(4, 4, 1)
        agree(
            lambda logits: critic.loss(logits, target.to(logits.dtype)),
            lambda logits: learning.two_hot_loss(logits, target),
            [torch.randn(len(targets), 255)],
        )


@forms
def test_aligned_reward(examples: int) -> None:
    @checked(examples, seeds, st.integers(9, 20), st.integers(1, 3))
    def check(seed: int, steps: int, batch: int) -> None:
        torch.manual_seed(seed)
        target = torch.randn(steps, batch, 6).double()

        def fast(project: torch.nn.Linear, stoch: Tensor) -> Tensor:
            matcher = Matcher(project, target.to(stoch.dtype), 3)
            return matcher.reward(stoch, stoch.argmax(-1))

        project = torch.nn.Linear(3 * 4, 6).requires_grad_(False)
        agree(
            lambda stoch: fast(copied(project, stoch), stoch),
            lambda stoch: learning.aligned_reward(copied(project, stoch), stoch, target),
            [one_hots(steps, batch, 3, classes=4)],
        )


def copied(layer: torch.nn.Linear, like: Tensor) -> torch.nn.Linear:
    other = torch.nn.Linear(layer.in_features, layer.out_features, dtype=like.dtype)
    other.load_state_dict(layer.state_dict())
    return other.requires_grad_(False)


@forms
def test_data_free_starts(examples: int) -> None:
    """In float64 alone: what is drawn from is decided, and rounding may decide otherwise."""

    @checked(examples, seeds, st.integers(1, 5), st.integers(1, 3), st.floats(0, 1))
    def check(seed: int, quarter: int, warmup: int, dreamed: float) -> None:
        torch.manual_seed(seed)
        model = MFWM(TINY).double().requires_grad_(False)
        mix = torch.randn(8, 3, dtype=torch.float64)
        torch.manual_seed(seed)
        fast = data_free(model, lambda s: torch.tanh(s.deter @ mix), 4 * quarter, warmup, dreamed)
        torch.manual_seed(seed)
        slow = learning.data_free(
            model, lambda _, h: torch.tanh(h @ mix), 4 * quarter, warmup, dreamed
        )
        for i, (stoch, deter) in enumerate(slow):
            assert torch.equal(fast.stoch[i], stoch)
            torch.testing.assert_close(fast.deter[i], deter, rtol=1e-10, atol=1e-10)
