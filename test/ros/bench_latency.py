"""Measures image message to command message while a policy is being learned on the same machine:
the command of policy_node, and the one that has passed the gate to the robot.

    python test/ros/bench_latency.py MODEL BUNDLE [SECONDS]

Encoder, policy and gate share one core (the first that this process may use); a worker learns
at its own low priority, wherever there is time. Prints one line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, Header

from genrl_interfaces.msg import PolicyAnnouncement, PolicyState
from genrl_ros.cli.discovery import private_domain
from genrl_ros.cli.processes import NodeProcesses
from genrl_ros.deploy.graph import BRINGUP, NODES, parameter_files
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.conversions import to_image, to_stamp
from genrl_ros.nodes.worker import LearnWorker
from genrl_ros.serving.policy.bundle import load_bundle
from genrl_ros.training.behavior.learn_worker import LearnRequest

PERIOD_S = 0.08
JOINTS = [f'panda_joint{i}' for i in range(1, 8)]
JOINTS += ['panda_finger_joint1', 'panda_finger_joint2']


class Camera(Node):
    """Publishes noise at the control rate and times the commands that answer."""

    def __init__(self) -> None:
        super().__init__('bench')
        self.decided: list[float] = []
        self.arrived: list[float] = []
        self.sent = 0
        self.state = ''
        self._sent_at = 0.0
        self._frames = np.random.default_rng(0).integers(0, 256, (8, 3, 64, 64), np.uint8)
        self._images = self.create_publisher(Image, 'camera/image_raw', qos.SENSOR)
        self._joint_states = self.create_publisher(JointState, 'joint_states', qos.SENSOR)
        self._clock_messages = self.create_publisher(Clock, '/clock', qos.CLOCK)
        self.policies = self.create_publisher(PolicyAnnouncement, 'policy', qos.LATCHED)
        self.create_subscription(
            JointState, 'policy/command', lambda _: self._note(self.decided), qos.COMMAND
        )
        self.create_subscription(
            Float64MultiArray, 'joint_velocity_controller/commands',
            lambda _: self._note(self.arrived), qos.COMMAND,
        )  # fmt: skip
        self.create_subscription(PolicyState, 'policy_state', self._on_state, qos.LATCHED)

    def send(self) -> None:
        stamp: Time = to_stamp(self.sent * round(PERIOD_S * 1e9))
        zeros = [0.0] * len(JOINTS)
        self._clock_messages.publish(Clock(clock=stamp))
        self._joint_states.publish(
            JointState(header=Header(stamp=stamp), name=JOINTS, position=zeros, velocity=zeros)
        )
        self._sent_at = time.monotonic()
        self._images.publish(to_image(self._frames[self.sent % 8], stamp, 'bench'))
        self.sent += 1

    def _note(self, latencies: list[float]) -> None:
        if len(latencies) < self.sent:
            latencies.append(time.monotonic() - self._sent_at)

    def _on_state(self, message: PolicyState) -> None:
        self.state = message.state


def measure(model: Path, bundle_path: Path, seconds: float) -> dict:
    bundle = load_bundle(bundle_path)
    names = ('encoder_node', 'policy_node', 'command_gate')
    nodes = [node for node in NODES if node.name in names] + [BRINGUP]
    with tempfile.TemporaryDirectory() as folder, private_domain() as environment:
        os.environ.update(environment)
        parameters = {
            'encoder_node': {'model': str(model.resolve())},
            'policy_node': {'policies': str(bundle_path.parent), 'drive_on': True},
            'bringup': {'nodes': list(names)},
        }
        core = min(os.sched_getaffinity(0))
        with NodeProcesses(
            nodes, parameter_files(True), parameters, environment,
            logs=Path(folder) / 'log',
        ) as processes:  # fmt: skip
            for pid in processes.pids.values():
                for thread in os.listdir(f'/proc/{pid}/task'):
                    os.sched_setaffinity(int(thread), {core})
            worker = LearnWorker(
                [sys.executable, '-m', 'genrl_ros.training.behavior.learn_worker'],
                LearnRequest(
                    model=str(model),
                    embedding=(np.eye(1, 512)[0]).tolist(),
                    task_id='bench',
                    prompt='bench',
                    policies=folder,
                    config={'updates': 1_000_000},
                ),
                log=lambda line: None,
            )
            rclpy.init()
            camera = Camera()
            announcement = PolicyAnnouncement(
                path=str(bundle.path), policy_sha256=bundle.sha256, from_here=True
            )
            camera.policies.publish(announcement)
            due, end = time.monotonic(), None
            while end is None or time.monotonic() < end:
                processes.check()
                worker.poll()
                if time.monotonic() >= due:
                    due += PERIOD_S
                    camera.send()
                rclpy.spin_once(camera, timeout_sec=max(0.0, due - time.monotonic()))
                if end is None and worker.progress and camera.state == 'driving':
                    camera.decided.clear()
                    camera.arrived.clear()
                    camera.sent, end = 0, time.monotonic() + seconds
            learned = dict(worker.progress)
            worker.kill()
            camera.destroy_node()
            rclpy.try_shutdown()
    return {
        'images': camera.sent,
        'to_policy_command': summary(camera.decided),
        'to_robot_command': summary(camera.arrived),
        'updates_per_s': round(learned['updates_per_s'], 2),
        'load': subprocess.run(['uptime'], capture_output=True, text=True).stdout.strip(),
    }


def summary(latencies: list[float]) -> dict:
    milliseconds = np.array(latencies) * 1000
    return {
        'commands': len(milliseconds),
        'median_ms': round(float(np.median(milliseconds)), 2),
        'p99_ms': round(float(np.percentile(milliseconds, 99)), 2),
        'worst_ms': round(float(milliseconds.max()), 2),
    }


if __name__ == '__main__':
    length = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]), length)) + '\n')
