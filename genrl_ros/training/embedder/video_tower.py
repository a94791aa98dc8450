"""Trains the video tower of the embedded embedder, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genrl_ros.domains.kitchen.phrases import CONCEPTS
from genrl_ros.training.embedder.clips import Clips
from genrl_ros.training.embedder.takes import (
    MAX_SCALE,
    TakeSampler,
    TrainConfig,
    augment,
    video_loss,
)
from genrl_ros.training.engine.checkpoints import Checkpoints
from genrl_ros.training.engine.run import StoppedError
from genrl_ros.vlm.embedded import TowerConfig, Towers, VideoTower, read_embedder
from genrl_ros.world_model.checkpoint import rng_state, set_rng_state

STAGE, KEEP = 'video_tower', 2


def fit_video(
    clips: Clips,
    config: TrainConfig,
    folder: Path,
    on_update: Callable[[int, float], None] = lambda update, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> VideoTower:
    """Train the video tower; gives the moving average of its weights, in evaluation mode.

    Goes on from `video_tower.safetensors` in the folder, if it is there.

    Args:
        clips: the finished takes.
        config: how to train.
        folder: of the checkpoints.
        on_update: called with the number of the update and its loss.
        should_stop: asked after every update.

    Raises:
        StoppedError: if `should_stop` said so; everything is saved.
        CheckpointError: if a checkpoint cannot be read or written, or is of other settings.
        ValueError: if the embedder to start from cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    training = _Training(clips, config)
    checkpoints = Checkpoints(folder, STAGE, KEEP)
    checkpoints.clean()
    found = checkpoints.load()
    if found is not None:
        checkpoints.check_settings(found['settings'], training.settings)
        training.load(found)
    while training.done < config.steps:
        loss = training.update()
        on_update(training.done, loss)
        last = training.done == config.steps
        stopping = should_stop() and not last
        if training.done % config.save_every == 0 or last or stopping:
            checkpoints.save(training.done, training.state())
        if stopping:
            raise StoppedError(f'{STAGE} after {training.done} of {config.steps} updates')
    result = training.averaged.module
    assert isinstance(result, VideoTower)
    return result.eval()


class _Training:
    """What a checkpoint holds, and how it moves on."""

    def __init__(self, clips: Clips, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.done = config, 0
        self.settings = {**asdict(config), 'start': str(config.start), 'clips': dict(clips.made)}
        del self.settings['save_every'], self.settings['text_penalty']
        self.generator = torch.Generator().manual_seed(config.seed)
        self.sampler = TakeSampler(clips, np.random.default_rng(config.seed))
        towers = Towers(TowerConfig())
        if config.start:
            towers.load_state_dict(read_embedder(config.start)[1])
        tower = towers.video.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tower: VideoTower = tower.train()
        self.concepts = nn.Parameter(torch.randn(len(CONCEPTS), TowerConfig().dim))
        self.log_scale = nn.Parameter(torch.tensor(14.0).log())
        average = get_ema_multi_avg_fn(config.average)
        self.averaged = AveragedModel(self.tower, multi_avg_fn=average, use_buffers=True)
        self.parameters = [*self.tower.parameters(), self.concepts, self.log_scale]
        self.optimiser = torch.optim.AdamW(
            self.parameters, config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, config.steps, pct_start=0.1
        )

    def update(self) -> float:
        """One update; gives its loss."""
        config = self.config
        frames, labels = self.sampler.draw(config.takes)
        with torch.autocast('cpu', torch.bfloat16, enabled=config.precision == 'bf16'):
            video = self.tower(augment(frames, self.generator)).flatten(0, 1).float()
        scale = self.log_scale.exp().clamp_max(MAX_SCALE)
        concepts = F.normalize(self.concepts, dim=-1)
        loss = video_loss(video, concepts, labels.flatten(0, 1), scale)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.averaged.update_parameters(self.tower)
        self.done += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        """All that is needed to go on as if nothing had been."""
        optimiser = self.optimiser.state_dict()
        (group,) = optimiser['param_groups']
        return {
            'done': self.done,
            'tower': self.tower.state_dict(),
            'averaged': self.averaged.state_dict(),
            'concepts': self.concepts,
            'log_scale': self.log_scale,
            'moments': {str(index): each for index, each in optimiser['state'].items()},
            'group': group,
            'schedule': self.schedule.state_dict(),
            'takes': self.sampler.state_dict(),
            'generator': self.generator.get_state(),
            'rng': rng_state(),
            'settings': self.settings,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.done = int(state['done'])
        self.tower.load_state_dict(state['tower'])
        self.averaged.load_state_dict(state['averaged'])
        with torch.no_grad():
            self.concepts.copy_(state['concepts'])
            self.log_scale.copy_(state['log_scale'])
        moments = {int(index): each for index, each in state['moments'].items()}
        self.optimiser.load_state_dict({'state': moments, 'param_groups': [state['group']]})
        self.schedule.load_state_dict(dict(state['schedule']))
        self.sampler.load_state_dict(state['takes'])
        self.generator.set_state(state['generator'])
        set_rng_state(state['rng'])
