"""The action prior without an embedding: an anchor that knows no prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from toy_training import DYNAMICS, EMBEDDER, TINY, TOKENIZER, make_encoded_store

from genrl_ros.behavior.actor_critic import ActorCritic, Dream
from genrl_ros.behavior.start_states import data_free
from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.training import PriorConfig, RecordConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import StepReplay
from genrl_ros.training.behavior.learning_rule import LearningRule
from genrl_ros.training.engine.run import Run
from genrl_ros.training.model.pretrain import train_prior
from genrl_ros.world_model.mfwm import MFWM


def test_a_prior_that_sees_no_embedding_is_one_actor(tmp_path: Path) -> None:
    """After training in its own stage, whatever it is asked for."""
    store, model = EpisodeStore.open(make_encoded_store(tmp_path / 'data')), MFWM(TINY)
    steps = StepReplay(store, 4, 5, 4, 0.9, 0, EMBEDDER, TOKENIZER, DYNAMICS)
    config = PriorConfig(updates=3, conditional=False)
    before = model.prior.actor.net[0][0].weight.clone()
    train_prior(model, steps, config, Run(tmp_path, RecordConfig(picture_every=0)))
    assert not torch.equal(model.prior.actor.net[0][0].weight, before)
    feat, embed = torch.randn(5, TINY.feat), torch.randn(5, TINY.embed_dim)
    torch.testing.assert_close(model.prior(feat, embed), model.prior(feat, -embed))
    torch.testing.assert_close(model.prior.for_prompt(embed[0])(feat), model.prior.actor(feat))


def test_an_anchor_draws_an_actor_that_starts_from_random_weights() -> None:
    """It does not start as the prior, and comes nearer to it where nothing else is to be had."""
    torch.manual_seed(0)
    model = MFWM(TINY).requires_grad_(False)
    prompt = torch.zeros(TINY.embed_dim)
    config = LearnConfig(
        updates=40, starts=32, prior=1.0, from_prior=False, critic_first=0, actor_lr=3e-3
    )
    agent = ActorCritic(model, prompt, config)
    rule = LearningRule(agent)
    feat = data_free(model, agent.act, 64, config.warmup_steps).feat

    @torch.no_grad()
    def apart() -> float:
        return float((agent.actor(feat)[0] - agent.reference(feat)[0]).abs().mean())

    before = apart()
    assert before > 0.01

    def nothing(dream: Dream) -> Tensor:
        return dream.deter.sum(-1) * 0.0

    for _ in range(config.updates):
        start = data_free(model, agent.act, config.starts, config.warmup_steps)
        rule.update(model, start, nothing)
    assert apart() < 0.5 * before
    same = ActorCritic(model, prompt, replace(config, from_prior=True))
    torch.testing.assert_close(same.actor(feat), same.reference(feat))
