"""Film strips: what a policy does, and above it what the model dreams from the same state on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from genrl_ros.behavior.actor_critic import imagine
from genrl_ros.data.pictures import Strip, grid, write_png
from genrl_ros.evaluation.reality import Reality
from genrl_ros.training.rounds.imagined import Learned
from genrl_ros.world_model import latents
from genrl_ros.world_model.images import to_uint8
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

STARTS, STEPS, EVERY = (0, 60, 250), 48, 3


@torch.no_grad()
def dream_and_reality(path: Path, model: MFWM, learned: Learned, reality: Reality) -> None:
    """Write a picture of pairs of strips, from early and late in the first episode."""
    strips = []
    for start in STARTS:
        hot = latents.one_hot(torch.from_numpy(reality.tokens[0, start]), model.config.classes)
        state = State(hot[None], torch.from_numpy(reality.deter[0, start])[None])
        dream = imagine(model, learned.agent.actor, state, STEPS)
        frames = to_uint8(model.tokenizer.decode(dream.stoch[::EVERY, 0])).numpy()
        true = reality.image[0, start : start + STEPS + 1 : EVERY]
        strips += [
            Strip(f'dream from step {start} on, every {EVERY} steps', frames),
            Strip('reality from the same state on', np.asarray(true)),
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, grid(strips))
