"""Where dreams begin beside what is published: in the goal, and where earlier dreams ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_training import TINY

from genrl_ros.behavior.start_states import of_goal
from genrl_ros.config.learning import LearnConfig
from genrl_ros.training.behavior.behavior_training import AHEAD, BehaviorTraining
from genrl_ros.training.behavior.learn import RECORD
from genrl_ros.training.engine.run import Run
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State


@pytest.fixture
def model() -> MFWM:
    torch.manual_seed(0)
    return MFWM(TINY).requires_grad_(False)


def nothing(state: State) -> torch.Tensor:
    return torch.zeros(len(state.deter), TINY.action_dim)


def test_states_of_the_goal_are_those_that_the_connector_draws(model: MFWM) -> None:
    """A connector that is sure of its states leaves no choice, but for 1 % at random."""
    sure = torch.tensor([1, 0, 4, 2])
    with torch.no_grad():
        last = model.connector.sequence.head[-1]
        last.weight.zero_()
        last.bias.copy_(30 * torch.nn.functional.one_hot(sure, TINY.classes).flatten())
    states = of_goal(model, torch.eye(TINY.embed_dim)[0], nothing, 100, warmup_steps=0)
    assert (states.stoch.argmax(-1) == sure).float().mean() > 0.95
    assert torch.equal(states.stoch.sum(-1), torch.ones(100, TINY.stoch))
    assert not states.deter.any()


def test_states_of_the_goal_are_moved_on_by_the_policy(model: MFWM) -> None:
    seen: list[int] = []

    def act(state: State) -> torch.Tensor:
        seen.append(len(state.deter))
        return nothing(state)

    states = of_goal(model, torch.eye(TINY.embed_dim)[1], act, 8, warmup_steps=3)
    assert seen == [8, 8, 8]
    assert states.deter.abs().sum() > 0


def training(model: MFWM, folder: Path, config: LearnConfig) -> BehaviorTraining:
    embedding = np.eye(TINY.embed_dim, dtype=np.float32)[2]
    return BehaviorTraining('x', 'x', model, embedding, config, {}, Run(folder, RECORD), None)


def test_dreams_go_on_where_earlier_ones_ended(model: MFWM, tmp_path: Path) -> None:
    """Half of the second update's begin there, and as many as asked for in all."""
    config = LearnConfig(
        updates=3, starts=16, prior=0.0, critic_first=0, continued=0.5, from_goal=0.25
    )
    learning = training(model, tmp_path, config)
    assert len(learning._starts().deter) == 16
    learning.update()
    ended = learning.agent.ended
    assert ended is not None
    start = learning._starts()
    same = (start.deter[:, None] == ended.deter[None]).all(-1)
    assert same[:8].any(1).all(), 'the first half goes on'
    assert not same[8:].any(), 'the others begin elsewhere'
    assert not same.sum(0).gt(1).any(), 'each at most once'


def test_new_states_are_drawn_for_several_updates_at_once(model: MFWM, tmp_path: Path) -> None:
    """Each is used once, and a learning that goes on from a checkpoint has the same ones left."""
    learning = training(model, tmp_path, LearnConfig(updates=99, starts=16, prior=0.0))
    starts = [learning._starts().deter for _ in range(AHEAD // 2)]
    kept, other = learning.state_dict(), training(model, tmp_path, learning.config)
    other.load_state_dict(kept)
    following = [learning._starts().deter for _ in range(AHEAD // 2)]
    torch.manual_seed(99)
    assert all(torch.equal(other._starts().deter, each) for each in following)
    drawn = torch.cat(starts + following)
    assert len(drawn) == 16 * AHEAD
    assert len(drawn.unique(dim=0)) == len(drawn)


def test_nothing_is_carried_on_unless_asked_for(model: MFWM, tmp_path: Path) -> None:
    config = LearnConfig(updates=3, starts=16, prior=0.0, critic_first=0)
    learning = training(model, tmp_path, config)
    learning.update()
    ended = learning.agent.ended
    assert ended is not None
    assert not (learning._starts().deter[:, None] == ended.deter[None]).all(-1).any()


@pytest.mark.parametrize(
    ('shares', 'message'),
    [
        ({'continued': 1.5}, 'continued must be in'),
        ({'from_goal': -0.1}, 'from_goal must be in'),
        ({'continued': 0.6, 'from_goal': 0.6}, 'at most 1 together'),
    ],
)
def test_shares_are_shares(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearnConfig(**shares)  # type: ignore[arg-type]
