"""How a model of each size is trained, and how behaviours are learned in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genrl_ros.config.learning import LearnConfig
from genrl_ros.config.training import (
    ConnectConfig,
    DynamicsConfig,
    NearnessConfig,
    OptimConfig,
    PriorConfig,
    WorldModelConfig,
)

PresetName = Literal['small', 'medium', 'base', 'paper']


@dataclass(frozen=True)
class Preset:
    """Batches, losses, optimisers and schedules that go with the sizes of `config.PRESETS`.

    The defaults are those of `small`, which two CPU cores train in an hour.

    `paper` has the published numbers (facts 1.3 to 1.5, 2.3, 2.4, 3): 48 sequences of 48 frames,
    Adam at 1e-4 without schedule for 500,000 updates; behaviours from 1,024 starts for 50,000
    updates, from random weights. It deviates in this, and in nothing else that we know of:

    - The connector is trained after the world model and not beside it, once per batch and not
      twice. No gradient goes from it into the world model; so it learns from finished latents, and
      another embedder can be connected later. Its clipping norm, too, is its own.
    - The published reward head is left out (5.5 M parameters): its features carry no gradient, and
      nothing in GenRL reads it.
    - The first transposed convolution of the decoder, on a 1x1 map, is the linear layer that it
      equals; the GRU's matrix is kept in two halves. Both are the same functions.
    - Weight decay reaches a parameter once an update, as its rate says; the published loop applies
      it to the connector three times.
    - Actions in imagination are clipped to [-1, 1] as the robot clips them, with the gradient
      passed through; the world model has seen no others.
    - float32, or bf16 where asked, in place of float16 with loss scaling, which needs care.
      Posteriors beside the dataset, from which the connector learns, and the finished model, in
      which behaviours learn, are rounded to float16: half the disk, and an encoder of the same
      weights.
    - The aligner's noise is drawn once a chunk of eight frames, which share an embedding, and not
      for each of them: an eighth of its samples in a batch.
    - 5 % of the episodes are held out, to measure with.
    - Policies act on the most likely latents, so that a robot does the same again
      (docs/method.md); `sample` of encoder_node draws them as published.
    - The embedder is what ships with the package unless another one is asked for; there is none of
      InternVideo2, whose weights are gated.
    - A video prompt is eight frames spread over the whole video, not the first eight of it.
    - Behaviours are learned data-free unless a dataset is given (`--data`); both are published.
    - Targets are drawn once a run, as published, but an embedding that does not end a clip (an
      episode's first seven) is never asked for.
    - Dynamics once more, and the action prior (5.8 M parameters), which short trainings need, are
      not trained.

    `base` has half the width, a third of the frames in a batch and a schedule, for one good GPU
    and an evening; its behaviours start from the action prior.

    Attributes:
        world_model: tokenizer and sequence model.
        dynamics: the sequence model alone, once more.
        connect: connector and aligner.
        prior: the action prior.
        nearness: what the reward of that name is told by.
        learning: behaviours.
    """

    world_model: WorldModelConfig = WorldModelConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    connect: ConnectConfig = ConnectConfig()
    prior: PriorConfig = PriorConfig()
    nearness: NearnessConfig = NearnessConfig()
    learning: LearnConfig = LearnConfig()


_PUBLISHED = OptimConfig(lr=1e-4, eps=1e-8, clip=1000.0, weight_decay=1e-6)
_BASE = OptimConfig(lr=3e-4, warmup=1_000, final_lr=0.05, ema=0.999)

TRAINING: Mapping[PresetName, Preset] = {
    'small': Preset(),
    'medium': Preset(),
    'base': Preset(
        world_model=WorldModelConfig(updates=100_000, batch=24, length=32, optim=_BASE),
        dynamics=DynamicsConfig(updates=20_000, batch=24, length=48, optim=_BASE),
        connect=ConnectConfig(updates=40_000, batch=24, length=48, optim=_BASE),
        prior=PriorConfig(updates=20_000, optim=_BASE),
        nearness=NearnessConfig(updates=20_000, optim=_BASE),
        learning=LearnConfig(updates=2_000, starts=512, dreamed=0.5, critic_lr=1e-4),
    ),
    'paper': Preset(
        world_model=WorldModelConfig(updates=500_000, batch=48, length=48, optim=_PUBLISHED),
        dynamics=DynamicsConfig(updates=0),
        connect=ConnectConfig(updates=500_000, batch=48, length=48, optim=_PUBLISHED),
        prior=PriorConfig(updates=0),
        nearness=NearnessConfig(updates=0),
        learning=LearnConfig(
            updates=50_000, starts=1_024, dreamed=0.5, prior=0.0, critic_first=0, critic_lr=3e-5
        ),
    ),
}
