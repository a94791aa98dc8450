"""Rungs 2 and 3: what policies that were learned in imagination do in reality."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrl_ros.domains.base import Domain
from genrl_ros.evaluation.reality import Reality, drive, scores
from genrl_ros.training.rounds.imagined import Learned
from genrl_ros.world_model.mfwm import MFWM


def compare(
    model: MFWM, domain: Domain, learned: Learned, episodes: int, seed: int
) -> tuple[dict[str, Any], Reality]:
    """What a policy does in reality: scores of all tasks, and how surprised the model is."""
    reality = drive(model, domain, learned.act, episodes, domain.episode_steps, seed)
    by_task = scores(domain, reality)
    return {
        'dreamt': round(learned.dreamt, 3),
        'reward': {
            task.name: round(float(reality.reward[..., index].mean()), 3)
            for index, task in enumerate(domain.tasks)
        },
        'score': {name: round(float(np.mean(each)), 3) for name, each in by_task.items()},
        'kl': round(float(reality.kl.mean()), 2),
    }, reality
