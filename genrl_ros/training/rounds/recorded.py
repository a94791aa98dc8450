"""Recorded windows as the world model sees them, with the true rewards of their states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.domains.base import Domain
from genrl_ros.domains.relabel import rewards_of
from genrl_ros.system.arrays import FloatArray
from genrl_ros.world_model import latents
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

PORTION = 16
"""Windows encoded at once."""


@dataclass(frozen=True)
class Recorded:
    """N windows of T frames, after some that only lead the model in.

    Attributes:
        tokens: `(N, T, S)` drawn from the posteriors.
        deter: `(N, T, H)`.
        action: `(N, T, A)`; each led to its frame.
        reward: `(N, T, R)` of all tasks.
        kl: `(N, T)` of posterior and prior, in nats.
        state: `(N, T, Q)` of the simulator.
        classes: K of the latents.
    """

    tokens: Tensor
    deter: Tensor
    action: Tensor
    reward: Tensor
    kl: Tensor
    state: FloatArray
    classes: int

    def states(self, flat: Tensor) -> State:
        """The states of frames, by their places in all `N T` of them."""
        hot = latents.one_hot(self.tokens.flatten(0, 1)[flat], self.classes)
        return State(hot, self.deter.flatten(0, 1)[flat])

    def feat(self, flat: Tensor) -> Tensor:
        """What actor and critic see of these states."""
        return self.states(flat).feat

    def draw(self, count: int) -> State:
        """States drawn at random."""
        return self.states(torch.randint(self.kl.numel(), (count,)))


@torch.no_grad()
def recorded(
    model: MFWM,
    domain: Domain,
    store: EpisodeStore,
    ids: list[str],
    windows: int,
    length: int = 24,
    lead: int = 8,
    seed: int = 0,
) -> Recorded:
    """Windows drawn uniformly from episodes.

    Args:
        model: the world model.
        domain: whose rewards they get.
        store: the dataset.
        ids: its episodes to draw from.
        windows: number N, rounded up.
        length: frames of each, the leading ones included.
        lead: frames that only lead the model in.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    parts: list[tuple[Tensor, ...]] = []
    states = []
    for _ in range(-(-windows // PORTION)):
        places = []
        for _ in range(PORTION):
            name = ids[rng.integers(len(ids))]
            places.append((name, int(rng.integers(store.length(name) - length + 1))))
        image, action, state = (
            np.stack([read(name)[start : start + length] for name, start in places])
            for read in (store.image, store.action, store.state)
        )
        first = torch.zeros(PORTION, length)
        first[:, 0] = torch.tensor([float(start == 0) for _, start in places])
        logq = latents.log_probs(model.tokenizer.encode(torch.from_numpy(image)))
        stoch, act = latents.sample(logq), torch.from_numpy(action)
        deter = model.deter_along(stoch, act, first)
        kl = latents.kl(logq, model.sequence.prior(deter))
        found = stoch.argmax(-1).to(torch.uint8), deter, act, kl
        parts.append(tuple(each[:, lead:] for each in found))
        states.append(state[:, lead:])
    tokens, deter, act, kl = (torch.cat(each) for each in zip(*parts, strict=True))
    state = np.concatenate(states).astype(np.float32)
    reward = rewards_of(domain, state, [task.name for task in domain.tasks])
    classes = model.config.classes
    return Recorded(tokens, deter, act, torch.from_numpy(reward), kl, state, classes)
