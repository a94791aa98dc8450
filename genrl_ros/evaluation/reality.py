"""A policy in several simulators at once, with all that a dream can be compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrl_ros.domains import registry
from genrl_ros.domains.base import Domain, Outcome
from genrl_ros.system.arrays import FloatArray, Image
from genrl_ros.world_model import latents
from genrl_ros.world_model.mfwm import MFWM
from genrl_ros.world_model.sequence import State

Policy = Callable[[State], Tensor]
"""Actions `(E, A)` in [-1, 1] of a state."""


@dataclass(frozen=True)
class Reality:
    """E episodes of T agent steps.

    Attributes:
        reward: `(E, T, R)` of R tasks, means over the control steps of an agent step.
        kl: `(E, T)` KL of posterior and prior in nats: how much the model is surprised.
        tokens: `(E, T, S)` of the posteriors' modes.
        deter: `(E, T, H)`.
        action: `(E, T, A)`; each leads to the next image.
        image: `(E, T, 3, 64, 64)` uint8.
        state: `(E, T, Q)` of the simulator.
    """

    reward: FloatArray
    kl: FloatArray
    tokens: npt.NDArray[np.int64]
    deter: FloatArray
    action: FloatArray
    image: Image
    state: npt.NDArray[np.float64]


@torch.no_grad()
def drive(
    model: MFWM, domain: Domain, policy: Policy, episodes: int, steps: int, seed: int
) -> Reality:
    """Run a policy as a robot would: the model sees images, by the modes of its posteriors.

    Args:
        model: the world model.
        domain: what to run in.
        policy: what acts.
        episodes: number E of episodes, with the seeds `seed, seed + 1, ...`.
        steps: agent steps T of each.
        seed: first seed.
    """
    logics = [registry.task_logic(domain, task.name) for task in domain.tasks]
    scale, repeat = np.array(domain.robot.action_scale), domain.robot.action_repeat
    reward = np.zeros((episodes, steps, len(logics)), np.float32)
    kl, action, tokens, deters, images, states = [], [], [], [], [], []
    with contextlib.ExitStack() as stack:
        scenes = [registry.make_physics(domain) for _ in range(episodes)]
        for number, scene in enumerate(scenes):
            stack.callback(scene.close)
            scene.reset(seed + number)
        state = model.sequence.initial(episodes)
        act = torch.zeros(episodes, model.config.action_dim)
        for step in range(steps):
            images.append(np.stack([scene.render() for scene in scenes]))
            states.append(np.stack([scene.state() for scene in scenes]))
            logq = latents.log_probs(model.tokenizer.encode(torch.from_numpy(images[-1])))
            keep = torch.full((episodes, 1), float(step > 0))
            deter = model.sequence.unroll(state.stoch[:, None], act[:, None], state.deter, keep)
            state = State(latents.mode(logq), deter[:, 0])
            kl.append(latents.kl(logq, model.sequence.prior(state.deter)))
            act = policy(state).clamp(-1, 1)
            action.append(act)
            tokens.append(state.stoch.argmax(-1))
            deters.append(state.deter)
            for number, scene in enumerate(scenes):
                for _ in range(repeat):
                    scene.control(act[number].double().numpy() * scale)
                    reward[number, step] += [logic.reward(scene) / repeat for logic in logics]
    return Reality(
        reward=reward,
        kl=torch.stack(kl, 1).numpy(),
        tokens=torch.stack(tokens, 1).numpy(),
        deter=torch.stack(deters, 1).numpy(),
        action=torch.stack(action, 1).numpy(),
        image=np.stack(images, 1),
        state=np.stack(states, 1),
    )


def scores(domain: Domain, reality: Reality) -> dict[str, list[float]]:
    """Score of each episode, by every task; of a whole episode, if there were fewer steps."""
    steps = reality.reward.shape[1]
    whole = domain.episode_steps / steps * domain.robot.action_repeat
    returns = reality.reward.sum(1) * whole
    return {
        task.name: [
            task.score.of(Outcome(float(each), each > 0, steps)) for each in returns[:, index]
        ]
        for index, task in enumerate(domain.tasks)
    }
