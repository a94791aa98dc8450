"""What the whole chain does, image to gate, is what its recording says."""

from __future__ import annotations

import numpy as np
import pytest
from std_srvs.srv import Trigger

from genrl_interfaces.msg import PolicyAnnouncement
from genrl_ros.cli.commands.ingest import Config, main
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.nodes.command_gate import CommandGate
from genrl_ros.nodes.encoder_node import EncoderNode
from genrl_ros.nodes.policy_node import PolicyNode
from genrl_ros.nodes.recorder_node import RecorderNode
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.sim_node import SimNode
from genrl_ros.system.share import share_path


def number(image: np.ndarray) -> int:
    return int(image[0, 0, 0]) * 256 + int(image[1, 0, 0])


@pytest.mark.parametrize('camera_hz', [12.5, 6.25])
def test_a_driven_episode_is_recorded_as_it_was(
    bench, tmp_path, make_bundle, encoder_bytes, counting_env, camera_hz
) -> None:
    """With an image for each command, and with one for each action, which the gate repeats."""
    (tmp_path / 'encoder.onnx').write_bytes(encoder_bytes)
    text = share_path('config', 'embodiments', 'kitchen.yaml').read_text()
    file = tmp_path / 'robot.yaml'
    file.write_text(text.replace('height: 64', f'height: 64\n  rate_hz: {camera_hz}'))
    bundle, env = make_bundle(action=0.25), counting_env
    robot = {'embodiment': str(file)}
    slow = {'real_time_factor': 0.4, 'use_sim_time': True, **robot}
    recorder = bench.make(RecorderNode, folder=str(tmp_path / 'bags'), **robot)
    sim = bench.start(SimNode, lambda domain: env.scene, real_time_factor=0.4, **robot)
    bench.start(EncoderNode, model=str(tmp_path), use_sim_time=True, **robot)
    bench.start(PolicyNode, policies=str(tmp_path / 'policies'), **slow)
    bench.start(CommandGate, **slow)
    assert bench.call(Trigger, 'command_gate/release', Trigger.Request()).success
    policies = bench.observer.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)
    policies.publish(
        PolicyAnnouncement(
            task_id='t',
            prompt='p',
            path=str(bundle.path),
            policy_sha256=bundle.sha256,
            from_here=True,
        )
    )
    bench.until(lambda: sum(command.any() for command in env.commands) > 30, 'a driven episode')
    bench.executor.remove_node(sim)
    recorder.destroy_node()
    bench.nodes.remove(recorder)

    assert main(Config(bags=(tmp_path / 'bags',), robot=str(file), out=tmp_path / 'data')) == 0
    store = EpisodeStore.open(tmp_path / 'data')
    steps = 0
    for name in store.episode_ids:
        images, actions = store.image(name), store.action(name)
        numbers = [number(image) for image in images]
        assert np.diff(numbers).tolist() == [2] * (len(numbers) - 1)
        for seen, action in zip(numbers[1:], actions[1:], strict=True):
            applied = np.mean(env.commands[seen - 2 : seen], axis=0) / 2.0
            np.testing.assert_allclose(action, applied, atol=1e-6)
            steps += bool(applied.any())
    assert steps >= 10
