"""Measures what limits of acceleration would do to learned policies in the simulated kitchen.

    python test/sim/bench_limits.py POLICY_FOLDER [POLICY_FOLDER ...]

Each policy (`genrl learn kitchen`, in the words of one of its tasks) drives the simulator through
the safety filter that policy_node has, with the shipped embodiment and with limits of acceleration
added to it. Prints one line of JSON for each policy and limit.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from genrl_ros.domains import registry
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.serving.policy.runner import PolicyRunner
from genrl_ros.serving.robot.embodiment_file import find_embodiment, load_embodiment
from genrl_ros.serving.safety.filter import SafetyFilter

SEEDS = range(100, 110)
LIMITS = (None, 37.5, 25.0, 12.5)
"""Limits of acceleration (rad/s2): 25 stops from full speed within a period."""
DOMAIN = registry.get('kitchen')
ROBOT = load_embodiment(find_embodiment('kitchen'))
PHYSICS = registry.make_physics(DOMAIN)


def drive(policy: PolicyRunner, task: str, seed: int, limit: float | None) -> dict:
    """One episode: whether it succeeded, its agent steps, and all wanted and sent commands."""
    channels = [
        dataclasses.replace(
            channel, limits=dataclasses.replace(channel.limits, acceleration=limit)
        )
        for channel in ROBOT.channels
    ]
    logic, safety = registry.task_logic(DOMAIN, task), SafetyFilter(channels, ROBOT.control_dt_s)
    PHYSICS.reset(seed)
    logic.initialise(PHYSICS, np.random.default_rng(seed))
    policy.reset()
    safety.start(PHYSICS.joints().position, np.zeros(len(channels)), blend=False)
    last, wanted, sent = np.zeros(len(channels)), [], []
    for _ in range(DOMAIN.episode_steps):
        action = policy.act(policy.encode(PHYSICS.render()), last)
        command = ROBOT.to_command(action, np.zeros(len(channels)))
        for _ in range(ROBOT.action_repeat):
            wanted.append(command)
            sent.append(safety.follow(command, PHYSICS.joints().position))
            PHYSICS.control(sent[-1])
        last = np.mean(sent[-ROBOT.action_repeat :], axis=0) / ROBOT.scale
        if logic.success(PHYSICS):
            break
    return {
        'success': bool(logic.success(PHYSICS)),
        'steps': len(sent) // ROBOT.action_repeat,
        'changed': (np.abs(np.array(wanted) - sent) > 1e-9).any(1),
        'asked': np.abs(np.diff(wanted, axis=0)).max(1) / ROBOT.control_dt_s,
    }


def measure(folder: Path, limit: float | None) -> dict:
    """What became of a policy under a limit."""
    bundle = load_bundle(folder)
    policy, task = PolicyRunner(bundle), DOMAIN.task_of(bundle.description.prompt)
    if task is None:
        sys.exit(f'{folder}: "{bundle.description.prompt}" is not the prompt of a task')
    episodes = [drive(policy, task.name, seed, limit) for seed in SEEDS]
    asked = np.concatenate([episode['asked'] for episode in episodes])
    return {
        'task': task.name,
        'limit': limit,
        'successes': f'{sum(episode["success"] for episode in episodes)}/{len(episodes)}',
        'mean_steps': float(np.mean([episode['steps'] for episode in episodes])),
        'changed_commands': round(
            float(np.mean(np.concatenate([episode['changed'] for episode in episodes]))), 3
        ),
        'asked_p90': round(float(np.percentile(asked[asked > 0], 90)), 1),
        'asked_most': round(float(asked.max()), 1),
    }


if __name__ == '__main__':
    for name in sys.argv[1:]:
        for each in LIMITS:
            sys.stdout.write(json.dumps(measure(Path(name), each)) + '\n')
            sys.stdout.flush()
