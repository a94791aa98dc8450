"""The last line before the robot: forwards fresh commands; without any, it stops the robot.

A process of its own, with no torch and no ONNX, that outlives the policy and holds the stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.nodes.ros.commands import CommandPublishers
from genrl_ros.nodes.ros.diagnostics import Level, Status
from genrl_ros.nodes.ros.forward_time import time_outs
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.params import declare, parameter
from genrl_ros.nodes.ros.robot import from_joint_states, from_policy_command, load_robot
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.nodes.ros.transport import share_no_memory
from genrl_ros.serving.robot.embodiment import Vector
from genrl_ros.serving.safety.flicker import Flicker
from genrl_ros.serving.safety.gate import (
    FORWARDING,
    PAUSED,
    REACTING,
    STOPPED,
    TICKS,
    WAITING,
    Gate,
)

TICK_S = 0.02
CLOSED = 'closed'
"""State of a gate that is not active."""
LEVELS = {
    FORWARDING: Level.OK,
    WAITING: Level.OK,
    PAUSED: Level.WARN,
    REACTING: Level.ERROR,
    STOPPED: Level.ERROR,
}


CAUSES = {
    'joint states': "the simulator's or the driver's joint states are late",
    'no command': 'policy_node is late, or has nothing to answer',
}


@dataclass(frozen=True)
class GateParameters:
    """Parameters of the command gate."""

    embodiment: str = parameter('kitchen', 'the robot: a file, or the name of a shipped one')
    real_time_factor: float = parameter(
        1.0, 'simulated seconds a second of wall time; 1 on a robot', low=0.05, high=10.0
    )
    lockstep: bool = parameter(
        False,
        "measure time-outs by a simulator's clock, which waits for answers; never on a robot",
    )


class CommandGate(ManagedNode):
    """Forwards `policy/command` to the robot's controllers, unless it is stopped or paused."""

    _gate: Gate

    def __init__(self, **options: object) -> None:
        super().__init__('command_gate', **options)
        self._config = declare(self, GateParameters)
        self._told = ('', '')
        self._flicker = Flicker(CAUSES)

    def configure(self) -> None:
        """Read the embodiment. The gate begins stopped."""
        self._robot = load_robot(self._config.embodiment)
        self._now_s, pace = time_outs(
            self.get_clock(), self._config.real_time_factor, lockstep=self._config.lockstep
        )
        self._gate = gate = Gate(
            self._robot.channels,
            self._robot.control_dt_s,
            pace,
            self._robot.joint_states.max_age_s,
            self._robot.commands_per_answer,
        )
        self._state = self.create_publisher(DiagnosticStatus, 'command_gate/state', qos.LATCHED)
        self._commands = CommandPublishers(self, self._robot)
        self.create_subscription(
            JointState, 'policy/command', self.when_active(self._on_command), qos.COMMAND
        )
        if gate.needs_positions:
            self.create_subscription(
                JointState, self._robot.joint_states.topic, self._on_joint_states, qos.SENSOR
            )
        self.create_service(Trigger, 'command_gate/emergency_stop', self._on_stop)
        for name, answer in (
            ('open', self._on_open),
            ('release', self._on_release),
            ('pause', self._on_pause),
            ('resume', self._on_resume),
        ):
            self.create_service(Trigger, f'command_gate/{name}', self._service(answer))
        self.every(min(TICK_S, gate.period_s / TICKS), self._tick)
        self.get_logger().info(
            f'guards {self._robot.name}: brings it to rest {gate.timeout_s:.2f} s after the last '
            'command on policy/command'
        )

    def deactivate(self) -> None:
        """Bring the robot to rest."""
        self._gate.stop('the gate was deactivated; call release')
        for command in self._gate.come_to_rest(self._now_s()):
            self._send(command)
            time.sleep(self._gate.period_s)
        self._tell_state()

    def health(self) -> Status:
        """State, reason and counters of the gate."""
        gate = self._gate
        text = f'{gate.state}: {gate.reason}' if gate.reason else gate.state
        return Status(LEVELS[gate.state], text, dict(gate.counts))

    def _on_command(self, message: JointState) -> None:
        try:
            wanted = from_policy_command(message, self._robot)
        except conversions.MessageError as error:
            self._gate.counts[str(error)] += 1
            return
        command = self._gate.offer(
            wanted,
            conversions.from_stamp(message.header.stamp),
            self.get_clock().now().nanoseconds,
            self._now_s(),
        )
        if command is not None:
            self._send(command)
        self._tell_state()

    def _on_joint_states(self, message: JointState) -> None:
        try:
            measured = from_joint_states(message, self._robot)
        except conversions.MessageError as error:
            self._gate.counts['joint states that do not fit'] += 1
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
        else:
            self._gate.measure(
                measured.position,
                conversions.from_stamp(message.header.stamp),
                self.get_clock().now().nanoseconds,
                self._now_s(),
            )

    def _tick(self) -> None:
        command = self._gate.tick(self._now_s())
        if command is not None:
            self._send(command)
        self._tell_state()
        if summary := self._flicker.summary(time.monotonic()):
            self.get_logger().warning(summary)

    def _send(self, command: Vector) -> None:
        self._commands.publish(command, self.get_clock().now().to_msg())

    def _tell_state(self) -> None:
        """Publish the state where it, or its reason, has changed."""
        state, reason = self._gate.state if self.active else CLOSED, self._gate.reason
        if (state, reason) == self._told:
            return
        self._told = (state, reason)
        level = LEVELS.get(state, Level.STALE)
        text = f'{state}: {reason}' if reason else state
        if state in (FORWARDING, REACTING):
            text = self._flicker.change(text, time.monotonic())
        if level is Level.ERROR and text and not self._gate.just_started:
            self.get_logger().warning(text)
        elif text:
            self.get_logger().info(text)
        status = Status(level, state, {'reason': reason})
        self._state.publish(status.to_message('command_gate'))
        self.tell()

    def _service(self, act: Callable[[], tuple[bool, str]]) -> Callable[..., Trigger.Response]:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            if self.active:
                response.success, response.message = act()
                self._tell_state()
            else:
                response.success, response.message = False, f'command_gate is {self.state_name}'
            return response

        return answer

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Active or not: a gate that is stopped before it is brought up stays stopped."""
        self._gate.stop('emergency stop; call command_gate/release to end it')
        if self.active:
            self._tick()
        response.success, response.message = True, self._gate.reason
        return response

    def _on_open(self) -> tuple[bool, str]:
        if self._gate.open():
            return True, 'open: the next fresh command is forwarded'
        return False, f'the gate is {self._gate.state} already: {self._gate.reason}'

    def _on_release(self) -> tuple[bool, str]:
        if self._gate.release():
            return True, 'released: the next fresh command is forwarded'
        return False, f'nothing to release: the gate is {self._gate.state}'

    def _on_pause(self) -> tuple[bool, str]:
        if self._gate.pause():
            return True, 'paused; call command_gate/resume to go on'
        return False, f'the gate is stopped already: {self._gate.reason}'

    def _on_resume(self) -> tuple[bool, str]:
        if self._gate.resume():
            return True, 'resumed: the next fresh command is forwarded'
        return False, f'nothing to resume: the gate is {self._gate.state}: {self._gate.reason}'


def main() -> None:
    """Run the node, which nobody that hangs may hold up."""
    share_no_memory()
    run_main(CommandGate)


if __name__ == '__main__':
    main()
