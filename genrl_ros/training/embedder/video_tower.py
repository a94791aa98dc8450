"""Trains the video tower of the embedded embedder, resumable at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from genrl_ros.training.embedder.clips import Clips
from genrl_ros.training.embedder.takes import (
    MAX_SCALE,
    TakeSampler,
    TrainConfig,
    augment,
    video_loss,
)
from genrl_ros.training.engine.average import Average
from genrl_ros.training.engine.loop import Metrics, Training, train
from genrl_ros.training.engine.one_cycle import OneCycle
from genrl_ros.training.engine.run import Run
from genrl_ros.vlm.embedded import TowerConfig, VideoTower, read_embedder


def fit_video(clips: Clips, config: TrainConfig, run: Run) -> VideoTower:
    """Train the video tower; gives the moving average of its weights, in evaluation mode.

    Args:
        clips: the finished takes.
        config: how to train, and how often to save.
        run: where and how; see `loop.train`, also for what is raised.

    Raises:
        ValueError: if the embedder to start from cannot be read.
    """
    training = TowerTraining(clips, config)
    train(training, replace(run, record=replace(run.record, save_every=config.save_every)))
    training.average.adopt()
    return training.tower.eval()


class TowerTraining(Training):
    """The tower, a vector for each concept, and how they move on; arguments as for `fit_video`."""

    def __init__(self, clips: Clips, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        settings = {**asdict(config), 'start': str(config.start), 'clips': dict(clips.made)}
        del settings['save_every'], settings['text_penalty']
        super().__init__('video_tower', config.steps, settings)
        self.config = config
        self.generator = torch.Generator().manual_seed(config.seed)
        self.sampler = TakeSampler(clips, np.random.default_rng(config.seed))
        tower = VideoTower(TowerConfig())
        if config.start:
            weights = read_embedder(config.start)[1]
            tower.load_state_dict(
                {k.removeprefix('video.'): w for k, w in weights.items() if k.startswith('video.')}
            )
        tower = tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tower: VideoTower = tower.train()
        self.concepts = nn.Parameter(torch.randn(len(clips.concepts), TowerConfig().dim))
        self.log_scale = nn.Parameter(torch.tensor(14.0).log())
        statistics = [each for each in self.tower.buffers() if each.is_floating_point()]
        self.average = Average([*self.tower.parameters(), *statistics], config.average)
        parameters = [*self.tower.parameters(), self.concepts, self.log_scale]
        self.optimiser = OneCycle(
            parameters, config.learning_rate, config.weight_decay, config.steps, rising=0.1
        )

    @property
    def done(self) -> int:
        """Updates done."""
        return self.optimiser.done

    def update(self) -> Metrics:
        """One update with the next takes."""
        config = self.config
        frames, labels = self.sampler.draw(config.takes)
        with torch.autocast('cpu', torch.bfloat16, enabled=config.precision == 'bf16'):
            video = self.tower(augment(frames, self.generator)).flatten(0, 1).float()
        scale = self.log_scale.exp().clamp_max(MAX_SCALE)
        concepts = F.normalize(self.concepts, dim=-1)
        loss = video_loss(video, concepts, labels.flatten(0, 1), scale)
        self.guard.check(loss.item())
        self.optimiser.step(loss, clip=1.0)
        self.average.follow(self.done)
        return {'loss': loss.item()}

    def state_dict(self) -> dict[str, Any]:
        """Tower, concepts, their moments and averages, and where among the takes it is."""
        return {
            **self.optimiser.state_dict(),
            'tower': self.tower.state_dict(),
            'average': self.average.state_dict(),
            'concepts': self.concepts,
            'log_scale': self.log_scale,
            'takes': self.sampler.state_dict(),
            'generator': self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.tower.load_state_dict(state['tower'])
        self.average.load_state_dict(state['average'])
        with torch.no_grad():
            self.concepts.copy_(state['concepts'])
            self.log_scale.copy_(state['log_scale'])
        self.optimiser.load_state_dict(state)
        self.sampler.load_state_dict(state['takes'])
        self.generator.set_state(state['generator'])

    def pass_over(self, failures: Sequence[Mapping[str, Any]]) -> None:
        """Go on with other takes."""
        self.sampler.reseed(len(failures))
