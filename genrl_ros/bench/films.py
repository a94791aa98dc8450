"""Film policies beside their goals: `python -m genrl_ros.bench.films DOMAIN ... --out FILE`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from genrl_ros.behavior.goal import make_goal
from genrl_ros.data.pictures import Strip, grid, write_png
from genrl_ros.domains import registry
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.serving.policy.runner import PolicyRunner
from genrl_ros.system.arrays import Image
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.ground import matching_embedder
from genrl_ros.world_model.checkpoint import load_mfwm


@dataclass(frozen=True)
class Config:
    """Arguments of the picture."""

    domain: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='DOMAIN')]
    """Domain to run in."""
    policies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='BUNDLE')]
    """Policies of tasks, learned for sentences."""
    out: Path
    """File of the picture, a PNG."""
    model: Path | None = None
    """World model that they were learned in; the shipped one unless given."""
    seed: int = 1_000
    """Of the episode."""
    frames: int = 12
    """Frames of a strip."""


def main(config: Config) -> None:
    """Draw two rows a policy: the goal of its sentence, and what it does, from start to end."""
    model, card = load_mfwm(config.model or shipped_model(config.domain))
    embedder = matching_embedder(card)
    strips = []
    for path in config.policies:
        prompt = load_bundle(path).description.prompt
        goal = make_goal(model, embedder.embed_text([prompt])[0], steps=config.frames)
        strips.append(Strip(f'the goal of "{prompt}"', goal))
        strips.append(_episode(config, path))
    write_png(config.out, grid(strips))


def _episode(config: Config, path: Path) -> Strip:
    bundle = load_bundle(path)
    policy, domain = PolicyRunner(bundle), registry.get(config.domain)
    frames: list[Image] = []
    total, action = 0.0, np.zeros(domain.robot.action_dim, np.float32)
    task = domain.task_of(bundle.description.prompt)
    name = None if task is None else task.name
    with contextlib.closing(registry.make_environment(domain, name)) as environment:
        image = environment.reset(config.seed)
        policy.reset()
        for _ in range(domain.episode_steps):
            frames.append(image)
            action = policy.act(policy.encode(image), action)
            step = environment.step(action)
            image, total = step.image, total + step.reward
    chosen = np.linspace(0, len(frames) - 1, config.frames).astype(int)
    seconds = domain.episode_s / (config.frames - 1)
    reward = total / (domain.episode_steps * domain.robot.action_repeat)
    return Strip(
        f'reality, every {seconds:.1f} s; mean reward {reward:.2f}',
        np.stack([frames[index] for index in chosen]),
    )


if __name__ == '__main__':
    main(tyro.cli(Config, description=__doc__))
