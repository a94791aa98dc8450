"""Where dreams begin beside what is published: where earlier dreams ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_training import TINY

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.config.learning import LearnConfig
from genrl_ros.training.behavior.behavior_training import AHEAD, BehaviorTraining
from genrl_ros.training.behavior.learn import RECORD
from genrl_ros.training.engine.run import Run
from genrl_ros.world_model.mfwm import MFWM


@pytest.fixture
def model() -> MFWM:
    torch.manual_seed(0)
    return MFWM(TINY).requires_grad_(False)


def training(model: MFWM, folder: Path, config: LearnConfig) -> BehaviorTraining:
    embedding = np.eye(TINY.embed_dim, dtype=np.float32)[2]
    return BehaviorTraining('x', 'x', model, embedding, config, {}, Run(folder, RECORD), None)


def test_dreams_go_on_where_the_better_ones_ended(model: MFWM, tmp_path: Path) -> None:
    """A quarter of the second update's begin there, and as many as asked for in all."""
    config = LearnConfig(updates=3, starts=16, prior=0.0, critic_first=0, continued=0.25)
    learning = training(model, tmp_path, config)
    assert len(learning._starts().deter) == 16
    worth: list[torch.Tensor] = []

    def reward(dream: Dream) -> torch.Tensor:
        worth.append(dream.deter[..., 0])
        return worth[-1]

    learning._reward = reward
    learning.update()
    ended = learning.agent.ended
    assert ended is not None
    assert len(ended.deter) == 8
    assert ended.deter[:, 0].min() >= worth[0][-1].detach().median()
    start = learning._starts()
    same = (start.deter[:, None] == ended.deter[None]).all(-1)
    assert same[:4].any(1).all(), 'the first quarter goes on'
    assert not same[4:].any(), 'the others begin elsewhere'
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


@pytest.mark.parametrize('share', [-0.1, 0.6])
def test_at_most_half_of_the_dreams_go_on(share: float) -> None:
    with pytest.raises(ValueError, match=r'continued must be in \[0, 0.5\]'):
        LearnConfig(continued=share)
