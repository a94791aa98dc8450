"""Brings the nodes of the graph up in order, and again when one of them comes back.

All are configured at once, for that takes long, and activated one after another: the gate last,
so that nothing moves before everything is there. Then the gate is opened and the task to begin
with is set, once: a gate that comes back later, or that somebody has stopped, stays stopped until
somebody releases it, and a prompt node that comes back waits for a task.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from genrl_interfaces.srv import SetTask
from genrl_ros.deploy.graph import NODES
from genrl_ros.nodes.ros import qos
from genrl_ros.nodes.ros.params import declare, parameter
from genrl_ros.nodes.ros.run import main as run_main

TICK_S = 0.1
ASK_S = 1.0
"""How often a node that acts or changes is asked where it is, and how long the answer may take."""
CHANGE_S = 180.0
"""How long a transition may take; loading models takes a while."""
AT_REST = 2
"""After so many answers in a row that there is no transition, the one asked for is lost."""
LOSSES = 3
"""How many transitions of a node may be lost while everything is brought up for the first time."""
RETRY_S = 5.0
"""How long to wait before a node that has come back and failed is tried again."""
REASON_S = 2.0
"""How long to wait for a node to say why it failed."""
SILENT_S = 30.0
"""After so long without an answer a node is told to be stuck, or gone."""
WAITS_S = 5.0
"""After so long in which an active node is not well, it is said why."""
MAX_REASON = 1000
"""Characters of it that are kept."""
GATE = 'command_gate'


class BringupError(RuntimeError):
    """The graph could not be brought up; the text says which node failed, and why."""


@dataclass(frozen=True)
class BringupParameters:
    """Parameters of the bring-up."""

    nodes: tuple[str, ...] = parameter(
        tuple(node.name for node in NODES), 'names of the nodes to bring up'
    )
    use_sim: bool = parameter(True, 'whether the simulator is among them')
    prompt: str = parameter('', 'a task to begin with; empty: wait for set_task')


@dataclass
class Managed:
    """What is known of a node.

    Attributes:
        name: of the node.
        ask: client of its `get_state`.
        change: client of its `change_state`.
        state: its last known state; 0 while unknown.
        raising: whether it still has to become active, having been seen unconfigured.
        asked: an unanswered question for its state.
        asked_s: when it was asked, or became what it is.
        answered_s: when it answered last.
        silent: whether it was told that it does not answer.
        changing: an unanswered transition.
        changed_s: when that was asked for.
        at_rest: how often since then it was told that the node is in no transition.
        lost: how many transitions were lost, since the node ended in them.
        retry_s: not to be tried again before this time.
        failed_s: when it failed and has not said yet why.
    """

    name: str
    ask: Client
    change: Client
    state: int = State.PRIMARY_STATE_UNKNOWN
    raising: bool = False
    asked: Future | None = None
    asked_s: float = float('-inf')
    answered_s: float = float('inf')
    silent: bool = False
    changing: Future | None = None
    changed_s: float = float('-inf')
    at_rest: int = 0
    lost: int = 0
    retry_s: float = float('-inf')
    failed_s: float | None = field(default=None)

    @property
    def active(self) -> bool:
        """Whether it acts."""
        return self.state == State.PRIMARY_STATE_ACTIVE

    def forget_question(self) -> None:
        """Whoever was asked is gone, or would tell what is over."""
        if self.asked is not None:
            self.ask.remove_pending_request(self.asked)
            self.asked = None


class Bringup(Node):
    """Drives the life cycles of the others through their services.

    Attributes:
        reasons: what each of them has told last of an error, by its name on `/diagnostics`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__('bringup', **options)
        parameters = declare(self, BringupParameters)
        self._nodes = [
            Managed(
                node.name,
                self.create_client(GetState, f'{node.name}/get_state'),
                self.create_client(ChangeState, f'{node.name}/change_state'),
            )
            for node in NODES
            if node.name in parameters.nodes and (parameters.use_sim or not node.simulates)
        ]
        self._open = self.create_client(Trigger, f'{GATE}/open')
        self._opened = True
        self._set_task = self.create_client(SetTask, 'set_task')
        self._prompt = parameters.prompt
        self._complete, self._complete_s = False, 0.0
        self._waiting: dict[str, tuple[DiagnosticStatus, float]] = {}
        self.reasons: dict[str, str] = dict.fromkeys(map(self._diagnostic_name, self._nodes), '')
        self.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics, qos.DIAGNOSTICS
        )
        self._tick_timer = self.create_timer(
            TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name not in self.reasons:
                continue
            if status.level == DiagnosticStatus.ERROR:
                self.reasons[status.name] = status.message[:MAX_REASON]
            self._note_waiting(status)

    def _note_waiting(self, status: DiagnosticStatus) -> None:
        """Keep since when a node has been saying that it is not well."""
        if status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR):
            _, since = self._waiting.get(status.name, (status, time.monotonic()))
            self._waiting[status.name] = status, since
        else:
            self._waiting.pop(status.name, None)

    def _tell_waiting(self, now: float) -> None:
        """Once all is active, say what a node waits for, if it does so for long."""
        for name, (status, since) in self._waiting.items():
            if now - max(since, self._complete_s) > WAITS_S:
                self._waiting[name] = status, math.inf  # told
                text = f'{name} is active, but: {status.message[:MAX_REASON]}'
                is_error = status.level == DiagnosticStatus.ERROR
                (self.get_logger().warning if is_error else self.get_logger().info)(text)

    def _diagnostic_name(self, node: Managed) -> str:
        return f'{self.get_namespace()}/{node.name}'.strip('/').replace('/', '.')

    def _tick(self) -> None:
        now = time.monotonic()
        ready = True
        for node in self._nodes:
            self._learn(node, now)
            self._listen(node, now)
            self._raise(node, now, may_activate=ready)
            ready = ready and node.active
        if ready and not self._opened and self._open.service_is_ready():
            self._open.call_async(Trigger.Request())
            self._opened = True
        if ready and self._prompt and self._set_task.service_is_ready():
            self._set_task.call_async(SetTask.Request(prompt=self._prompt))
            self._prompt = ''
        if ready and not self._complete:
            self._complete, self._complete_s = True, now
            self.get_logger().info('everything is active')
        if self._complete:
            self._tell_waiting(now)

    def _learn(self, node: Managed, now: float) -> None:
        """Ask a node for its state, now and then."""
        if node.asked is not None and node.asked.done():
            state = node.asked.result().current_state.id
            node.asked, node.answered_s = None, now
            if node.changing is not None:
                self._doubt(node, state)
            else:
                node.state = state
            if node.state == State.PRIMARY_STATE_UNCONFIGURED:
                node.raising = True
        hurries = node.raising and node.changing is None
        if now - node.asked_s < (TICK_S if hurries else ASK_S):
            return
        if now - node.asked_s > ASK_S:
            node.forget_question()
        if node.asked is None and node.ask.service_is_ready():
            node.asked, node.asked_s = node.ask.call_async(GetState.Request()), now

    def _listen(self, node: Managed, now: float) -> None:
        """Tell if a node that was there does not answer for long, and if it does again."""
        if node.changing is not None:
            node.answered_s = now  # a transition has a time limit of its own
        silent = now - node.answered_s > SILENT_S
        if silent and not node.silent:
            self.get_logger().error(
                f'{node.name}: has not answered for {SILENT_S:g} s: it is stuck or has exited; '
                'see its log, and restart it'
            )
        elif node.silent and not silent:
            self.get_logger().info(f'{node.name}: answers again')
        node.silent = silent

    def _doubt(self, node: Managed, state: int) -> None:
        """A node in the middle of a transition says where it is: has it come back without it?

        It is believed the second time: a question may overtake the request or its answer.
        """
        assert node.changing is not None
        node.at_rest = node.at_rest + 1 if state <= State.PRIMARY_STATE_FINALIZED else 0
        if node.at_rest < AT_REST or node.changing.done():
            return
        node.change.remove_pending_request(node.changing)
        happened = state == node.state + 1
        node.changing, node.state = None, state
        if happened:
            return
        node.lost += 1
        if node.lost >= LOSSES and not self._complete:
            raise BringupError(
                f'{node.name}: exited {LOSSES} times during a transition; see its log'
            )
        self.get_logger().warning(f'{node.name}: exited during a transition; configures it again')

    def _raise(self, node: Managed, now: float, *, may_activate: bool) -> None:
        """Take a node one step further towards being active."""
        if node.failed_s is not None:
            self._explain(node, now)
            return
        if node.changing is not None:
            self._conclude(node, now)
            return
        if not node.raising or now < node.retry_s:
            return
        if node.active:
            node.raising = False
        elif not node.change.service_is_ready():
            pass
        elif node.state == State.PRIMARY_STATE_UNCONFIGURED:
            self._request(node, Transition.TRANSITION_CONFIGURE)
        elif node.state == State.PRIMARY_STATE_INACTIVE and may_activate:
            self._request(node, Transition.TRANSITION_ACTIVATE)

    def _request(self, node: Managed, transition: int) -> None:
        if node.name == GATE and transition == Transition.TRANSITION_CONFIGURE:
            self._opened = self._complete  # only the first gate is opened by itself
        request = ChangeState.Request(transition=Transition(id=transition))
        node.forget_question()
        node.changing, node.at_rest = node.change.call_async(request), 0
        node.changed_s = node.asked_s = time.monotonic()

    def _conclude(self, node: Managed, now: float) -> None:
        assert node.changing is not None
        if node.changing.done():
            done = node.changing.result().success
        elif now - node.changed_s < CHANGE_S:
            return
        else:
            node.change.remove_pending_request(node.changing)
            done = False
        node.forget_question()
        node.changing, node.asked_s = None, float('-inf')
        if done:
            node.state += 1  # unconfigured, inactive, active
        else:
            node.failed_s = now

    def _explain(self, node: Managed, now: float) -> None:
        assert node.failed_s is not None
        name = self._diagnostic_name(node)
        reason, self.reasons[name] = self.reasons[name], ''
        if not reason and now - node.failed_s < REASON_S:
            return
        text = f'{node.name}: {reason or "a transition failed; see its log"}'
        if not self._complete:
            raise BringupError(text)
        self.get_logger().error(f'{text}; tries again in {RETRY_S:.0f} s')
        node.failed_s, node.retry_s = None, now + RETRY_S


def main() -> None:
    """Run the node."""
    run_main(Bringup)


if __name__ == '__main__':
    main()
