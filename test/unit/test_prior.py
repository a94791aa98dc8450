"""The action prior without an embedding: an anchor that knows no prompt."""

from __future__ import annotations

from pathlib import Path

import torch
from toy_training import DYNAMICS, EMBEDDER, TINY, TOKENIZER, make_encoded_store

from genrl_ros.config.training import PriorConfig, RecordConfig
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.data.store.replay import StepReplay
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
