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
TASKS = {'light': 'switch light on', 'burner': 'switch on red burner'}


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

    for bundle in bundles:
        about = bundle.description
        publisher.publish(
            PolicyAnnouncement(
                task_id=about.task_id,
                prompt=about.prompt,
                path=str(bundle.path),
                policy_sha256=bundle.sha256,
            )
        )
        bench.until(
            lambda task=about.task_id: (states[-1].task_id, states[-1].state) == (task, 'done'),
            f'the end of {about.task_id}',
            timeout=180.0,
        )
        assert is_done(about.task_id)
    second = [state.state for state in states if state.task_id == 'burner']
    assert second.index('homing') < second.index('driving') < second.index('done')
    assert is_done('light')
    stamp = scene[-1].header.stamp.sec
    bench.until(lambda: scene[-1].header.stamp.sec > stamp + 20, 'a while at rest', timeout=60.0)
    assert is_done('light') and is_done('burner')
    assert abs(sim._scene.physics.joints().velocity[:7]).max() < 0.05
