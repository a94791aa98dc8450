"""Two tasks in a row with the shipped model, in the simulated kitchen, without a reset."""

from __future__ import annotations

from pathlib import Path

import pytest
from std_srvs.srv import Trigger

from genrl_interfaces.msg import PolicyAnnouncement, PolicyState, TaskState
from genrl_ros.cli.learn_prompt import Config, learn_prompt
from genrl_ros.config.learning import LearnConfig
from genrl_ros.nodes.command_gate import CommandGate
from genrl_ros.nodes.encoder_node import EncoderNode
from genrl_ros.nodes.policy_node import PolicyNode
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.sim_node import SimNode
from genrl_ros.serving.policy.bundle import PolicyBundle, load_bundle
from genrl_ros.system.share import shipped_model

FAST = {'real_time_factor': 10.0, 'lockstep': True}
TASKS = {'burner': 'switch on red burner', 'light': 'switch light on'}
TRIES = 3
"""A policy may fail; it does not fail as often as this."""


@pytest.fixture
def bundles(tmp_path: Path) -> list[PolicyBundle]:
    """What learning starts from, which needs no learning."""
    at_once = LearnConfig(updates=0)
    return [
        load_bundle(
            learn_prompt(
                Config('kitchen', prompt, name=name, out=tmp_path / 'policies', learning=at_once)
            )
        )
        for name, prompt in TASKS.items()
    ]


@pytest.mark.full  # a policy may miss its task several times in a row
def test_the_arm_does_a_task_rests_goes_home_and_does_another(bench, tmp_path, bundles) -> None:
    states = bench.record(PolicyState, 'policy_state', qos.LATCHED)
    scene = bench.record(TaskState, 'task_state', qos.LATCHED)
    sim = bench.start(SimNode, seed=1, **FAST)
    bench.start(EncoderNode, model=str(shipped_model('kitchen')), use_sim_time=True)
    policies = str(tmp_path / 'policies')
    bench.start(PolicyNode, policies=policies, blend_s=0.0, use_sim_time=True, **FAST)
    bench.start(CommandGate, use_sim_time=True, **FAST)
    assert bench.call(Trigger, 'command_gate/release', Trigger.Request()).success
    publisher = bench.observer.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)

    def is_done(task: str) -> bool:
        return bool(dict(zip(scene[-1].tasks, scene[-1].success, strict=True))[task])

    def succeeds(bundle: PolicyBundle) -> bool:
        about, before = bundle.description, len(states)
        announcement = PolicyAnnouncement(task_id=about.task_id, prompt=about.prompt)
        announcement.path, announcement.policy_sha256 = str(bundle.path), bundle.sha256
        publisher.publish(announcement)

        def told() -> list[str]:
            return [state.state for state in states[before:] if state.task_id == about.task_id]

        bench.until(lambda: 'driving' in told(), f'{about.task_id} to drive', timeout=90.0)
        bench.until(lambda: told()[-1] == 'done', f'{about.task_id} to end', timeout=90.0)
        return is_done(about.task_id)

    first, second = bundles
    assert any(succeeds(first) for _ in range(TRIES))
    assert any(succeeds(second) for _ in range(TRIES))
    told = [state.state for state in states if state.task_id == 'light']
    assert told.index('homing') < told.index('driving') < told.index('done')
    stamp = scene[-1].header.stamp.sec
    bench.until(lambda: scene[-1].header.stamp.sec > stamp + 20, 'a while at rest', timeout=60.0)
    assert is_done('light')
    assert abs(sim._scene.physics.joints().velocity[:7]).max() < 0.05
