"""Rungs 2 and 3: what policies that were learned in imagination do in reality."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from genrl_ros.behavior.actor_critic import Dream, Reward
from genrl_ros.domains.base import Domain
from genrl_ros.evaluation.interval import interval
from genrl_ros.evaluation.reality import Policy, Reality, drive, scores
from genrl_ros.training.rounds.imagined import Learned
from genrl_ros.world_model import latents
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

AHEAD, EVERY, LEAD = 16, 8, 20
"""Steps that are dreamt from a state of a real episode, how often, and from which step on."""


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
        'interval': {
            name: [round(end, 3) for end in interval([each])] for name, each in by_task.items()
        },
        'kl': round(float(reality.kl.mean()), 2),
    }, reality


@torch.no_grad()
def dream_on(model: MFWM, policy: Policy, reality: Reality, step: int, ahead: int) -> Dream:
    """Dreams of `ahead` steps from the states that real episodes had at a step, themselves first.

    In the dream, too, the policy acts by the modes of its actions.
    """
    hot = latents.one_hot(torch.from_numpy(reality.tokens[:, step]), model.config.classes)
    states = [State(hot, torch.from_numpy(reality.deter[:, step]))]
    for _ in range(ahead):
        states.append(model.sequence.step(states[-1], policy(states[-1])))
    stoch = torch.stack([each.stoch for each in states])
    deter = torch.stack([each.deter for each in states])
    return Dream(stoch, stoch.argmax(-1), deter, deter.new_zeros(0))


@torch.no_grad()
def ahead(
    model: MFWM, learned: Learned, reality: Reality, reward: Reward, task: int
) -> dict[str, Any]:
    """Dream on from states of real episodes, and compare with what came then.

    Args:
        model: the world model.
        learned: the policy; in the dream, too, it acts by the modes of its actions.
        reality: its real episodes.
        reward: how dreams are rewarded.
        task: number of the task that reality is rewarded by.

    Returns:
        Mean reward 1 to 16 steps ahead, `dreamt` and `real`, the same from states that have a
        reward of 0.8 or more (`from_good`), and the correlation of both means over the states.
    """
    found = []
    for step in range(LEAD, reality.kl.shape[1] - AHEAD, EVERY):
        dream = dream_on(model, learned.act, reality, step, AHEAD)
        now = reality.reward[:, step - 1, task]
        found.append(
            (reward(dream)[1:].t().numpy(), reality.reward[:, step : step + AHEAD, task], now)
        )
    dreamt, real, now = (np.concatenate(each) for each in zip(*found, strict=True))
    good = now >= 0.8
    rows = {
        'dreamt': dreamt.mean(0),
        'real': real.mean(0),
        'dreamt_from_good': dreamt[good].mean(0) if good.any() else np.zeros(0),
        'real_from_good': real[good].mean(0) if good.any() else np.zeros(0),
    }
    correlation = float(np.corrcoef(dreamt.mean(1), real.mean(1))[0, 1])
    return {
        **{name: [round(float(each), 3) for each in values] for name, values in rows.items()},
        'states': len(good),
        'good_states': int(good.sum()),
        'correlation': round(correlation, 3) if np.isfinite(correlation) else None,
    }
